"""Reports as bytes: a header line, a row of counters, the block. The hottest path of the wire.

    {"v":1,"level":"ue",...,"stamps":["counted"],...,"names":["CQI"],...}⏎     the same from period to period
    <int64> <int64> <int64>...                                             seq, ran_time_ns, each of the stamps
    <float32 block>                                                        row-major, rows = targets

The header (names, ids, labels) changes only when a target comes or goes, so both sides remember it: the encoder keeps its
bytes by content, the decoder its content by bytes. Each report then costs one `struct` of counters and one view of the
block. Both memories are bounded. `benchmarks/codec.py` measures this against its floor.
docs/decisions/0001-report-counters.md has the reason why the counters are not JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from struct import Struct
from struct import error as StructError
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from ranloop.errors import WireError
from ranloop.vocabulary import ID_COLUMNS, Level
from ranloop.wire import headers
from ranloop.wire.checking import parse
from ranloop.wire.frame import (
    LITTLE_F32,
    MAX_PAYLOAD_BYTES,
    dense_ids,
    first_line,
    json_line,
)
from ranloop.wire.messages import F32, WIRE_VERSION, Labels, Report
from ranloop.wire.plain import decode_plain_report, is_json

_STREAMS_KEPT = 256
# A header begins with version, level, period, rows and node: enough to guess which known header this one is.
_PREFIX_BYTES = 160
# Width of a row's ids in bytes -> a type that takes them in one go: copying wide items is cheaper than short rows.
_ROW_OF_IDS: dict[int, np.dtype[Any]] = {
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
    12: np.dtype("V12"),
    16: np.dtype("<c16"),
}

_Key = tuple[str, str, Level, int, tuple[str, ...], tuple[str, ...], tuple[int, ...], tuple[str, ...]]


@dataclass(slots=True, eq=False)
class _Stream:
    """A decoder's memory of a header, and the id columns that it last found to be in order."""

    header: bytes  # its newline included
    node: str
    run: str
    level: Level
    period_ms: int
    ids: tuple[str, ...]
    names: tuple[str, ...]
    stamps: tuple[str, ...]
    labels: Labels
    shape: tuple[int, int]
    counters: Struct
    id_type: np.dtype[Any]
    row_bytes: int
    block_at: int
    payload_bytes: int
    checked_ids: bytes = b""


class _Draft:
    """A report whose fields are being set; a change of its class makes it a frozen `Report`.

    A frozen dataclass sets each field through `object.__setattr__`. That takes 2 us for the ten fields of a report, a
    quarter of the decoding time. Both classes have the same slots, so the interpreter allows the change of class.
    """

    __slots__ = tuple(field.name for field in fields(Report))


# Key -> (labels, header, counters). A plain dict: single operations on it are atomic between threads.
_headers: dict[_Key, tuple[Labels, bytes, Struct]] = {}
# First bytes of a payload -> the stream last seen to begin so. Comparing 10 kB of labels is cheaper than hashing them.
_streams: dict[bytes, _Stream] = {}


def encode_report(report: Report) -> bytes:
    block, stamps = report.block, report.stamps
    head = report.node, report.run, report.level, report.period_ms
    key = (*head, report.ids, report.names, block.shape, tuple(stamps))
    known = _headers.get(key)
    # A `Labels` is compared by identity. Other mappings are compared by content, because their owner may change them.
    if known is None or (known[0] is not report.labels and known[0] != report.labels):
        known = _remember(key, report.labels)
    if block.dtype != LITTLE_F32:
        raise ValueError(f"a report's block is float32, not {block.dtype}")
    _, header, counters = known
    try:
        packed = counters.pack(report.seq, report.ran_time_ns, *stamps.values())
    except StructError as error:
        raise ValueError(f"a counter of this report is no 64-bit whole number: {error}") from error
    # Joined as it is where its rows lie one behind the other, which saves a copy. Any: NumPy's stubs hide the buffer.
    rows: Any = block if block.flags.c_contiguous else block.tobytes()
    return b"".join((header, packed, rows))


def _remember(key: _Key, labels: Mapping[str, Mapping[int, str]]) -> tuple[Labels, bytes, Struct]:
    """The header of a stream, checked once by the decoder's own rules."""
    node, run, level, period_ms, ids, names, shape, stamps = key
    if len(shape) != 2 or shape[1] != len(ids) + len(names):
        raise ValueError(
            f"a report with {len(ids)} id columns and {len(names)} measurements has a block {shape}"
        )
    kept = labels if isinstance(labels, Labels) else Labels(labels)
    header = {
        "v": WIRE_VERSION,
        "level": level,
        "period_ms": period_ms,
        "rows": shape[0],
        "node": node,
        "run": run,
    }
    line = json_line(header | {"stamps": stamps, "ids": ids, "names": names, "labels": kept})
    try:
        stream = _read_header(line)
    except WireError as error:
        raise ValueError(f"this cannot be sent: {error}") from error
    if len(_headers) >= _STREAMS_KEPT:
        _headers.clear()
    _headers[key] = known = kept, line, stream.counters
    return known


