"""How long an xApp's handlers take, against the periods in which they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from ranloop.durations import Durations

__all__ = ("Called", "HandlerTime", "HandlerTimes", "too_slow")

Called = Literal["report", "timer", "result", "restart", "settings"]  # what a handler is called for

_CALLS_KEPT = 10_000  # of a handler: a live xApp has no end
_CALLS_TO_JUDGE = 5  # the first call of all may compile, load or connect


class HandlerTime(NamedTuple):
    """The wall-clock time of one handler.

    Attributes:
        handler: Name of the function.
        called: What it is called for.
        period_ms: Of its reports or its timer; None of the others, which have none.
        sources: How many nodes call it in each period.
        calls: How often it was called.
        p50_ms: Median of the last calls.
        p99_ms: 99th percentile of them.
    """

    handler: str
    called: Called
    period_ms: int | None
    sources: int
    calls: int
    p50_ms: float
    p99_ms: float

    @property
    def load(self) -> float:
        """Share of the time that it takes up; above 1 it cannot keep up."""
        return self.p50_ms * self.sources / self.period_ms if self.period_ms else 0.0


@dataclass(slots=True)
class _Handler:
    sources: set[str] = field(default_factory=set)
    took: Durations = field(default_factory=lambda: Durations(keep=_CALLS_KEPT))


class HandlerTimes:
    """Notes each call of each handler of one xApp."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, Called, int | None], _Handler] = {}

    @property
    def durations(self) -> Mapping[tuple[str, Called, int | None], Durations]:
        """(Name of the handler, what it is called for, its period in ms) -> how long its calls took."""
        return {key: known.took for key, known in self._handlers.items()}

    def note(self, handler: str, called: Called, period_ms: int | None, source: str, took_ns: int) -> None:
        """One call of `handler`, about the node `source`, that took so long by the wall clock."""
        known = self._handlers.setdefault((handler, called, period_ms), _Handler())
        known.sources.add(source)
        known.took.add(took_ns)

    def told(self) -> tuple[HandlerTime, ...]:
        """All handlers that were called, in the order of their first calls."""
        return tuple(
            HandlerTime(*key, len(known.sources), known.took.n, *_percentiles_ms(known.took.last))
            for key, known in self._handlers.items()
        )


def _percentiles_ms(took_ns: Sequence[int]) -> tuple[float, float]:
    p50_ns, p99_ns = np.percentile(np.array(took_ns), (50, 99)).tolist()
    return p50_ns / 1e6, p99_ns / 1e6


def too_slow(times: Sequence[HandlerTime]) -> list[str]:
    """A line about each handler that cannot keep up live, or about all where only their sum cannot."""
    judged = [time for time in times if time.calls >= _CALLS_TO_JUDGE]
    lines = [_line(time) for time in judged if time.load > 1]
    together = sum(time.load for time in judged)
    if together > 1 and not lines:
        names = ", ".join(time.handler for time in judged if time.load)
        lines.append(f"handlers {names}: together {together:.0%} of the time at p50: reports are missed")
    return lines


def _line(time: HandlerTime) -> str:
    each = f" for each of {time.sources} nodes" if time.sources > 1 else ""
    took = f"handler {time.handler}: {time.p50_ms:.3g} ms at p50{each}"
    if time.called == "timer":
        return f"{took}, its timer is due every {time.period_ms} ms: it runs ever later"
    share_missed = 1 - 1 / time.load
    missed = (
        "every second report is missed"
        if 0.45 <= share_missed <= 0.55
        else f"{share_missed:.0%} of them are missed"
    )
    return f"{took}, its reports come every {time.period_ms} ms: {missed}"
