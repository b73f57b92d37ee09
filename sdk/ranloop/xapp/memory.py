"""The memory of an xApp between reports, per UE or per cell: columns beside the rows of a report, or objects.

Each RAN node has a memory of its own. A target is known by its dense id, so its row and its cell may change. A target that no
report has updated for `keep_periods` report periods is forgotten. A node that was restarted is forgotten as a whole: its
reports carry another run, or, without a run, its RAN time went back by more than `keep_periods` periods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranloop.wire.messages import Report
from ranloop.wire.targets import find

__all__ = ("Memory", "Objects", "PerTarget")

KEEP_PERIODS = 3  # a target outlives as many lost reports, as a setting's lease does
_UNTIL = ""  # the column of the RAN times at which targets are forgotten, in nanoseconds
T = TypeVar("T")
Column = NDArray[Any]


def began_anew(report: Report, run: str, newest_ns: int, patience_periods: int = KEEP_PERIODS) -> bool:
    """Whether the report's node was restarted since its reports were of `run`, the newest of this stream at `newest_ns`.

    Reports that name no run begin anew where RAN time goes back by more than `patience_periods` periods.
    """
    if report.run or run:
        return report.run != run
    return report.ran_time_ns < newest_ns - patience_periods * report.period_ms * 1_000_000


@dataclass(slots=True)
class _Node:
    """The memory of one node."""

    run: str
    columns: dict[str, Column]  # shape [n_target, …] each
    ids: Column = field(default_factory=lambda: np.empty(0, np.int32))  # sorted
    newest_ns: dict[tuple[str, int], int] = field(default_factory=dict)  # stream -> RAN time


class Memory:
    """Columns of values, one row per UE or cell that is known.

    Args:
        target: The id column that names a target.
        start: Column name -> the value of a new target: a number, or an array that each target gets one of.
        keep_periods: Number of report periods that a target outlives its last update.
    """

    def __init__(
        self, target: str, start: Mapping[str, ArrayLike], *, keep_periods: int = KEEP_PERIODS
    ) -> None:
        if not start or _UNTIL in start:
            raise ValueError("a memory needs the name and the first value of each thing to remember")
        if type(keep_periods) is not int or keep_periods < 1:
            raise ValueError(f"keep_periods is a whole number of report periods from 1, not {keep_periods!r}")
        self._target = target
        self._keep_periods = keep_periods
        self._start = {name: _single(value) for name, value in start.items()} | {_UNTIL: np.array(0)}
        self._nodes: dict[str, _Node] = {}

    def __len__(self) -> int:
        """Number of targets that are remembered, of all nodes together."""
        return sum(len(node.ids) for node in self._nodes.values())

    def of(self, report: Report) -> dict[str, Column]:
        """The values of the target of each row: new arrays of shape [n_rows, …], by column name.

        The report may be of any level that has the id column: a QoS flow report finds its cells and its UEs.
        """
        now = self._recalled(self._node(report), report.id(self._target), report.ran_time_ns)
        del now[_UNTIL]
        return now

    def update(self, report: Report, **columns: ArrayLike) -> None:
        """Remember these values for the targets of a report's rows; columns left out stay as they are.

        A target that stands in several rows keeps the values of the first. A report older than the newest of its
        stream changes nothing.

        Raises:
            ValueError: A column that the memory does not have, or that is not one value per row.
        """
        if unknown := sorted(columns.keys() - self._start.keys()):
            raise ValueError(
                f"this memory has no {unknown[0]!r}; it has: {', '.join(filter(None, self._start))}"
            )
        node, stream = self._node(report), (report.level, report.period_ms)
        if report.ran_time_ns < node.newest_ns.get(stream, 0):
            return
        node.newest_ns[stream] = report.ran_time_ns
        ids, rows = np.unique(report.id(self._target), return_index=True)
        now = self._recalled(node, ids, report.ran_time_ns)
        for name, value in columns.items():
            now[name] = _per_row(name, value, now[name], len(report))[rows]
        lives_until_ns = report.ran_time_ns + self._keep_periods * report.period_ms * 1_000_000
        now[_UNTIL] = np.maximum(now[_UNTIL], lives_until_ns)
        absent = node.columns[_UNTIL] >= report.ran_time_ns
        place, known = find(node.ids, ids)
        absent[place[known]] = False
        if absent.any():
            ids = np.concatenate((node.ids[absent], ids))
            order = np.argsort(ids)
            ids = ids[order]
            now = {
                name: np.concatenate((node.columns[name][absent], values))[order]
                for name, values in now.items()
            }
        node.ids, node.columns = ids, now

    def forget(self, node: str | None = None) -> None:
        """Drop all targets of a node, or of all nodes."""
        if node is None:
            self._nodes.clear()
        else:
            self._nodes.pop(node, None)

    def _node(self, report: Report) -> _Node:
        """The memory of the report's node, a new one if the node was restarted."""
        node = self._nodes.get(report.node)
        if node is not None:
            newest_ns = node.newest_ns.get((report.level, report.period_ms), 0)
            if not began_anew(report, node.run, newest_ns, self._keep_periods):
                return node
        columns = {name: _of_each(value, 0) for name, value in self._start.items()}
        self._nodes[report.node] = node = _Node(report.run, columns)
        return node

    def _recalled(self, node: _Node, ids: Column, now_ns: int) -> dict[str, Column]:
        """Each column for these ids; the start value where nothing is known, or not any more."""
        place, known = find(node.ids, ids)
        if known.any():
            known &= node.columns[_UNTIL][place] >= now_ns
        if known.all():  # as a rule
            return {name: column[place] for name, column in node.columns.items()}
        rows = {name: _of_each(start, len(ids)) for name, start in self._start.items()}
        for name, column in rows.items():
            column[known] = node.columns[name][place[known]]
        return rows


