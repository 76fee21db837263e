"""The form of outputs: the kind, type and shape of each, which a compiled network shares with the original."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def form_of(output: Any) -> str:
    """Return the form of an output in words: the type and shape of an array, or of every entry of a sequence.

    >>> form_of(np.zeros((2, 3), np.float32)), form_of([np.zeros(4)]), form_of(None)
    ('float32 [2, 3]', 'sequence (float64 [4])', 'nothing')
    """
    if output is None:
        return "nothing"
    if isinstance(output, np.ndarray):
        return f"{'string' if output.dtype.kind in 'OUS' else output.dtype} {[*output.shape]}"
    if isinstance(output, list | tuple):
        return f"sequence ({', '.join(map(form_of, output))})"
    return type(output).__name__


def other_form(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """Return the first output whose form is not the original's (`theirs`), in words; None where all forms agree.

    >>> other_form({"y": np.zeros(1)}, {"y": np.zeros(())})
    "output 'y' is float64 [1], expected float64 [] as in the original"
    """
    for name, output in theirs.items():
        if name not in ours:
            return f"output {name!r} is missing"
        found, expected = form_of(ours[name]), form_of(output)
        if found != expected:
            return f"output {name!r} is {found}, expected {expected} as in the original"
    return None
