"""Output formats by name, as `--emit` takes them."""

from __future__ import annotations

from gscompile.hardware.target import Format
from gscompile.registry import create
from gscompile.targets import FORMATS


def parse_formats(text: str) -> tuple[Format, ...]:
    """Formats by name, separated by commas: `verilog,spice`; options follow a name as in `dot:tiles=true`.

    Raises UsageError, in one line, for an unknown name or option.
    """
    return tuple(create("format", FORMATS, part.strip()) for part in _split(text))


def _split(text: str) -> list[str]:
    """At commas that begin a new format; one inside a format's options stays."""
    parts: list[str] = []
    for item in text.split(","):
        if parts and "=" in item and ":" not in item:
            parts[-1] += f",{item}"
        elif item.strip():
            parts.append(item)
    return parts
