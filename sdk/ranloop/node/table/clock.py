"""Times of a table as nanoseconds since 1970: their format, their zone, and clocks that were set.

How times are read:
- Numbers count from 1970, or from any moment if they are small. RAN time begins with the first row in any case.
- A time that names a zone is exact. A time without one is of the zone of the mapping; without that it is taken as it is.
- In a zone, an hour that comes twice (summer time ends) is told apart by the order of a target's rows.
- Without a zone, one step back of an hour in rows that ascend otherwise is such an hour, or a journey into another zone:
  the rows from there on follow on. A step ahead of an hour may be a pause, so it stays one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ranloop.errors import NodeError
from ranloop.foreign import one_line
from ranloop.node.table.mapping import EPOCH_NS, TimeColumn
from ranloop.node.table.values import is_no_value

__all__ = ("NO_TIME", "Clock", "found_format", "without_double_hours")

I64 = NDArray[np.int64]
NO_TIME = np.iinfo(np.int64).min
_FARTHEST_NS = 1 << 62
HOUR_NS = 3_600_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMATS = (
    "%Y.%m.%d_%H.%M.%S", "%Y/%m/%d %H:%M:%S.%f", "%Y/%m/%d %H:%M:%S", "%Y%m%d_%H%M%S", "%Y%m%d%H%M%S",
    "%d.%m.%Y %H:%M:%S.%f", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M:%S.%f", "%m/%d/%Y %H:%M:%S.%f", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%d/%m/%Y %I:%M:%S %p",
    "%d-%m-%Y %H:%M:%S.%f", "%m-%d-%Y %H:%M:%S.%f", "%d-%m-%Y %H:%M:%S", "%m-%d-%Y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S", "%d %b %Y %H:%M:%S", "%b %d %Y %H:%M:%S", "%a %b %d %H:%M:%S %Y", "%H:%M:%S.%f", "%H:%M:%S",
)  # fmt: skip
_FROM = (
    (1e17, "ns"),
    (1e14, "us"),
    (1e11, "ms"),
    (3e8, "s"),
)  # smallest number that counts from 1970 in this unit
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?")


class Clock:
    """Reads the time column of one file.

    Attributes:
        first: The second reading of a time that came twice, where there is one: shape of all times, else `NO_TIME`.
    """

    def __init__(self, where: str, time: TimeColumn) -> None:
        self._where, self._format = where, time.format
        self._column = " ".join(time.column)
        self._zone = ZoneInfo(time.zone) if time.zone else None
        self._known: dict[object, tuple[int, int]] = {}
        self.is_exact = time.zone != "" or time.format in EPOCH_NS  # whether rows may come in any order

    def read(self, raw: Sequence[object]) -> tuple[I64, I64]:
        """Times in nanoseconds, and their other reading in an hour that comes twice; `NO_TIME` where there is none.

        Raises:
            NodeError: The format is not clear, or the times are in another unit.
        """
        if not self._format:
            self._format = found_format(self._where, self._column, raw)
            self.is_exact = self.is_exact or self._format in EPOCH_NS
        if self._format in EPOCH_NS:
            times = self._numbers(raw)
            return times, np.full(len(times), NO_TIME)
        pairs = np.array([self._known.get(value) or self._text(value) for value in raw], np.int64).reshape(
            -1, 2
        )
        return pairs[:, 0].copy(), pairs[:, 1].copy()

    def _numbers(self, raw: Sequence[object]) -> I64:
        numbers = np.array([_float(value) for value in raw])
        there = np.isfinite(numbers)
        middle = float(np.median(np.abs(numbers[there]))) if there.any() else 0.0
        likely = next((unit for least, unit in _FROM if middle >= least), self._format)
        if likely != self._format:
            raise NodeError(
                f"{self._where}: times such as {middle:.0f} in the column {one_line(self._column)} are not in {self._format} "
                f'since 1970; give format = "{likely}" under [time] in the mapping'
            )
        scaled = np.where(there, numbers, 0.0) * EPOCH_NS[self._format]
        return np.where(there & (np.abs(scaled) < _FARTHEST_NS), np.round(scaled), NO_TIME).astype(np.int64)

    def _text(self, value: object) -> tuple[int, int]:
        """One time; it is remembered, because the rows of a period share it."""
        moment = _moment(value, self._format)
        if moment is None:
            pair = (NO_TIME, NO_TIME)
        elif moment.tzinfo is not None:
            pair = (_ns(moment), NO_TIME)
            self.is_exact = True
        elif self._zone is None:
            pair = (_ns(moment.replace(tzinfo=UTC)), NO_TIME)
        else:
            first, second = (_ns(moment.replace(tzinfo=self._zone, fold=fold)) for fold in (0, 1))
            pair = (first, second if second > first else NO_TIME)
        if len(self._known) >= 1 << 16:
            self._known.clear()
        self._known[value] = pair
        return pair


def found_format(where: str, column: str, raw: Sequence[object]) -> str:
    """The format of times, from some of them.

    Raises:
        NodeError: None is known, or several would do and differ; one line that names the option to give.
    """
    texts = [str(value).strip() for value in raw[:1000] if not is_no_value(value)]
    name = one_line(column)
    if not texts:
        raise NodeError(f"{where}: the time column {name} is empty")
    if all(_NUMBER.fullmatch(text) for text in texts) and not any(len(text) in (14,) for text in texts[:1]):
        numbers = np.abs([_float(text) for text in texts])
        unit = next((unit for least, unit in _FROM if np.median(numbers) >= least), "")
        if not unit:
            raise NodeError(
                f"{where}: times such as {one_line(texts[0], 40)} in the column {name} do not say their unit; give "
                'format = "s", "ms", "us" or "ns" under [time] in the mapping, or ?time_format=… behind the path'
            )
        return unit
    if all(_moment(text, "iso") for text in texts):
        return "iso"
    fitting = [each for each in _FORMATS if all(_moment(text, each) for text in texts)]
    readings: dict[tuple[datetime | None, ...], str] = {}
    for each in fitting:
        readings.setdefault(tuple(_moment(text, each) for text in texts), each)
    if len(readings) > 1:
        told = " or ".join(f'"{each}"' for each in list(readings.values())[:2])
        raise NodeError(
            f"{where}: in times such as {one_line(texts[0], 40)} in the column {name} the day or the month may come first; "
            f"give format = {told} under [time] in the mapping, or ?time_format=… behind the path"
        )
    if not fitting:
        raise NodeError(
            f"{where}: times such as {one_line(texts[0], 40)} in the column {name} are in no known format; give one of "
            'strptime, such as format = "%d.%m.%Y %H:%M:%S", under [time] in the mapping'
        )
    return fitting[0]


def without_double_hours(
    times: I64, other: I64, targets: NDArray[np.intp], *, is_exact: bool
) -> tuple[I64, int]:
    """Times in which no hour comes twice.

    Args:
        times: In nanoseconds, in the order of the file, shape [n].
        other: Their second reading in an hour that comes twice, `NO_TIME` elsewhere, shape [n].
        targets: A number for the target of each row, shape [n].
        is_exact: Whether the times are of a known zone. If not, one step back of an hour is taken as a double hour.

    Returns:
        The times, and in how many targets an hour came twice.
    """
    order = np.argsort(targets, kind="stable")
    mine, second = times[order], other[order]
    begins = np.flatnonzero(np.diff(targets[order], prepend=-1))
    n_double = 0
    for start, stop in zip(begins, [*begins[1:], len(order)], strict=True):
        part = mine[start:stop]
        if is_exact:
            n_double += _told_apart(part, second[start:stop])
        else:
            n_double += _followed_on(part)
    result = np.empty_like(times)
    result[order] = mine
    return result, n_double


def _told_apart(times: I64, other: I64) -> bool:
    """Take the second reading, in place, from where the first one would go back."""
    changed = False
    for row in np.flatnonzero(other != NO_TIME):
        if row and times[row] < times[row - 1]:
            times[row], changed = other[row], True
    return changed


def _followed_on(times: I64) -> bool:
    """Add an hour, in place, behind the only step back if it is one of an hour less the usual pause."""
    steps = np.diff(times)
    back = np.flatnonzero(steps < 0)
    if len(back) != 1:
        return False
    ahead = steps[steps > 0]
    pause_ns = max(60_000_000_000, 1.5 * float(np.median(ahead)) if len(ahead) else 0.0)
    if not -HOUR_NS <= steps[back[0]] <= pause_ns - HOUR_NS:
        return False
    times[back[0] + 1 :] += HOUR_NS
    return True


def _moment(value: object, fmt: str) -> datetime | None:
    if isinstance(value, datetime):
        return value
    text = str(value).strip()
    try:
        if fmt == "iso":
            # `fromisoformat` also takes bare digits, such as 20250301.
            return datetime.fromisoformat(text) if "-" in text or ":" in text else None
        return datetime.strptime(text, fmt)
    except ValueError:
        return None


def _ns(moment: datetime) -> int:
    """Nanoseconds since 1970; `NO_TIME` of a time that is more than a century away."""
    since = moment - _EPOCH
    ns = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
    return ns if abs(ns) < _FARTHEST_NS else NO_TIME


def _float(value: object) -> float:
    try:
        return float(str(value).replace(",", ".")) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return np.nan
