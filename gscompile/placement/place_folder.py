"""`gscompile place`: an output folder placed on a target, its figures and pictures, before and after
compression."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gscompile.crossbars.mapping import MapOptions, map_network, tile_weights
from gscompile.crossbars.netlist import Netlist
from gscompile.data.batch_axis import samples_in
from gscompile.data.inputs import input_specs
from gscompile.data.synthetic import synthetic_batch
from gscompile.files.staging import renewed
from gscompile.graph.network import Network
from gscompile.hardware.cost import CostReport, cost, write_costs
from gscompile.hardware.floorplan import Floorplan
from gscompile.hardware.target import Target
from gscompile.placement.congestion import Congestion, congestion
from gscompile.placement.floorplan_picture import colours, scale_of, write_png, write_svg
from gscompile.placement.nextpnr import ChannelWidth, channel_width, check_router
from gscompile.placement.place import PlaceOptions, net_boxes, place
from gscompile.reporting.report import ratio
from gscompile.simulation.simulate import Folder, SimulatedChip
from gscompile.simulation.tile_product import Effects, on_tiles

_PLACE_FILES = ("place.json", "cost.csv")
Sample = Mapping[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]  # sizes of inputs by name


@dataclass(frozen=True, eq=False)
class Placed:
    """A netlist on a die; lengths in um are half perimeters of bounding boxes (HPWL)."""

    netlist: Netlist
    plan: Floorplan
    crowd: Congestion
    costs: CostReport
    wire_um: float
    longest_um: float
    longest_net: str
    uses_known: bool
    channel: ChannelWidth | None = None

    def to_json(self) -> dict[str, Any]:
        """Figures in a stable order."""
        total = self.costs.total
        return {
            "die_um2": self.plan.die_um2,
            "utilisation": self.plan.utilisation,
            "wire_um": self.wire_um,
            "longest_um": self.longest_um,
            "longest_net": self.longest_net,
            "chip_um2": total.chip_um2,
            "engine": self.plan.engine,
            "uses_known": self.uses_known,
            "wires": self.netlist.wires,
            "congestion": self.crowd.to_json(),
            "channel": self.channel.to_json() if self.channel else None,
            "cost": total.to_json(),
        }


@dataclass(frozen=True, eq=False)
class PlaceReport:
    """`after` is the folder's netlist, `before` that of the original network when it was given."""

    target: str
    after: Placed
    before: Placed | None
    files: tuple[Path, ...]

    @property
    def sets(self) -> dict[str, Placed]:
        """Return the placements by name, in the order of pictures and tables."""
        return {"after": self.after} if self.before is None else {"before": self.before, "after": self.after}

    def to_json(self) -> dict[str, Any]:
        """Figures, and after over before: chip, die, wire length, channel^2 beside the paper's wires^2."""
        data: dict[str, Any] = {"target": self.target, "after": self.after.to_json()}
        if self.before is None:
            return data
        after, before = self.after, self.before
        ratios = {
            "chip": ratio(after.costs.total.chip_um2, before.costs.total.chip_um2),
            "die": ratio(after.plan.die_um2, before.plan.die_um2),
            "wire_length": ratio(after.wire_um, before.wire_um),
            "wires_squared": ratio(after.netlist.wires, before.netlist.wires) ** 2,
        }
        if after.channel and before.channel:
            ratios["channel_squared"] = (after.channel.routed / before.channel.routed) ** 2
        return data | {"before": before.to_json(), "ratios": ratios}


def place_folder(
    out: str | Path,
    target: Target,
    options: PlaceOptions | None = None,
    original: str | Path | None = None,
    folder: str | Path | None = None,
    sample: Sample | None = None,
    origins: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
    shapes: Shapes | None = None,
) -> PlaceReport:
    """Place the netlist of `out`, and that of the `original` model beside it; write figures and pictures.

    Files go to `folder`, by default `out`/place, in the place of an earlier placement: place.json, cost.csv, and a
    floorplan and a congestion map each as SVG and PNG. `sample` is one input of the network, for counting the uses of
    each matrix; without one `shapes` gives its open sizes. `origins` names the layer that a layer comes from, for its
    colour.
    """
    out, options = Path(out), options or PlaceOptions()
    if options.route_seconds:
        check_router()
    compiled = Folder.open(out)
    netlist = compiled.netlist
    after = placed(compiled.network, netlist, target, options, sample, say, shapes)
    before = None
    if original is not None:
        network = Network.load(original)
        mapped = map_network(network, MapOptions(netlist.crossbar, netlist.tiling, netlist.packed), netlist.name)
        before = placed(network, mapped, target, options, sample, say, shapes)
    report = PlaceReport(target.name, after, before, ())
    folder = Path(folder or out / "place")
    with renewed(folder, _PLACE_FILES[0]) as stage:
        files = write_placed(report, stage, origins or {})
    return replace(report, files=tuple(folder / path.name for path in files))


