"""Routes: places of UEs over time, read from a CSV file with the columns `ue,time_s,x_m,y_m`.

`ue` is the UE row; the lines of one UE follow each other in time. Between two lines a UE moves straight at constant speed;
before its first line it waits there. Nothing limits the speed in the file.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from ran_sim.core.files import MAX_TABLE_BYTES, MAX_TABLE_ROWS, read_bytes
from ran_sim.core.state import F64, I64

MOST_M: Final = 1e6  # from the origin
MOST_S: Final = 1e7  # four months: its slots are exact in float64 and far from the end of int64
COLUMNS: Final = ("ue", "time_s", "x_m", "y_m")


class Routes(NamedTuple):
    """Points of all routes, by UE row and time; a UE row without points has no route."""

    start: I64  # [n_ue + 1] first point of each UE row
    time_s: F64  # [n_point]
    x_m: F64
    y_m: F64
    speed_mps: F64  # [n_ue] mean over the route


def no_routes(n_ue: int) -> Routes:
    """Routes for a network in which no UE has one."""
    nothing = np.zeros(0)
    return Routes(np.zeros(n_ue + 1, np.int64), nothing, nothing, nothing, np.zeros(n_ue))


def load_routes(path: str | Path, n_ue: int) -> Routes:
    """The routes of a file, for a scenario of `n_ue` UE rows.

    Raises:
        ValueError: no such file, or a row that does not fit; one line with the row (the header is row 1).
    """
    try:
        lines = read_bytes(Path(path), MAX_TABLE_BYTES).decode().splitlines()
    except OSError as error:
        raise ValueError(
            f"{path}: got no readable file ({error.strerror}), want a CSV file of {','.join(COLUMNS)}"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: got no text ({error}), want a CSV file of {','.join(COLUMNS)}") from error
    try:
        return _routes(str(path), csv.reader(lines), n_ue)
    except csv.Error as error:
        raise ValueError(f"{path}: got no CSV ({error}), want a CSV file of {','.join(COLUMNS)}") from error


def _routes(path: str, reader: Any, n_ue: int) -> Routes:
    header = tuple(next(reader, ()))
    if header != COLUMNS:
        raise ValueError(f"{path}, row 1: got {_content(header)}, want {','.join(COLUMNS)}")
    rows: list[tuple[int, float, float, float]] = []
    last_s: dict[int, float] = {}
    for row in reader:
        if len(rows) == MAX_TABLE_ROWS:
            raise ValueError(f"{path}: got one more, want at most {MAX_TABLE_ROWS} rows")
        where = f"{path}, row {reader.line_num}"
        ue, time_s, x_m, y_m = _parsed(row, where)
        if not 0 <= ue < n_ue:
            raise ValueError(f"{where}: got ue {ue}, want a UE row, 0 to {n_ue - 1}")
        if time_s < 0.0 or time_s <= last_s.get(ue, -1.0):
            raise ValueError(f"{where}: got time_s {time_s:g}, want times of 0 and up that grow for a ue")
        last_s[ue] = time_s
        rows.append((ue, time_s, x_m, y_m))
    if not rows:
        raise ValueError(f"{path}: got no rows, want at least one")
    table = np.array(sorted(rows))  # by UE, then time
    ue, time_s, x_m, y_m = (column.copy() for column in table.T)
    start = np.searchsorted(ue, np.arange(n_ue + 1)).astype(np.int64)
    speed_mps = np.zeros(n_ue)
    for u in np.flatnonzero(np.diff(start) > 1):
        legs = slice(start[u], start[u + 1])
        way_m = np.hypot(np.diff(x_m[legs]), np.diff(y_m[legs])).sum()
        speed_mps[u] = way_m / np.ptp(time_s[legs])
    return Routes(start, time_s, x_m, y_m, speed_mps)


def _content(row: Sequence[str]) -> str:
    return repr(",".join(row)[:80])


def _parsed(row: list[str], where: str) -> tuple[int, float, float, float]:
    try:
        ue, *numbers = row
        time_s, x_m, y_m = map(float, numbers)
        slot = int(ue)
    except ValueError:
        raise ValueError(
            f"{where}: got {_content(row)}, want a number for each of {','.join(COLUMNS)}"
        ) from None
    if not all(map(math.isfinite, (time_s, x_m, y_m))):
        raise ValueError(f"{where}: got {_content(row)}, want finite numbers")
    if max(abs(x_m), abs(y_m)) > MOST_M or time_s > MOST_S:
        raise ValueError(
            f"{where}: got {_content(row)}, want places within {MOST_M:g} m and times up to {MOST_S:g} s"
        )
    return slot, time_s, x_m, y_m
