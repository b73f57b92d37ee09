"""How a client waits for its socket: awake for a moment after traffic, asleep otherwise (docs/decisions/0008).

To wait awake is to look again and again, and to offer the CPU to whoever wants it at each look. It pays where a CPU is
idle. Where others want it, it harms: who never sleeps is not let in front of them when the message comes. Somebody had
the CPU for long when an offer comes back late; that happens on an idle machine as well, now and then. When it happens again
soon, the machine is busy, and the client sleeps at once for a while. The same goes for a quota of CPU time that is used up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ("Lookout", "Poller")

LONG_S = 300e-6  # a broker is done with one message in less
SOON_S = 0.1  # the period of a CPU quota in Linux, and many slices of its scheduler
REST_S = 1.0

_YIELD: Callable[[], None] | None = getattr(os, "sched_yield", None)  # Unix only


class Poller(Protocol):
    """What we need of `select.poll`."""

    def poll(self, timeout: float, /) -> list[tuple[int, int]]: ...


class Lookout:
    """Waits for one socket.

    Args:
        awake_s: For how long after traffic it waits awake; 0 is never.
        clock: Seconds, monotonic.
        give_way: Offers the CPU to others; without it (no Unix) nobody waits awake.
    """

    def __init__(
        self,
        awake_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        give_way: Callable[[], None] | None = _YIELD,
    ) -> None:
        self._awake_s = awake_s if give_way is not None else 0.0
        self._give_way = give_way or _stay
        self._clock = clock
        self._awake_until_s = self._rest_until_s = self._crowded_at_s = float("-inf")

    def stay_awake(self) -> None:
        """There is traffic: more of it may come soon."""
        now_s = self._clock()
        if now_s >= self._rest_until_s:
            self._awake_until_s = now_s + self._awake_s

    def wait(self, poller: Poller, timeout_s: float) -> list[tuple[int, int]]:
        """What `poller` has within `timeout_s`; an empty list when that is nothing."""
        now_s = self._clock()
        end_s = now_s + timeout_s
        while now_s < min(end_s, self._awake_until_s):
            if ready := poller.poll(0):
                return ready
            offered_s = now_s
            self._give_way()
            now_s = self._clock()
            if now_s - offered_s > LONG_S:
                self._step_back(now_s)
        return poller.poll(max(end_s - now_s, 0.0) * 1e3)

    def _step_back(self, now_s: float) -> None:
        """Somebody wants the CPU: leave it to them when that was so not long ago."""
        if now_s - self._crowded_at_s < SOON_S:
            self._rest_until_s = now_s + REST_S
            self._awake_until_s = now_s
        self._crowded_at_s = now_s


def _stay() -> None:
    """Where nobody waits awake, nobody gives way."""
