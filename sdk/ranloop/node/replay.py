"""Nodes that play back recorded reports: of a run, or of phones on drive tests.

A replay takes no actions: the guard refuses each of them as not supported.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

import numpy as np

from ranloop.errors import NodeError
from ranloop.node.gnettrack import PhoneTrace, read_trace
from ranloop.node.phones import SLOT_NS, PhoneSource, node_names, read_folder
from ranloop.node.port import AnswersAtOnce
from ranloop.node.recorded import read_recording
from ranloop.node.recording import MANIFEST
from ranloop.node.report_table import ReportTable
from ranloop.vocabulary import Action
from ranloop.wire.messages import F32, Catalogue, Report


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
        traces: Node -> phone log, empty for a recorded run; `traces[node].day` is what to split by.
    """

    def __init__(
        self,
        catalogues: Sequence[Catalogue],
        sources: Sequence[Source],
        *,
        slot_ns: int,
        traces: Mapping[str, PhoneTrace] | None = None,
        left_out: Sequence[str] = (),
    ) -> None:
        self._catalogues = tuple(catalogues)
        self._sources = sorted(sources, key=lambda source: source.stream)
        self._streams = {source.stream for source in self._sources}
        self._slot_ns = slot_ns
        self.traces = dict(traces or {})
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
        """The files and parts that are not played, and why: a line each. Damage inside a part is found when its turn comes."""
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


def open_replay(path: Path, *, days: Collection[date] | None = None) -> ReplayWorld:
    """Open a recorded run, a phone's log or a folder of logs as nodes.

    A folder with a `recording.json` is a recorded run. Otherwise it is a G-NetTrack log or a folder of them: one
    node per log, all of them beginning at RAN time 0, named after the file. Logs of a folder that cannot be read are
    warned of and left out.

    Args:
        path: File or folder.
        days: Only logs of these days; for splitting training from evaluation.

    Raises:
        NodeError: Nothing to replay there, or nothing that can be read.
    """
    if (path / MANIFEST).is_file():
        if days is not None:
            raise NodeError(f"{path}: a recorded run has no days to choose from")
        recording = read_recording(path)
        return ReplayWorld(
            recording.catalogues, recording.streams, slot_ns=recording.slot_ns, left_out=recording.left_out
        )
    left_out: Sequence[str] = ()
    if path.is_dir():
        readable, left_out = read_folder(path)
    else:
        readable = [read_trace(path)] if path.is_file() else []
    if not readable:
        raise NodeError(f"{path}: nothing to replay: want a folder with {MANIFEST}, or .csv or .csv.gz logs")
    traces = [trace for trace in readable if days is None or trace.day in days]
    if not traces:
        raise NodeError(f"{path}: no log of {', '.join(sorted(map(str, days or ())))}")
    named = dict(zip(node_names([trace.path for trace in traces]), traces, strict=True))
    sources = [PhoneSource(node, trace) for node, trace in named.items()]
    catalogues = [source.catalogue() for source in sources]
    return ReplayWorld(catalogues, sources, slot_ns=SLOT_NS, traces=named, left_out=left_out)
