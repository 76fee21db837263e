"""Text in a model must be text: protobuf reads any bytes as a name, and hands them on as bytes."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor


def bad_text(message: Any) -> bytes | None:
    """The first name, note or type in an ONNX message that is no UTF-8; None where all are.

    >>> import onnx
    >>> bad_text(onnx.NodeProto.FromString(bytes([0x1A, 1, 0xFF])))
    b'\\xff'
    """
    for field, value in message.ListFields():
        if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE):
            for item in value if hasattr(value, "extend") else [value]:
                found = item if isinstance(item, bytes) else None if isinstance(item, str) else bad_text(item)
                if found is not None:
                    return found
    return None
