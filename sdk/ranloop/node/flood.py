"""Tells a busy xApp from one that floods: what its messages may cost in a second follows from its manifest's rates.

A message costs 1, and 1 more for each `_UNIT_BYTES`. A message that cannot be read costs ten times as much: an honest xApp
sends none, and the guard refuses it without the bounds of a rate. A batch that has expired costs a tenth: an honest xApp
that was stalled sends its backlog at once.
"""

from __future__ import annotations

from typing import Literal

from ranloop.guard import ActionRight, Rights

__all__ = ("FloodMeter",)

_SPARE = 100  # per second, for an xApp with next to no rates
_WINDOW_NS = 1_000_000_000
_UNIT_BYTES = 1 << 13
_BYTES_PER_TARGET = 32  # in the JSON form, which is the longer one
_LEAST_FACTOR = (
    10  # batches over their rate are refused one by one; this many times over, nobody listens any more
)
Kind = Literal["fit", "unreadable", "expired"]
_SHARES: dict[Kind, float] = {"fit": 1.0, "unreadable": 10.0, "expired": 0.1}


class FloodMeter:
    """Adds up what the messages of each xApp cost, in windows of one second of the host's clock.

    Args:
        speed: Seconds of RAN time, in which rates are counted, per second of the clock.
    """

    def __init__(self, *, speed: float = 1.0) -> None:
        self.limits: dict[str, float] = {}  # xApp -> cost per second
        self._speed = speed
        self._windows: dict[str, tuple[int, float]] = {}  # xApp -> start of its window, cost in it

    def admit(self, xapp: str, rights: Rights, n_nodes: int) -> None:
        """Work out the limit of an xApp and begin to count anew."""
        per_node = sum(right.rate_per_s * _factor(right) for right in rights.actions)
        self.limits[xapp] = _SPARE + per_node * n_nodes * self._speed
        self._windows.pop(xapp, None)

    def floods(self, xapp: str, now_ns: int, n_bytes: int = 0, kind: Kind = "fit") -> bool:
        """Count one message of `xapp`; whether it is one too many."""
        start_ns, cost = self._windows.get(xapp, (now_ns, 0.0))
        if now_ns - start_ns >= _WINDOW_NS:
            start_ns, cost = now_ns, 0.0
        cost += _SHARES[kind] * (1 + n_bytes // _UNIT_BYTES)
        self._windows[xapp] = start_ns, cost
        return cost > self.limits[xapp]


def _factor(right: ActionRight) -> float:
    """What a batch may cost: twice the largest one within the right."""
    return max(_LEAST_FACTOR, 2 * (1 + right.max_targets * _BYTES_PER_TARGET / _UNIT_BYTES))
