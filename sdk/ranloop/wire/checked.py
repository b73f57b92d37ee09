"""The check of every report before an xApp sees it: values in the catalogue's ranges, and one row per target."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ranloop.errors import WireError
from ranloop.vocabulary import ID_COLUMNS, MEASUREMENTS, Level
from ranloop.wire.messages import F32, Report

__all__ = ("checked",)

# The id columns that together name the target of a row. A UE and its flows are the same in another cell.
_TARGET: dict[Level, tuple[str, ...]] = {
    "cell": ("cell",),
    "ue": ("ue",),
    "slice": ("slice", "cell"),
    "qos_flow": ("ue", "five_qi", "slice"),
    "ue_cell": ("ue", "measured_cell"),
}
_COLUMNS = {level: [ID_COLUMNS[level].index(column) for column in names] for level, names in _TARGET.items()}
_MOST = np.finfo(np.float32).max  # an infinity is out of any range


def checked(report: Report) -> tuple[Report, int]:
    """The report with no value (NaN) wherever its value lies outside the catalogue's range.

    Ranges are compared as float32. For a name that the catalogue does not have, the range is all finite numbers.

    Returns:
        The report, the same object if nothing had to be changed, and the number of values outside their range.

    Raises:
        WireError: Two rows have one target, so the report is malformed.
    """
    if not _differ(report):
        raise WireError(_doubled(report))
    values = report.block[:, len(report.ids) :]
    low, high = _range(report.names)
    outside = values < low  # NaN is neither below nor above
    outside |= values > high
    if 1 not in outside.tobytes():  # a search in bytes takes less than a NumPy reduction
        return report, 0
    block = report.block.copy()
    block[:, len(report.ids) :][outside] = np.nan
    return replace(report, block=block), int(np.count_nonzero(outside))


def _differ(report: Report) -> bool:
    """Whether each row has a target of its own."""
    columns = _COLUMNS[report.level]
    if len(columns) == 1:
        ids = np.sort(report.block[:, columns[0]])
        return 1 not in (ids[1:] == ids[:-1]).tobytes()
    rows = report.block.take(columns, axis=1).view(f"V{4 * len(columns)}")[:, 0].tolist()
    return len(set(rows)) == len(rows)


def _doubled(report: Report) -> str:
    """The target that has several rows."""
    columns = _TARGET[report.level]
    rows = Counter(zip(*(report.id(column).tolist() for column in columns), strict=True))
    target, n_rows = rows.most_common(1)[0]
    named = ", ".join(f"{column} {dense}" for column, dense in zip(columns, target, strict=True))
    return f"{report.level} report of {report.node}: {n_rows} rows have one target, {named}"


@lru_cache(256)  # a stream's names stay the same
def _range(names: tuple[str, ...]) -> tuple[F32, F32]:
    """Lowest and highest value of each measurement, shape [n_names] each."""
    ranges = [(entry.low, entry.high) if (entry := MEASUREMENTS.get(n)) else (-_MOST, _MOST) for n in names]
    low, high = np.array(ranges, np.float64).reshape(-1, 2).clip(-_MOST, _MOST).astype(np.float32).T
    return np.ascontiguousarray(low), np.ascontiguousarray(high)
