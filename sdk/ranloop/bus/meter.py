"""Counts messages per sender and second, to find a sender that floods before its messages are decoded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

__all__ = ("RateMeter", "is_round")

_SENDERS_KEPT = 4096


class RateMeter:
    """Messages per sender in windows of one second.

    Args:
        per_s: Messages that one sender may send in a second.
        clock: Seconds, monotonic.
    """

    def __init__(self, per_s: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._clock = per_s, clock
        self._window_ends_s = float("-inf")
        self._in_window: Counter[str] = Counter()
        self._beyond: Counter[str] = Counter()

    def beyond(self, sender: str) -> int:
        """Count one message of `sender`; 0 within the rate, else the number of messages beyond it so far."""
        now_s = self._clock()
        if now_s >= self._window_ends_s:
            self._in_window.clear()
            self._window_ends_s = now_s + 1.0
        self._in_window[sender] += 1
        if self._in_window[sender] <= self._per_s:
            return 0
        if len(self._beyond) >= _SENDERS_KEPT:
            self._beyond.clear()
        self._beyond[sender] += 1
        return self._beyond[sender]


def is_round(count: int) -> bool:
    """Whether to log the `count`-th time: the 1st, 2nd, 4th, 8th, and so on, less and less often."""
    return count.bit_count() == 1
