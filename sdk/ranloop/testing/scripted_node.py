"""A RAN node whose rows a test writes: what it reports, which UEs leave it, and which changes it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ranloop.guard.rights import StreamRight
from ranloop.node.port import MORTAL, Applied, Stream
from ranloop.testing.made_up import MadeUp
from ranloop.testing.messages import Names, make_report
from ranloop.vocabulary import ACTIONS, Action, Level
from ranloop.wire.messages import F32, FOR_EVER_NS, Catalogue, Report

__all__ = ("ScriptedNode",)

_MS = 1_000_000
_SLOT_NS = 500_000


class ScriptedNode:
    """One node that measures what `streams` read and takes every action.

    It reports made-up values of three cells and six UEs, from a fixed seed, until `show` gives others.

    Args:
        streams: Of a manifest.
        node: Its name.
        cells: Dense id -> name.
    """

    def __init__(
        self,
        streams: Sequence[StreamRight],
        *,
        node: str = "site0",
        cells: Mapping[int, str] | None = None,
    ) -> None:
        self.in_force: dict[tuple[str, tuple[int, ...]], tuple[float, ...]] = {}  # (action, target) -> values
        self._now_ns = self._reported_ns = 0
        self._streams = tuple(streams)
        self._shown: dict[Level, tuple[dict[str, ArrayLike], dict[str, ArrayLike], dict[str, Names]]] = {}
        self._made_up = MadeUp(seed=1, run="")
        self._left: set[int] = set()
        self._here: set[int] = set()  # UEs of the last reports
        self._refusals: list[str] = []
        self._answers: list[Applied] = []
        measured: dict[Level, tuple[str, ...]] = {}
        for stream in streams:
            measured[stream.level] = tuple(
                dict.fromkeys((*measured.get(stream.level, ()), *stream.measurements))
            )
        self._catalogue = Catalogue(
            node=node,
            measurements=measured,
            actions=tuple(sorted(ACTIONS)),
            periods_ms=tuple(sorted({stream.every_ms for stream in streams})),
            cells=dict(cells or {0: "cell-0", 1: "cell-1", 2: "cell-2"}),
            slices={1: "1-000001", 2: "2-000001"},
        )

    def anew(self) -> ScriptedNode:
        """A node that has just started, with the same script."""
        catalogue = self._catalogue
        node = ScriptedNode(self._streams, node=catalogue.node, cells=catalogue.cells)
        node._shown, node._left = self._shown, self._left
        return node

    def show(
        self,
        level: Level,
        columns: Mapping[str, ArrayLike],
        ids: Mapping[str, ArrayLike] | None = None,
        labels: Mapping[str, Names] | None = None,
    ) -> None:
        """Report these rows at a level from now on; measurements that are left out have no value."""
        self._shown[level] = dict(columns), dict(ids or {}), dict(labels or {})

    def leave(self, ues: Sequence[int]) -> None:
        """Let UEs leave: they are in no report any more, and no action reaches them."""
        self._left |= set(ues)
        self._here -= set(ues)

    def refuse(self, reason: str, n: int) -> None:
        """Do nothing of the next `n` changes, for this reason."""
        self._refusals += [reason] * n

    # The node port

    @property
    def catalogues(self) -> Sequence[Catalogue]:
        return (self._catalogue,)

    @property
    def now_ns(self) -> int:
        return self._now_ns

    @property
    def end_ns(self) -> int:
        return FOR_EVER_NS

    def last_until(self, end_ns: int) -> int:
        """Its end: it lasts for as long as it is asked to."""
        return end_ns

    @property
    def slot_ns(self) -> int:
        return _SLOT_NS

    def next_report_ns(self) -> int:
        periods_ns = [period * _MS for period in self._catalogue.periods_ms]
        return min(((self._now_ns // ns + 1) * ns for ns in periods_ns), default=FOR_EVER_NS)

    def advance(self, until_ns: int) -> None:
        self._now_ns = until_ns

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        if self._reported_ns == self._now_ns:
            return []
        self._reported_ns = self._now_ns
        due = [stream for stream in self._streams if self._now_ns % (stream.every_ms * _MS) == 0]
        reports = [self._without_those_that_left(self._report(stream)) for stream in due]
        self._here = {
            ue for report in reports if "ue" in report.ids for ue in report.ue.tolist()
        } or self._here
        node = self._catalogue.node
        return [
            report.only(tuple(name for name in report.names if name in wanted[key]))
            for report in reports
            if (key := (node, str(report.level), report.period_ms)) in wanted
        ]

    def _report(self, stream: StreamRight) -> Report:
        node, seq = self._catalogue.node, self._now_ns // (stream.every_ms * _MS) - 1
        if stream.level not in self._shown:
            return self._made_up.report(stream, seq, node=node)
        columns, ids, labels = self._shown[stream.level]
        n = len(np.atleast_1d(np.asarray(next(iter(columns.values()), ()))))
        every = {name: columns.get(name, np.full(n, np.nan)) for name in stream.measurements}
        return make_report(
            every, level=stream.level, ids=ids, labels=labels, node=node, period_ms=stream.every_ms, seq=seq
        )

    def _without_those_that_left(self, report: Report) -> Report:
        if not self._left or "ue" not in report.ids:
            return report
        return replace(report, block=report.block[~np.isin(report.ue, sorted(self._left))])

    def hand_over(self, node: str, number: int, action: Action, *, atomic: bool = False) -> None:
        values = action.parameters()
        reasons = dict.fromkeys(range(len(action)), self._refusals.pop(0)) if self._refusals else {}
        gone = np.zeros(len(action), np.bool_)
        for column, ids in zip(action.spec.targets, action.targets().T, strict=True):
            if column in MORTAL:
                gone |= self.hosts(node, column, ids.astype(np.float32)) == 0
        if reasons or (atomic and gone.any()):
            gone[:] = True
        lows = np.array([parameter.low for parameter in action.spec.parameters], np.float32)
        own = np.where(np.isfinite(lows), lows, 0)  # of the node's own configuration
        values = np.where(np.isnan(values), own, values)
        values[gone] = np.nan
        for target, row in zip(action.targets()[~gone].tolist(), values[~gone].tolist(), strict=True):
            self.in_force[action.spec.name, tuple(target)] = tuple(row)
        self._answers.append(Applied(node, number, values, reasons))

    def answers(self) -> list[Applied]:
        answers, self._answers = self._answers, []
        return answers

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        known = sorted(self._here) if column == "ue" else list(self._catalogue.cells)
        return np.isin(ids, known).astype(np.float32)

    def close(self) -> None:
        """Do nothing: the node holds no resources."""
