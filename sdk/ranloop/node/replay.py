"""Nodes that play back recorded reports: of a run, or of tables such as the logs of phones on drive tests.

A replay takes no actions: the guard refuses each of them as not supported.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

import numpy as np
import structlog

from ranloop.errors import NodeError
from ranloop.node.port import AnswersAtOnce
from ranloop.node.recorded import read_recording
from ranloop.node.recording import MANIFEST
from ranloop.node.report_table import ReportTable
from ranloop.node.table import SLOT_NS, TableOptions, open_tables
from ranloop.vocabulary import Action
from ranloop.wire.messages import F32, Catalogue, Report

log = structlog.get_logger(__name__)


class Source(Protocol):
    """One stream: where its reports are, in the order of RAN time. It is gone through once."""

    @property
    def stream(self) -> tuple[str, str, int]: ...

    @property
    def start_ns(self) -> int:
        """When the first period begins."""
        ...

    @property
    def end_ns(self) -> int:
        """RAN time of the last report."""
        ...

    @property
    def left_out(self) -> Sequence[str]:
        """The parts of the stream that are not played, and why: a line each."""
        ...

    def __iter__(self) -> Iterator[tuple[int, ReportTable, int]]:
        """RAN time of each report, its table, and its index in the table."""
        ...


class ReplayWorld(AnswersAtOnce):
    """Implements `NodePort` over sources, whose reports are merged in the order of RAN time as they come due.

    Attributes:
        days: Node -> local date of its first row, which is what to split logs by; empty for a recorded run.
    """

    def __init__(
        self,
        catalogues: Sequence[Catalogue],
        sources: Sequence[Source],
        *,
        slot_ns: int,
        days: Mapping[str, date] | None = None,
        left_out: Sequence[str] = (),
    ) -> None:
        self._catalogues = tuple(catalogues)
        self._sources = sorted(sources, key=lambda source: source.stream)
        self._streams = {source.stream for source in self._sources}
        self._slot_ns = slot_ns
        self.days = dict(days or {})
        self._left_out = tuple(left_out)
        self._end_ns = max((source.end_ns for source in self._sources), default=0)
        self._now_ns = max(0, min((source.start_ns for source in self._sources), default=0))
        self._coming = heapq.merge(*map(_entries, self._sources), key=lambda entry: entry[0])
        self._next = next(self._coming, None)
        self._due: list[tuple[int, tuple[str, str, int], ReportTable, int]] = []  # of `now_ns`

    @property
    def catalogues(self) -> Sequence[Catalogue]:
        return self._catalogues

    @property
    def left_out(self) -> Sequence[str]:
        """What is not played, and why: a line each. Damage inside a part of a recording is found when its turn comes."""
        later = [line for source in self._sources for line in source.left_out]
        return tuple(dict.fromkeys([*self._left_out, *later]))

    @property
    def now_ns(self) -> int:
        return self._now_ns

    @property
    def end_ns(self) -> int:
        return self._end_ns

    def last_until(self, end_ns: int) -> int:
        """As in `NodePort`: a recording ends with its data."""
        return min(end_ns, self.end_ns)

    @property
    def slot_ns(self) -> int:
        return self._slot_ns

    def next_report_ns(self) -> int:
        """When the next report leaves; one slot past the end after the last one."""
        return max(self._end_ns, self._now_ns) + self._slot_ns if self._next is None else self._next[0]

    def advance(self, until_ns: int) -> None:
        if not self._now_ns <= until_ns <= self.next_report_ns():
            raise ValueError(f"cannot advance from {self._now_ns} to {until_ns} ns past a report")
        if until_ns > self._now_ns:
            self._due.clear()
        self._now_ns = until_ns
        while self._next is not None and self._next[0] == until_ns:
            self._due.append(self._next)
            self._next = next(self._coming, None)

    def reports(self, wanted: Mapping[tuple[str, str, int], frozenset[str]]) -> list[Report]:
        """As in `NodePort`.

        Raises:
            NodeError: A stream is wanted that was never recorded.
        """
        missing = sorted(wanted.keys() - self._streams)
        if missing:
            node, level, period_ms = missing[0]
            raise NodeError(f"the recording has no {level} reports of {node} every {period_ms} ms")
        due, self._due = self._due, []
        return [held.report(index, wanted[stream]) for _, stream, held, index in due if stream in wanted]

    def apply(self, node: str, action: Action) -> F32:
        """Nothing can be changed; the guard refuses every action before it comes here."""
        return np.full((len(action), len(action.spec.parameters)), np.nan, np.float32)

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        """No target can be acted on here."""
        return np.zeros(len(ids), np.float32)

    def close(self) -> None:
        """No file is open between two reports."""


def _entries(source: Source) -> Iterator[tuple[int, tuple[str, str, int], ReportTable, int]]:
    """The entries of a source, each with its stream."""
    stream = source.stream
    return ((time_ns, stream, held, index) for time_ns, held, index in source)


def open_replay(
    path: Path, options: TableOptions | None = None, *, days: Collection[date] | None = None
) -> ReplayWorld:
    """Open a recorded run, a table or a folder of tables as nodes.

    A folder with a `recording.json` is a recorded run. Everything else is tables (docs/tables.md). What cannot be read of
    them is warned of and left out.

    Args:
        path: File or folder.
        options: How tables are to be read.
        days: Only nodes whose rows begin on these days; for splitting training from evaluation.

    Raises:
        NodeError: Nothing to replay there, or nothing that can be read.
    """
    if (path / MANIFEST).is_file():
        if days is not None or options not in (None, TableOptions()):
            raise NodeError(f"{path}: a recorded run has no days to choose from, and no options")
        recording = read_recording(path)
        return ReplayWorld(
            recording.catalogues, recording.streams, slot_ns=recording.slot_ns, left_out=recording.left_out
        )
    tables = open_tables(path, options, days=days)
    for line in tables.left_out:
        log.warning("left_out_of_table", reason=line)
    return ReplayWorld(
        tables.catalogues, tables.streams, slot_ns=SLOT_NS, days=tables.days, left_out=tables.left_out
    )
