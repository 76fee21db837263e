"""Models that ONNX's checker lets through and readers of them would stumble over are refused when they are read."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx_ir as ir
import pytest

from gscompile.errors import ModelError
from gscompile.graph.network import Network
from tests.small_networks import model

TEXT = """g (float[n,3] x) => (float[n,2] y) <float[3,4] a, float[4,2] b>
    { h = com.microsoft.FusedMatMul <alpha = 0.5> (x, a)  y = Einsum <equation = "ab,bc->ac"> (h, b) }"""
Break = Callable[[onnx.ModelProto], object]


def short(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data = bytes(44)


def numbers_of_another_type(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].ClearField("raw_data")
    proto.graph.initializer[0].int64_data.extend(range(12))


def negative(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[:] = [-3, -4]


def set_attribute(node: int, **values: object) -> Break:
    def act(proto: onnx.ModelProto) -> None:
        del proto.graph.node[node].attribute[:]
        for name, value in values.items():
            proto.graph.node[node].attribute.append(onnx.helper.make_attribute(name, value))

    return act


def nothing_in_huge_sizes(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].CopyFrom(onnx.TensorProto(name="a", dims=[1 << 32, 1 << 32, 0], data_type=1))


def function(takes: str, reads: str, makes: str, *attributes: onnx.AttributeProto) -> onnx.FunctionProto:
    """One op, whose output is to be `c`."""
    node = onnx.NodeProto(op_type="Neg", input=[reads], output=[makes], attribute=attributes)
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.FunctionProto(name="f", domain="mine", input=[takes], output=["c"], node=[node], opset_import=opset)


def graph_by_default(proto: onnx.ModelProto) -> None:
    proto.functions.append(function("a", "a", "c"))
    body = onnx.helper.make_graph([], "empty", [], [])
    proto.functions[0].attribute_proto.append(onnx.helper.make_attribute("body", body))


BROKEN: dict[str, tuple[Break, str]] = {
    "too few bytes": (short, r"tensor 'a' of \[3, 4\] takes 48 bytes and has 44"),
    "no numbers": (numbers_of_another_type, r"tensor 'a' of \[3, 4\] takes 12 numbers and has 0"),
    "negative size": (negative, r"tensor 'a' of \[-3, -4\] has a negative size"),
    "sizes of nothing": (
        nothing_in_huge_sizes,
        r"tensor 'a' of \[4294967296, 4294967296, 0\] has sizes that no array can have",
    ),
    "no text": (set_attribute(1, equation=b"ab,bc\xff>ac"), "Einsum 'n1': attribute 'equation' is no UTF-8 text"),
    "no equation": (
        set_attribute(1, equation="ab,bc>ac"),
        "Einsum 'n1': attribute 'equation' is 'ab,bc>ac'; expected letters, commas and an arrow, as in 'ij,jk->ik'",
    ),
    "another kind": (set_attribute(0, transB="yes"), "FusedMatMul 'n0': attribute 'transB' is STRING; expected INT"),
    "no function": (
        lambda proto: setattr(proto.graph.node[1].attribute[0], "ref_attr_name", "e"),
        "Einsum 'n1': attribute 'equation' refers to 'e' of a function that is not there",
    ),
    "no device": (
        lambda proto: proto.graph.node[1].device_configurations.add(),
        "Einsum 'n1': a device configuration without an id",
    ),
    "no shards": (
        lambda proto: proto.graph.node[1].device_configurations.add(configuration_id="x").sharding_spec.add(),
        "Einsum 'n1': a device configuration that shards no tensor",
    ),
    "a value that a function does not make": (
        lambda proto: proto.functions.append(function("a", "b", "c")),
        "function 'f': 'b' is read and not made before",
    ),
    "an output that a function does not make": (
        lambda proto: proto.functions.append(function("a", "a", "d")),
        "function 'f': its output 'c' is not made",
    ),
    "an attribute of no type": (
        lambda proto: proto.functions.append(function("a", "a", "c", onnx.AttributeProto(name="mine"))),
        "Neg 'c': attribute 'mine' is of no type",
    ),
    "a graph by default": (
        graph_by_default,
        "function 'f': attribute 'body' is a graph by default; expected a node with that graph",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_model_that_is_broken_within_is_refused_in_one_line(case: str) -> None:
    proto = model(TEXT, imports=', "com.microsoft" : 1')
    assert len(Network.from_proto(proto).layers) == 2
    act, said = BROKEN[case]
    act(proto)
    with pytest.raises(ModelError, match=f"^model 'g': invalid graph: {said}$"):
        Network.from_proto(proto)


def test_what_cannot_be_written_is_told_in_one_line() -> None:
    network = Network.from_proto(model(TEXT, imports=', "com.microsoft" : 1'))
    node = network.graph.node(1)
    node.attributes["odd"] = ir.Attr("odd", ir.AttributeType.UNDEFINED, None)
    with pytest.raises(ModelError, match=r"^model .g.: cannot be written: Unsupported attribute type: UNDEFINED$"):
        network.to_proto()


def test_half_a_byte_a_number_is_counted_as_such() -> None:
    proto = model("g (float[n,3] x) => (float[n,3] y) { y = Relu (x) }", opset=21, ir_version=10)
    proto.graph.initializer.append(
        onnx.TensorProto(name="i", dims=[3], data_type=onnx.TensorProto.INT4, raw_data=bytes(2))
    )
    proto.graph.initializer.append(
        onnx.TensorProto(name="j", dims=[3], data_type=onnx.TensorProto.INT4, int32_data=[1, 2])
    )
    proto.graph.initializer.append(
        onnx.TensorProto(name="c", dims=[2], data_type=onnx.TensorProto.COMPLEX64, float_data=[0] * 4)
    )
    assert Network.from_proto(proto).layers == ()