class Objects(Generic[T]):
    """One object of the xApp's own for each UE or cell, kept and forgotten as the columns of a `Memory` are.

    Args:
        target: The id column that names a target.
        factory: Makes the object of a new target.
        keep_periods: Number of report periods that an object outlives the last report that it was asked for.
    """

    def __init__(self, target: str, factory: Callable[[], T], *, keep_periods: int = KEEP_PERIODS) -> None:
        self._target, self._factory = target, factory
        self._memory = Memory(target, {"object": np.array(None)}, keep_periods=keep_periods)
        self.forget = self._memory.forget

    def __len__(self) -> int:
        """Number of targets that are remembered, of all nodes together."""
        return len(self._memory)

    def of(self, report: Report) -> list[T]:
        """The object of the target of each row; rows of one target share it."""
        objects = self._memory.of(report)["object"]
        made: dict[int, T] = {}
        for row, target in enumerate(report.id(self._target).tolist()):
            if objects[row] is None:
                objects[row] = made[target] if target in made else made.setdefault(target, self._factory())
        self._memory.update(report, object=objects)
        return list(objects)


class PerTarget:
    """Makes the memories of one kind of target, as `app.per_ue` and `app.per_cell`.

    `ues = app.per_ue(demand_kbps=nan)` makes columns that start from these values: in a handler, `known = ues.of(report)` gives
    them beside the report's rows, and `ues.update(report, demand_kbps=…)` remembers. `app.per_ue(Phone)` makes one object
    for each UE. A UE that no report of `keep_periods` periods had is forgotten.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._made: list[Memory | Objects[Any]] = []

    def forget(self, node: str | None = None) -> None:
        """Drop all targets of a node, or of all nodes, from every memory of this kind."""
        for memory in self._made:
            memory.forget(node)

    @overload
    def __call__(self, factory: Callable[[], T], /, *, keep_periods: int = KEEP_PERIODS) -> Objects[T]: ...
    @overload
    def __call__(self, /, *, keep_periods: int = KEEP_PERIODS, **start: ArrayLike) -> Memory: ...
    def __call__(
        self,
        factory: Callable[[], T] | None = None,
        /,
        *,
        keep_periods: int = KEEP_PERIODS,
        **start: ArrayLike,
    ) -> Memory | Objects[T]:
        """A memory of columns, or of objects."""
        if factory is not None and start:
            raise TypeError(f"a memory of objects has no columns: leave out {', '.join(start)}")
        made: Memory | Objects[T] = (
            Memory(self._target, start, keep_periods=keep_periods)
            if factory is None
            else Objects(self._target, factory, keep_periods=keep_periods)
        )
        self._made.append(made)
        return made


def _single(value: ArrayLike) -> Column:
    """A start value as an array; a Python float makes a column of float32, as reports have them."""
    return np.array(value, np.float32 if isinstance(value, float) else None)


def _of_each(start: Column, n: int) -> Column:
    """The start value `n` times, shape [n, …]."""
    return np.repeat(start[None], n, axis=0)


def _per_row(name: str, value: ArrayLike, like: Column, n: int) -> Column:
    given = np.asarray(value)
    shape = (n, *like.shape[1:])
    if given.shape != shape or not np.can_cast(given.dtype, like.dtype, "same_kind"):
        raise ValueError(
            f"{name} is remembered as {like.dtype} of the shape {list(shape)} for this report, "
            f"not as {given.dtype} of {list(given.shape)}"
        )
    return given.astype(like.dtype)
