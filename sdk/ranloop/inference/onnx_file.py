"""Finds two things in the bytes of an ONNX file that are refused before anything runs: loops, and data of other files.

A `Loop` may go on for ever on some input, and data in a file beside the model is not covered by the hash on the card. The file is
read as the protobuf message that it is, down to the nodes of all graphs. Field numbers are those of onnx.proto3, ModelProto to
TensorProto.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ("refused",)

MAX_FIELDS = 1_000_000  # a second of reading
MAX_DEPTH = 32
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Message -> field -> message that it holds.
_HOLDS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_OP_TYPE, _EXTERNAL_DATA = 4, 13


def refused(content: bytes) -> str:
    """The reason to refuse a file, "" if there is none; onnxruntime refuses a file that is no protobuf message at all."""
    # The two words cannot be there without their bytes, so most files need not be read.
    if b"Loop" not in content and b"location" not in content:
        return ""
    try:
        return next((why for why in _complaints(content) if why), "")
    except IndexError:
        return "it is no whole ONNX file"


def _complaints(content: bytes) -> Iterator[str]:
    left = MAX_FIELDS
    todo = [("Model", 0, len(content), 0)]
    while todo:
        message, at, last, depth = todo.pop()
        if depth > MAX_DEPTH:
            yield "its graphs are nested too deeply"
        for number, wire_type, start, end in _fields(content, at, last):
            left -= 1
            if left < 0:
                yield "it has too many parts to be looked through"
            if wire_type != _BYTES:
                continue
            if message == "Node" and number == _OP_TYPE and content[start:end] == b"Loop":
                yield "it has the operator Loop, which may never end; export it without (a fixed number of steps unrolled)"
            if message == "Tensor" and number == _EXTERNAL_DATA:
                yield "its weights are in another file, which the card's sha256 does not cover; save them in one file"
            if number in _HOLDS[message]:
                todo.append((_HOLDS[message][number], start, end, depth + 1))


def _fields(content: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, start and end of the value of each field of one message."""
    while at < end:
        tag, at = _varint(content, at)
        wire_type, start = tag & 7, at
        if wire_type == _VARINT:
            _, at = _varint(content, at)
        elif wire_type == _BYTES:
            size, start = _varint(content, at)
            at = start + size
        elif wire_type in (_FIXED64, _FIXED32):
            at += 8 if wire_type == _FIXED64 else 4
        else:
            raise IndexError("a wire type that ONNX does not use")
        if at > end:
            raise IndexError("a field that ends after its message")
        yield tag >> 3, wire_type, start, at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80 or shift > 63:
            return value, at
