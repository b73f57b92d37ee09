"""What a run came to: counts, where the time went, and one hash over everything that happened in RAN time."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranloop.guard import verdict_counts
from ranloop.wire.messages import Report, Result

PASSES_KEPT = 100_000  # of a stage: a live host has no end


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunSummary:
    """The end of a run.

    Attributes:
        steps: Instants at which some xApp had something due.
        ran_time_ns: RAN time when it ended.
        n_reports: Reports that left the nodes.
        outcomes: Targets by what became of them, e.g. {"applied": 700, "refused/conflict": 3, "ended/lease-lapsed": 9}.
        latencies_ns: Stage -> wall-clock duration of each pass, of the last `PASSES_KEPT`: "advance" (the world), "report"
            (building reports), "step" (publish to last answer), "guard" (judging one instant's batches), "apply"
            (what had come due).
        trace_hash: SHA-256 over RAN times, reports and results; no wall clock, no ids, so that it depends on
            scenario, seed and xApps and on nothing else.
        n_timeouts: Answers that did not come in time.
        n_dropped: Messages that could not be used.
        dropped_xapps: xApps that were left behind because they did not answer.
    """

    steps: int
    ran_time_ns: int
    n_reports: int
    outcomes: Mapping[str, int]
    latencies_ns: Mapping[str, NDArray[np.int64]]
    trace_hash: str
    n_timeouts: int = 0
    n_dropped: int = 0
    dropped_xapps: tuple[str, ...] = ()


class Trace:
    """Collects what `RunSummary` tells."""

    def __init__(self) -> None:
        self.n_reports = 0
        self.outcomes: Counter[str] = Counter()
        self._hash = hashlib.sha256()
        self._latencies_ns: dict[str, deque[int]] = {}

    def report(self, report: Report) -> None:
        self.n_reports += 1
        head = (
            report.node,
            report.level,
            report.period_ms,
            report.seq,
            report.ran_time_ns,
            report.ids,
            report.names,
        )
        self._hash.update(repr(head).encode())
        self._hash.update(np.ascontiguousarray(report.block, dtype="<f4").tobytes())

    def result(self, result: Result) -> None:
        self.outcomes.update(verdict_counts(result))
        head = (result.xapp, result.node, result.action, result.ran_time_ns, result.causes)
        self._hash.update(repr(head).encode())
        for column, kind in (
            (result.targets, "<i4"),
            (result.status, "u1"),
            (result.cause, "u1"),
            (result.applied, "<f4"),
        ):
            self._hash.update(np.ascontiguousarray(column, dtype=kind).tobytes())

    def took(self, stage: str, duration_ns: int) -> None:
        self._latencies_ns.setdefault(stage, deque(maxlen=PASSES_KEPT)).append(duration_ns)

    def latencies_ns(self) -> dict[str, NDArray[np.int64]]:
        return {stage: np.array(passes, np.int64) for stage, passes in self._latencies_ns.items()}

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
