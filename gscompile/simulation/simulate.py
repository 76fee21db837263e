"""Run a compiled network from its written files: products by the tiles, digital blocks by onnxruntime.

`model.onnx` says what is computed in which order; every weight comes from `netlist.json` and `tiles.npz`.
Conv, ConvTranspose, Gemm and MatMul of the main graph are executed tile by tile; weights of other nodes
(recurrent ones, those inside loops) are put together from the tiles and their nodes run by onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from gscompile.crossbars.netlist import Netlist
from gscompile.crossbars.netlist_file import read_netlist
from gscompile.crossbars.tile_file import TileFile, check_tiles
from gscompile.crossbars.wiring_check import check_wiring
from gscompile.data.dataset import Batch, Dataset, load_data
from gscompile.data.inputs import input_specs
from gscompile.errors import UsageError
from gscompile.files.native import native
from gscompile.graph.network import Layer, Network
from gscompile.hardware.target import DEFAULT_TARGET, Device, Target, load_target
from gscompile.onnx_files.kinds import is_standard
from gscompile.simulation.segments import NodeFunction, Pieces
from gscompile.simulation.tile_ops import LEFT_OPS, TILE_OPS, Product, TileOp
from gscompile.simulation.tile_product import Effects, MatrixOnTiles, on_tiles
from gscompile.simulation.tile_recurrent import GATES, recurrent, runs_on_tiles

TOLERANCE = 1e-5  # of the output range
Inputs = Mapping[str, NDArray[Any]]


# -- one chip ----------------------------------------------------------------------------------------------


class Chip:
    """A compiled network on tiles, with one draw of its devices."""

    def __init__(self, network: Network, matrices: Mapping[str, MatrixOnTiles]) -> None:
        self.matrices = matrices
        network = network.copy()
        for layer in network.layers:
            network.set_matrices(layer.name, _rebuilt(layer, matrices))
        own = dict(_own_nodes(network, matrices))
        self._pieces = Pieces(network.to_proto(), own)
        self.on_tiles = len(own)

    def run(self, inputs: Inputs) -> list[Any]:
        """Outputs of the network, in its order."""
        return self._pieces.run(inputs)


def _rebuilt(layer: Layer, matrices: Mapping[str, MatrixOnTiles]) -> NDArray[Any]:
    """The layer's weights [parts, inputs, outputs] as the tiles hold them."""
    stacked = np.zeros(layer.matrices.shape, layer.matrices.dtype)
    for part, name in enumerate(layer.part_names):
        for tile in matrices[name].tiles:
            stacked[part][np.ix_(tile.inputs, tile.outputs)] = tile.weights
    return stacked


def _own_nodes(network: Network, matrices: Mapping[str, MatrixOnTiles]) -> Iterator[tuple[str, NodeFunction]]:
    """Nodes that are executed on tiles, by their first output that has a name."""
    weights: dict[ir.Node, dict[int, Layer]] = {}
    for layer in network.layers:
        for use in layer.uses:
            if is_standard(use.node) and use.node.graph is network.graph:
                weights.setdefault(use.node, {})[use.index] = layer
    for node, layers in weights.items():
        function = _function(node, layers, matrices)
        if function is not None:
            yield next(o.name for o in node.outputs if o.name), function


def _function(node: ir.Node, layers: Mapping[int, Layer], matrices: Mapping[str, MatrixOnTiles]) -> NodeFunction | None:
    attributes = {name: _attribute(a.value) for name, a in node.attributes.items()}
    products = {index: _product(layer, matrices) for index, layer in layers.items()}
    if node.op_type in GATES and len(layers) == 2:
        lengths = len(node.inputs) > 4 and node.inputs[4] is not None
        plain = runs_on_tiles(attributes, lengths)
        return partial(_recur, node.op_type, attributes, products[1], products[2]) if plain else None
    (index, layer), *_ = layers.items()
    op = (TILE_OPS if index else {**TILE_OPS, **LEFT_OPS}).get(node.op_type)
    return None if op is None else partial(_call, op, attributes, layer, products[index])


def _product(layer: Layer, matrices: Mapping[str, MatrixOnTiles]) -> Product:
    parts = [matrices[name] for name in layer.part_names]
    return lambda part, x: parts[part](x)


def _call(
    op: TileOp, attributes: Mapping[str, Any], layer: Layer, product: Product, inputs: list[Any]
) -> tuple[NDArray[Any], ...]:
    return (_typed(op(inputs, attributes, layer.layout, product), inputs),)


