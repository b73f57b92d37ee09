"""The binary messages of the page: reports as float32 columns.

A message is one block behind another, all little-endian:

    uint32   bytes of the head, a multiple of 4
    uint32   rows
    head     JSON, padded with blanks: {"w": world, "node": …, "level": …, "ms": period, "seq": …, "t": RAN time in s,
             "columns": names of the id columns, then of the measurements}
    float32  the columns, one after the other, `rows` values each; NaN = no value
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np
import orjson

from ranloop.wire.messages import Report

__all__ = ("block", "messages")

_HEAD = struct.Struct("<II")
_MOST_BYTES = 1 << 18  # of one message, unless one block alone is larger


def block(report: Report, names: Sequence[str], world: int = 0) -> bytes:
    """A report with these of its measurements as one block."""
    kept = [name for name in names if name in report.names]
    n_ids = len(report.ids)
    columns = [*range(n_ids), *(n_ids + report.names.index(name) for name in kept)]
    head = orjson.dumps(
        {
            "w": world,
            "node": report.node,
            "level": str(report.level),
            "ms": report.period_ms,
            "seq": report.seq,
            "t": report.ran_time_ns / 1e9,
            "columns": [*report.ids, *kept],
        }
    )
    head += b" " * (-len(head) % 4)
    values = np.ascontiguousarray(report.block[:, columns].T, dtype="<f4")
    return _HEAD.pack(len(head), len(report)) + head + values.tobytes()


def messages(blocks: Iterable[bytes]) -> Iterable[bytes]:
    """Blocks put together into messages of some size."""
    waiting: list[bytes] = []
    n_bytes = 0
    for one in blocks:
        if waiting and n_bytes + len(one) > _MOST_BYTES:
            yield b"".join(waiting)
            waiting, n_bytes = [], 0
        waiting.append(one)
        n_bytes += len(one)
    if waiting:
        yield b"".join(waiting)
