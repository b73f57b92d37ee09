"""Time as an object: real when live, virtual when a test wants to be faster than the clock on the wall."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

_NS_PER_S = 1_000_000_000
_LONGEST_WAIT_S = 0.5  # so that a stop flag is seen


class Clock(Protocol):
    """What a live host reads and waits with. Monotonic; its zero means nothing."""

    def now_ns(self) -> int: ...

    def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
        """Let time pass towards `until_ns`, at most once round `poll(timeout_s)`, which does I/O meanwhile."""
        ...


class RealClock:
    """The machine's monotonic clock."""

    def now_ns(self) -> int:
        return time.perf_counter_ns()

    def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
        poll(min(_LONGEST_WAIT_S, max(0.0, (until_ns - time.perf_counter_ns()) / _NS_PER_S)))


class VirtualClock:
    """A clock that jumps: waiting takes no time, and nothing passes unless somebody waits."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
        poll(0.0)
        self._now_ns = max(self._now_ns, until_ns)
