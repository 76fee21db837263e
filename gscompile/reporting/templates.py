"""Render the templates of HTML pages: everything is escaped unless it is marked as markup."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gscompile.printable import printable
from gscompile.reporting.names import PAGE_NAME, short


def render(package: str, name: str, **values: Any) -> Markup:
    """Return the template `name` of a package folder, as in `gscompile.reporting`, filled with `values`."""
    return Markup(_environment(package).get_template(name).render(values))


@cache
def _environment(package: str) -> Environment:
    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["name"] = long_name
    return environment


def _shown(value: Any) -> Any:
    """Return a value without characters that control a terminal or a browser; markup is left as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def long_name(name: str) -> Markup:
    """Return a name that may break after a slash; a very long one is shortened in the middle and whole as a title."""
    shown = printable(name)
    text = Markup.escape(short(shown, PAGE_NAME)).replace("/", Markup("/<wbr>"))
    return text if len(shown) <= PAGE_NAME else Markup('<span title="{}">{}</span>').format(shown, text)
