"""Attributes that are read are what they are read as: text is text, and onnxruntime's ops, which ONNX's checker does
not know, have numbers where ONNX's of the same name have them."""

from __future__ import annotations

from onnx import AttributeProto, ModelProto, NodeProto

from gscompile.onnx_files.einsum import is_equation
from gscompile.onnx_files.op_names import MICROSOFT, STANDARD_DOMAINS
from gscompile.onnx_files.references import called, nodes_in

_ATTRIBUTE_FIELDS = {
    AttributeProto.INT: "transA transB transBatchA transBatchB group axis keepdims start end allowzero hidden_size",
    AttributeProto.INTS: "strides dilations pads perm kernel_shape axes",
    AttributeProto.FLOAT: "alpha beta epsilon",
    AttributeProto.FLOATS: "scales activation_params",
    AttributeProto.STRING: "equation mode auto_pad activation direction",
}
_MESSAGES = {
    AttributeProto.TENSOR: "t",
    AttributeProto.GRAPH: "g",
    AttributeProto.SPARSE_TENSOR: "sparse_tensor",
    AttributeProto.TYPE_PROTO: "tp",
}
_GRAPH_ATTRIBUTES = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
_WANTED = {name: kind for kind, names in _ATTRIBUTE_FIELDS.items() for name in names.split()}


def ill_attribute(proto: ModelProto) -> str | None:
    """What is wrong with the first attribute that is not what it will be read as; None where all are right."""
    for node, _ in nodes_in(proto):
        faults = ((attribute.name, _fault(node, attribute)) for attribute in node.attribute)
        for name, fault in faults:
            if fault is not None:
                return f"{called(node)}: attribute {name!r} {fault}"
    defaults = ((function.name, a) for function in proto.functions for a in function.attribute_proto)
    ill = ((name, a) for name, a in defaults if not a.type or a.type in _GRAPH_ATTRIBUTES or _is_missing(a))
    return next((f"function {name!r}: attribute {a.name!r} is {_by_default(a)}" for name, a in ill), None)


def _by_default(attribute: AttributeProto) -> str:
    return (
        "a graph by default; expected a node with that graph" if attribute.type in _GRAPH_ATTRIBUTES else "of no type"
    )


def _fault(node: NodeProto, attribute: AttributeProto) -> str | None:
    if attribute.type == AttributeProto.UNDEFINED:
        return "is of no type"
    if _is_missing(attribute):
        return f"is {AttributeProto.AttributeType.Name(attribute.type)} and has none"
    wanted = _WANTED.get(attribute.name, attribute.type)
    if node.domain == MICROSOFT and attribute.type != wanted:
        found, name = AttributeProto.AttributeType.Name(attribute.type), AttributeProto.AttributeType.Name(wanted)
        return f"is {found}; expected {name}"
    read = node.domain in STANDARD_DOMAINS or (node.domain == MICROSOFT and attribute.name in _WANTED)
    if read and not all(map(_is_text, [attribute.s, *attribute.strings])):
        return "is no UTF-8 text"
    if read and attribute.name == "equation" and not is_equation(attribute.s.decode()):  # ONNX would read it for ever
        return f"is {attribute.s.decode()!r}; expected letters, commas and an arrow, as in 'ij,jk->ik'"
    return None


def _is_missing(attribute: AttributeProto) -> bool:
    """Whether a message that the type tells of is not there, nor where to find it."""
    field = _MESSAGES.get(attribute.type)
    return field is not None and not attribute.HasField(field) and not attribute.ref_attr_name


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
