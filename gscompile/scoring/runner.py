"""Networks run by onnxruntime: outputs, score and max_output_error of a model, on the bytes that are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from gscompile.data.dataset import Batch, Dataset
from gscompile.errors import one_line
from gscompile.files.native import native
from gscompile.graph.network import Network
from gscompile.onnx_files.loading import (
    MAPPED,
    is_mapped,
    large_tensors,
    on_files,
    pointing_proto,
    proto_of,
    read_proto,
)
from gscompile.onnx_files.mapped_tensor import MappedTensor
from gscompile.onnx_files.protobuf_stream import MIN_STREAMED_BYTES, without_data
from gscompile.scoring.explained_variance import differences
from gscompile.scoring.metrics import Metric, is_floating

RunnableModel = Path | bytes | Network
RunBatch = Callable[[dict[str, NDArray[Any]]], dict[str, Any]]
MIN_LEAN_BYTES = 128 << 20  # bytes of a file whose weights onnxruntime leaves where they are, and does not arrange anew


class Runner:
    """An onnxruntime session of a file, of serialised bytes or of a network. Raises RuntimeError in its words.

    Large weights are not copied where that can be: those of a large file, or of a network on a shelf, are mapped, and
    what such a network has in memory is fed.
    """

    def __init__(self, model: RunnableModel, optimise: bool = True, threads: int = 0, integers: bool = True) -> None:
        """`integers` is False where optimisation shall not turn products between quantisers into those of integers."""
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or _threads()
        if not integers:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        level = ort.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
        try:
            self._source = _source(model, options)
            self._session = ort.InferenceSession(self._source.model, options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # onnxruntime raises a class per error code
            raise RuntimeError(one_line(problem)) from problem
        self._settings = f"optimise={optimise} integers={integers}"
        self._names = [output.name for output in self._session.get_outputs()]

    @cached_property
    def digest(self) -> bytes | None:
        """Return a digest that runners of equal bytes have in common; None of a large network, which is not read."""
        content = self._source.model
        if isinstance(content, str):
            path = Path(content)
            if is_large(path) or _data_beside(path).is_file():
                return None
            content = path.read_bytes()
        if self._source.fed or self._source.given:
            return None
        return sha1(self._settings.encode() + content).digest()

    def __call__(self, inputs: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Outputs by name."""
        try:
            outputs = self._session.run(None, {**inputs, **self._source.fed})
            return {name: _plain(output) for name, output in zip(self._names, outputs, strict=True)}
        except Exception as problem:
            raise RuntimeError(one_line(problem)) from problem


# onnxruntime's words for an op of which it knows nothing, and for one that it does not compute in this type
_UNKNOWN_OP_MESSAGES = ("is not a registered function/op", "Could not find an implementation")


def is_unknown_op(problem: RuntimeError) -> bool:
    """Return whether onnxruntime refused a network because of an op that it does not have."""
    return any(words in str(problem) for words in _UNKNOWN_OP_MESSAGES)


def _plain(output: Any) -> Any:
    """An output as it came; of maps, one for each sample, the numbers by ascending label. [samples, labels]"""
    maps = [output] if isinstance(output, dict) else output
    if not (isinstance(maps, list) and maps and isinstance(maps[0], dict)):
        return output
    return np.array([[each[label] for label in sorted(each)] for each in maps])


def _threads() -> int:
    """As many as other libraries are told to take, which onnxruntime does not look up; 0, all cores, without a word."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() else 0


_FOLDER = "session.model_external_initializers_file_folder_path"
_NUMBERS = "fiub"  # kinds of arrays that onnxruntime takes from numpy


@dataclass(frozen=True, eq=False)
class _BatchSource:
    """A file's name or a serialised model, weights to be fed at every run, and those that the session keeps using."""

    model: str | bytes
    fed: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    given: Sequence[ort.OrtValue] = ()


def _source(model: RunnableModel, options: ort.SessionOptions) -> _BatchSource:
    if isinstance(model, Path):
        return _file_source(model, options) if is_large(model) else _BatchSource(native(model))
    if isinstance(model, bytes):
        return _BatchSource(model)
    if model.shelf is None:
        return _BatchSource(bytes(proto_of(model.model).SerializeToString()))
    return _shelf_source(model, options)


def _shelf_source(network: Network, options: ort.SessionOptions) -> _BatchSource:
    _leave_weights(options)
    files, large = on_files(network.model), large_tensors(network.model)
    fed = {name: t.numpy() for name, t in large.items() if not isinstance(t, ir.ExternalTensor)}
    for folder in {str(tensor.base_dir) for tensor in files.values()}:  # one, or none
        options.add_session_config_entry(_FOLDER, native(Path(folder)))
    pointing = pointing_proto(network.model, files | {name: large[name] for name in fed})
    return _BatchSource(bytes(without_data(pointing, fed).SerializeToString()), fed, _given(files, options))


