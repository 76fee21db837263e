"""Options of the command line, made from their declarations, and listed in `--help` in groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import click

from gscompile.declaration import Declaration


class _ListedChoice(click.Choice[str]):
    """A choice that is listed and completed; its value is checked with all others, from wherever they come."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002
        return value


class _ListedIntRange(click.IntRange):
    """A whole number whose bounds are listed; they are checked with those of all other options."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return click.INT.convert(value, param, ctx)


class _ListedFloatRange(click.FloatRange):
    """A number whose bounds are listed; they are checked with those of all other options."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return click.FLOAT.convert(value, param, ctx)


class GroupedOption(click.Option):
    """An option that `--help` lists under the heading `group`."""

    group = ""


def click_option(declared: Declaration) -> GroupedOption:
    """Return the option of the command line that a declaration describes."""
    about, name = declared.about, declared.key
    on_off = declared.plain_type is bool and declared.default is not False
    flags = about.flags or (f"--{name}/--no-{name}" if on_off else f"--{name}",)
    settings: dict[str, Any] = {} if declared.is_required else {"default": declared.default}
    if declared.plain_type is bool:
        settings["is_flag"] = True
    else:
        number = "N" if declared.plain_type is int else "NUMBER"
        metavar = about.metavar or (number if declared.is_a_number else None)
        settings |= {"type": _type(declared), "multiple": declared.is_list, "metavar": metavar}
    shown = about.computed or (declared.is_required or declared.default not in (None, ()))
    made = GroupedOption(
        [*flags, declared.name], required=declared.is_required, help=about.help, show_default=shown, **settings
    )
    made.group = about.group
    return made


def _type(declared: Declaration) -> click.ParamType[Any]:
    if declared.choices:
        return _ListedChoice(declared.choices)
    if declared.is_a_number:
        ends = _end(declared.about.minimum), _end(declared.about.maximum)
        return _ListedIntRange(*ends) if declared.plain_type is int else _ListedFloatRange(*ends)
    return click.Path() if declared.about.is_path else click.STRING


def _end(bound: float) -> int | None:
    """Return a bound as click shows it, None for infinity; whole numbers without a decimal point."""
    whole: Any = int(bound) if float(bound).is_integer() else bound
    return whole if math.isfinite(bound) else None


class DeclaredCommand(click.Command):
    """A command with the options that `gscompile.options` declares for it, which are imported when asked for."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not any(isinstance(param, click.Option) for param in self.params):
            from gscompile.options import options_of, terminal_options_of

            declared = options_of(self.name or "") | terminal_options_of(self.name or "")
            self.params += [click_option(each) for each in declared.values()]
        return super().get_params(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the headings of their groups, in the order of these."""
        from gscompile.command_options import OptionGroup

        rows: dict[str, list[tuple[str, str]]] = {group: [] for group in OptionGroup}
        for param in self.get_params(ctx):
            row = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if row is not None:
                rows[getattr(param, "group", OptionGroup.GENERAL)].append(row)
        for group, options in rows.items():
            if options:
                with formatter.section(group):
                    formatter.write_dl(options)


def given_options(ctx: click.Context) -> Mapping[str, Any]:
    """Return the options that the command line gives; not those that have their defaults."""
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
