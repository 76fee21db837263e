"""Write the signatures of `gscompile.api` from the declarations of the options: `python -m tests.signatures`."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gscompile import api
from gscompile.declaration import Declaration
from gscompile.options import COMMANDS, options_of

API = Path(api.__file__)


def annotation(declared: Declaration) -> str:
    """Return the type of an argument: tuples may be lists, paths may be `Path`s."""
    text = declared.annotation
    if declared.is_list:
        return f"{text.replace('tuple[', 'list[').replace(', ...', '')} | {text}"
    return text.replace("str |", "str | Path |") if declared.about.is_path and "Path" not in text else text


def argument(declared: Declaration) -> str:
    """Return an option as an argument, with its type and default."""
    default = "" if declared.is_required else f" = {declared.default!r}"
    return f"{declared.name}: {annotation(declared)}{default}"


def arguments(command: str, function: ast.FunctionDef) -> Iterator[str]:
    """Yield the arguments of a command: those that may be given by position, then the other options by name."""
    options, given = options_of(command), [each.arg for each in function.args.args]
    defaults = [None] * (len(given) - len(function.args.defaults)) + function.args.defaults
    for each, default in zip(function.args.args, defaults, strict=True):
        plain = ast.unparse(each) + (f" = {ast.unparse(default)}" if default else "")
        yield argument(options[each.arg]) if each.arg in options else plain
    rest = [declared for name, declared in options.items() if name not in given]
    yield from ["*", *map(argument, rest)] if rest else []


def written(source: str) -> str:
    """Return the source of `api.py` with the signatures of its commands as they are to be."""
    lines, found = source.splitlines(keepends=True), ast.parse(source).body
    functions = [node for node in found if isinstance(node, ast.FunctionDef) and node.name in COMMANDS]
    for node in reversed(functions):
        assert node.returns is not None
        head = f"def {node.name}({', '.join(arguments(node.name, node))}) -> {ast.unparse(node.returns)}:\n"
        lines[node.lineno - 1 : node.body[0].lineno - 1] = [head]
    return formatted("".join(lines))


def formatted(source: str) -> str:
    """Return Python as ruff writes it."""
    words = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(API), "-"]
    return subprocess.run(words, input=source, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    API.write_text(written(API.read_text("utf-8")), "utf-8")