def decode_report(payload: bytes) -> Report:
    """The report in `payload`, in either form; its block is read-only, of the binary form a view of the bytes.

    Raises:
        WireError: Not a report of wire version 1 within bounds.
    """
    stream = _streams.get(payload[:_PREFIX_BYTES])
    if stream is None or not payload.startswith(stream.header):
        if is_json(payload, "report"):
            return decode_plain_report(payload)
        stream = _learn(payload)
    if len(payload) != stream.payload_bytes:
        raise WireError(_wrong_length(stream, len(payload)))
    counters = stream.counters.unpack_from(payload, len(stream.header))
    seq, ran_time_ns = counters[0], counters[1]
    if seq < 0 or ran_time_ns < 0:
        raise WireError(f"report: seq {seq} and ran_time_ns {ran_time_ns} count from 0")
    block: F32 = np.ndarray(stream.shape, LITTLE_F32, payload, stream.block_at)
    if 1 in np.isinf(block).tobytes():  # a search in bytes: a third of what a NumPy reduction takes
        raise WireError("report: infinity is not a value; no value is NaN")
    # Targets seldom change between two reports: comparing with ids known to be good is cheaper than checking.
    rows = stream.shape[0]
    id_bytes = np.ndarray(rows, stream.id_type, payload, stream.block_at, stream.row_bytes).tobytes()
    if id_bytes != stream.checked_ids:
        dense_ids(block[:, : len(stream.ids)], "report")
        stream.checked_ids = id_bytes
    draft: Any = _Draft()
    draft.node = stream.node
    draft.level = stream.level
    draft.period_ms = stream.period_ms
    draft.seq = seq
    draft.ran_time_ns = ran_time_ns
    draft.ids = stream.ids
    draft.names = stream.names
    draft.block = block
    draft.labels = stream.labels
    draft.run = stream.run
    draft.stamps = MappingProxyType(dict(zip(stream.stamps, counters[2:])))  # noqa: B905 as many as the struct has
    draft.__class__ = Report
    report: Report = draft
    return report


def _wrong_length(stream: _Stream, payload_bytes: int) -> str:
    rows, columns = stream.shape
    return (
        f"report: {len(stream.stamps) + 2} counters and {rows} rows of {columns} float32 take "
        f"{stream.payload_bytes - len(stream.header)} bytes, {payload_bytes - len(stream.header)} follow the header"
    )


def _learn(payload: bytes) -> _Stream:
    """Read a header that is not known yet, and remember it."""
    _, end = first_line(payload, "report")
    stream = _read_header(payload[:end])
    if len(_streams) >= _STREAMS_KEPT:
        _streams.clear()
    _streams[payload[:_PREFIX_BYTES]] = stream
    return stream


def _read_header(line: bytes) -> _Stream:
    """The stream that a header line with its newline describes."""
    header = cast(headers.ReportHeader, parse(headers.REPORT, line[:-1], "report"))
    ids, wanted = tuple(header["ids"]), ID_COLUMNS[header["level"]]
    if ids != wanted:
        raise WireError(f"report: the id columns of level {header['level']} are {wanted}, not {ids[:8]}")
    names, stamps = tuple(header["names"]), tuple(header["stamps"])
    if len(set(names)) != len(names):
        raise WireError("report: a measurement name stands there twice")
    if len(set(stamps)) != len(stamps):
        raise WireError("report: a stamp's name stands there twice")
    counters = Struct(f"<{2 + len(stamps)}q")
    row_bytes, block_at = 4 * (len(ids) + len(names)), len(line) + counters.size
    payload_bytes = block_at + header["rows"] * row_bytes
    if payload_bytes > MAX_PAYLOAD_BYTES:
        raise WireError(f"report of {payload_bytes} bytes; at most {MAX_PAYLOAD_BYTES} are read")
    return _Stream(
        header=line,
        node=header["node"],
        run=header.get("run", ""),
        level=header["level"],
        period_ms=header["period_ms"],
        ids=ids,
        names=names,
        stamps=stamps,
        labels=Labels(header["labels"]),
        shape=(header["rows"], len(ids) + len(names)),
        counters=counters,
        id_type=_ROW_OF_IDS[4 * len(ids)],
        row_bytes=row_bytes,
        block_at=block_at,
        payload_bytes=payload_bytes,
    )
