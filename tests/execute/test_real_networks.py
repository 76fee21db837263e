"""Real trained networks: outputs are onnxruntime's, and the gradient reaches their weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch

from gscompile.execute import Executor
from gscompile.execute.build import constant

torch.set_num_threads(1)

SHARED = Path(os.environ.get("GSCOMPILE_SHARED", Path(__file__).parents[2].parent / "shared"))
NETWORKS = sorted((SHARED / "models").glob("*.onnx"))
# Sizes for the dimensions that a network leaves open, by name; else by the network; else 1.
OPEN = {"frames": 100, "height": 64, "width": 64, "sequence_length": 5}
IMAGES = {"ch_": [1, 3, 48, 192]}
LARGE = 64  # elements: whatever has more is a weight here


def _shape(network: Path, dims: list[Any]) -> list[int]:
    for start, shape in IMAGES.items():
        if network.name.startswith(start):
            return shape
    return [dim if isinstance(dim, int) and dim > 0 else OPEN.get(dim, 1) for dim in dims]


def _feeds(network: Path, session: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    feeds = {}
    for value in session.get_inputs():
        shape = _shape(network, value.shape)
        whole = random.integers(0, 256, shape, dtype=np.int32)
        feeds[value.name] = random.random(shape, dtype=np.float32) if "float" in value.type else whole
    return feeds


def _weights(model: ir.Model) -> Iterator[ir.Value]:
    for value in model.graph.initializers.values():
        if value.dtype == ir.DataType.FLOAT and value.const_value is not None and value.const_value.size >= LARGE:
            yield value
    for node in model.graph:
        if node.op_type == "Constant":
            tensor = constant(node.attributes, torch.device("cpu"))
            if tensor.dtype == torch.float32 and tensor.numel() >= LARGE:
                yield node.outputs[0]


@pytest.mark.skipif(not NETWORKS, reason=f"no networks in {SHARED}; set GSCOMPILE_SHARED")
@pytest.mark.parametrize("network", NETWORKS, ids=lambda path: path.stem)
def test_outputs_are_those_of_onnxruntime_and_gradients_reach_the_weights(network: Path) -> None:
    session = onnxruntime.InferenceSession(network)
    feeds = _feeds(network, session)
    expected = session.run(None, feeds)
    model = ir.load(network)
    executor = Executor(model, {str(value.name): value for value in _weights(model)})
    outputs = executor({name: torch.tensor(value) for name, value in feeds.items()})
    for actual, wanted in zip(outputs.values(), expected, strict=True):
        spread = max(np.ptp(wanted), np.finfo(np.float32).tiny)
        assert np.abs(actual.detach().numpy() - wanted).max() <= 1e-4 * spread
    torch.stack([output.sum() for output in outputs.values()]).sum().backward()  # type: ignore[no-untyped-call]
    assert executor.weights
    assert [name for name, weight in executor.weights.items() if weight.grad is None] == []
