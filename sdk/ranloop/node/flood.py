"""Tells a busy xApp from one that floods: what it may send in a second, in all, follows from its manifest's rates."""

from __future__ import annotations

from collections.abc import Mapping

from ranloop.node.host import Registration

__all__ = ("FloodMeter",)

_FACTOR = 10  # batches over its rates are refused one by one; this many times over, nobody listens any more
_SPARE = 100  # per second, for an xApp with next to no rates
_WINDOW_NS = 1_000_000_000


class FloodMeter:
    """Counts messages per xApp in windows of one second of the host's clock."""

    def __init__(self, xapps: Mapping[str, Registration], n_nodes: int) -> None:
        self.limits = {
            name: _SPARE + _FACTOR * n_nodes * sum(right.rate_per_s for right in registration.rights.actions)
            for name, registration in xapps.items()
        }
        self._windows: dict[str, tuple[int, int]] = {}  # xApp -> start of its window, messages in it

    def floods(self, xapp: str, now_ns: int) -> bool:
        """Count one message of `xapp`; whether it is one too many."""
        start_ns, count = self._windows.get(xapp, (now_ns, 0))
        if now_ns - start_ns >= _WINDOW_NS:
            start_ns, count = now_ns, 0
        self._windows[xapp] = start_ns, count + 1
        return count + 1 > self.limits[xapp]
