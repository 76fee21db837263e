"""Long names, shortened in the middle so that the figures beside them stay visible; report.json has the whole names."""

from __future__ import annotations

from collections.abc import Iterable

TABLE_NAME = 32  # characters of a name in a terminal's table: beside it the first figures fit into 80 columns
PAGE_NAME = 60  # characters of a name on a page
_GAP = "..."


def short(name: str, width: int, head: int | None = None) -> str:
    """Return the name in at most `width` characters, `head` of them from its start and the rest from its end.

    >>> short("StatefulPartitionedCall/model/dense/MatMul", 20)
    'State...dense/MatMul'
    >>> short("conv1", 20)
    'conv1'
    """
    if len(name) <= width:
        return name
    kept = width - len(_GAP)
    first = kept // 3 if head is None else head
    last = kept - first
    return name[:first] + _GAP + name[len(name) - last :]


def shortened(names: Iterable[str], width: int) -> dict[str, str]:
    """Return the short form of each name, different for different names.

    The same number of characters is kept from the start of every name. Where names differ in the middle only, that
    number is changed until the short forms differ; where no number makes them differ, the short forms are numbered.
    """
    names = [*dict.fromkeys(names)]
    kept = width - len(_GAP)
    for head in dict.fromkeys((kept // 3, *range(kept // 3, 0, -1), *range(kept // 3, kept))):
        found = {name: short(name, width, head) for name in names}
        if len({*found.values()}) == len(names):
            return found
    number_width = len(f"#{len(names)}")
    long = [name for name in names if len(name) > width]
    numbers = {name: f"#{number}" for number, name in enumerate(long, 1)}
    return {n: short(n, width - number_width) + numbers[n] if n in numbers else n for n in names}