def _file_source(path: Path, options: ort.SessionOptions) -> _BatchSource:
    """The graph of a large file; its weights are mapped from where they are."""
    _leave_weights(options)
    if path.stat().st_size >= MAPPED and not is_mapped(path):
        return _BatchSource(native(path))
    folder, proto = path.resolve().parent, read_proto(path)
    options.add_session_config_entry(_FOLDER, native(folder))
    outside = {t.name: ir.from_proto(t) for t in proto.graph.initializer if t.data_location == t.EXTERNAL}
    files = {name: MappedTensor.of(tensor, folder) for name, tensor in outside.items()}
    return _BatchSource(bytes(proto.SerializeToString()), given=_given(files, options))


def _given(files: Mapping[str, ir.ExternalTensor], options: ort.SessionOptions) -> list[ort.OrtValue]:
    """Weights as this process maps them: onnxruntime would map them itself, and no page of that could be let go of."""
    arrays = {name: tensor.numpy() for name, tensor in files.items() if tensor.nbytes >= MIN_STREAMED_BYTES}
    given = {n: ort.OrtValue.ortvalue_from_numpy(a) for n, a in arrays.items() if a.dtype.kind in _NUMBERS}
    for name, value in given.items():
        options.add_initializer(name, value)
    return [*given.values()]


def _leave_weights(options: ort.SessionOptions) -> None:
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it is run once or twice
    options.enable_cpu_mem_arena = False


def is_large(path: Path) -> bool:
    """Whether a model's file, with the data beside it, is one that onnxruntime shall not copy."""
    beside = _data_beside(path)
    return path.stat().st_size + (beside.stat().st_size if beside.is_file() else 0) >= MIN_LEAN_BYTES


def _data_beside(path: Path) -> Path:
    """Return where the weights of a model are that its own file cannot hold."""
    return path.with_name(path.name + ".data")


def score(runner: RunBatch, original: RunBatch, data: Dataset, metric: Metric, batch_size: int) -> float:
    """Percent by the metric, over all of `data`."""

    def results() -> Iterator[tuple[dict[str, Any], dict[str, Any], NDArray[Any] | None]]:
        for batch in data.batches(batch_size):
            theirs = original(batch.inputs)
            yield theirs if runner is original else runner(batch.inputs), theirs, batch.labels

    return metric.score(results())


def max_output_error(runner: RunBatch, original: RunBatch, batches: Iterable[Batch]) -> float:
    """The largest output difference relative to the output's range over the batches; the worst output counts."""
    worst: dict[str, float] = {}
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for batch in batches:
        ours, theirs = runner(batch.inputs), original(batch.inputs)
        for name, array in theirs.items():
            if is_floating(array) and array.size:
                finite = array[np.isfinite(array)]
                worst[name] = max(worst.get(name, 0.0), float(differences(ours[name], array).max(initial=0.0)))
                low[name] = min(low.get(name, np.inf), float(finite.min(initial=np.inf)))
                high[name] = max(high.get(name, -np.inf), float(finite.max(initial=-np.inf)))
    return max((worst[name] / _range(low[name], high[name]) if worst[name] else 0.0 for name in worst), default=0.0)


def rounding_sensitivity(runner: Runner, batches: Iterable[Batch], change: float = 1e-6) -> float:
    """The max_output_error of a network whose inputs all change by that share of themselves, up or down at random.

    What rounding does to its outputs is of this size, wherever in the network it happens.
    """
    draw = np.random.default_rng(0)

    def changed(array: NDArray[Any]) -> NDArray[Any]:
        if array.dtype.kind != "f":
            return array
        return np.asarray(array * (1 + change * draw.choice([-1.0, 1.0], array.shape)), array.dtype)

    worst = 0.0
    for batch in batches:
        moved = runner({name: changed(array) for name, array in batch.inputs.items()})
        worst = max(worst, max_output_error(partial(_as_told, moved), runner, [batch]))
    return worst


def ulp_difference(runner: RunBatch, original: RunBatch, batches: Iterable[Batch]) -> float:
    """The largest output difference in units of the last place of that output's largest number, of one at least.

    A saturated sigmoid has a range of a few of these, at either end: onnxruntime computes it to the last place of one.
    """
    worst = 0.0
    for batch in batches:
        ours, theirs = runner(batch.inputs), original(batch.inputs)
        for name, array in theirs.items():
            if is_floating(array) and array.size and array.dtype.kind == "f":
                unit = float(np.spacing(np.abs(array[np.isfinite(array)]).max(initial=1)))
                worst = max(worst, float(differences(ours[name], array).max(initial=0.0)) / unit)
    return worst


def _as_told(outputs: dict[str, Any], _: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return outputs


def _range(low: float, high: float) -> float:
    """high - low, or the magnitude where an output is constant; next to nothing where no value is finite."""
    return (high - low or max(abs(high), 1e-30)) if low <= high else 1e-30
