"""A frame: a JSON header line that a person can read, then one little-endian float32 block.

    {"v":1,...}⏎            one line of JSON, padded with spaces to a multiple of 8 bytes
    <float32 block>         row-major, rows = targets (a report has int64 counters in front of it: `reports`)

Sizes are bounded here, and every fault becomes a `WireError` of one line. Blocks come back as read-only views of the
payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic_core import to_json

from ranloop.errors import WireError
from ranloop.wire.messages import F32, I32, MAX_ID

MAX_PAYLOAD_BYTES = 1 << 24
MAX_HEADER_BYTES = 1 << 20  # of a report with a label for each of many UEs
# Messages that need far less, so that nobody has to look through a megabyte of padding or of unknown keys.
_HEADER_BYTES = {
    "action batch": 1 << 15,
    "presence": 1 << 16,
    "order": 1 << 12,
    "standing": 1 << 17,
    "admission": 1 << 16,
    "settings": 1 << 15,
    "alarms": 1 << 18,
    "question": 1 << 12,
    "inference": 1 << 12,
}
MAX_ROWS = 1 << 16
ALIGN = 8

LITTLE_F32 = np.dtype("<f4")
# Bit patterns of non-negative float32 order like the numbers; negatives, infinities and NaN lie above all ids.
_MAX_ID_BITS = int(np.float32(MAX_ID).view(np.uint32))


def json_line(header: dict[str, Any]) -> bytes:
    """`header` as one line of JSON, its newline included, padded so that a block may follow it aligned.

    Raises:
        ValueError: A value that JSON cannot carry.
    """
    line = to_json(header, fallback=as_json)
    return line + b" " * (-(len(line) + 1) % ALIGN) + b"\n"


def as_json(value: object) -> object:
    """A NumPy scalar or array, or a mapping that is not a dict, as JSON can carry it."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return dict(value)  # type: ignore[call-overload]  # because a TypeError about any other object is the right answer


def most_header_bytes(what: str) -> int:
    """Bytes that the header of such a message may have; of a message without a block, its bytes."""
    return _HEADER_BYTES.get(what, MAX_HEADER_BYTES)


def within(payload: bytes, most_bytes: int, what: str) -> bytes:
    """`payload`, if it has at most `most_bytes`.

    Raises:
        WireError: It has more.
    """
    if len(payload) > most_bytes:
        raise WireError(f"{what} of {len(payload)} bytes; at most {most_bytes} are read")
    return payload


def first_line(payload: bytes, what: str) -> tuple[bytes, int]:
    """The header line, and the place where the rest begins."""
    within(payload, MAX_PAYLOAD_BYTES, what)
    end = payload.find(b"\n", 0, most_header_bytes(what))
    if end < 0:
        raise WireError(f"{what} without a header line within {most_header_bytes(what)} bytes")
    return payload[:end], end + 1


def matrix(payload: bytes, start: int, rows: int, columns: int, what: str) -> F32:
    """The block from `start` to the end of `payload`, shape [rows, columns], read-only."""
    if len(payload) - start != rows * columns * 4:
        raise WireError(
            f"{what}: {rows} rows of {columns} float32 take {rows * columns * 4} bytes, "
            f"{len(payload) - start} follow the header"
        )
    return np.ndarray((rows, columns), LITTLE_F32, payload, start)


def dense_ids(columns: F32, what: str) -> I32:
    """Float32 columns as ids: whole numbers in [0, 2**24), same shape."""
    if columns.size == 0:
        return columns.astype(np.int32)
    if np.maximum.reduce(columns.view(np.uint32), axis=None) < _MAX_ID_BITS:
        ids = columns.astype(np.int32)
        if ids.astype(LITTLE_F32).tobytes() == columns.tobytes():
            return ids
    raise WireError(f"{what}: an id or index is not a whole number from 0 to {MAX_ID - 1}")


def none_infinite(values: F32, what: str) -> None:
    """Refuse infinities. NaN is "no value"; an infinity has no meaning in a report."""
    if 1 in np.isinf(values).tobytes():  # a search in bytes: a third of what a NumPy reduction takes
        raise WireError(f"{what}: infinity is not a value; no value is NaN")


def split_parts(payload: bytes, start: int, lengths: Sequence[int], what: str) -> list[bytes]:
    """The parts that follow a header, by the lengths that it announces."""
    if sum(lengths) != len(payload) - start:
        raise WireError(
            f"{what}: parts of {sum(lengths)} bytes announced, {len(payload) - start} follow the header"
        )
    parts = []
    for length in lengths:
        parts.append(payload[start : start + length])
        start += length
    return parts
