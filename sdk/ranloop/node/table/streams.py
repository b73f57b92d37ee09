"""Rows of one node and level as a stream of reports, one per granularity period.

How rows get a period:
- The period is the mapping's, or the usual step between two rows of a target, rounded within 1 %.
- A target's rows are counted from its own phase, so rows that come a little early or late are each in their own period.
- RAN time begins at 0 with the node's first row, and a report leaves at the end of its period.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ranloop.errors import NodeError
from ranloop.foreign import one_line
from ranloop.node.report_table import ReportTable
from ranloop.node.table.losses import Loss
from ranloop.node.table.rows import TARGET, Rows, numbered
from ranloop.node.table.source import counted
from ranloop.node.table.values import Dense
from ranloop.vocabulary import ID_COLUMNS

__all__ = ("TableStream", "make_stream")

_NS_PER_MS = 1_000_000
_MOST_TARGETS = 1 << 16  # of one report, as on the wire
I64 = NDArray[np.int64]


@dataclass(slots=True)
class TableStream:
    """A `Source` of a replay: a table that is in memory.

    Attributes:
        losses: What of its rows is not played.
        notes: What else there is to know about its tables: a line each.
    """

    table: ReportTable
    losses: Sequence[Loss] = ()
    notes: Sequence[str] = ()
    left_out: Sequence[str] = ()  # found while it is played
    start_ns: int = field(init=False)
    end_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.start_ns = self.table.times_ns[0] - self.table.period_ms * _NS_PER_MS
        self.end_ns = self.table.times_ns[-1]

    @property
    def stream(self) -> tuple[str, str, int]:
        return self.table.node, str(self.table.level), self.table.period_ms

    def __iter__(self) -> Iterator[tuple[int, ReportTable, int]]:
        return ((time_ns, self.table, index) for index, time_ns in enumerate(self.table.times_ns))


def make_stream(
    node: str, parts: Sequence[Rows], dense: Dense, *, period_ms: int, start_ns: int
) -> TableStream:
    """The stream of all rows of one level.

    Args:
        parts: Of the node's files, in their order; at least one.
        period_ms: 0 finds it.
        start_ns: Time of the node's first row.

    Raises:
        NodeError: Two rows have one target and time, or the period is not clear.
    """
    mapping = parts[0].mapping
    level, where = mapping.level, parts[0].path
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    times = np.concatenate([part.times_ns for part in parts])
    ids = np.concatenate([part.ids for part in parts])
    values = np.concatenate([_in_columns(part, names) for part in parts])
    targets = numbered(ids, level)
    order = np.lexsort((times, targets))  # stable: rows of one target and time stay in the order of the files
    if mapping.repeated == "refuse":
        _refuse_repeated(parts, dense, times, targets, order)
    values = _as_differences(parts[0], names, values, targets, order)
    period = period_ms or _found_period_ms(str(where), times[order], targets[order])
    number = _period_numbers(times - start_ns, targets, period * _NS_PER_MS)
    last = np.lexsort((times, targets, number))
    kept = last[np.append((np.diff(targets[last]) != 0) | (np.diff(number[last]) != 0), True)]
    losses = [loss for part in parts for loss in part.losses]
    if n_repeated := len(times) - len(kept):
        losses.append(Loss(where, n_repeated, "row", "", "a later row of the same target and period counts"))
    kept = kept[np.lexsort((kept, number[kept]))]  # rows of a report in the order of the files
    begins = np.flatnonzero(np.diff(number[kept], prepend=-1))
    ends = np.append(begins[1:], len(kept))
    if (ends - begins).max() > _MOST_TARGETS:
        raise NodeError(f"{where}: more than {_MOST_TARGETS} targets in one period of {period} ms")
    numbers = number[kept][begins]
    table = ReportTable(
        node=node,
        level=level,
        period_ms=period,
        names=names,
        seq=numbers.tolist(),
        times_ns=((numbers + 1) * period * _NS_PER_MS).tolist(),
        start=begins.tolist(),
        stop=ends.tolist(),
        block=np.concatenate([ids[kept], values[kept]], axis=1).astype(np.float32),
        spelt=dense.spelt(level),
    )
    return TableStream(table, losses, [line for part in parts for line in part.notes])


def _in_columns(part: Rows, names: Sequence[str]) -> NDArray[np.float64]:
    block = np.full((len(part), len(names)), np.nan)
    for at, name in enumerate(part.names):
        block[:, names.index(name)] = part.values[:, at]
    return block


def _refuse_repeated(parts: Sequence[Rows], dense: Dense, times: I64, targets: I64, order: I64) -> None:
    same = np.flatnonzero((np.diff(times[order]) == 0) & (np.diff(targets[order]) == 0))
    if not len(same):
        return
    row = int(order[same[0] + 1])
    level = parts[0].mapping.level
    ids = np.concatenate([part.ids for part in parts])[row]
    spelt = dense.spelt(level)
    who = ", ".join(
        f"{column} {one_line(spelt.get(column, {}).get(one, str(one)))}"
        for column, one in zip(ID_COLUMNS[level], ids.tolist(), strict=True)
        if column in TARGET[level]
    )
    moment = datetime.fromtimestamp(times[row] / 1e9, UTC).isoformat(sep=" ").removesuffix("+00:00")
    raise NodeError(
        f"{parts[0].path}: {counted(len(same), 'row')} with the target and time of another one, the first {who} at {moment}; name the "
        'column that tells them apart under [ids] in the mapping, or give repeated = "last"'
    )


def _as_differences(
    part: Rows, names: Sequence[str], values: NDArray[np.float64], targets: I64, order: I64
) -> NDArray[np.float64]:
    """Counters that go on as what they counted since the target's row before; none behind a restart."""
    counting = [
        c.measurement for c in part.mapping.columns.values() if c.cumulative and c.measurement in names
    ]
    for name in counting:
        at = names.index(name)
        column = values[order, at]
        step = np.diff(column, prepend=np.nan)
        step[np.diff(targets[order], prepend=-1) != 0] = np.nan
        step[step < 0] = np.nan
        values[order, at] = step
    return values


