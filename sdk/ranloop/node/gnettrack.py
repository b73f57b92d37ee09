"""G-NetTrack Pro logs: what one phone measured, one row a second, as a CSV file, plain or gzip-compressed.

How a log is read:
- The clock has whole seconds. Where a second has several rows the last one counts: it is the newest reading.
- A second without a row is a gap and stays one. Rows whose time goes back are left out and counted.
- A clock that goes back by more than a minute, or ahead by more than a day, was set: the rows from there on are a later
  part, a minute after the row before. How long the phone paused is not known. `n_clock_set` counts the parts.
- `-`, an empty field and text where a number belongs are *no value*. So is a number outside the catalogue's range of
  its measurement (the app writes 2147483647 for "unknown"); those are counted.
- Bytes that are not UTF-8 are taken as Latin-1: they stand in the operator's name, which is not read.
- A gzip file that breaks off gives the whole rows before the break, and `truncated` is set.
- The file is read line by line. Its text, a line and the number of lines have bounds.

What is left out: position, operator, ping statistics and the hexadecimal cell identities.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import numpy as np
import structlog

from ranloop.errors import NodeError
from ranloop.node.bounded_lines import BoundedLines
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
_MAX_CELLS, _MAX_NAME = 4096, 64  # of one log; characters of a cell's identity
_SHOWN = 200  # characters of a foreign table's columns
_SET_BACK_S, _SET_AHEAD_S = 60, 86_400
_GAP_S = 60  # after the clock was set: longer than xApps look back


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
        n_clock_set: How often the clock was set; each time begins a part.
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
    n_clock_set: int = 0
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
        NodeError: Not a G-NetTrack log, larger than any, or nothing in it can be read.
    """
    lines = BoundedLines(path)
    try:
        with lines:
            rows = csv.reader(lines)
            header = next(rows, [])
            missing = [column for column in _COLUMNS if column not in header]
            if missing:
                raise NodeError(
                    f"{path}: no G-NetTrack log: its columns are {_shown(header)}; it lacks {', '.join(missing)}"
                )
            table = _Table(header)
            for row in rows:
                table.add(row)
    except csv.Error as error:
        raise NodeError(f"{path}: no CSV file: {error}") from error
    if len(table.dense) > _MAX_CELLS:
        raise NodeError(f"{path}: more than {_MAX_CELLS} cells in the column {_CELL}; no phone sees so many")
    if table.day is None:
        raise NodeError(f"{path}: no row with a time such as 2019.11.28_07.27.57")
    lost, told = table.lost, ("unreadable", "back", "clock_set")
    if lines.truncated or any(lost[what] for what in told):
        log.warning("trace_read_in_part", path=str(path), truncated=lines.truncated, **lost)
    return PhoneTrace(
        path=path,
        day=table.day,
        seconds=np.array(table.seconds, np.int64),
        values=table.matrix(),
        cells=np.array(table.cells, np.int32),
        cell_names=tuple(table.dense),
        n_repeated=lost["repeated"],
        n_back=lost["back"],
        n_clock_set=lost["clock_set"],
        n_unreadable=lost["unreadable"],
        n_out_of_range=dict(table.out_of_range),
        truncated=lines.truncated,
    )


class _Table:
    """The rows that count, as numbers, and how many of the others there were."""

    def __init__(self, header: Sequence[str]) -> None:
        self._width = len(header)
        self._at = {column: header.index(column) for column in _COLUMNS}
        self._newest = datetime.min  # as the clock has it
        self._second = 0  # since the first row
        self._values = array("d")  # rows of `MEASUREMENTS`, one behind the other
        self.day: date | None = None
        self.seconds: list[int] = []
        self.cells: list[int] = []
        self.dense: dict[str, int] = {}  # the phone's cell identity -> dense id
        self.lost: Counter[str] = Counter()
        self.out_of_range: Counter[str] = Counter()

    def add(self, row: Sequence[str]) -> None:
        moment = _moment(row[self._at[_TIME]]) if len(row) == self._width else None
        if moment is None:
            self.lost["unreadable"] += bool(row)
            return
        ahead_s = 0 if self.day is None else round((moment - self._newest).total_seconds())
        if not -_SET_BACK_S <= ahead_s <= _SET_AHEAD_S:
            self.lost["clock_set"] += 1
            ahead_s = _GAP_S
        elif ahead_s < 0:
            self.lost["back"] += 1
            return
        elif ahead_s == 0 and self.day is not None:
            self.lost["repeated"] += 1
            self.seconds.pop()
            self.cells.pop()
            del self._values[-len(MEASUREMENTS) :]
        self.day = self.day or moment.date()
        self._newest = moment
        self._second += ahead_s
        self.seconds.append(self._second)
        self.cells.append(self.dense.setdefault(row[self._at[_CELL]][:_MAX_NAME], len(self.dense)))
        self._values.extend(_number(row[self._at[column]]) for column in NUMBERS)
        mode, state = row[self._at[_MODE]], row[self._at[_STATE]]
        self._values.append(math.nan if mode in _NO_VALUE else mode == "5G")
        # I idle, D data, V voice, VD voice and data.
        self._values.append(math.nan if state in _NO_VALUE else "D" in state)

    def matrix(self) -> F32:
        """Columns as `MEASUREMENTS`; what is outside the catalogue's range is NaN, and counted."""
        values = np.array(self._values).reshape(-1, len(MEASUREMENTS))
        for column, name in zip(values.T, MEASUREMENTS, strict=True):
            entry = measurement(name)
            outside = (column < entry.low) | (column > entry.high)
            if outside.any():
                self.out_of_range[name] += int(np.count_nonzero(outside))
                column[outside] = np.nan
        return values.astype(np.float32)


def _shown(header: Sequence[str]) -> str:
    """The names of a table's columns, as far as a line of advice has room."""
    names = ", ".join(header) or "none"
    names = names if names.isprintable() else ascii(names)[1:-1]
    return names if len(names) <= _SHOWN else f"{names[:_SHOWN]}…"


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
