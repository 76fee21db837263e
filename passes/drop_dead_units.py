"""Whole dead units disappear from both neighbours: a column here, a row there, the bias between."""

from __future__ import annotations

from dataclasses import dataclass

from gscompile.network import Network
from gscompile.transform import Change, Context, PassResult
from gscompile.units import drop_dead_units


@dataclass(frozen=True)
class DropDeadUnits:
    """Remove channels, neurons and ranks that carry nothing, or that nothing reads. Outputs stay the same."""

    @property
    def name(self) -> str:
        return "drop-dead-units"

    def run(self, network: Network, context: Context) -> PassResult:  # noqa: ARG002
        dropped = drop_dead_units(network)
        changes = (Change(layer, "units", str(before), str(after)) for layer, before, after in dropped)
        return PassResult(network, tuple(changes))