def _recur(
    op: str, attributes: Mapping[str, Any], w: Product, r: Product, inputs: list[Any]
) -> tuple[NDArray[Any], ...]:
    return tuple(_typed(output, inputs) for output in recurrent(op, inputs, attributes, w, r))


def _typed(result: NDArray[Any], inputs: list[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(result, dtype=next(i.dtype for i in inputs if i is not None))


def _attribute(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


# -- a folder ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Folder:
    """The three files of an output folder that hold the network."""

    model: Path
    network: Network
    netlist: Netlist
    weights: TileFile

    @classmethod
    def open(cls, out: str | Path) -> Folder:
        """Raises ModelError or VerificationError for what is missing, broken or does not fit together."""
        out = Path(out)
        netlist, weights = read_netlist(out / "netlist.json"), TileFile(out / "tiles.npz")
        check_tiles(netlist, weights)
        network = Network.load(out / "model.onnx")
        check_wiring(network, netlist)
        return cls(out / "model.onnx", network, netlist, weights)

    def chip(self, effects: Effects, seed: int = 0) -> Chip:
        """The network on tiles, its devices drawn with `seed`."""
        return Chip(self.network, on_tiles(self.netlist, self.weights, effects, seed))


# -- figures -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SimulationOptions:
    """`samples` are taken from the start of the data; each figure with device effects is over `seeds`
    chips."""

    samples: int = 1000
    batch: int = 100
    seeds: int = 3
    target: str | Target = DEFAULT_TARGET
    sweep: bool = True


@dataclass(frozen=True)
class Figure:
    """Accuracy over several chips, `mean` and standard deviation `spread`, with `parameter` at `value`."""

    parameter: str
    value: float
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> float:
        return float(np.std(self.accuracies))

    def to_json(self) -> dict[str, Any]:
        return {"parameter": self.parameter, "value": self.value, "mean": self.mean, "spread": self.spread}


@dataclass(frozen=True)
class SimulationReport:
    """`difference` is the largest difference of any output from model.onnx, in parts of that output's range.

    `reference` says what accuracy counts: agreement with the labels, or with the answers of model.onnx.
    `model` and `ideal` are the accuracies of onnxruntime and of ideal tiles; figures hold `target` and the
    sweeps.
    """

    samples: int
    difference: float
    nodes_on_tiles: int
    nodes_rebuilt: int
    uses: Mapping[str, float]
    reference: str
    model: float | None
    ideal: float | None
    target: str
    figures: tuple[Figure, ...] = field(default=())

    @property
    def agrees(self) -> bool:
        return self.difference <= TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """Plain data in a stable order."""
        data = {k: v for k, v in self.__dict__.items() if k not in ("figures", "uses")}
        return data | {"uses": dict(self.uses), "figures": [figure.to_json() for figure in self.figures]}


def simulate_folder(
    out: str | Path,
    data: Dataset,
    options: SimulationOptions | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> SimulationReport:
    """Simulate the compiled network in `out` on `data`: ideal tiles first, then the target's devices, then
    sweeps.

    `data` must fit the network (`load_data(source, input_specs(...))`). Raises UsageError without samples.
    """
    options = options or SimulationOptions()
    target = load_target(options.target) if isinstance(options.target, str) else options.target
    folder = Folder.open(out)
    size = data.fixed_batch or options.batch
    batches = list(data.take(max(options.samples, size)).batches(size))
    if not batches:
        raise UsageError("simulate: no samples; give data of at least one batch")
    expected, labels, reference = _expected(folder.model, batches)
    chip = folder.chip(Effects())
    results = [chip.run(batch.inputs) for batch in batches]
    count = sum(_rows(answers[0]) for answers in expected)
    measured = _Measure(folder, batches, labels)
    report = SimulationReport(
        samples=count,
        difference=_difference(expected, results),
        nodes_on_tiles=chip.on_tiles,
        nodes_rebuilt=len({use.node for layer in folder.network.layers for use in layer.uses}) - chip.on_tiles,
        uses={name: matrix.uses / max(count, 1) for name, matrix in chip.matrices.items()},
        reference=reference,
        model=_accuracy(expected, labels),
        ideal=_accuracy(results, labels),
        target=target.name,
    )
    if report.ideal is None:
        return report
    return replace(report, figures=tuple(_figures(measured, target, options, progress)))


def data_for(out: str | Path, source: Any) -> Dataset:
    """The samples of `source` (whatever `load_data` takes), checked against the network in `out`."""
    return load_data(source, input_specs(Network.load(Path(out) / "model.onnx").model))


def _rows(answer: Any) -> int:
    return len(answer) if np.ndim(answer) else 1


def _expected(model: Path, batches: list[Batch]) -> tuple[list[list[Any]], list[Any], str]:
    """Outputs of model.onnx, and what answers are compared with: the labels, or else its own answers."""
    session = ort.InferenceSession(native(model), providers=["CPUExecutionProvider"])
    expected = [session.run(None, dict(batch.inputs)) for batch in batches]
    if all(batch.labels is not None for batch in batches):
        return expected, [batch.labels for batch in batches], "labels"
    return expected, [_classes(answers[0]) for answers in expected], "model.onnx"


def _classes(answer: Any) -> NDArray[np.int64] | None:
    """The class of each sample where an output is scores [n, classes]."""
    if not isinstance(answer, np.ndarray) or answer.ndim < 2 or answer.dtype.kind != "f":
        return None
    return np.asarray(answer.argmax(axis=-1 if answer.ndim == 2 else 1))


def _accuracy(results: list[list[Any]], labels: list[Any]) -> float | None:
    """Part of the answers that are right, in percent; None where the first output is no scores."""
    right = total = 0
    for answers, wanted in zip(results, labels, strict=True):
        classes = _classes(answers[0])
        if classes is None or wanted is None or classes.shape != np.shape(wanted):
            return None
        right, total = right + int((classes == wanted).sum()), total + classes.size
    return 100 * right / total if total else None


def _difference(expected: list[list[Any]], results: list[list[Any]]) -> float:
    """The largest difference of an output, in parts of the range it has over all samples."""
    worst = 0.0
    for position in range(len(expected[0])):
        pairs = [(e[position], r[position]) for e, r in zip(expected, results, strict=True)]
        arrays = [(np.asarray(e, np.float64).ravel(), np.asarray(r, np.float64).ravel()) for e, r in pairs]
        wanted, found = (np.concatenate(side) for side in zip(*arrays, strict=True))
        span = float(np.ptp(wanted)) if wanted.size else 0.0
        error = float(np.abs(wanted - found).max(initial=0))
        worst = max(worst, error / (span or float(np.abs(wanted).max(initial=0)) or 1.0))
    return worst


# -- device effects ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Measure:
    folder: Folder
    batches: list[Batch]
    labels: list[Any]

    def __call__(self, parameter: str, value: float, effects: Effects, seeds: int) -> Figure:
        """Accuracy of `seeds` chips; one is enough where nothing is drawn."""
        drawn = range(seeds if _is_random(effects) else 1)
        return Figure(parameter, value, tuple(self._accuracy(effects, seed) for seed in drawn))

    def _accuracy(self, effects: Effects, seed: int) -> float:
        chip = self.folder.chip(effects, seed)
        accuracy = _accuracy([chip.run(batch.inputs) for batch in self.batches], self.labels)
        assert accuracy is not None
        return accuracy


def _is_random(effects: Effects) -> bool:
    device = effects.device
    return device is not None and bool(
        device.spread_fraction or device.read_noise_fraction or device.stuck_on_fraction or device.stuck_off_fraction
    )


SWEEPS: dict[str, tuple[float, ...]] = {
    "levels": (2, 4, 8, 16, 32, 64),
    "spread_fraction": (0.02, 0.05, 0.1, 0.2, 0.4),
    "read_noise_fraction": (0.01, 0.02, 0.05, 0.1, 0.2),
    "stuck_on_fraction": (0.001, 0.002, 0.005, 0.01, 0.02),
    "stuck_off_fraction": (0.001, 0.01, 0.02, 0.05, 0.1),
    "adc_bits": (3, 4, 5, 6, 8),
    "segment_ohm": (2, 8, 32, 128, 512),
}


def _figures(
    measure: _Measure, target: Target, options: SimulationOptions, progress: Callable[[str], None]
) -> Iterator[Figure]:
    progress(f"target {target.name}")
    yield measure("target", 0, Effects.of(target), options.seeds)
    ideal = replace(
        target.device,
        levels=0,
        spread_fraction=0.0,
        read_noise_fraction=0.0,
        stuck_on_fraction=0.0,
        stuck_off_fraction=0.0,
    )
    for parameter, values in SWEEPS.items() if options.sweep else ():
        for value in values:
            progress(f"{parameter} {value:g}")
            yield measure(parameter, value, alone(parameter, value, ideal), options.seeds)


def alone(parameter: str, value: float, ideal: Device) -> Effects:
    """One effect and no other."""
    if parameter == "adc_bits":
        return Effects(adc_bits=int(value))
    if parameter == "segment_ohm":
        return Effects(ideal, segment_ohm=value)
    change: dict[str, Any] = {parameter: int(value) if parameter == "levels" else value}
    return Effects(replace(ideal, **change))
