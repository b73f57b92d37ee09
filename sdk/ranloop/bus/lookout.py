"""A client's wait for its socket: awake for a moment after traffic, asleep otherwise (docs/decisions/0008).

A client that waits awake looks at the socket again and again, and offers the CPU to other processes at each look. This pays
where a CPU is idle. On a busy CPU it harms: the scheduler does not prefer a process that never sleeps when its message
comes. An offer that returns late shows that another process had the CPU. An idle machine shows one such delay a second, of
less than a millisecond. If the delays add up to more than `SHARE` of the time, the machine is busy or a quota of CPU time
is used up. The client then waits asleep for `REST_S`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ("Lookout", "Poller")

LATE_S = 300e-6  # a broker is done with one message in less
SHARE = 0.02  # of the time that other processes may have
MOST_S = 0.02  # that other processes may have at a time, beyond the share
REST_S = 1.0

_YIELD: Callable[[], None] | None = getattr(os, "sched_yield", None)  # Unix only


class Poller(Protocol):
    """The part of `select.poll` that is used here."""

    def poll(self, timeout: float, /) -> list[tuple[int, int]]: ...


class Lookout:
    """Waits for one socket.

    Args:
        awake_s: Time after traffic for which the client waits awake; 0 turns it off.
        clock: Seconds, monotonic.
        give_way: Offers the CPU to other processes; None (not on Unix) turns waiting awake off.
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
        self._awake_until_s = self._rest_until_s = float("-inf")
        self._lost_s, self._lost_at_s = 0.0, clock()

    def stay_awake(self) -> None:
        """Note traffic: more of it may come soon."""
        now_s = self._clock()
        if now_s >= self._rest_until_s:
            self._awake_until_s = now_s + self._awake_s

    def wait(self, poller: Poller, timeout_s: float) -> list[tuple[int, int]]:
        """The events of `poller` within `timeout_s`; an empty list without any."""
        now_s = self._clock()
        end_s = now_s + timeout_s
        while now_s < min(end_s, self._awake_until_s):
            if ready := poller.poll(0):
                return ready
            offered_s = now_s
            self._give_way()
            now_s = self._clock()
            if now_s - offered_s > LATE_S:
                self._lose(now_s, now_s - offered_s)
        return poller.poll(max(end_s - now_s, 0.0) * 1e3)

    def _lose(self, now_s: float, lost_s: float) -> None:
        """Note that another process had the CPU for `lost_s`; stop waiting awake when such times add up."""
        paid_s = SHARE * (now_s - self._lost_at_s)
        self._lost_s, self._lost_at_s = max(self._lost_s - paid_s, 0.0) + lost_s, now_s
        if self._lost_s > MOST_S:
            self._awake_until_s, self._rest_until_s = now_s, now_s + REST_S
            self._lost_s = 0.0


def _stay() -> None:
    """Give no CPU away: without an offer the client never waits awake."""
