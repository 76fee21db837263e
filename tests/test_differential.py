"""Random graphs, odd ones among them, compiled and compared with the original in onnxruntime: values, shapes, types.

`pytest -m differential` runs the cases 0 to 299. GSCOMPILE_CASES sets how many, and GSCOMPILE_FIRST_CASE the first.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import gscompile
from gscompile.errors import GscompileError
from gscompile.graph.network import Network
from gscompile.graph.weight_ops import WEIGHT_OPS
from gscompile.judging import crash_probe, error_budget, sampling
from gscompile.scoring.runner import Runner
from tests.odd_graphs import odd_graph
from tests.test_random_graphs import feeds

CASES = int(os.environ.get("GSCOMPILE_CASES", "300"))
FIRST = int(os.environ.get("GSCOMPILE_FIRST_CASE", "0"))
ROUNDING = 1e-4  # of an output's largest value: float32 sums in another order
HALF = 5e-3  # the same where a value has 11 bits
MANY = 32  # samples, where only most values are compared
FRESH = 1.5  # times the bound, on draws that did not choose the result
STEPS = {  # a last place may become a whole level in these, which most values are not beside
    "Ceil", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "Floor", "Greater", "Hardmax", "Less",
    "QuantizeLinear", "Round", "Sign", "ThresholdedRelu", "TopK",
}  # fmt: skip
WHOLE = {onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.UINT8}  # a Cast to these has steps


def is_run(model: onnx.ModelProto) -> bool:
    """Whether onnxruntime runs the model on three samples."""
    try:
        Runner(model.SerializeToString(), False, 1)(feeds(model, 3))
    except RuntimeError:
        return False
    return True


def has_steps(model: onnx.ModelProto) -> bool:
    """Return whether the network has functions with steps, for which rounding bounds no difference of outputs."""
    return any(node.op_type in STEPS or _cast_to(node) in WHOLE for node in model.graph.node)


def rounding(model: onnx.ModelProto) -> float:
    """Return the error of outputs that another order of sums may bring."""
    return HALF if any(_cast_to(node) == onnx.TensorProto.FLOAT16 for node in model.graph.node) else ROUNDING


def _cast_to(node: onnx.NodeProto) -> int:
    """Return the type that a Cast casts to, 0 for another node."""
    return next((a.i for a in node.attribute if node.op_type == "Cast" and a.name == "to"), 0)


def largest_error(model: onnx.ModelProto, path: Path) -> float:
    """Return the error of outputs over batches of many samples and of one; shapes and types must be the same.

    It is the largest, of the range over many samples. Where the network has functions with steps, a value beside a step
    may fall to the other side: there it is the error that three of four values stay within.
    """
    before, after = Runner(model.SerializeToString(), False, 1), Runner(path, False, 1)
    worst, seen = 0.0, [before(feeds(model, batch)) for batch in (MANY, 16, 5, 3, 2, 1)]
    for batch in (MANY, 1):
        wanted, got = before(feeds(model, batch)), after(feeds(model, batch))
        for name, array in wanted.items():
            assert (got[name].shape, got[name].dtype) == (array.shape, array.dtype), name
            size = size_of(np.concatenate([each[name].astype(np.float64).ravel() for each in seen]))
            errors = value_errors(array.astype(np.float64), got[name].astype(np.float64)) / size
            if not has_steps(model):
                worst = max(worst, float(errors.max(initial=0)))
            elif errors.size and batch == MANY:
                worst = max(worst, float(np.quantile(errors, 0.75, method="lower")))
    return worst


def size_of(values: np.ndarray) -> float:
    """Return the range of the finite values, or the largest if that is larger."""
    finite = values[np.isfinite(values)]
    return max(float(np.ptp(finite)), float(np.abs(finite).max())) or 1.0 if finite.size else 1.0


def value_errors(wanted: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Return the difference of each value, infinite where only one of the two is finite. [values]"""
    finite = np.isfinite(wanted)
    gap = np.abs(np.where(finite, got, 0) - np.where(finite, wanted, 0))
    return np.asarray(np.where(np.isfinite(got) == finite, gap, np.inf)).ravel()


def assert_kept(model: onnx.ModelProto, folder: Path, bound: float) -> None:
    """Compile at the bound: outputs within it, nothing larger, the input not touched."""
    before = model.SerializeToString()
    gscompile.compile(model, "4x4", out=folder, max_output_error=bound)
    assert model.SerializeToString() == before
    report = json.loads((folder / "report.json").read_text())
    for figure in ("cells", "wires"):
        assert report["after"][figure] <= report["before"][figure], figure
    assert largest_error(model, folder / "model.onnx") <= max(FRESH * bound, rounding(model))


def check_case(number: int) -> None:
    """Compile the random graph of that number at error 0 and at 0.05; what onnxruntime does not run is left out."""
    odd = odd_graph(number)
    for bound in (0.0, 0.05) if is_run(odd.model) else ():
        with tempfile.TemporaryDirectory() as folder:
            try:
                assert_kept(odd.model, Path(folder, "out"), bound)
            except GscompileError as refused:
                if not odd.misdeclared or refused.exit_code != 2:
                    raise


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with quicker():
        yield


@contextmanager
def quicker() -> Iterator[None]:
    """Leave out what costs time and depends on no case: new processes, and the samples of a network chosen twice.

    Crashes of onnxruntime are probed for in copies of one process that has imported it.
    """
    started = get_context("forkserver")
    started.set_forkserver_preload([crash_probe.__name__])

    def exit_code(model: bytes, shapes: list[str]) -> int:
        process = started.Process(target=crash_probe.probe, args=(model, shapes))
        process.start()
        process.join()
        return process.exitcode or 0

    choose, chosen = sampling.choose_samples, dict[bytes, Any]()

    def choose_once(original: Network, *others: Any) -> Any:
        key = original.to_proto().SerializeToString()
        if key not in chosen:
            chosen.clear()
            chosen[key] = choose(original, *others)
        return chosen[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crash_probe, "_exit_code", exit_code)
        patch.setattr(error_budget, "choose_samples", choose_once)
        yield


@pytest.mark.differential
@pytest.mark.parametrize("number", range(FIRST, FIRST + CASES))
def test_a_random_graph_computes_what_it_did_in_values_shapes_and_types(number: int) -> None:
    check_case(number)


def test_every_product_of_the_compiler_is_drawn() -> None:
    graphs = (odd_graph(number).model.graph for number in range(1000))
    assert set(WEIGHT_OPS) <= {(node.domain, node.op_type) for graph in graphs for node in graph.node}