def _found_period_ms(where: str, times: I64, targets: I64) -> int:
    """The usual step between two rows of a target, which are sorted by target and time."""
    steps = np.diff(times)[np.diff(targets) == 0]
    steps = steps[steps > 0]
    if not len(steps):
        raise NodeError(
            f"{where}: each target has one row, so the period is not clear; give period_ms in the mapping"
        )
    usual_ns = float(
        np.quantile(steps, 0.2, method="lower")
    )  # rows may be missing, so most steps may be longer
    counts = np.maximum(1, np.round(steps / usual_ns))
    if (np.abs(steps / usual_ns - counts) < 0.15).mean() < 0.8:
        raise NodeError(
            f"{where}: rows come at irregular times, {np.median(steps) / _NS_PER_MS:g} ms apart in the median; give period_ms in "
            "the mapping, or ?period_ms=… behind the path"
        )
    return _round_ms(float(steps.sum() / counts.sum()) / _NS_PER_MS)


def _round_ms(period_ms: float) -> int:
    """The roundest number of milliseconds within 1 % of a period."""
    for step in (1000, 500, 250, 100, 50, 25, 10, 5):
        near = step * round(period_ms / step)
        if near and abs(near / period_ms - 1) <= 0.01:
            return near
    return max(1, round(period_ms))


def _period_numbers(times: I64, targets: I64, period_ns: int) -> I64:
    """Number of the period of each row, counted from each target's own phase; 0 is the first."""
    angle = np.exp(2j * np.pi * ((times % period_ns) / period_ns))
    mean = np.bincount(targets, angle.real) + 1j * np.bincount(targets, angle.imag)
    phase_ns = np.round(np.angle(mean) / (2 * np.pi) * period_ns).astype(np.int64)
    numbers: I64 = np.maximum(0, (times - phase_ns[targets] + period_ns // 2) // period_ns)
    return numbers
