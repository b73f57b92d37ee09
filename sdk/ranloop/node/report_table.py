"""Reports of one stream in memory, as one block of rows, from which a replay takes them one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranloop.vocabulary import ID_COLUMNS, Level
from ranloop.wire.messages import F32, Labels, Report

__all__ = ("ReportTable",)


@dataclass(slots=True, eq=False, kw_only=True)
class ReportTable:
    """Report `i` has the rows `start[i]` to `stop[i]` of the block.

    Attributes:
        seq: Of each report, ascending.
        times_ns: RAN time of each report, ascending.
        block: Id columns, then measurements as `names`, shape [n_rows, n_ids + n_names].
        spelt: Id column -> {dense id: the node's own name}.
    """

    node: str
    level: Level
    period_ms: int
    names: tuple[str, ...]
    seq: Sequence[int]
    times_ns: Sequence[int]
    start: Sequence[int]
    stop: Sequence[int]
    block: F32
    spelt: Mapping[str, Mapping[int, str]]
    _wanted: frozenset[str] | None = None
    _kept: tuple[str, ...] = ()
    _columns: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    _ids: bytes | None = None
    _labels: Labels = field(default_factory=lambda: Labels({}))

    def report(self, index: int, names: frozenset[str]) -> Report:
        """One report, with those of `names` that there are; its labels name the targets in its rows."""
        if names != self._wanted:
            n_ids = len(ID_COLUMNS[self.level])
            kept = [i for i, name in enumerate(self.names) if name in names]
            self._wanted, self._kept = names, tuple(self.names[i] for i in kept)
            self._columns = np.array([*range(n_ids), *(n_ids + i for i in kept)], np.intp)
        rows = self.block[self.start[index] : self.stop[index]]
        return Report(
            node=self.node,
            level=self.level,
            period_ms=self.period_ms,
            seq=self.seq[index],
            ran_time_ns=self.times_ns[index],
            ids=ID_COLUMNS[self.level],
            names=self._kept,
            block=rows.take(self._columns, axis=1),
            labels=self._labels_of(rows),
        )

    def _labels_of(self, rows: F32) -> Labels:
        """The same object for as long as the targets are the same: the codec knows it by identity."""
        ids = ID_COLUMNS[self.level]
        key = rows[:, : len(ids)].tobytes()
        if key != self._ids:
            named: dict[str, dict[int, str]] = {}
            for column, dense in zip(ids, rows.T[: len(ids)].astype(np.int32).tolist(), strict=True):
                spelt: Mapping[Any, str] = self.spelt.get(column, {})
                if own := {one: spelt[one] for one in dense if one in spelt}:
                    named[column] = own
            self._ids, self._labels = key, Labels(named)
        return self._labels
