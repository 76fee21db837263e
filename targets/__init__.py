"""Hardware descriptions (`*.toml`) and output formats, one file each; a new format is one line here."""

from __future__ import annotations

FORMATS: dict[str, str] = {}
