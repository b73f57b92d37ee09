"""Looks through the bytes of an ONNX file before anything runs: its operators, loops, and data of other files.

A `Loop` may go on for ever on some input, and data in a file beside the model is not covered by the hash on the card. The file is
read as the protobuf message that it is, down to the nodes of all graphs. Field numbers are those of onnx.proto3, ModelProto to
TensorProto.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product

from ranloop.foreign import one_line
from ranloop.inference.operators import is_allowed

__all__ = ("operators", "refused")

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
_OP_TYPE, _DOMAIN, _EXTERNAL_DATA = 4, 7, 13


def refused(content: bytes, *, allowed_only: bool = False) -> str:
    """The reason to refuse a file, "" if there is none; onnxruntime refuses a file that is no protobuf message at all.

    Args:
        content: The file.
        allowed_only: Also refuse operators that are not on the list of `ranloop.inference.operators`, and functions.
    """
    # The two words cannot be there without their bytes, so most files need not be read.
    if not allowed_only and b"Loop" not in content and b"location" not in content:
        return ""
    try:
        return next((why for why in _complaints(content, Counter(), allowed_only=allowed_only) if why), "")
    except IndexError:
        return "it is no whole ONNX file"


def operators(content: bytes) -> Counter[str]:
    """The operators of all graphs of a file that is not `refused`, each with its number; those of other domains as domain:name."""
    found: Counter[str] = Counter()
    for _ in _complaints(content, found, allowed_only=False):
        pass
    return found


def _complaints(content: bytes, found: Counter[str], *, allowed_only: bool) -> Iterator[str]:
    left = MAX_FIELDS
    todo = [("Model", 0, len(content), 0)]
    while todo:
        message, at, last, depth = todo.pop()
        if depth > MAX_DEPTH:
            yield "its graphs are nested too deeply"
        if message == "Function" and allowed_only:
            yield "it has functions of its own, which hide their operators; export it with functions inlined"
        kinds: list[str] = []
        domains: list[str] = []
        for number, wire_type, start, end in _fields(content, at, last):
            left -= 1
            if left < 0:
                yield "it has too many parts to be looked through"
            if wire_type != _BYTES:
                continue
            if message == "Node" and number in (_OP_TYPE, _DOMAIN):
                (kinds if number == _OP_TYPE else domains).append(_text(content[start:end]))
            if message == "Tensor" and number == _EXTERNAL_DATA:
                yield "its weights are in another file, which the card's sha256 does not cover; save them in one file"
            if number in _HOLDS[message]:
                todo.append((_HOLDS[message][number], start, end, depth + 1))
        # A field may be there twice; readers take the last, and this one looks at each.
        for domain, kind in product(domains or [""], kinds):
            found[_shown(domain, kind)] += 1
            if kind == "Loop":
                yield "it has the operator Loop, which may never end; export it without (a fixed number of steps unrolled)"
            if allowed_only and not is_allowed(domain, kind):
                yield (
                    f"it has the operator {_shown(domain, kind)}, which is not on the list of those that are allowed "
                    "(ranloop.inference.operators); export it with others"
                )


def _shown(domain: str, kind: str) -> str:
    return f"{domain}:{kind}" if domain not in ("", "ai.onnx") else kind


def _text(name: bytes) -> str:
    return one_line(name[:100].decode(errors="replace"), 100)


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
