"""Lockstep with handlers that take RAN time: their answers reach the guard later, and they miss reports meanwhile.

Without a delay RAN time stands still while an xApp decides, so a slow xApp looks as good as a quick one. With one, an xApp is
at work from a step until the delay is over. Its actions are handed to the guard then. Meanwhile it gets no step: of each
stream the newest report waits, as in a live runner's inbox, and older ones are missed; timers wait, each once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ranloop.node.port import Stream
from ranloop.wire.messages import FOR_EVER_NS, ActionBatch, Report

__all__ = ("NO_DELAY", "AtWork", "Delay", "HandlerDelay", "fixed", "measured")

HandlerDelay = (
    float | Literal["measured"]
)  # as a caller gives it: RAN milliseconds, or what the wall clock says
Delay = Callable[
    [str, int], int
]  # (xApp, wall-clock ns from a step to its answer) -> RAN time that it takes, ns


def fixed(delay_ms: float) -> Delay:
    """Each step takes `delay_ms` of RAN time: the same run each time."""
    delay_ns = round(delay_ms * 1e6)
    return lambda xapp, took_ns: delay_ns


NO_DELAY = fixed(0.0)


def measured(xapp: str, took_ns: int) -> int:
    """Each step takes as long as its answer took by the wall clock: another run each time."""
    return took_ns


@dataclass(slots=True)
class _Desk:
    """One xApp: what it is at work on, and what waits for it."""

    is_at_work: bool = False
    until_ns: int = 0
    batches: Sequence[ActionBatch] = ()
    reports: dict[Stream, Report] = field(default_factory=dict)  # the newest of each stream
    timers: dict[str, None] = field(default_factory=dict)


class AtWork:
    """The xApps that are at work, what they will want, and what waits for them.

    Args:
        delay: How long a step takes.
        slot_ns: An xApp is done at a multiple of this.

    Attributes:
        n_missed: xApp -> reports that it never got because it was at work.
    """

    def __init__(self, delay: Delay, slot_ns: int) -> None:
        self._delay, self._slot_ns = delay, slot_ns
        self._desks: defaultdict[str, _Desk] = defaultdict(_Desk)
        self.n_missed: Counter[str] = Counter()

    def next_ns(self) -> int:
        """When the first xApp is done; `FOR_EVER_NS` if none is at work."""
        return min([desk.until_ns for desk in self._desks.values() if desk.is_at_work], default=FOR_EVER_NS)

    def begin(
        self, xapp: str, batches: Sequence[ActionBatch], now_ns: int, took_ns: int, *, waited_ns: int = 0
    ) -> None:
        """Note the answer of `xapp` to the step of `now_ns`; it is at work until its delay and its wait are over.

        Args:
            took_ns: Wall clock from the step to its answer.
            waited_ns: RAN time for which the xApp says that it waited for models of other tiers.
        """
        desk, until_ns = self._desks[xapp], now_ns + max(self._delay(xapp, took_ns), 0) + waited_ns
        desk.is_at_work, desk.batches = True, batches
        desk.until_ns = -(-until_ns // self._slot_ns) * self._slot_ns

    def done(self, now_ns: int) -> list[tuple[str, ActionBatch]]:
        """What the xApps want that are done by now, in the order (xApp, seq)."""
        wanted: list[tuple[str, ActionBatch]] = []
        for xapp, desk in sorted(self._desks.items()):
            if desk.is_at_work and desk.until_ns <= now_ns:
                wanted += [(xapp, batch) for batch in sorted(desk.batches, key=lambda batch: batch.seq)]
                desk.is_at_work, desk.batches = False, ()
        return wanted

    def due(
        self, xapp: str, reports: tuple[Report, ...], timers: tuple[str, ...]
    ) -> tuple[tuple[Report, ...], tuple[str, ...]]:
        """What `xapp` gets now, of what has just come and of what waited; nothing while it is at work."""
        desk = self._desks[xapp]
        for report in reports:
            stream = report.node, str(report.level), report.period_ms
            self.n_missed[xapp] += stream in desk.reports
            desk.reports[stream] = report
        desk.timers |= dict.fromkeys(timers)
        if desk.is_at_work:
            return (), ()
        waiting = tuple(desk.reports.values()), tuple(desk.timers)
        desk.reports.clear()
        desk.timers.clear()
        return waiting
