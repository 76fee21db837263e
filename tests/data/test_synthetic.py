"""A batch from the graph alone: the sizes that fit, the values that fit, and real networks that take it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from gscompile.data.index_ranges import compared_values, index_limits
from gscompile.data.synthetic import find_shapes, parse_input_shape, synthetic_batch
from gscompile.errors import DataError, UsageError

SHARED = Path(os.environ.get("GSCOMPILE_SHARED", Path(__file__).parents[2] / ".." / "shared"))
NETWORKS = sorted((SHARED / "models").glob("*.onnx"))


def graph(text: str, functions: str = "") -> ir.Model:
    """A network from ONNX text; what is declared in <...> without a value is a weight of ones."""
    head = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1, "local" : 1]>'
    proto = onnx.parser.parse_model(f"{head}\n{text}\n{functions}")
    for info in proto.graph.value_info:
        sizes = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(sizes, np.float32), info.name))
    return ir.from_proto(proto)


SAME = graph("g (float[batch, n] x, float[batch, n] y) => (float[batch, n] z) { z = Add(x, y) }")


# ---------------------------------------------------------------- sizes


def test_the_same_symbol_is_the_same_size_and_the_batch_is_the_one_asked_for() -> None:
    assert find_shapes(SAME) == {"x": (1, 16), "y": (1, 16)}
    assert find_shapes(SAME, batch=4) == {"x": (4, 16), "y": (4, 16)}


def test_a_given_shape_binds_its_symbols_in_the_other_inputs() -> None:
    assert find_shapes(SAME, {"x": (3, 5)}) == {"x": (3, 5), "y": (3, 5)}


def test_an_axis_is_tried_until_the_network_runs() -> None:
    model = graph(
        """g (float[?, ?] x) => (float[?, 50] y)
        <int64[2] shape = {-1, 64}, float[64, 50] w> { flat = Reshape(x, shape)  y = MatMul(flat, w) }"""
    )
    assert find_shapes(model) == {"x": (1, 64)}  # 16 and 32 do not make rows of 64


def test_a_batch_the_network_cannot_take_falls_back_to_one() -> None:
    model = graph("g (float[batch, 3] x, float[1, 3] h) => (float[y, 3] y) { y = Concat<axis=1>(x, h) }")
    assert find_shapes(model, batch=4) == {"x": (1, 3), "h": (1, 3)}


def test_a_computed_symbol_follows_its_terms() -> None:
    past, total = ir.SymbolicDim("past"), ir.SymbolicDim("past + 1")
    floats = ir.TensorType(ir.DataType.FLOAT)
    x, mask = (
        ir.Value(name="x", shape=ir.Shape([past]), type=floats),
        ir.Value(name="m", shape=ir.Shape([total]), type=floats),
    )
    pad = ir.Value(name="pad", const_value=ir.tensor(np.array([0, 1]), name="pad"))
    padded, y = ir.Value(name="padded"), ir.Value(name="y", shape=ir.Shape([total]), type=floats)
    nodes = [ir.Node("", "Pad", [x, pad], outputs=[padded]), ir.Node("", "Add", [padded, mask], outputs=[y])]
    model = ir.Model(ir.Graph([x, mask], [y], nodes=nodes, initializers=[pad], opset_imports={"": 17}), ir_version=8)
    assert find_shapes(model, batch=8) == {"x": (8,), "m": (9,)}


def test_an_output_without_elements_is_a_size_to_avoid() -> None:
    model = graph(
        """g (float[1, n] x) => (float[1, m] y)
        <int64[1] start = {20}, int64[1] end = {99}, int64[1] axis = {1}> {
            y = Slice(x, start, end, axis) }"""
    )
    assert find_shapes(model) == {"x": (1, 32)}


def test_nothing_is_run_when_every_size_is_known() -> None:
    model = graph("g (float[2, 3] x) => (float[2, 3] y) { y = nobody.Knows(x) }")
    assert synthetic_batch(model)["x"].shape == (2, 3)


def test_a_network_that_takes_no_size_is_one_line() -> None:
    model = graph(
        """g (float[1, n] x) => (float[1, m] y)
        <float[1, 7] w = {1, 2, 3, 4, 5, 6, 7}> { y = Add(x, w) }"""
    )
    assert find_shapes(model) == {"x": (1, 1)}  # broadcast
    model = graph(
        """g (float[1, n] x) => (float[m, 11] y)
        <int64[2] shape = {-1, 11}> { y = Reshape(x, shape) }"""
    )
    with pytest.raises(
        DataError, match=r"no size tried for the open axes is accepted .*: give --input-shape"
    ) as caught:
        find_shapes(model)
    assert "\n" not in str(caught.value)
    assert find_shapes(model, {"x": (1, 22)}) == {"x": (1, 22)}


def test_a_given_shape_that_contradicts_the_network_is_one_line() -> None:
    model = graph("g (float[batch, 3] x) => (float[batch, 3] y) { y = Relu(x) }")
    with pytest.raises(UsageError, match=r"input shape of 'x': \[1, 4\] given, the network takes float32 \[batch, 3\]"):
        find_shapes(model, {"x": (1, 4)})
    with pytest.raises(UsageError, match="input shape of 'z': no such input, the inputs are 'x'"):
        find_shapes(model, {"z": (1, 3)})


def test_an_input_of_unknown_rank_has_to_be_given() -> None:
    model = graph("g (float[] x) => (float[] y) { y = Relu(x) }")
    model.graph.inputs[0].shape = None
    with pytest.raises(DataError, match="input 'x' has no shape in the network: give one, --input-shape x=1,8"):
        synthetic_batch(model)
    assert synthetic_batch(model, {"x": (1, 8)})["x"].shape == (1, 8)


def test_an_input_shape_is_a_name_and_sizes() -> None:
    assert parse_input_shape("x=1,3,224,224") == ("x", (1, 3, 224, 224))
    assert parse_input_shape("a=b:0=7") == ("a=b:0", (7,))
    for text in ("x", "x=", "=1,2", "x=1,,2", "x=1,-2", "x=1x3", "x=0", "x=²"):
        with pytest.raises(UsageError, match=r"write NAME=SIZE,SIZE,\.\.\., as in x=1,3,224,224"):
            parse_input_shape(text)


# ---------------------------------------------------------------- values


def test_the_same_seed_gives_the_same_batch_and_inputs_differ() -> None:
    first, again, other = (synthetic_batch(SAME, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["x"], again["x"])
    assert not np.array_equal(first["x"], other["x"])
    assert not np.array_equal(first["x"], first["y"])


def test_tokens_stay_within_the_table_they_are_looked_up_in() -> None:
    model = graph(
        """g (int32[batch, n] ids, int64[batch, n] mask) => (float[batch, n, 2] y)
        <float[3, 2] table = {1, 2, 3, 4, 5, 6}, int64[1] axis = {0}, int64[1] two = {2}> {
            wide = Cast<to=7>(ids)   more = Unsqueeze(wide, axis)   row = Squeeze(more, axis)
            found = Gather(table, row)   kept = Cast<to=1>(mask)
            last = Unsqueeze(kept, two)   y = Mul(found, last)
        }"""
    )
    assert index_limits(model) == {"ids": 3}
    batch = synthetic_batch(model, {"ids": (4, 50)})
    assert set(np.unique(batch["ids"])) == {0, 1, 2}
    assert batch["ids"].dtype == np.int32
    assert (batch["mask"] == 1).all()  # reaches no index: a mask


def test_the_smallest_of_several_tables_counts_also_along_another_axis() -> None:
    model = graph(
        """g (int64[2] i) => (float[2, 5] a, float[4, 2] b) <float[9, 5] t, float[4, 6] u> {
            a = Gather(t, i)   b = Gather<axis=-1>(u, i) }"""
    )
    assert index_limits(model) == {"i": 6}


def test_an_index_into_what_is_computed_is_zero() -> None:
    model = graph("g (float[n] x, int64[2] i) => (float[2] y) { y = Gather(x, i) }")
    assert synthetic_batch(model)["i"].tolist() == [0, 0]


def test_one_hot_classes_stay_below_the_depth() -> None:
    model = graph(
        """g (int64[200] i) => (float[200, 4] y)
        <int64 depth = {4}, float[2] values = {0, 1}> { y = OneHot(i, depth, values) }"""
    )
    assert set(synthetic_batch(model)["i"]) == {0, 1, 2, 3}


def test_what_is_compared_with_constants_is_one_of_them() -> None:
    model = graph(
        """g (int64 rate, int32[90, 1] byte) => (bool a, bool[90, 3] b)
        <int64 wanted = {16000}, int32[1, 3] all = {0, 1, 2}> {
            a = Equal(rate, wanted)   b = Equal(byte, all) }"""
    )
    assert {name: list(values) for name, values in compared_values(model).items()} == {
        "rate": [16000],
        "byte": [0, 1, 2],
    }
    batch = synthetic_batch(model)
    assert batch["rate"] == 16000
    assert set(np.unique(batch["byte"])) == {0, 1, 2}


def test_an_index_is_followed_into_functions_and_branches() -> None:
    model = graph(
        """g (int64[2] i, int64[2] j, bool c) => (float[2] y, float[2] z) <float[5] t, float[7] u> {
            y = local.look(i)
            z = If(c)<then_branch = a () => (float[2] p) { p = Gather(u, j) },
                      else_branch = b () => (float[2] q) { q = Gather(t, j) }>
        }""",
        """<domain: "local", opset_import: ["" : 17]> look (i) => (y) {
            t = Constant<value = float[3] {1, 2, 3}>()   y = Gather(t, i)
        }""",
    )
    assert index_limits(model) == {"i": 3, "j": 5}


def test_embedding_nodes_have_a_table_for_each_of_their_inputs() -> None:
    model = graph(
        """g (int32[1, n] ids, int32[1, n] kinds) => (float[1, n, 2] y, int32[1] m)
        <float[30, 2] words, float[40, 2] places, float[2, 2] segments, float[2] gamma, float[2] beta> {
            y, m = com.microsoft.EmbedLayerNormalization(ids, kinds, words, places, segments, gamma, beta)
        }"""
    )
    assert index_limits(model) == {"ids": 30, "kinds": 2}


@pytest.mark.parametrize(
    ("kind", "lowest", "highest"), [("uint8", 0, 255), ("int8", -128, 127), ("int64", 1, 1), ("bool", 1, 1)]
)
def test_bytes_are_pictures_and_other_whole_numbers_are_ones(kind: str, lowest: int, highest: int) -> None:
    x = synthetic_batch(graph(f"g ({kind}[4000] x) => ({kind}[4000] y) {{ y = Identity(x) }}"))["x"]
    assert (x.dtype, int(x.min()), int(x.max())) == (np.dtype(kind), lowest, highest)


# ---------------------------------------------------------------- weights beside the file, and real networks


def test_a_network_with_its_weights_in_another_file_is_tried_too(tmp_path: Path) -> None:
    model = graph("g (float[batch, n] x) => (float[batch, 64] y) <float[64, 64] w> { y = MatMul(x, w) }")
    ir.save(model, tmp_path / "m.onnx", external_data="m.bin", size_threshold_bytes=0)
    loaded = ir.load(tmp_path / "m.onnx")
    assert isinstance(loaded.graph.initializers["w"].const_value, ir.ExternalTensor)
    assert find_shapes(loaded) == {"x": (1, 64)}


@pytest.mark.skipif(not NETWORKS, reason="needs the networks of GSCOMPILE_SHARED/models")
@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_a_real_network_accepts_its_batch(path: Path) -> None:
    batch = synthetic_batch(ir.load(path))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    outputs = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, batch)
    assert all(np.size(output) > 0 and np.isfinite(output).all() for output in outputs)


@pytest.mark.skipif(not NETWORKS, reason="needs the networks of GSCOMPILE_SHARED/models")
def test_bytes_behind_a_comparison_with_every_byte_are_varied() -> None:
    model = ir.load(SHARED / "models" / "magika_standard_v3_3.onnx")
    x = synthetic_batch(model)["bytes"]
    assert len(np.unique(x)) > 200
    assert (x.min(), x.max()) == (0, 256)
