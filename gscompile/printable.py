"""Names from files, made fit to be shown: on a terminal, in a log, in a picture."""

from __future__ import annotations

import html


def printable(words: str) -> str:
    r"""Return the words with every character that controls instead of showing replaced by its escape.

    >>> printable("conv" + chr(27) + "[2J" + chr(0x202e) + chr(0xdcff))
    'conv\\x1b[2J\\u202e\\udcff'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in words)


def escape(words: str) -> str:
    """Return the words as text of HTML, SVG or XML: printable, with quotes and brackets as entities."""
    return html.escape(printable(words))
