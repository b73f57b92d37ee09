"""What a run came to: counts, where the time went, and in lockstep one hash over everything that happened in RAN time."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ranloop.durations import Durations
from ranloop.guard.fates import Fates, Told
from ranloop.node.outlets import Event
from ranloop.wire.messages import Report, Result

PASSES_KEPT = 100_000  # of a stage: a live host has no end


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunSummary:
    """The end of a run.

    Attributes:
        ran_time_ns: RAN time when it ended.
        n_reports: Reports that left the nodes.
        outcomes: Targets by what became of them, e.g. {"applied": 700, "refused/conflict": 3, "ended/lease-lapsed": 9}.
        fates: The same per xApp and action, each with a text of the guard.
        latencies_ns: Stage -> wall-clock duration of each pass, of the last `PASSES_KEPT`: "advance" (the nodes), "apply"
            (changes that were due), "report" (building reports), "guard" (judging batches), in lockstep "step" (publish to
            last answer).
        n_dropped: Messages that could not be used.
        n_outside: Values outside their catalogue range, which became no value.
        n_not_shown: Events that an outlet was too slow for.
        steps: In lockstep, instants at which some xApp had something due.
        trace_hash: In lockstep, SHA-256 over RAN times, reports and results; no wall clock, no ids, so that it depends
            on scenario, seed and xApps and on nothing else.
        n_timeouts: In lockstep, answers that did not come in time.
        dropped_xapps: In lockstep, xApps that were left behind because they did not answer.
        n_missed: In lockstep with a handler delay, xApp -> reports that it missed because it was at work.
        worst_lag_ns: Live, how far RAN time fell behind the clock at most.
    """

    ran_time_ns: int
    n_reports: int
    outcomes: Mapping[str, int]
    latencies_ns: Mapping[str, NDArray[np.int64]]
    fates: tuple[Told, ...] = ()
    n_dropped: int = 0
    n_outside: int = 0
    n_not_shown: int = 0
    steps: int = 0
    trace_hash: str = ""
    n_timeouts: int = 0
    dropped_xapps: tuple[str, ...] = ()
    n_missed: Mapping[str, int] = field(default_factory=dict)
    worst_lag_ns: int = 0


class Tally:
    """An outlet that counts; a pace notes there how long its stages take.

    Attributes:
        reports: Node -> reports that left it.
        fates: What became of the targets of actions.
        stages: Stage -> how long its passes took; the last `PASSES_KEPT` of them are kept one by one.
    """

    def __init__(self) -> None:
        self.reports: Counter[str] = Counter()
        self.fates = Fates()
        self.stages: dict[str, Durations] = {}

    def take(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, Report):
            self.reports[event.node] += 1
        elif isinstance(event, Result):
            self.fates.take(event)

    @property
    def n_reports(self) -> int:
        """Reports that left the nodes."""
        return self.reports.total()

    @property
    def outcomes(self) -> Counter[str]:
        """Targets by fate, as in `RunSummary`."""
        return self.fates.outcomes()

    def took(self, stage: str, since_ns: int) -> int:
        """Note a stage that began at `since_ns` by `time.perf_counter_ns` and ends now; now."""
        now_ns = time.perf_counter_ns()
        passes = self.stages.get(stage)
        if passes is None:
            passes = self.stages[stage] = Durations(keep=PASSES_KEPT)
        passes.add(now_ns - since_ns)
        return now_ns

    def latest_ns(self, n_passes: int) -> dict[str, tuple[int, ...]]:
        """Stage -> duration of its latest passes, at most `n_passes`."""
        return {
            stage: tuple(islice(reversed(passes.last), n_passes)) for stage, passes in self.stages.items()
        }

    def latencies_ns(self) -> dict[str, NDArray[np.int64]]:
        """Stage -> duration of each pass."""
        return {stage: np.array(passes.last, np.int64) for stage, passes in self.stages.items()}


class TraceHash:
    """An outlet that makes `RunSummary.trace_hash`."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def take(self, event: Event) -> None:
        """Take in a report or a result; nothing else is part of the trace."""
        if isinstance(event, Report):
            self._report(event)
        elif isinstance(event, Result):
            self._result(event)

    def _report(self, report: Report) -> None:
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

    def _result(self, result: Result) -> None:
        head = (result.xapp, result.node, result.action, result.ran_time_ns, result.causes)
        self._hash.update(repr(head).encode())
        for column, kind in (
            (result.targets, "<i4"),
            (result.status, "u1"),
            (result.cause, "u1"),
            (result.applied, "<f4"),
        ):
            self._hash.update(np.ascontiguousarray(column, dtype=kind).tobytes())

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
