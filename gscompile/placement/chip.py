"""The chip that a network becomes on a target, before and after compression: figures, tables and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gscompile.crossbars.netlist import Netlist
from gscompile.graph.network import Network
from gscompile.hardware.cost import CostReport, cost, write_costs
from gscompile.hardware.floorplan import Floorplan
from gscompile.hardware.target import Target
from gscompile.options import Options
from gscompile.placement.place import PlaceOptions
from gscompile.placement.place_folder import (
    Placed,
    PlaceReport,
    Sample,
    of_origins,
    placed,
    uses_per_inference,
    write_placed,
)
from gscompile.reporting.report import Chip, ChipFigures, ratio

CHEAP = 160  # arrays and blocks: so many are placed within seconds, without being asked


@dataclass(frozen=True, eq=False)
class ChipSide:
    """A network and the netlist it is mapped to."""

    network: Network
    netlist: Netlist


@dataclass(frozen=True, eq=False)
class ChipResult:
    """The chip section of the report; `plans` are the floorplans of the pictures, by name."""

    figures: Chip | None = None
    plans: Mapping[str, Floorplan] = field(default_factory=dict)
    floorplan: Floorplan | None = None


def make_chip(before: ChipSide, after: ChipSide, options: Options, folder: Path, sample: Sample | None) -> ChipResult:
    """Cost of both networks, placed where that was asked for or is cheap; `cost.csv` and pictures go to `folder`.

    Nothing without a target and without `--place`. `sample` is one input of the networks.
    """
    if options.target is None and not options.place:
        return ChipResult()
    target = options.hardware
    if not (is_cheap(before.netlist) if options.place is None else options.place):
        costs = {name: _cost(side, target, sample) for name, side in (("before", before), ("after", after))}
        write_costs(costs, folder / "cost.csv")
        figures = [_figures(report) for report in costs.values()]
        return ChipResult(_chip(before, after, target, None, figures))
    return _placed(before, after, target, folder, sample)


def is_cheap(netlist: Netlist) -> bool:
    """Return whether placing takes a few seconds only."""
    return netlist.arrays + len(netlist.blocks) <= CHEAP


def _placed(before: ChipSide, after: ChipSide, target: Target, folder: Path, sample: Sample | None) -> ChipResult:
    sides = [placed(side.network, side.netlist, target, PlaceOptions(), sample) for side in (before, after)]
    report = PlaceReport(target.name, sides[1], sides[0], ())
    origins = {layer.name: layer.origin for layer in after.network.layers}
    write_placed(report, folder, origins)
    plans = {name: of_origins(item.plan, origins) for name, item in report.sets.items()}
    figures = [_figures(item.costs, item) for item in sides]
    return ChipResult(_chip(before, after, target, sides[1].plan.engine, figures), plans, sides[1].plan)


def _cost(side: ChipSide, target: Target, sample: Sample | None) -> CostReport:
    uses = uses_per_inference(side.network, side.netlist, sample)
    return cost(side.netlist, target, uses, network=side.network)


def _chip(
    before: ChipSide, after: ChipSide, target: Target, engine: str | None, figures: Iterable[ChipFigures]
) -> Chip:
    wires = ratio(after.netlist.wires, before.netlist.wires)
    first, second = figures
    return Chip(
        target=target.name,
        periphery=target.periphery is not None,
        engine=engine,
        wires_squared=wires**2,
        before=first,
        after=second,
    )


def _figures(costs: CostReport, item: Placed | None = None) -> ChipFigures:
    total = costs.total
    figures = ChipFigures(
        chip_um2=total.chip_um2,
        array_um2=total.array_um2,
        periphery_um2=total.periphery_um2,
        block_um2=total.block_um2,
        interconnect_um2=total.interconnect_um2,
        energy_pj=total.energy_pj,
        latency_ns=total.latency_ns,
    )
    if item is None:
        return figures
    return replace(
        figures,
        die_um2=item.plan.die_um2,
        utilisation=item.plan.utilisation,
        wire_um=item.wire_um,
        longest_um=item.longest_um,
        crowding=item.crowd.worst,
    )
