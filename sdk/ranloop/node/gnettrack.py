"""G-NetTrack Pro logs: what one phone measured, one row a second, as a CSV file, plain or gzip-compressed.

How a log is read:
- The clock has whole seconds. Where a second has several rows the last one counts: it is the newest reading.
- A second without a row is a gap and stays one. Rows whose time goes back are left out and counted.
- `-`, an empty field and text where a number belongs are *no value*. So is a number outside the catalogue's range of
  its measurement (the app writes 2147483647 for "unknown"); those are counted.
- Bytes that are not UTF-8 are taken as Latin-1: they stand in the operator's name, which is not read.
- A gzip file that breaks off gives the whole rows before the break, and `truncated` is set.

What is left out: position, operator, ping statistics and the hexadecimal cell identities.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import numpy as np
import structlog

from ranloop.errors import NodeError
from ranloop.vocabulary import measurement
from ranloop.wire.messages import F32

log = structlog.get_logger(__name__)

# Column of the log -> measurement, in the same unit.
NUMBERS: Mapping[str, str] = {
    "DL_bitrate": "X.UE.AppThpDl",
    "UL_bitrate": "X.UE.AppThpUl",
    "Speed": "X.UE.Speed",
    "SNR": "X.UE.Snr",
    "RSRP": "RSRP",
    "RSRQ": "RSRQ",
    "CQI": "CQI",
    "RSSI": "X.UE.Rssi",
    "NRxRSRP": "X.UE.NeighbourRsrp",
    "NRxRSRQ": "X.UE.NeighbourRsrq",
}
MEASUREMENTS = (*NUMBERS.values(), "X.UE.NrMode", "X.UE.Downloading")
_TIME, _MODE, _STATE, _CELL = "Timestamp", "NetworkMode", "State", "RAWCELLID"
_COLUMNS = (_TIME, _MODE, _STATE, _CELL, *NUMBERS)
_TIME_FORMAT = "%Y.%m.%d_%H.%M.%S"
_NO_VALUE = ("", "-")
_SHOWN = 200  # characters of a foreign table's columns
_MAX_BYTES = 256 * 1024 * 1024  # of one log, unpacked: a day is 10 MB


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhoneTrace:
    """One log.

    Attributes:
        path: The file.
        day: Local date of its first row: traces of one day share route and radio conditions, so split by it.
        seconds: Seconds since the first row, ascending, shape [n]; gaps stay gaps.
        values: Columns as `MEASUREMENTS`, NaN = no value, shape [n, 12].
        cells: Dense cell id of each row, in the order of appearance, shape [n].
        cell_names: The phone's own cell identity by dense id.
        n_repeated: Rows left out because a later row of the same second counts.
        n_back: Rows left out because their time goes back.
        n_unreadable: Rows left out because they are cut short or have no time.
        n_out_of_range: Values dropped, by measurement.
        truncated: Whether the compressed file broke off.
    """

    path: Path
    day: date
    seconds: np.ndarray[tuple[int], np.dtype[np.int64]]
    values: F32
    cells: np.ndarray[tuple[int], np.dtype[np.int32]]
    cell_names: tuple[str, ...]
    n_repeated: int = 0
    n_back: int = 0
    n_unreadable: int = 0
    n_out_of_range: Mapping[str, int] = field(default_factory=dict)
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.seconds)


def is_trace_name(path: Path) -> bool:
    return path.name.lower().endswith((".csv", ".csv.gz"))


def read_trace(path: Path) -> PhoneTrace:
    """Read one log.

    Raises:
        NodeError: Not a G-NetTrack log, or nothing in it can be read.
    """
    text, truncated = _text(path)
    try:
        header, *rows = csv.reader(io.StringIO(text, newline="")) if text else [[]]
    except csv.Error as error:
        raise NodeError(f"{path}: no CSV file: {error}") from error
    missing = [column for column in _COLUMNS if column not in header]
    if missing:
        raise NodeError(
            f"{path}: no G-NetTrack log: its columns are {_shown(header)}; it lacks {', '.join(missing)}"
        )
    at = {column: header.index(column) for column in _COLUMNS}
    kept: dict[datetime, list[str]] = {}
    lost: Counter[str] = Counter()
    newest = datetime.min
    for row in rows:
        moment = _moment(row[at[_TIME]]) if len(row) == len(header) else None
        if moment is None:
            lost["unreadable"] += bool(row)
        elif moment < newest:
            lost["back"] += 1
        else:
            lost["repeated"] += moment == newest
            kept[moment] = row
            newest = moment
    if not kept:
        raise NodeError(f"{path}: no row with a time such as 2019.11.28_07.27.57")
    trace = _trace(path, kept, at, lost, truncated=truncated)
    if truncated or lost["unreadable"] or lost["back"]:
        log.warning("trace_read_in_part", path=str(path), truncated=truncated, **lost)
    return trace


def _trace(
    path: Path,
    kept: Mapping[datetime, list[str]],
    at: Mapping[str, int],
    lost: Counter[str],
    *,
    truncated: bool,
) -> PhoneTrace:
    start = next(iter(kept))
    rows = list(kept.values())
    out_of_range: Counter[str] = Counter()
    columns = [
        _numbers([row[at[column]] for row in rows], name, out_of_range) for column, name in NUMBERS.items()
    ]
    modes, states = ([row[at[column]] for row in rows] for column in (_MODE, _STATE))
    columns.append(np.array([np.nan if mode in _NO_VALUE else mode == "5G" for mode in modes]))
    # I idle, D data, V voice, VD voice and data.
    columns.append(np.array([np.nan if state in _NO_VALUE else "D" in state for state in states]))
    names = [row[at[_CELL]] for row in rows]
    dense = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return PhoneTrace(
        path=path,
        day=start.date(),
        seconds=np.array([round((moment - start).total_seconds()) for moment in kept], np.int64),
        values=np.column_stack(columns).astype(np.float32),
        cells=np.array([dense[name] for name in names], np.int32),
        cell_names=tuple(dense),
        n_repeated=lost["repeated"],
        n_back=lost["back"],
        n_unreadable=lost["unreadable"],
        n_out_of_range=dict(out_of_range),
        truncated=truncated,
    )


def _shown(header: Sequence[str]) -> str:
    """The names of a table's columns, as far as a line of advice has room."""
    names = ", ".join(header) or "none"
    names = names if names.isprintable() else ascii(names)[1:-1]
    return names if len(names) <= _SHOWN else f"{names[:_SHOWN]}…"


