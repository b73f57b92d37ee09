"""One part of a recording: a Parquet file that a `Recorder` wrote, or that another tool changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ranloop.errors import NodeError
from ranloop.node.recording import EMPTY_KEY, WITHOUT_NAMES, parquet
from ranloop.node.report_table import ReportTable
from ranloop.vocabulary import ID_COLUMNS, MEASUREMENTS, Level
from ranloop.wire.messages import MAX_ID

__all__ = ("DAMAGE", "Part", "load_part", "open_part")

# What pyarrow and JSON raise about bytes that are not what they should be; pyarrow's own errors are children of these.
DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    MemoryError,
    NotImplementedError,
    RecursionError,
)
_MOST_ROWS = 1 << 20  # of one part: a `Recorder` writes 2**16
_MOST_TARGETS = 1 << 16  # of one report, as on the wire
_LONGEST_NAME = 256  # of a target, as on the wire
_COUNTERS = ("seq", "ran_time_ns")


class Part(NamedTuple):
    """A part as its footer describes it."""

    path: Path
    level: Level
    names: tuple[str, ...]
    empty: tuple[tuple[int, int], ...]  # (RAN time, seq) of reports without a row


def open_part(path: Path, level: Level) -> Part:
    """Read the footer of a part.

    Raises:
        NodeError: It does not describe reports of this level.
    """
    _, pq = parquet()
    try:
        with pq.ParquetFile(path) as file:
            return _checked(path, level, file)
    except DAMAGE as error:
        raise NodeError(f"{path}: cut short, changed or no Parquet file at all") from error


def _checked(path: Path, level: Level, file: Any) -> Part:
    pa, _ = parquet()
    schema, n_rows = file.schema_arrow, file.metadata.num_rows
    ids = ID_COLUMNS[level]
    lacking = [column for column in (*_COUNTERS, *ids) if column not in schema.names]
    if lacking:
        raise NodeError(f"{path}: lacks the columns {', '.join(lacking)} of {level} reports")
    if len(set(schema.names)) < len(schema.names):
        raise NodeError(f"{path}: has two columns of one name")
    names = tuple(
        name for name in schema.names if name in MEASUREMENTS and level in MEASUREMENTS[name].levels
    )
    kinds = dict.fromkeys((*_COUNTERS, *ids), ("whole numbers", pa.types.is_integer))
    kinds |= dict.fromkeys(names, ("floating-point numbers", pa.types.is_floating))
    for column, (wanted, is_wanted) in kinds.items():
        kind = schema.field(column).type
        if not is_wanted(kind):
            raise NodeError(f"{path}: column {column} holds {kind}, want {wanted}")
    if n_rows > _MOST_ROWS:
        raise NodeError(f"{path}: {n_rows} rows in one part, at most {_MOST_ROWS} are read; split it")
    empty = json.loads((schema.metadata or {}).get(EMPTY_KEY, b"[]"))
    silent = tuple((int(time_ns), int(seq)) for seq, time_ns in empty)
    if not n_rows and not silent:
        raise NodeError(f"{path}: has no report")
    return Part(path, level, names, silent)


def load_part(part: Part, node: str, period_ms: int, after: tuple[int, int] = (-1, -1)) -> ReportTable:
    """Read the rows of a part.

    Args:
        after: RAN time and sequence number of the report before.

    Raises:
        NodeError: It is damaged, or its reports are no reports.
    """
    _, pq = parquet()
    path, ids = part.path, ID_COLUMNS[part.level]
    named = [f"{column}_name" for column in ids if column not in WITHOUT_NAMES]
    try:
        table = pq.read_table(
            path,
            columns=[*_COUNTERS, *ids, *named, *part.names],
            partitioning=None,
            page_checksum_verification=True,
        ).combine_chunks()
        for column in (*_COUNTERS, *ids):
            if table[column].null_count:
                raise NodeError(f"{path}: column {column} has {table[column].null_count} nulls")
        seq, times_ns, *targets = (table[column].to_numpy().astype(np.int64) for column in (*_COUNTERS, *ids))
        block = np.empty((len(table), len(ids) + len(part.names)), np.float32)
        with np.errstate(over="ignore"):  # a wide number beyond float32 is infinite, so out of any range
            for i, column in enumerate((*ids, *part.names)):
                block[:, i] = table[column].to_numpy()
        spelt = {
            column: _names_of(dense, table[f"{column}_name"])
            for column, dense in zip(ids, targets, strict=True)
            if f"{column}_name" in table.column_names
        }
    except DAMAGE as error:
        raise NodeError(f"{path}: cut short or changed") from error
    if any(((dense < 0) | (dense >= MAX_ID)).any() for dense in targets):
        raise NodeError(f"{path}: an id outside 0 to {MAX_ID - 1}")
    if any(len(name) > _LONGEST_NAME for names in spelt.values() for name in names.values()):
        raise NodeError(f"{path}: a name of more than {_LONGEST_NAME} characters")
    begins = np.flatnonzero(np.diff(seq, prepend=-1) | np.diff(times_ns, prepend=-1)).tolist()
    ends = [*begins[1:], len(seq)]
    rows = zip(times_ns[begins].tolist(), seq[begins].tolist(), begins, ends, strict=True)
    reports = sorted([*rows, *((time_ns, number, 0, 0) for time_ns, number in part.empty)])
    if not (np.diff(times_ns) >= 0).all() or not _ascend([after, *reports]):
        raise NodeError(f"{path}: reports are not in the order of RAN time, each with its rows together")
    times, numbers, start, stop = map(list, zip(*reports, strict=True))
    if max(b - a for a, b in zip(start, stop, strict=True)) > _MOST_TARGETS:
        raise NodeError(f"{path}: more than {_MOST_TARGETS} targets in one report")
    return ReportTable(
        node=node,
        level=part.level,
        period_ms=period_ms,
        names=part.names,
        seq=numbers,
        times_ns=times,
        start=start,
        stop=stop,
        block=block,
        spelt=spelt,
    )


def _ascend(reports: Sequence[tuple[int, ...]]) -> bool:
    """Whether RAN time and sequence number of each report lie above those before."""
    return all(b[0] > a[0] and b[1] > a[1] for a, b in pairwise(reports))


def _names_of(ids: np.ndarray[Any, np.dtype[np.int64]], names: Any) -> dict[int, str]:
    """Dense id -> name, for those that have one."""
    known, at = np.unique(ids, return_index=True)
    spelt = zip(known.tolist(), names.take(at).to_pylist(), strict=True)
    return {dense: name for dense, name in spelt if isinstance(name, str)}
