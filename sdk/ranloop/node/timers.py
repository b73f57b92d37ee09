"""Timers of xApps in RAN time: each is due at every multiple of its period, on the next slot boundary."""

from __future__ import annotations

from collections.abc import Mapping

from ranloop.wire.messages import FOR_EVER_NS

__all__ = ("LEAST_MS", "MAX_TIMERS", "Timers", "is_period")

MAX_TIMERS = 32  # of one xApp; each takes a part of every event of the host
LEAST_MS = 10
_NS_PER_MS = 1_000_000


class Timers:
    """The timers of all xApps of one host; `slot_ns` is the length of a slot."""

    def __init__(self, slot_ns: int) -> None:
        self._slot_ns = slot_ns
        self._told_ns = 0
        self._periods_ns: dict[tuple[str, str], int] = {}  # (xApp, timer) -> period

    def set(self, xapp: str, periods_ms: Mapping[str, float]) -> None:
        """Have these timers of one xApp, and no others of it: name -> period."""
        self.forget(xapp)
        for name, period_ms in sorted(periods_ms.items()):
            self._periods_ns[xapp, name] = int(period_ms) * _NS_PER_MS
        self._periods_ns = dict(sorted(self._periods_ns.items()))

    def forget(self, xapp: str) -> None:
        """Have no timer of this xApp any more."""
        self._periods_ns = {key: period for key, period in self._periods_ns.items() if key[0] != xapp}

    def next_ns(self, now_ns: int) -> int:
        """When the next timer is due, later than `now_ns`; `FOR_EVER_NS` if there is none."""
        return min([self._after(period, now_ns) for period in self._periods_ns.values()], default=FOR_EVER_NS)

    def due(self, now_ns: int) -> dict[str, list[str]]:
        """xApp -> names of its timers that are due at `now_ns`; told once, also where one instant is looked at twice."""
        due: dict[str, list[str]] = {}
        if now_ns <= self._told_ns:
            return due
        self._told_ns = now_ns
        for (xapp, name), period_ns in self._periods_ns.items():
            latest_ns = now_ns // period_ns * period_ns
            if latest_ns > 0 and self._slot_at_or_after(latest_ns) == now_ns:
                due.setdefault(xapp, []).append(name)
        return due

    def _after(self, period_ns: int, now_ns: int) -> int:
        k = now_ns // period_ns
        while (due_ns := self._slot_at_or_after(k * period_ns)) <= now_ns:
            k += 1
        return due_ns

    def _slot_at_or_after(self, time_ns: int) -> int:
        return -(-time_ns // self._slot_ns) * self._slot_ns


def is_period(value: object) -> bool:
    """Whether a life sign may name this as a timer's period in milliseconds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and LEAST_MS <= value < 1e12
