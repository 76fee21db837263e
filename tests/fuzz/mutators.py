"""Changes to a file that leave its form whole, so that fuzzing gets behind the parser: a protobuf message, JSON, TOML
or a zip of arrays with one thing in it replaced, repeated or taken away.

Bytes changed at random are mostly refused at once: a length no longer fits, a checksum is wrong. Here the form is
read, changed and written again; what is not understood is changed as bytes. The same seed makes the same change.
"""

from __future__ import annotations

import io
import json
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

Raw = Callable[[bytes, int], bytes]  # any change of bytes, to at most so many
WHOLE = (
    0,
    1,
    -1,
    2,
    3,
    7,
    64,
    127,
    255,
    4096,
    65_535,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32,
    2**63 - 1,
    -(2**63),
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 3e38, float("inf"), float("-inf"), float("nan"))
OPS = "Gemm MatMul Conv ConvTranspose LSTM GRU RNN Einsum Gather Add Mul Relu Reshape Transpose Identity Cast Squeeze"
OPS += " Unsqueeze Concat Split Slice Pad Constant ConstantOfShape Shape Expand Tile If Loop Scan BatchNormalization"
OPS += " DequantizeLinear QuantizeLinear MaxPool Flatten Softmax Where Range Attention MatMulNBits FusedMatMul"
WORDS = (
    "",
    ".",
    "..",
    "../secret",
    "/etc/passwd",
    "w.bin",
    "ü\n",
    "x" * 300,
    "\0",
    "a/b",
    "__class__",
    *OPS.split(),
)
TYPES = ("<f4", "<f8", "<i8", "|i1", "|b1", "|O", "<U4", "<M8[s]", "|V3", ">f2", "<c8", "[('a', '<f4')]")
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    "",
    "0:2",
    "0:99999999999",
    [],
    {},
    [[]],
    1e308,
    -1.5,
    "1 um",
    "9" * 5000,
    *WHOLE,
)


def model(data: bytes, most: int, rng: random.Random, raw: Raw) -> bytes:
    """An ONNX message with one to three of its fields changed."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        return raw(data, most)
    for _ in range(rng.randint(1, 3)):
        _change_message(rng.choice([*_messages(proto)]), proto, rng, raw)
    return bytes(proto.SerializeToString())


def _messages(message: Message) -> Iterator[Message]:
    """The message and all that it holds."""
    yield message
    for field, value in message.ListFields():
        if field.message_type:
            for inner in value if field.is_repeated else [value]:
                yield from _messages(inner)


def _change_message(message: Message, whole: Message, rng: random.Random, raw: Raw) -> None:
    present = [field for field, _ in message.ListFields()]
    field = rng.choice(present if present and rng.random() < 0.8 else message.DESCRIPTOR.fields)
    if rng.random() < 0.1:
        message.ClearField(field.name)
    elif field.is_repeated:
        _change_list(message, field, whole, rng, raw)
    elif field.message_type:
        _copy_one(getattr(message, field.name), whole, rng)
    else:
        setattr(message, field.name, _value(field, getattr(message, field.name), whole, rng, raw))


def _change_list(message: Message, field: FieldDescriptor, whole: Message, rng: random.Random, raw: Raw) -> None:
    """Take an element of a repeated field away, move it, add one or change one."""
    values, act = getattr(message, field.name), rng.randrange(4)
    at = rng.randrange(len(values)) if values else None
    if at is not None and act == 0:
        del values[at]
    elif at is not None and act == 1:
        kept = [*values]
        rng.shuffle(kept)
        del values[:]
        values.extend(kept)
    elif field.message_type:
        _copy_one(values.add(), whole, rng)
    elif at is None or act == 2:
        values.append(_value(field, values[at] if at is not None else field.default_value, whole, rng, raw))
    else:
        values[at] = _value(field, values[at], whole, rng, raw)


def _copy_one(message: Message, whole: Message, rng: random.Random) -> None:
    """Make a message what another of its type is."""
    of_type = [m for m in _messages(whole) if m.DESCRIPTOR is message.DESCRIPTOR and m.ByteSize() < 2000]
    if of_type:
        message.CopyFrom(onnx_copy(rng.choice(of_type)))


def onnx_copy(message: Message) -> Message:
    """A copy, for a message may lie within the one that is overwritten."""
    twin = type(message)()
    twin.CopyFrom(message)
    return twin


def _value(field: FieldDescriptor, now: Any, whole: Message, rng: random.Random, raw: Raw) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return raw(bytes(now or b""), 256) if rng.random() < 0.7 else rng.choice(WORDS).encode()
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return rng.choice([*_texts(whole), *WORDS])
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice(FLOATS)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return rng.choice([value.number for value in field.enum_type.values])
    bits, signed = _width(field)
    wanted = rng.choice([*WHOLE, int(now or 0) + 1, int(now or 0) - 1, rng.randrange(40)]) % 2**bits
    return wanted - 2**bits if signed and wanted >= 2 ** (bits - 1) else wanted


def _width(field: FieldDescriptor) -> tuple[int, bool]:
    """Bits of a whole number, and whether it may be negative."""
    kind = field.cpp_type
    bits = 32 if kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 64
    return bits, kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)


def _texts(whole: Message) -> Iterator[str]:
    """Every name in the model."""
    for message in _messages(whole):
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_STRING:
                texts = value if field.is_repeated else [value]
                yield from (text for text in texts if isinstance(text, str))  # what is no UTF-8 comes as bytes


def tree(data: bytes, most: int, rng: random.Random, raw: Raw) -> bytes:
    """JSON with one to three of its values changed."""
    try:
        root = [json.loads(data)]
    except (ValueError, RecursionError):
        return raw(data, most)
    for _ in range(rng.randint(1, 3)):
        _change_tree(root, rng)
    try:
        return json.dumps(root[0]).encode("utf-8", "replace") if root else b""
    except (ValueError, RecursionError):  # a branch was put below itself
        return raw(data, most)


def _change_tree(root: list[Any], rng: random.Random) -> None:
    places = [*_places(root)]
    if not places:
        return
    where, key = rng.choice(places)
    act, other, into = rng.randrange(4), rng.choice(places), rng.choice(places)
    if act == 0:
        del where[key]
    elif act == 1:
        where[key] = json.loads(json.dumps(other[0][other[1]]))
    elif act == 2 and isinstance(into[0], list):
        into[0].append(json.loads(json.dumps(where[key])))
    else:
        where[key] = rng.choice([*VALUES, *WORDS])


def _places(held: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a tree, as what holds it and its key there."""
    keys = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    for key, value in keys:
        yield held, key
        yield from _places(value)


