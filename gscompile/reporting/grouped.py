"""Constants that were not compressed, for a reader: unimportant ones are counted, in one line for each reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_TERMINAL_LINES = 5  # constants of one reason that a terminal lists

# Reasons that follow from what a constant is and not from the search: one of them, and several.
_USUAL_REASONS = {
    "a bias is added": ("bias is added digitally", "biases are added digitally"),
    "scale and shift of a norm": (
        "constant of a normalisation stays digital",
        "constants of normalisations stay digital",
    ),
    "an element-wise constant": ("element-wise constant stays digital", "element-wise constants stay digital"),
    "an embedding lookup": ("embedding lookup stays digital", "embedding lookups stay digital"),
    "folded into the layer": (
        "constant is folded into the layer before it",
        "constants are folded into the layers before them",
    ),
    "data that ": (
        "constant is data that is moved and not multiplied",
        "constants are data that is moved and not multiplied",
    ),
}


@dataclass(frozen=True)
class Untouched:
    """A node with a constant of 256 elements or more that was not compressed, and why."""

    node: str
    op: str
    tensor: str
    elements: int
    why: str


def usual(rows: Iterable[Untouched]) -> list[str]:
    """Return a line for each usual reason: "212 biases are added digitally"."""
    counts: dict[str, int] = {}
    for row in rows:
        start = _usual_start(row)
        if start is not None:
            counts[start] = counts.get(start, 0) + 1
    return [f"{count:,} {_USUAL_REASONS[start][count > 1]}" for start, count in counts.items()]


def unusual(rows: Iterable[Untouched]) -> tuple[Untouched, ...]:
    """Return the constants that a reader should know of one by one."""
    return tuple(row for row in rows if _usual_start(row) is None)


def _usual_start(row: Untouched) -> str | None:
    return next((start for start in _USUAL_REASONS if row.why.startswith(start)), None)


def by_reason(rows: Iterable[Untouched]) -> Iterator[tuple[str, list[Untouched]]]:
    """Yield each reason with its constants, in the order of the network."""
    found: dict[str, list[Untouched]] = {}
    for row in rows:
        found.setdefault(row.why, []).append(row)
    yield from found.items()
