"""The cells, tiles and wires that a network may take at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gscompile.crossbars.mapping import Footprint
from gscompile.sizes import Size


@dataclass(frozen=True)
class SizeBudget:
    """The most that is allowed of each figure that is named: cells, tiles, wires."""

    most: Mapping[str, int]

    @classmethod
    def of(cls, sizes: Mapping[str, Size], original: Footprint) -> SizeBudget:
        """Return the budget in numbers, from sizes that may be shares of the original."""
        return cls({name: size.most(getattr(original, name)) for name, size in sizes.items()})

    def holds(self, taken: Footprint) -> bool:
        """Return whether no figure is beyond the budget."""
        return not [*self.missed(taken)]

    def beyond(self, taken: Footprint) -> float:
        """Return the share of a figure that has to go, of the figure that is beyond the budget by most; 0 within it."""
        shares = (1 - most / max(getattr(taken, name), 1) for name, most in self.most.items())
        return float(max(0.0, *shares))

    def missed(self, taken: Footprint) -> Iterator[str]:
        """Yield in words each figure that is beyond the budget, and by how much."""
        for name, most in self.most.items():
            found = getattr(taken, name)
            if found > most:
                yield f"{found:,} {name} where at most {most:,} are asked for: missed by {found - most:,}"
