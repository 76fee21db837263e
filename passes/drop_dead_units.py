"""Whole dead units disappear from both neighbours: a column here, a row there, the bias between."""

from __future__ import annotations

from dataclasses import dataclass

from gscompile.compression.passes import Context, PassResult, without_dead_units
from gscompile.graph.network import Network


@dataclass(frozen=True)
class DropDeadUnits:
    """Remove channels, neurons and ranks that carry nothing, or that nothing reads. Outputs stay the same."""

    @property
    def name(self) -> str:
        return "drop-dead-units"

    def run(self, network: Network, context: Context) -> PassResult:  # noqa: ARG002
        return without_dead_units(network)
