"""Run a compiled network from its written files: products by the tiles, digital blocks by onnxruntime.

`model.onnx` has the order of the operations; every weight comes from `netlist.json` and `tiles.npz`. Conv,
ConvTranspose, Gemm and MatMul of the main graph are executed tile by tile. Weights of other nodes (recurrent nodes,
nodes inside loops) are rebuilt from the tiles, and onnxruntime runs the nodes.

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

from gscompile.command_options import DEFAULT_TARGET, SimulateOptions
from gscompile.crossbars.netlist import Netlist
from gscompile.crossbars.netlist_file import read_netlist
from gscompile.crossbars.tile_file import TileFile, check_tiles
from gscompile.crossbars.wiring_check import check_wiring
from gscompile.data.batch_axis import samples_in
from gscompile.data.dataset import Batch, Dataset, load_data
from gscompile.data.inputs import input_specs
from gscompile.errors import ModelError, UsageError
from gscompile.files.native import native
from gscompile.graph.network import Layer, Network
from gscompile.hardware.target import Device, Target, load_target
from gscompile.onnx_files.op_names import is_standard
from gscompile.simulation.agreement import Agreement, Tolerance, agreement, tolerance_of
from gscompile.simulation.segments import OwnNode, Pieces
from gscompile.simulation.tile_ops import LEFT_OPS, TILE_OPS, Product, TileOp
from gscompile.simulation.tile_product import Effects, MatrixOnTiles, on_tiles
from gscompile.simulation.tile_recurrent import GATES, recurrent, runs_on_tiles

NamedInputs = Mapping[str, NDArray[Any]]
_BATCH_ELEMENTS = 2**19  # input elements of one batch; a convolution makes about 100 times as many patch elements


# -- one chip ----------------------------------------------------------------------------------------------


class SimulatedChip:
    """A compiled network on tiles, with one draw of its devices."""

    def __init__(self, network: Network, matrices: Mapping[str, MatrixOnTiles]) -> None:
        self.matrices = matrices
        network = network.copy()
        for layer in network.layers:
            network.set_matrices(layer.name, _rebuilt(layer, matrices))
        own = dict(_own_nodes(network, matrices))
        self._pieces = Pieces(network.to_proto(), own)
        self.on_tiles = len(own)

    def run(self, inputs: NamedInputs) -> list[Any]:
        """Return the outputs of the network, in its order."""
        return self._pieces.run(inputs)


def _rebuilt(layer: Layer, matrices: Mapping[str, MatrixOnTiles]) -> NDArray[Any]:
    """Return the weights of the layer [parts, inputs, outputs], as the tiles hold them."""
    stacked = np.zeros(layer.matrices.shape, layer.matrices.dtype)
    for part, name in enumerate(layer.part_names):
        for tile in matrices[name].tiles:
            stacked[part][np.ix_(tile.inputs, tile.outputs)] = tile.weights
    return stacked


def _own_nodes(network: Network, matrices: Mapping[str, MatrixOnTiles]) -> Iterator[tuple[str, OwnNode]]:
    """Yield the nodes that are executed on tiles, by their first output that has a name."""
    weights: dict[ir.Node, dict[int, Layer]] = {}
    for layer in network.layers:
        for use in layer.uses:
            if is_standard(use.node) and use.node.graph is network.graph:
                weights.setdefault(use.node, {})[use.index] = layer
    for node, layers in weights.items():
        own = _own(node, layers, matrices)
        if own is not None:
            yield next(o.name for o in node.outputs if o.name), own


def _own(node: ir.Node, layers: Mapping[int, Layer], matrices: Mapping[str, MatrixOnTiles]) -> OwnNode | None:
    attributes = {name: _attribute(a.value) for name, a in node.attributes.items()}
    products = {index: _product(layer, matrices) for index, layer in layers.items()}
    if node.op_type in GATES and len(layers) == 2:
        lengths = len(node.inputs) > 4 and node.inputs[4] is not None
        plain = runs_on_tiles(attributes, lengths)
        recur = partial(_recur, node.op_type, attributes, products[1], products[2])
        return OwnNode(recur, frozenset(layers)) if plain else None
    (index, layer), *_ = layers.items()
    op = (TILE_OPS if index else {**TILE_OPS, **LEFT_OPS}).get(node.op_type)
    if op is None:
        return None
    return OwnNode(partial(_call, op, attributes, layer, products[index]), frozenset([index]))


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
    return np.asarray(result, dtype=next(i.dtype for i in inputs if i is not None), order="C")


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
        """Open an output folder. Raises ModelError or VerificationError for missing, broken or inconsistent files."""
        out = Path(out)
        netlist, weights = read_netlist(out / "netlist.json"), TileFile(out / "tiles.npz")
        network = Network.load(out / "model.onnx")
        check_tiles(netlist, weights, {layer.name: layer.matrices.dtype for layer in network.layers})
        check_wiring(network, netlist)
        return cls(out / "model.onnx", network, netlist, weights)

    def chip(self, effects: Effects, seed: int = 0) -> SimulatedChip:
        """Return the network on tiles, with its devices drawn with `seed`."""
        return SimulatedChip(self.network, on_tiles(self.netlist, self.weights, effects, seed))


# -- figures -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SimulationOptions:
    """The samples from the start of the data; each figure with device effects is the mean over `seeds` chips."""

    samples: int = SimulateOptions.samples
    batch: int = 100
    seeds: int = SimulateOptions.seeds
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
        """Return the mean accuracy over the chips, in percent."""
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> float:
        """Return the standard deviation of the accuracy over the chips, in percentage points."""
        return float(np.std(self.accuracies))

    def to_json(self) -> dict[str, Any]:
        """Return plain data in a stable order."""
        return {"parameter": self.parameter, "value": self.value, "mean": self.mean, "spread": self.spread}


@dataclass(frozen=True)
class SimulationReport:
    """`difference` is the largest difference of any floating output from model.onnx, in parts of that output's range;
    `answers_differ` is the share of the elements of all other outputs (integers, booleans, strings) that differ.

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
    answers_differ: float = 0.0
    tolerance: float = 1e-4
    answers_tolerance: float = 0.0

    @property
    def agrees(self) -> bool:
        """Return whether the tiles compute what model.onnx does, within the tolerance."""
        found = Agreement(self.difference, self.answers_differ)
        return found.within(Tolerance(self.tolerance, self.answers_tolerance))

    def to_json(self) -> dict[str, Any]:
        """Return plain data in a stable order."""
        data = {k: v for k, v in self.__dict__.items() if k not in ("figures", "uses")}
        return data | {"uses": dict(self.uses), "figures": [figure.to_json() for figure in self.figures]}


