"""Reports as bytes: a static line, a dynamic line, the block. The hottest path of the wire.

The static line (names, ids, labels) changes only when a target comes or goes, so both sides keep what they made of
it: the encoder by the content that it was made from, the decoder by its bytes. What is left per report is a line of
counters and one view of the block. Both memories are bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import cast

from pydantic_core import to_json

from ranloop.errors import WireError
from ranloop.vocabulary import ID_COLUMNS, Level
from ranloop.wire import headers
from ranloop.wire.frame import (
    ALIGN,
    LITTLE_F32,
    dense_ids,
    first_line,
    json_line,
    matrix,
    none_infinite,
    parse,
)
from ranloop.wire.messages import WIRE_VERSION, Report

_STREAMS_KEPT = 256
# A static line begins with version, level, period, rows and node: enough to guess which known line this one is.
_PREFIX_BYTES = 96

_Labels = Mapping[str, Mapping[int, str]]
_Key = tuple[str, Level, int, tuple[str, ...], tuple[str, ...], tuple[int, ...]]
_PADDING = tuple(b" " * (-n % ALIGN) + b"\n" for n in range(ALIGN))


@dataclass(slots=True, eq=False)
class _Stream:
    """What a decoder keeps of a static line, and the id columns that it last found to be in order."""

    line: bytes  # its newline included
    node: str
    level: Level
    period_ms: int
    ids: tuple[str, ...]
    names: tuple[str, ...]
    labels: _Labels
    rows: int
    checked_ids: bytes = b""


# Key -> (the labels as they were, static line). A plain dict: single operations on it are atomic between threads.
_static_lines: dict[_Key, tuple[_Labels, bytes]] = {}
# First bytes of a payload -> the stream last seen to begin so. Comparing 10 kB of labels is cheaper than hashing them.
_streams: dict[bytes, _Stream] = {}


def encode_report(report: Report) -> bytes:
    block = report.block
    key = (report.node, report.level, report.period_ms, report.ids, report.names, block.shape)
    known = _static_lines.get(key)
    # Compared, not identified: a mapping that its owner changed in place must not be sent as it was.
    static = known[1] if known is not None and known[0] == report.labels else _remember(key, report.labels)
    stamps = ",".join([f"{_quoted(stage)}:{at_ns}" for stage, at_ns in report.stamps.items()])
    dynamic = f'{{"seq":{report.seq},"ran_time_ns":{report.ran_time_ns},"stamps":{{{stamps}}}}}'.encode()
    padding = _PADDING[(len(static) + len(dynamic) + 1) % ALIGN]
    if block.dtype != LITTLE_F32:
        raise ValueError(f"a report's block is float32, not {block.dtype}")
    return b"".join((static, dynamic, padding, block.tobytes()))


@lru_cache(256)
def _quoted(stage: str) -> str:
    return to_json(stage).decode()


def _remember(key: _Key, labels: _Labels) -> bytes:
    """The static line of a stream, checked once by the decoder's own rules."""
    node, level, period_ms, ids, names, shape = key
    if len(shape) != 2 or shape[1] != len(ids) + len(names):
        raise ValueError(
            f"a report with {len(ids)} id columns and {len(names)} measurements has a block {shape}"
        )
    kept = {column: dict(names_of) for column, names_of in labels.items()}
    header = {"v": WIRE_VERSION, "level": level, "period_ms": period_ms, "rows": shape[0], "node": node}
    line = json_line(header | {"ids": ids, "names": names, "labels": kept})
    try:
        _parse_static(line[:-1])
    except WireError as error:
        raise ValueError(f"this cannot be sent: {error}") from error
    if len(_static_lines) >= _STREAMS_KEPT:
        _static_lines.clear()
    _static_lines[key] = (kept, line)
    return line


def decode_report(payload: bytes) -> Report:
    """The report in `payload`; its block is a read-only view of the bytes.

    Raises:
        WireError: Not a report of wire version 1 within bounds.
    """
    stream = _streams.get(payload[:_PREFIX_BYTES])
    if stream is None or not payload.startswith(stream.line):
        stream = _learn(payload)
    line, start = first_line(payload, "report", len(stream.line))
    dynamic = cast(headers.ReportDynamic, parse(headers.REPORT_DYNAMIC, line, "report"))
    n_ids = len(stream.ids)
    block = matrix(payload, start, stream.rows, n_ids + len(stream.names), "report")
    none_infinite(block, "report")
    # Targets seldom change between two reports: comparing with ids known to be good is cheaper than checking.
    id_bytes = block[:, :n_ids].tobytes()
    if id_bytes != stream.checked_ids:
        dense_ids(block[:, :n_ids], "report")
        stream.checked_ids = id_bytes
    return Report(
        node=stream.node,
        level=stream.level,
        period_ms=stream.period_ms,
        seq=dynamic["seq"],
        ran_time_ns=dynamic["ran_time_ns"],
        ids=stream.ids,
        names=stream.names,
        block=block,
        labels=stream.labels,
        stamps=MappingProxyType(dynamic["stamps"]),
    )


def _learn(payload: bytes) -> _Stream:
    """Read a static line that is not known yet, and keep what it says."""
    line, start = first_line(payload, "report")
    header = _parse_static(line)
    stream = _Stream(
        line=payload[:start],
        node=header["node"],
        level=header["level"],
        period_ms=header["period_ms"],
        ids=tuple(header["ids"]),
        names=tuple(header["names"]),
        labels=MappingProxyType(
            {column: MappingProxyType(names) for column, names in header["labels"].items()}
        ),
        rows=header["rows"],
    )
    if len(_streams) >= _STREAMS_KEPT:
        _streams.clear()
    _streams[payload[:_PREFIX_BYTES]] = stream
    return stream


def _parse_static(line: bytes) -> headers.ReportStatic:
    header = cast(headers.ReportStatic, parse(headers.REPORT_STATIC, line, "report"))
    ids, wanted = tuple(header["ids"]), ID_COLUMNS[header["level"]]
    if ids != wanted:
        raise WireError(f"report: the id columns of level {header['level']} are {wanted}, not {ids[:8]}")
    if len(set(header["names"])) != len(header["names"]):
        raise WireError("report: a measurement name stands there twice")
    return header