def placed(
    network: Network,
    netlist: Netlist,
    target: Target,
    options: PlaceOptions,
    sample: Sample | None = None,
    say: Callable[[str], None] = lambda _: None,
    shapes: Shapes | None = None,
) -> Placed:
    """Place one netlist and work out what it costs; `say` hears what takes long."""
    say(f"placing {netlist.arrays:,} arrays and {len(netlist.blocks):,} blocks")
    plan = place(netlist, target, options)
    names, boxes = net_boxes(netlist, plan)
    lengths = (boxes[:, 2:] - boxes[:, :2]).sum(axis=1) / 1000
    by_bus: dict[str, float] = {}
    for (bus, _), length in zip(names, lengths.tolist(), strict=True):
        by_bus[bus] = by_bus.get(bus, 0.0) + length
    uses = uses_per_inference(network, netlist, sample, shapes)
    longest = int(lengths.argmax()) if len(lengths) else -1
    crowd = congestion(netlist, plan, target)
    start, seconds = max(round(crowd.worst * crowd.tracks), 4), options.route_seconds
    return Placed(
        netlist=netlist,
        plan=plan,
        crowd=crowd,
        costs=cost(netlist, target, uses, by_bus, network),
        wire_um=float(lengths.sum()),
        longest_um=float(lengths.max(initial=0)),
        longest_net="{}[{}]".format(*names[longest]) if names else "",
        uses_known=uses is not None,
        channel=channel_width(netlist, plan, seconds, start, say=say) if seconds else None,
    )


def uses_per_inference(
    network: Network, netlist: Netlist, sample: Sample | None = None, shapes: Shapes | None = None
) -> dict[str, float] | None:
    """Return how often each matrix is used in one inference, counted by running `sample` and dividing by its samples.

    Without a sample one is made, its open sizes by `shapes` or found as `compile` without data finds them. None where
    the network cannot be run. Matrices of nodes that are not run on tiles count once.
    """
    matrices = on_tiles(netlist, dict(tile_weights(network, netlist)), Effects())
    try:
        specs = input_specs(network.model)
        inputs = sample or synthetic_batch(network.model, shapes)
        SimulatedChip(network, matrices).run(inputs)
        count = samples_in(specs, inputs)
    except Exception:  # onnxruntime's own: a network of open sizes needs a sample
        return None
    return {name: max(matrix.uses / count, 1) for name, matrix in matrices.items()}


def write_placed(report: PlaceReport, folder: Path, origins: Mapping[str, str]) -> tuple[Path, ...]:
    """The files of a placement; the pictures of both networks have one scale and one colour a layer."""
    sets = report.sets
    (folder / "place.json").write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    write_costs({name: item.costs for name, item in sets.items()}, folder / "cost.csv")
    files = [folder / name for name in _PLACE_FILES]
    plans = {name: of_origins(item.plan, origins) for name, item in sets.items()}
    scale, legend = scale_of(plans.values()), colours(*plans.values())
    for name, item in sets.items():
        for crowd, kind in ((None, "floorplan"), (item.crowd, "congestion")):
            paths = [folder / f"{kind}_{name}.{suffix}" for suffix in ("svg", "png")]
            write_svg(plans[name], paths[0], scale, crowd, legend)
            write_png(plans[name], paths[1], scale, crowd, legend)
            files += paths
    return tuple(files)


def of_origins(plan: Floorplan, origins: Mapping[str, str]) -> Floorplan:
    """The plan with its arrays under the layers of the original network."""
    return replace(plan, components=tuple(replace(c, layer=origins.get(c.layer, c.layer)) for c in plan.components))