def lines(data: bytes, _: int, rng: random.Random, raw: Raw) -> bytes:
    """Text in lines `key = value` with one to three of them changed, moved, repeated or left out."""
    found = data.split(b"\n")
    for _ in range(rng.randint(1, 3)):
        at, act = rng.randrange(len(found)), rng.randrange(5)
        key, equals = found[at].partition(b"=")[:2]
        if act == 0 and len(found) > 1:
            del found[at]
        elif act == 1:
            found.insert(rng.randrange(len(found) + 1), found[at])
        elif act == 2:
            found[at] = key + equals + b" " + _toml(rng)
        elif act == 3:
            found[at] = key + equals + rng.choice(found).partition(b"=")[2]
        else:
            found[at] = raw(found[at], 200)
    return b"\n".join(found)


def _toml(rng: random.Random) -> bytes:
    text = json.dumps(rng.choice([*VALUES, *WORDS, "8x8", "0x0", "99999999999x1", "rank-clip:epsilon=nan", "-1 s"]))
    return rng.choice([text, f"[{text}]", f"{{value = {text}}}", "nan", "inf", "1979-05-27"]).encode("utf-8", "replace")


def archive(data: bytes, most: int, rng: random.Random, raw: Raw) -> bytes:
    """A zip of arrays with one of them changed, its checksum right again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            members = [(info.filename, file.read(info)) for info in file.infolist() if info.file_size < 1 << 20]
    except Exception:  # not a whole one
        return raw(data, most)
    if not members or rng.random() < 0.2:
        return raw(data, most)
    at = rng.randrange(len(members))
    name, held = members[at]
    members[at] = (name, _array(held, rng, raw)) if rng.random() < 0.8 else (rng.choice(WORDS) + ".npy", held)
    if rng.random() < 0.1:
        members.append(rng.choice(members))
    return _zipped(members, rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))


def _array(held: bytes, rng: random.Random, raw: Raw) -> bytes:
    """An .npy with a word of its header exchanged, or its bytes changed, the header's length right again."""
    if held[:6] != b"\x93NUMPY" or len(held) < 12 or rng.random() < 0.3:
        return raw(held, 2048)
    end = 10 + int(struct.unpack_from("<H", held, 8)[0])
    header, rest = held[10:end].decode("latin-1"), held[end:]
    size, kind = rng.choice(["", "0,", "-1,", "3,", "5, 3", "99999999999,", "2, " * 70]), rng.choice(TYPES)
    change = rng.randrange(4)
    if change == 0:
        header = re.sub(r"'shape': *\([^)]*\)", f"'shape': ({size})", header)
    elif change == 1:
        header = re.sub(r"'descr': *'[^']*'", f"'descr': {kind if kind[0] == '[' else repr(kind)}", header)
    elif change == 2:
        header = header.replace("False", rng.choice(["True", "0", "None", "(" * 200]))
    else:
        rest = raw(rest, 512)
    text = header.encode("latin-1")
    return held[:8] + struct.pack("<H", len(text)) + text + rest


def _zipped(members: list[tuple[str, bytes]], how: int) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two of one name
        with zipfile.ZipFile(file, "w", how) as archive:
            for name, held in members:
                archive.writestr(zipfile.ZipInfo(name or "x.npy"), held, how)
    return file.getvalue()


def pair(data: bytes, most: int, rng: random.Random, raw: Raw) -> bytes:
    """JSON and a zip, an empty line between them, one of them changed."""
    text, between, rest = data.partition(b"\n\n")
    if rng.random() < 0.6:
        return tree(text, most, rng, raw) + between + rest
    return text + between + archive(rest, most, rng, raw)


Mutator = Callable[[bytes, int, random.Random, Raw], bytes]
MUTATORS: dict[str, Mutator] = {
    "model": model, "samples": archive, "tiles": archive, "target": lines, "config": lines, "netlist": tree,
    "report": tree, "pair": pair,
}  # fmt: skip


def mutated(name: str, data: bytes, most: int, seed: int, raw: Raw) -> bytes:
    """A changed file for the harness of that name, of at most `most` bytes."""
    rng = random.Random(seed)
    try:
        changed = raw(data, most) if rng.random() < 0.15 else MUTATORS[name](data, most, rng, raw)
    except UnicodeError:  # of a message with text that is none; protobuf reads it and does not write it
        changed = raw(data, most)
    return changed if len(changed) <= most else raw(data, most)
