"""Write the reference pages of options, passes and targets from their declarations: `python -m tests.reference`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gscompile.command_options import OptionGroup, TerminalOptions
from gscompile.declaration import Declaration, declarations
from gscompile.hardware.target import Target, shipped_targets
from gscompile.options import COMMANDS, Options, options_of, terminal_options_of
from gscompile.passes import PASSES
from gscompile.registry import class_of
from gscompile.targets import FORMATS

PAGES = Path(__file__).parents[1] / "docs/reference"
WRITTEN = "<!-- Written by `python -m tests.reference` from the declarations in the code. -->"


def default(declared: Declaration) -> str:
    """Return the default in words: a value, a description of what it depends on, or that there is none."""
    if declared.is_required:
        return "required"
    if declared.about.computed:
        return declared.about.computed
    if declared.default in (None, ()):
        return "none"
    if isinstance(declared.default, tuple):
        return ", ".join(f"`{item}`" for item in declared.default)
    return f"`{str(declared.default).lower() if isinstance(declared.default, bool) else declared.default}`"


def allowed(declared: Declaration) -> str:
    """Return what values are allowed: type, unit and bounds, or the choices."""
    if declared.choices:
        return ", ".join(f"`{choice}`" for choice in declared.choices)
    words = [declared.expected.removeprefix("a ")]
    if declared.plain_type is Any:
        words = ["text, or an object in Python"]
    if declared.about.unit:
        words[0] += f" ({declared.about.unit})"
    return ", ".join([*words, *filter(None, [declared.bounds])])


def table(rows: Iterable[tuple[str, ...]], *heads: str) -> Iterator[str]:
    """Yield the lines of a table."""
    yield from ("| " + " | ".join(heads) + " |", "|---" * len(heads) + "|")
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def plain_table(options: Iterable[Declaration], head: str) -> Iterator[str]:
    """Yield a table of options that are given by name."""
    rows = ((f"`{each.name}`", default(each), allowed(each), each.about.help) for each in options)
    return table(rows, head, "default", "value", "meaning")


# -- the pages ----------------------------------------------------------------------------------------------------


def options_page() -> Iterator[str]:
    """Yield the page of the options of all commands, by group."""
    yield from ("# Options", "", WRITTEN, "")
    yield "An option has one name: `--max-drop` on the command line, `max-drop` in a TOML file that `--config` names, and"
    yield "`max_drop` in Python. The names of exceptions are in brackets."
    yield ""
    yield "Where an option *changes training*, an interrupted command continues from its checkpoints only under the same"
    yield "value. Data and teachers may change their names, not their content."
    yield ""
    for group in OptionGroup:
        rows = [*_rows(group)]
        if rows:
            heads = ("option", "default", "value", "meaning", "changes training", "commands")
            yield from (f"## {group}", "", *table(rows, *heads))


def _rows(group: OptionGroup) -> Iterator[tuple[str, ...]]:
    """Yield a row for each option of a group; options that differ between commands have several."""
    merged: dict[tuple[str, str, str, str], list[tuple[str, Declaration]]] = {}
    for command in COMMANDS:
        for each in (options_of(command) | terminal_options_of(command)).values():
            if each.about.group == group:
                row = _names(each), default(each), allowed(each), each.about.help
                merged.setdefault(row, []).append((command, each))
    for row, uses in merged.items():
        changes = "yes" if any(_changes_training(*use) for use in uses) else ""
        yield (*row, changes, ", ".join(command for command, _ in uses))


def _names(each: Declaration) -> str:
    other = [flag for flag in each.about.flags if flag != f"--{each.key}"]
    if each.name in declarations(TerminalOptions):
        return ", ".join(f"`{flag}`" for flag in each.about.flags or (f"--{each.key}",))
    return f"`{each.key}`" + (f" (`{'`, `'.join(other)}`)" if other else "")


def _changes_training(command: str, each: Declaration) -> bool:
    is_compared = command in ("compile", "frontier") and each.name in declarations(Options)
    return is_compared and each.about.affects_training


def passes_page() -> Iterator[str]:
    """Yield the page of the options of passes and of output formats."""
    yield from ("# Options of passes and formats", "", WRITTEN, "")
    yield "Options follow the name of a pass or a format: `--pass rank-clip:method=pca,epsilon=0.05`, `--emit dot:tiles=true`."
    yield ""
    for kind, names in (("pass", PASSES), ("format", FORMATS)):
        for name in names:
            cls = class_of(kind, names, name)
            yield from (f"## {name}", "", (cls.__doc__ or "").partition("\n")[0], "")
            options = declarations(cls).values()
            yield from plain_table(options, "option") if options else ("It has no options.", "")


def targets_page() -> Iterator[str]:
    """Yield the page of the keys of a target."""
    yield from ("# Keys of a target", "", WRITTEN, "")
    yield f"A target is a TOML file, or the name of one that comes with gscompile: {', '.join(shipped_targets())}."
    yield "Units are part of the keys. [Lesson 4](../lessons/4-a-target-of-your-own.md) makes one."
    yield ""
    keys = declarations(Target).values()
    tables = [each for each in keys if dataclasses.is_dataclass(each.plain_type)]
    yield from ("## Top level", "", *plain_table((each for each in keys if each not in tables), "key"))
    for each in tables:
        needed = "" if each.is_required else " The table may be left out."
        yield from (f"## [{each.name}]", "", f"{each.about.help}{needed}", "")
        yield from plain_table(declarations(each.plain_type).values(), "key")


REFERENCE: Mapping[str, Callable[[], Iterator[str]]] = {
    "options.md": options_page,
    "pass-options.md": passes_page,
    "target-keys.md": targets_page,
}


def written(name: str) -> str:
    """Return the text of a page of the reference."""
    return "\n".join(REFERENCE[name]()).rstrip() + "\n"


if __name__ == "__main__":
    for page in REFERENCE:
        (PAGES / page).write_text(written(page), "utf-8")
