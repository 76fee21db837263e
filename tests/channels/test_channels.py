"""What units run along: killing random ones and dropping them leaves what onnxruntime computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gscompile.channels import find_coupled_channels
from gscompile.channels.dead_units import drop_dead_units
from gscompile.graph.network import Network
from tests.small_networks import assert_same_outputs, model

FIRST = "<float[6,2,3,3] a, float[6] b, float[4,6,1,1] c"  # six channels from a convolution, read by another
TWO = "g (float[n,2,6,6] x) => (float[n,4,p,q] y) <float[6,2,3,3] a, float[6] b, "
MAPS = "g (float[n,2,6,6] x) => (float[n,4,p,q] y) " + FIRST
CASES = {
    "pad": MAPS
    + """> { h = Conv (x, a, b)  s = Constant <value = int64[8] {0,0,1,1,0,0,1,2}> ()
        k = Pad (h, s)  y = Conv (k, c) }""",
    "reflect pad of two axes": MAPS
    + """> { h = Conv (x, a, b)  s = Constant <value = int64[2] {1,1}> ()
        z = Constant <value = float {5.0}> ()  i = Constant <value = int64[1] {-1}> ()
        k = Pad <mode = "reflect"> (h, s, z, i)  y = Conv (k, c) }""",
    "relu 6": MAPS
    + """> { h = Conv (x, a, b)  s = Constant <value = float {0.0}> ()  t = Constant <value = float {6.0}> ()
        k = Clip (h, s, t)  y = Conv (k, c) }""",
    "depthwise": MAPS
    + """, float[6,1,3,3] d, float[6] e> { h = Conv (x, a, b)  r = Relu (h)
        k = Conv <group = 6, pads = [1,1,1,1]> (r, d, e)  s = Relu (k)  y = Conv (s, c) }""",
    "depthwise beside a residual": MAPS
    + """, float[6,1,3,3] d> { h = Conv (x, a, b)
        k = Conv <group = 6, pads = [1,1,1,1]> (h, d)  s = Add (k, h)  y = Conv (s, c) }""",
    "mean over positions": MAPS + """> { h = Conv (x, a, b)  k = GlobalAveragePool (h)  y = Conv (k, c) }""",
    "mean as a reduction": "g (float[n,2,6,6] x) => (float[n,4] y) <float[6,2,3,3] a, float[6] b, float[6,4] c"
    + """>
        { h = Conv (x, a, b)  k = ReduceMean <axes = [2,3], keepdims = 0> (h)  y = MatMul (k, c) }""",
    "reduction, then squeeze": "g (float[n,2,6,6] x) => (float[n,4] y) <float[6,2,3,3] a, float[6] b, float[6,4] c"
    + """>
        { h = Conv (x, a, b)  k = GlobalAveragePool (h)  s = Constant <value = int64[2] {2, -1}> ()
          t = Squeeze (k, s)  y = MatMul (t, c) }""",
    "unsqueeze": "g (float[n,3] x) => (float[n,4,1,1] y) <float[3,6] a, float[6] b, float[4,6,1,1] c"
    + """>
        { h = Gemm (x, a, b)  s = Constant <value = int64[2] {2, 3}> ()  t = Unsqueeze (h, s)  y = Conv (t, c) }""",
    "slice of positions": MAPS
    + """> { h = Conv (x, a, b)  s = Constant <value = int64[1] {1}> ()
        e = Constant <value = int64[1] {3}> ()  i = Constant <value = int64[1] {-2}> ()
        k = Slice (h, s, e, i)  y = Conv (k, c) }""",
    "resize": MAPS
    + """> { h = Conv (x, a, b)  s = Constant <value = float[4] {1.0,1.0,2.0,2.0}> ()
        k = Resize <mode = "linear"> (h, , s)  y = Conv (k, c) }""",
    "resize to sizes": "g (float[2,2,6,6] x) => (float[2,4,p,q] y) "
    + FIRST
    + """>
        { h = Conv (x, a, b)  s = Constant <value = int64[4] {2,6,8,8}> ()  k = Resize (h, , , s)  y = Conv (k, c) }""",
    "hard swish": MAPS + "> { h = Conv (x, a, b)  k = HardSwish (h)  y = Conv (k, c) }",
    "hard swish, spelled out": MAPS
    + """> { h = Conv (x, a, b)  g = HardSigmoid (h)  k = Mul (h, g)  y = Conv (k, c) }""",
    "squeeze and excitation": MAPS
    + """, float[3,6,1,1] d, float[6,3,1,1] e, float[6] f>
        { h = Conv (x, a, b)  m = GlobalAveragePool (h)  o = Conv (m, d)  r = Relu (o)  u = Conv (r, e, f)
          g = Sigmoid (u)  k = Mul (g, h)  y = Conv (k, c) }""",
    "a gate of positions": MAPS
    + """, float[1,2,3,3] d> { h = Conv (x, a, b)  g = Conv (x, d)  k = Mul (h, g)  y = Conv (k, c) }""",
    "sequence of channels": "g (float[n,2,6,6] x) => (float[n,16,4] y) <float[6,2,3,3] a, float[6] b, float[6,4] c"
    + """>
        { h = Conv (x, a, b)  s = Constant <value = int64[3] {0, 6, -1}> ()  k = Reshape (h, s)
          t = Transpose <perm = [0,2,1]> (k)  y = MatMul (t, c) }""",
    "tokens in a row": "g (float[n,5,3] x) => (float[m,4] y) <float[3,6] a, float[6] b, float[6,4] c"
    + """>
        { h = MatMul (x, a)  i = Add (h, b)  s = Constant <value = int64[2] {-1, 6}> ()  k = Reshape (i, s)  y = MatMul (k, c) }""",
    "a recurrent reader": """g (float[5,n,3] x) => (float[5,1,n,2] y)
        <float[3,6] a, float[6] b, float[1,8,6] c, float[1,8,2] r>
        { h = MatMul (x, a)  k = Add (h, b)  t = Relu (k)  y = LSTM <hidden_size = 2> (t, c, r) }""",
    "einsum": """g (float[n,5,3] x) => (float[n,5,2,4] y) <float[3,6] a, float[6] b, float[6,2,4] c>
        { h = Einsum <equation = "nsd,de->nse"> (x, a)  k = Add (h, b)  t = Relu (k)
          y = Einsum <equation = "nse,ehk->nshk"> (t, c) }""",
    "beside another": TWO
    + """float[5,2,3,3] o, float[4,11,1,1] d> { h = Conv (x, a, b)  k = Conv (x, o)
        m = Concat <axis = 1> (k, h)  r = Relu (m)  y = Conv (r, d) }""",
    "beside an input": TWO
    + """float[4,8,1,1] d> { h = Conv <pads = [1,1,1,1]> (x, a, b)  m = Concat <axis = 1> (h, x)  y = Conv (m, d) }""",
    "beside itself, halved": TWO
    + """float[4,9,1,1] d> { h = Conv (x, a, b)  r = Relu (h)  s, t = Split <axis = 1> (r)
        m = Concat <axis = -3> (t, r)  y = Conv (m, d) }""",
    "split in uneven parts": TWO
    + """float[4,1,1,1] d, float[4,5,1,1] e, float[1,5,1,1] f> { h = Conv (x, a, b)
        z = Constant <value = int64[2] {1,5}> ()  s, t = Split <axis = 1> (h, z)  u = Conv (s, d)
        v = Mul (t, f)  w = Conv (v, e)  y = Add (u, w) }""",
    "filters of two, side by side": TWO
    + """float[5,2,3,3] o, float[11,1,1,1] e, float[11] f, float[4,11,1,1] d> { h = Conv (x, a, b)  k = Conv (x, o)
        m = Concat <axis = 1> (h, k)  i = Conv <group = 11> (m, e)  j = Mul (i, i)  y = Conv (j, d) }""",
    "flattened with channels last": "g (float[n,2,6,6] x) => (float[n,4] y) <float[6,2,3,3] a, float[6] b, "
    + """float[96,4] d> { h = Conv (x, a, b)  t = Transpose <perm = [0,2,3,1]> (h)  f = Flatten (t)
        r = Relu (f)  y = MatMul (r, d) }""",
    "joined along positions": MAPS
    + """> { h = Conv (x, a, b)  k = Relu (h)  m = Concat <axis = 3> (h, k)  y = Conv (m, c) }""",
    "split along positions": MAPS
    + """> { h = Conv (x, a, b)  s, t = Split <axis = 2> (h)  m = Add (s, t)  y = Conv (m, c) }""",
    "gate, reshaped to maps": "g (float[n,2,6,6] x) => (float[n,4,p,q] y) <float[6,2,3,3] a, float[6] b, float[6,6] d, "
    + """float[4,6,1,1] c> { h = Conv (x, a, b)  m = ReduceMean <axes = [2,3], keepdims = 0> (h)  g = Gemm (m, d)
        z = Constant <value = int64[4] {-1,6,1,1}> ()  r = Reshape <allowzero = 1> (g, z)  k = Mul (h, r)  y = Conv (k, c) }""",
    "the size of the batch goes into a shape": "g (float[n,5,3] x) => (float[n,5,4] y) <float[3,6] a, float[6] b, "
    + """float[6,4] c> { h = MatMul (x, a)  i = Add (h, b)  s = Shape <start = 0, end = 1> (i)
        z = Constant <value = int64[2] {5, 6}> ()  t = Concat <axis = 0> (s, z)  k = Reshape (i, t)  y = MatMul (k, c) }""",
    "instance norm": MAPS
    + """, float[6] d> { h = Conv (x, a)  k = InstanceNormalization (h, d, b)  y = Conv (k, c) }""",
    "one of the tokens": "g (float[n,5,3] x) => (float[n,4] y) <float[3,6] a, float[6] b, float[6,4] c"
    + """> { h = MatMul (x, a)  i = Add (h, b)  z = Constant <value = int64 {0}> ()
        k = Gather <axis = 1> (i, z)  y = MatMul (k, c) }""",
    "sizes of the positions are read": MAPS
    + """> { h = Conv (x, a, b)  s = Shape (h)  o = Constant <value = int64[1] {2}> ()
        e = Constant <value = int64[1] {4}> ()  z = Slice (s, o, e)  f = Cast <to = 1> (z)
        m = ReduceMean <axes = [0], keepdims = 0> (f)  k = Mul (h, m)  y = Conv (k, c) }""",
    "weighted by computed weights": "g (float[n,5,3] x) => (float[n,5,4] y) <float[3,6] a, float[6] b, float[3,5] d, "
    + """float[6,4] c> { h = MatMul (x, a)  i = Add (h, b)  s = MatMul (x, d)  w = Softmax (s)
        k = MatMul (w, i)  y = MatMul (k, c) }""",
    "the batch's size is read": MAPS
    + """> { h = Conv (x, a, b)  s = Shape (h)  o = Constant <value = int64[1] {2}> ()
        z = Gather (s, o)  f = Cast <to = 1> (z)  k = Mul (h, f)  y = Conv (k, c) }""",
}


def kill(proto: onnx.ModelProto, seed: int) -> list[int]:
    """Three of six units die: two produce nothing, one is not read."""
    gone = np.random.default_rng(seed).permutation(6)[:3].tolist()
    for tensor in proto.graph.initializer:
        array: Any = onnx.numpy_helper.to_array(tensor).copy()
        if tensor.name in ("a", "b"):
            axis = 0 if array.ndim in (1, 4) else array.ndim - 1
            array[(slice(None),) * axis + (gone[:2],)] = 0
        if tensor.name == "c":
            axis = next(axis for axis, size in enumerate(array.shape) if size == 6)
            array[(slice(None),) * axis + (gone[2],)] = 0
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return [int(unit) for unit in gone]


OPSET = {"reflect pad of two axes": 18}
LATER_BIAS = {"depthwise"}  # a bias behind the filter keeps the two that produce nothing alive
OTHERS_READ = {  # so does the gate's, and another reader; or nothing reads by a `c` that could be dead
    "squeeze and excitation",
    "beside another",
    "beside an input",
    "beside itself, halved",
    "split in uneven parts",
    "flattened with channels last",
    "filters of two, side by side",
    "gate, reshaped to maps",
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(2))
def test_dead_units_go_and_outputs_stay(case: str, seed: int) -> None:
    """Whether or not the file tells the shapes between."""
    proto = model(CASES[case], OPSET.get(case, 17))
    proto = onnx.shape_inference.infer_shapes(proto) if seed else proto
    gone = kill(proto, seed)
    net = Network.from_proto(proto)
    assert [space.pinned for space in find_coupled_channels(net) if space.size == 6] == [None]  # one, and it is free
    left = 5 if case in LATER_BIAS else 4 if case in OTHERS_READ else 3
    left += case == "split in uneven parts" and 0 in gone[:2]  # all there is of its part
    assert (6, left) in [(before, after) for _, before, after in drop_dead_units(net)]
    onnx.checker.check_model(net.to_proto(), full_check=True)
    assert_same_outputs(proto, net)


def test_a_filter_bank_is_cut_with_its_channels() -> None:
    proto = model(CASES["depthwise"])
    kill(proto, 0)
    net = Network.from_proto(proto)
    drop_dead_units(net)
    shapes = {t.name: tuple(t.dims) for t in net.to_proto().graph.initializer}
    assert (shapes["a"], shapes["d"], shapes["e"], shapes["c"]) == (
        (5, 2, 3, 3),
        (5, 1, 3, 3),
        (5,),
        (4, 5, 1, 1),
    )


NEVER_ZERO = {
    "clip from one": """{ h = Conv (x, a)  s = Constant <value = float {1.0}> ()  k = Clip (h, s)  y = Conv (k, c) }""",
    "pad with ones": """{ h = Conv (x, a)  s = Constant <value = int64[8] {0,0,1,1,0,0,1,1}> ()
        o = Constant <value = float {1.0}> ()  k = Pad (h, s, o)  y = Conv (k, c) }""",
    "sigmoid": "{ h = Conv (x, a)  k = Sigmoid (h)  y = Conv (k, c) }",
    "plus one": "{ h = Conv (x, a)  o = Constant <value = float {1.0}> ()  k = Add (h, o)  y = Conv (k, c) }",
    "maximum with one": "{ h = Conv (x, a)  o = Constant <value = float {1.0}> ()  k = Max (h, o)  y = Conv (k, c) }",
}


@pytest.mark.parametrize("case", NEVER_ZERO)
def test_a_silent_unit_stays_where_zero_does_not(case: str) -> None:
    proto = model("g (float[n,2,6,6] x) => (float[n,4,p,q] y) <float[6,2,3,3] a, float[4,6,1,1] c> " + NEVER_ZERO[case])
    array = onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy()
    array[2] = 0
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(array, "a"))
    net = Network.from_proto(proto)
    assert find_coupled_channels(net)[0].pinned is None
    assert not find_coupled_channels(net)[0].zero_safe
    assert drop_dead_units(net) == []


PINNED = {
    "pad of channels": """{ h = Conv (x, a)  s = Constant <value = int64[8] {0,1,0,0,0,-1,0,0}> ()  k = Pad (h, s)  y = Conv (k, c) }""",
    "mean over channels": """{ h = Conv (x, a)  m = ReduceMean <axes = [1]> (h)  k = Mul (h, m)  y = Conv (k, c) }""",
    "the number of channels is read": """{ h = Conv (x, a)  s = Shape (h)  o = Constant <value = int64[1] {1}> ()
        z = Gather (s, o)  f = Cast <to = 1> (z)  k = Mul (h, f)  y = Conv (k, c) }""",
    "groups": "{ h = Conv (x, a)  k = Conv <group = 2> (h, d)  y = Conv (k, c) }",
}


@pytest.mark.parametrize("case", PINNED)
def test_what_reads_across_channels_pins_them(case: str) -> None:
    text = "g (float[n,2,6,6] x) => (float[n,4,p,q] y) <float[6,2,3,3] a, float[6,3,1,1] d, float[4,6,1,1] c> "
    assert find_coupled_channels(Network.from_proto(model(text + PINNED[case])))[0].pinned is not None


# Two heads of three places each, of queries, keys and values; SHAPES makes the shapes, from [n,5,6] and back.
HEADS = """g (float[n,5,4] x) => (float[n,5,2] y) <float[4,6] q, float[6] qb, float[4,6] k, float[4,6] v, float[6] vb, float[6,2] o> {{
    q0 = MatMul (x, q)  q1 = Add (q0, qb)  k1 = MatMul (x, k)  v0 = MatMul (x, v)  v1 = Add (v0, vb)
    {shapes}
    q2 = Reshape (q1, apart)  k2 = Reshape (k1, apart)  v2 = Reshape (v1, apart)
    qt = Transpose <perm = [0,2,1,3]> (q2)  kt = Transpose <perm = [0,2,3,1]> (k2)  vt = Transpose <perm = [0,2,1,3]> (v2)
    s = MatMul (qt, kt)  w = Softmax (s)  c = MatMul (w, vt)  ct = Transpose <perm = [0,2,1,3]> (c)
    r = Reshape (ct, joined)  y = MatMul (r, o) }}"""
SHAPES = {
    "constants": """apart = Constant <value = int64[4] {0,0,2,3}> ()  joined = Constant <value = int64[3] {0,0,6}> ()""",
    "sizes that are computed": """b = Shape <start = 0, end = 2> (x)  hd = Constant <value = int64[2] {2,3}> ()
        d = Constant <value = int64[1] {6}> ()  apart = Concat <axis = 0> (b, hd)  joined = Concat <axis = 0> (b, d)""",
    "without the batch": """apart = Constant <value = int64[4] {-1,5,2,3}> ()  joined = Constant <value = int64[3] {-1,5,6}> ()""",
}


def without(proto: onnx.ModelProto, **columns: list[int]) -> Network:
    """The network with those columns of weights set to zero."""
    for tensor in proto.graph.initializer:
        if tensor.name in columns:
            array = onnx.numpy_helper.to_array(tensor).copy()
            array[..., columns[tensor.name]] = 0
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return Network.from_proto(proto)


@pytest.mark.parametrize("shapes", SHAPES)
def test_a_place_of_all_heads_goes_where_neither_queries_nor_values_have_it(shapes: str) -> None:
    proto = model(HEADS.format(shapes=SHAPES[shapes]))
    proto = proto if shapes == "constants" else onnx.shape_inference.infer_shapes(proto, data_prop=True)
    net = without(proto, q=[1, 4], qb=[1, 4], v=[0, 2, 3, 5], vb=[0, 2, 3, 5])
    assert [(s.size, s.pinned) for s in find_coupled_channels(net)[:2]] == [(3, None), (3, None)]
    assert drop_dead_units(net) == [("n0", 3, 2), ("n3", 3, 1)]
    onnx.checker.check_model(net.to_proto(), full_check=True)
    assert_same_outputs(proto, net)
    shapes_left = {t.name: [*t.dims] for t in net.to_proto().graph.initializer if len(t.dims) == 2}
    assert shapes_left == {"q": [4, 4], "k": [4, 4], "v": [4, 2], "o": [2, 2]}


def test_a_place_that_one_head_needs_stays() -> None:
    net = without(model(HEADS.format(shapes=SHAPES["constants"])), q=[1], qb=[1], v=[5], vb=[5])
    assert drop_dead_units(net) == []


def test_what_keys_lack_queries_need_not_have() -> None:
    proto = model(HEADS.format(shapes=SHAPES["constants"]))
    net = without(proto, k=[2, 5])
    assert drop_dead_units(net) == [("n0", 3, 2)]
    assert_same_outputs(proto, net)


@pytest.mark.parametrize("target", ["{0,5,3,2}", "{0,5,6,1}", "{0,30,1}", "{0,10,3}"])
def test_entries_that_change_places_stay_the_same_units(target: str) -> None:
    """Queries times themselves, cut up in any way: sums of squares of all there are."""
    rank = target.count(",")
    proto = model(f"""g (float[n,5,4] x) => (float y) <float[4,6] q> {{ h = MatMul (x, q)
        s = Constant <value = int64[{rank + 1}] {target}> ()  k = Reshape (h, s)
        t = Transpose <perm = {[*range(rank - 1), rank, rank - 1]}> (k)  m = MatMul (k, t)  y = ReduceSum <keepdims = 0> (m) }}""")
    net = without(proto, q=[0, 2, 4])
    drop_dead_units(net)
    assert_same_outputs(proto, net)


SHARED = """g (float[n,3] x, float[n,3] z) => (float[n,4] y, float[n,4] v) <float[3,6] a, float[6] b, float[6] e, float[6,4] c>
    { h = MatMul (x, a)  i = Add (h, b)  y = MatMul (i, c)  k = MatMul (z, a)  l = Add (k, e)  v = MatMul (l, c) }"""


def test_nodes_that_share_weights_share_their_units() -> None:
    proto = model(SHARED)
    kill(proto, 0)  # the second bias keeps what the first lets go
    net = Network.from_proto(proto)
    space, *_ = find_coupled_channels(net)
    assert (space.size, space.pinned) == (6, None)
    assert ("n0", 6, 5) in drop_dead_units(net)
    assert_same_outputs(proto, net)


def test_a_weight_that_reads_an_input_too_pins_the_units_it_reads() -> None:
    text = """g (float[n,3] x, float[n,6] z) => (float[n,4] y, float[n,4] v) <float[3,6] a, float[6,4] c>
        { h = MatMul (x, a)  y = MatMul (h, c)  v = MatMul (z, c) }"""
    assert find_coupled_channels(Network.from_proto(model(text)))[0].pinned is not None
    turned = text.replace("y = MatMul (h, c)  v = MatMul (z, c)", "v = MatMul (z, c)  y = MatMul (h, c)")
    assert find_coupled_channels(Network.from_proto(model(turned)))[0].pinned is not None


@st.composite
def joined(draw: st.DrawFn) -> tuple[str, list[int]]:
    """Three convolutions whose channels are joined in some order, split somewhere, and read; with the channels of each."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=3, max_size=3))
    order = draw(st.lists(st.integers(0, 2), min_size=1, max_size=4))
    total = sum(sizes[i] for i in order)
    cut = draw(st.integers(1, max(total - 1, 1)))
    weights = [f"float[{n},2,1,1] a{i}" for i, n in enumerate(sizes)] + [
        f"float[{total},1,1,1] f, float[2,{total},1,1] c"
    ]
    nodes = [f"h{i} = Conv (x, a{i})" for i in range(3)]
    nodes += [f"j = Concat <axis = 1> ({', '.join(f'h{i}' for i in order)})", f"k = Conv <group = {total}> (j, f)"]
    if total > 1:
        weights.append(f"float[2,{cut},1,1] d, float[2,{total - cut},1,1] e")
        nodes += [f"z = Constant <value = int64[2] {{{cut},{total - cut}}}> ()", "p, q = Split <axis = 1> (k, z)"]
        nodes += ["s = Conv (p, d)", "t = Conv (q, e)", "u = Add (s, t)", "v = Conv (k, c)", "y = Mul (u, v)"]
    else:
        nodes.append("y = Conv (k, c)")
    return f"g (float[n,2,3,3] x) => (float[n,2,3,3] y) <{', '.join(weights)}> {{ {'  '.join(nodes)} }}", sizes


@given(joined(), st.integers(0, 99))
def test_whatever_is_joined_and_split_computes_the_same_without_its_dead_units(
    case: tuple[str, list[int]], seed: int
) -> None:
    text, sizes = case
    proto, rng = model(text), np.random.default_rng(seed)
    for tensor in proto.graph.initializer:
        if tensor.name.startswith("a"):
            array = onnx.numpy_helper.to_array(tensor).copy()
            array[rng.random(len(array)) < 0.5] = 0
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    net = Network.from_proto(proto)
    drop_dead_units(net)
    onnx.checker.check_model(net.to_proto(), full_check=True)
    assert_same_outputs(proto, net)
    assert all(layer.layout.outputs <= size for layer, size in zip(net.layers, sizes, strict=False))
