"""The file that is written is what the budget is held to, whichever step made it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

import gscompile
from gscompile import driver
from gscompile.compression.passes import Change, Context, PassResult
from gscompile.errors import BudgetError, VerificationError
from gscompile.graph.network import Network
from gscompile.passes import PASSES
from gscompile.scoring.runner import Runner
from gscompile.write import write_model
from tests.small_networks import model

RNG = np.random.default_rng(0)
PRODUCT = RNG.standard_normal((20, 2)) @ RNG.standard_normal((2, 16))  # of rank 2
THIN = """g (float[n,20] x) => (float[n,4] y) <float[20,16] w, float[16,4] v>
    { h = MatMul (x, w)  r = Relu (h)  y = MatMul (r, v) }"""
SCALAR = """g (float[4] x) => (float y) <float[4] w, float one = {1.0}>
    { a = MatMul (x, w)  y = Add (a, one) }"""


def outputs(network: Any) -> np.ndarray:
    x = np.random.default_rng(3).standard_normal((5, 20)).astype(np.float32)
    return np.asarray(Runner(network)({"x": x})["y"])


def doubled(network: Network, name: str) -> Network:
    """The network with the weights of a layer times two."""
    network.set_matrices(name, 2 * network.matrices(name))
    return network


@dataclass(frozen=True)
class Spoil:
    """A pass that doubles the last weights and says that this is a change."""

    @property
    def name(self) -> str:
        return "spoil"

    def run(self, network: Network, context: Context) -> PassResult:  # noqa: ARG002
        layer = network.layers[-1].name
        return PassResult(doubled(network, layer), (Change(layer, "weights", "1", "2"),))


def test_a_last_step_that_spoils_the_network_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiling(network: Network) -> PassResult:
        if len(network.layers) == 2:  # before the passes there is nothing to remove
            return PassResult(network)
        return PassResult(doubled(network, network.layers[-1].name), (Change("n2", "units", "16", "15"),))

    monkeypatch.setattr(driver, "without_dead_units", spoiling)
    proto = model(THIN, w=PRODUCT)
    result = gscompile.compile(
        proto, out=tmp_path / "out", max_output_error=1e-4, crossbar="8x8", passes=("rank-clip",)
    )
    assert [layer.matrix.shape for layer in result.network.layers] == [(20, 2), (2, 16), (16, 4)]
    np.testing.assert_allclose(outputs(tmp_path / "out/model.onnx"), outputs(proto.SerializeToString()), atol=1e-4)
    assert "units" not in {change.what for change in result.report.changes}


def test_of_the_passes_the_last_that_fits_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PASSES, "spoil", "tests.test_driver:Spoil")
    proto = model(THIN, w=PRODUCT)
    result = gscompile.compile(
        proto, out=tmp_path / "out", max_output_error=1e-4, crossbar="8x8", passes=("rank-clip", "spoil")
    )
    assert [change.what for change in result.report.changes] == ["rank"]
    np.testing.assert_allclose(outputs(tmp_path / "out/model.onnx"), outputs(proto.SerializeToString()), atol=1e-4)


@dataclass(frozen=True)
class Widen:
    """A pass that fills the zeros of the first weights with next to nothing: the outputs do not feel it."""

    @property
    def name(self) -> str:
        return "widen"

    def run(self, network: Network, context: Context) -> PassResult:  # noqa: ARG002
        layer = network.layers[0].name
        weight = network.matrices(layer)
        network.set_matrices(layer, np.where(weight == 0, np.float32(1e-9), weight))
        return PassResult(network, (Change(layer, "cells", "320", "160"),))


@pytest.mark.parametrize("minimize", ["cells", "wires", "tiles", "area"])
def test_what_is_minimised_never_grows(minimize: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the inputs, which fill a tile of 10x16 each, are dead: cells, wires and tiles would double."""
    monkeypatch.setitem(PASSES, "widen", "tests.test_driver:Widen")
    half = RNG.standard_normal((20, 16))
    half[10:] = 0
    asked: dict[str, Any] = {"passes": ("widen",), "minimize": minimize, "max_output_error": 1e-3, "crossbar": "10x16"}
    report = gscompile.compile(model(THIN, w=half), out=tmp_path / "out", **asked).report
    assert report.changes == ()
    assert (report.before.cells, report.after.cells) == (160 + 64, 160 + 64)


