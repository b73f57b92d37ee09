"""How long something took that happens again and again: all of it in buckets, and the last times as they are."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Final

__all__ = ("EDGES_NS", "Durations")

_US, _MS = 1_000, 1_000_000
# Upper edges. A guarded loop takes half a millisecond, a model some ten microseconds, a handler at most its period.
EDGES_NS: Final = (
    *(n * _US for n in (10, 25, 50, 100, 250, 500, 1000, 2500)),
    *(n * _MS for n in (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000)),
)


class Durations:
    """Durations in nanoseconds. One thread adds to them; any other may read.

    Args:
        keep: Number of the last ones that are kept as they are.

    Attributes:
        last: The last ones, oldest first.
        counts: How many lie at or below each of `EDGES_NS` and above the edge before, and last how many lie above all.
        sum_ns: Of all.
    """

    __slots__ = ("counts", "last", "sum_ns")

    def __init__(self, *, keep: int = 0) -> None:
        self.last: deque[int] = deque(maxlen=keep)
        self.counts = [0] * (len(EDGES_NS) + 1)
        self.sum_ns = 0

    def add(self, took_ns: int) -> None:
        """Note one duration."""
        self.last.append(took_ns)
        self.counts[bisect_left(EDGES_NS, took_ns)] += 1
        self.sum_ns += took_ns

    @property
    def n(self) -> int:
        """How many there were."""
        return sum(self.counts)
