"""Tells a busy xApp from one that floods: what it may send in a second, in all, follows from its manifest's rates."""

from __future__ import annotations

from ranloop.guard import Rights

__all__ = ("FloodMeter",)

_FACTOR = 10  # batches over its rates are refused one by one; this many times over, nobody listens any more
_SPARE = 100  # per second, for an xApp with next to no rates
_WINDOW_NS = 1_000_000_000
_STALE_SHARE = (
    0.1  # an expired batch counts so much: the backlog of an honest xApp that was stalled is no flood
)


class FloodMeter:
    """Counts messages per xApp in windows of one second of the host's clock."""

    def __init__(self) -> None:
        self.limits: dict[str, float] = {}  # xApp -> messages per second
        self._windows: dict[str, tuple[int, float]] = {}  # xApp -> start of its window, messages in it

    def admit(self, xapp: str, rights: Rights, n_nodes: int) -> None:
        """Work out the limit of an xApp and begin to count anew."""
        self.limits[xapp] = _SPARE + _FACTOR * n_nodes * sum(right.rate_per_s for right in rights.actions)
        self._windows.pop(xapp, None)

    def floods(self, xapp: str, now_ns: int, *, stale: bool = False) -> bool:
        """Count one message of `xapp`, in part if it came too late to matter; whether it is one too many."""
        start_ns, count = self._windows.get(xapp, (now_ns, 0.0))
        if now_ns - start_ns >= _WINDOW_NS:
            start_ns, count = now_ns, 0.0
        count += _STALE_SHARE if stale else 1.0
        self._windows[xapp] = start_ns, count
        return count > self.limits[xapp]