def test_with_data_the_written_file_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A last step that turns all signs: of 200 samples none is right any more."""

    def spoiling(network: Network) -> PassResult:
        last = network.layers[-1].name
        network.set_matrices(last, -network.matrices(last))
        return PassResult(network, (Change(last, "units", "16", "15"),))

    monkeypatch.setattr(driver, "without_dead_units", spoiling)
    proto = model(THIN, w=PRODUCT)
    x = np.random.default_rng(1).standard_normal((400, 20)).astype(np.float32)
    labels = Runner(proto.SerializeToString())({"x": x})["y"].argmax(1)
    data, val = {"x": x[:200], "labels": labels[:200]}, {"x": x[200:], "labels": labels[200:]}
    asked: dict[str, Any] = {"data": data, "val": val, "max_drop": 5.0, "passes": ("drop-dead-units",), "threads": 1}
    result = gscompile.compile(proto, out=tmp_path / "out", **asked)
    (row,) = result.report.accuracy
    assert (row.before, row.after) == (100, 100)
    assert result.report.changes == ()
    with pytest.raises(BudgetError, match="nothing smaller fits a drop of 5 points"):
        gscompile.compile(proto, out=tmp_path / "strict", strict=True, **asked)


def a_shape_more(network: Network) -> list[str]:
    """A wrong fold: the scalar that is added gets the shape [1]."""
    value = network.graph.initializers["one"]
    value.const_value = ir.tensor(np.ones(1, np.float32), name="one")
    value.shape = ir.Shape([1])
    return ["one"]


def test_a_fold_that_changes_the_rank_of_an_output_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proto = model(SCALAR)
    monkeypatch.setattr(driver, "fold", a_shape_more)
    result = gscompile.compile(proto, out=tmp_path / "out", passes=("drop-dead-units",))
    assert "folded, the network is beyond the budget: it is written as it came" in result.report.messages
    assert np.shape(Runner(tmp_path / "out/model.onnx")({"x": np.ones(4, np.float32)})["y"]) == ()


def test_an_original_that_is_written_in_another_form_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(network: Network, path: Path) -> None:
        twin = network.copy()
        a_shape_more(twin)
        write_model(twin, path)

    monkeypatch.setattr(driver, "write_model", wrong)
    said = r"model.onnx: output 'y' is float32 \[1\], expected float32 \[\] as in the original"
    with pytest.raises(VerificationError, match=said):
        gscompile.compile(model(SCALAR), out=tmp_path / "out", passes=("drop-dead-units",))
    assert not (tmp_path / "out").exists()


def test_what_was_compiled_compiles_again_and_does_not_grow(tmp_path: Path) -> None:
    """Ten dead neurons, a product of rank 2 and weights in two blocks: 20x2, 2x16 and two 8x2 are left."""
    half = np.zeros((16, 4))
    half[:8, :2], half[8:, 2:] = RNG.standard_normal((2, 8, 2))
    dead = np.concatenate([np.zeros((20, 10)), PRODUCT], axis=1)
    proto = model(THIN.replace("16", "26"), w=dead, v=np.concatenate([np.ones((10, 4)), half]))
    first = gscompile.compile(proto, "8x8", tmp_path / "first", max_output_error=1e-3)
    again = gscompile.compile(tmp_path / "first/model.onnx", "8x8", tmp_path / "again", max_output_error=1e-3)
    assert first.report.changes[0] == Change("n0", "units", "26", "16")
    assert first.report.after.cells == 40 + 32 + 32
    for figure in ("cells", "wires", "tiles"):
        assert getattr(again.report.after, figure) == getattr(first.report.after, figure)
    np.testing.assert_allclose(outputs(tmp_path / "again/model.onnx"), outputs(proto.SerializeToString()), atol=1e-3)


@pytest.mark.slow
def test_dead_neurons_are_compiled_with_data(tmp_path: Path) -> None:
    weights: dict[str, Any] = {"w": PRODUCT.copy(), "v": RNG.standard_normal((16, 4))}
    weights["w"][:, :6], weights["v"][4:9] = 0, 0
    proto = model(THIN, **weights)
    x = np.random.default_rng(1).standard_normal((200, 20)).astype(np.float32)
    asked: dict[str, Any] = {"max_drop": 5.0, "effort": "quick", "epochs_per_round": 0.2, "threads": 1}
    result = gscompile.compile(proto, "8x8", tmp_path / "out", data={"x": x}, **asked)
    assert result.report.changes[0] == Change("n0", "units", "16", "7")
    assert all(row.after >= row.before - 5 for row in result.report.accuracy)


def test_time_that_ran_out_is_not_told_as_nothing_smaller_that_fits(tmp_path: Path) -> None:
    result = gscompile.compile(model(THIN, w=PRODUCT), out=tmp_path / "out", time_budget="0.001s")
    said = " ".join(result.report.messages)
    assert "the time budget was over before a smaller network was found that fits: the original network is" in said
    assert "nothing smaller" not in said