def _numbers(
    fields: Sequence[str], name: str, out_of_range: Counter[str]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """One column; what is no number or outside the catalogue's range is NaN."""
    entry = measurement(name)
    values = np.array([_number(field) for field in fields])
    outside = (values < entry.low) | (values > entry.high)
    if outside.any():
        out_of_range[name] += int(np.count_nonzero(outside))
        values[outside] = np.nan
    return values


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _TIME_FORMAT)
    except ValueError:
        return None


def _text(path: Path) -> tuple[str, bool]:
    """The file's text, and whether its compressed form broke off."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise NodeError(f"{path}: cannot be read: {error.strerror}") from error
    truncated = False
    if raw.startswith(b"\x1f\x8b"):
        raw, truncated = _unpacked(path, raw)
    if len(raw) > _MAX_BYTES:
        raise NodeError(f"{path}: more than {_MAX_BYTES >> 20} MiB of text; split the log")
    if truncated:
        raw = raw[: raw.rfind(b"\n") + 1]  # the last row is cut short
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode(), truncated
    except UnicodeDecodeError:
        return raw.decode("latin-1"), truncated


def _unpacked(path: Path, packed: bytes) -> tuple[bytes, bool]:
    """Everything that can be unpacked, at most a byte more than allowed."""
    whole = bytearray()
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        try:
            while len(whole) <= _MAX_BYTES and (piece := file.read1(1 << 16)):
                whole += piece
        except EOFError:
            return bytes(whole), True
        except (gzip.BadGzipFile, zlib.error) as error:
            raise NodeError(f"{path}: damaged gzip file: {error}") from error
    return bytes(whole), False