def simulate_folder(
    out: str | Path,
    data: Dataset,
    options: SimulationOptions | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> SimulationReport:
    """Simulate the compiled network in `out` on `data`: ideal tiles, then the target's devices, then sweeps.

    `data` must fit the network (`load_data(source, input_specs(...))`). Raises UsageError without samples.
    """
    options = options or SimulationOptions()
    target = load_target(options.target) if isinstance(options.target, str) else options.target
    folder = Folder.open(out)
    size = data.fixed_batch or _batch_size(data, options.batch)
    batches = list(data.take(max(options.samples, size)).batches(size))
    if not batches:
        raise UsageError("simulate: no samples; give data of at least one batch")
    expected = _run_by_onnxruntime(folder.model, batches)
    chip = folder.chip(Effects())
    results = [chip.run(batch.inputs) for batch in batches]
    found, tolerance = agreement(expected, results), tolerance_of(folder.network)
    if not found.within(tolerance):
        tolerance = _widened(tolerance, folder.model, batches, expected)
    specs = input_specs(folder.network.model)
    count = sum(samples_in(specs, batch.inputs) for batch in batches)
    scored = _ChipScores.of(expected, [batch.labels for batch in batches])
    report = SimulationReport(
        samples=count,
        difference=found.difference,
        nodes_on_tiles=chip.on_tiles,
        nodes_rebuilt=len({use.node for layer in folder.network.layers for use in layer.uses}) - chip.on_tiles,
        uses={name: matrix.uses / max(count, 1) for name, matrix in chip.matrices.items()},
        reference=scored.reference,
        model=scored.accuracy(expected),
        ideal=scored.accuracy(results),
        target=target.name,
        answers_differ=found.answers,
        tolerance=tolerance.difference,
        answers_tolerance=tolerance.answers,
    )
    if report.ideal is None:
        return report
    return replace(report, figures=tuple(_figures(_Measure(folder, batches, scored), target, options, progress)))


def data_for(out: str | Path, source: Any) -> Dataset:
    """Return the samples of `source` (anything that `load_data` takes), checked against the network in `out`."""
    return load_data(source, input_specs(Network.load(Path(out) / "model.onnx").model))


def _batch_size(data: Dataset, most: int) -> int:
    """Return how many samples run at once: `most`, or fewer where the inputs are large."""
    first = next(data.take(1).batches(1), None)
    elements = sum(np.size(array) for array in first.inputs.values()) if first else 1
    return max(min(most, _BATCH_ELEMENTS // max(elements, 1)), 1)


def _run_by_onnxruntime(model: Path, batches: list[Batch], optimise: bool = False) -> list[list[Any]]:
    """Return the outputs of model.onnx for each batch. Raises ModelError where onnxruntime does not run it."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(native(model), options, providers=["CPUExecutionProvider"])
        return [session.run(None, dict(batch.inputs)) for batch in batches]
    except Exception as error:  # onnxruntime's own classes have no common base
        line = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ModelError(f"{model}: onnxruntime cannot run it ({line})") from error


def _widened(tolerance: Tolerance, model: Path, batches: list[Batch], expected: list[list[Any]]) -> Tolerance:
    """Return the tolerance, or the gap between onnxruntime's own runs, optimised and not, where that is larger."""
    own = agreement(expected, _run_by_onnxruntime(model, batches, optimise=True))
    gap = own.difference if np.isfinite(own.difference) else 0.0
    return Tolerance(max(tolerance.difference, gap), max(tolerance.answers, own.answers))


@dataclass(frozen=True, eq=False)
class _ChipScores:
    """The reference of answers: output number `position` is compared with `wanted`, None where no output is scores.

    `reference` is "labels" or "model.onnx".
    """

    position: int
    wanted: list[Any] | None
    reference: str

    @classmethod
    def of(cls, expected: list[list[Any]], labels: list[Any]) -> _ChipScores:
        """Take the first output of class scores that fits the labels; without labels, model.onnx's own answers."""
        scores = [p for p in range(len(expected[0])) if all(_classes(answers[p]) is not None for answers in expected)]
        if all(label is not None for label in labels):
            for position in scores:
                said = [_classes(answers[position]) for answers in expected]
                if all(s is not None and s.shape == np.shape(w) for s, w in zip(said, labels, strict=True)):
                    return cls(position, labels, "labels")
        if not scores:
            return cls(0, None, "model.onnx")
        return cls(scores[0], [_classes(answers[scores[0]]) for answers in expected], "model.onnx")

    def accuracy(self, results: list[list[Any]]) -> float | None:
        """Return the share of the answers that are right, in percent; None where no output is scores."""
        if self.wanted is None:
            return None
        right = total = 0
        for answers, wanted in zip(results, self.wanted, strict=True):
            classes = _classes(answers[self.position])
            right += 0 if classes is None or classes.shape != np.shape(wanted) else int((classes == wanted).sum())
            total += np.size(wanted)
        return 100 * right / total if total else None


def _classes(answer: Any) -> NDArray[np.int64] | None:
    """Return the class of each sample if an output is scores [n, classes]."""
    if not isinstance(answer, np.ndarray) or answer.ndim < 2 or answer.dtype.kind != "f" or not answer.size:
        return None
    return np.asarray(answer.argmax(axis=-1 if answer.ndim == 2 else 1))


# -- device effects ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Measure:
    folder: Folder
    batches: list[Batch]
    scored: _ChipScores

    def __call__(self, parameter: str, value: float, effects: Effects, seeds: int) -> Figure:
        """Accuracy of `seeds` chips; one is enough where nothing is drawn."""
        drawn = range(seeds if _is_random(effects) else 1)
        return Figure(parameter, value, tuple(self._accuracy(effects, seed) for seed in drawn))

    def _accuracy(self, effects: Effects, seed: int) -> float:
        chip = self.folder.chip(effects, seed)
        accuracy = self.scored.accuracy([chip.run(batch.inputs) for batch in self.batches])
        assert accuracy is not None
        return accuracy


def _is_random(effects: Effects) -> bool:
    device = effects.device
    return device is not None and bool(
        device.spread_fraction or device.read_noise_fraction or device.stuck_on_fraction or device.stuck_off_fraction
    )


SWEEP_VALUES: dict[str, tuple[float, ...]] = {
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
    for parameter, values in SWEEP_VALUES.items() if options.sweep else ():
        for value in values:
            progress(f"{parameter} {value:g}")
            yield measure(parameter, value, alone(parameter, value, ideal), options.seeds)


def alone(parameter: str, value: float, ideal: Device) -> Effects:
    """Return one effect without the others."""
    if parameter == "adc_bits":
        return Effects(adc_bits=int(value))
    if parameter == "segment_ohm":
        return Effects(ideal, segment_ohm=value)
    change: dict[str, Any] = {parameter: int(value) if parameter == "levels" else value}
    return Effects(replace(ideal, **change))
