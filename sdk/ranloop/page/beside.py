"""What is beside a run that is watched: the same world without the xApps, the score of both, and a pace for people's eyes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict

from ranloop.errors import NodeError
from ranloop.node import NodePort, NodeRuntime
from ranloop.node.port import ScoredPort
from ranloop.page.history import History, Watcher

__all__ = ("Beside", "Pace")

_SCORE_EVERY_NS = 500_000_000


class Beside:
    """A world that nobody acts on, moved along with another one.

    Args:
        world: As the other one, with the same seed; the caller closes it.
        onlooker: Sees what happens there.
        history: Where the scores of both go.
        other: The world that the xApps act on.
    """

    def __init__(self, world: NodePort, onlooker: Watcher, history: History, other: NodePort) -> None:
        self._runtime = NodeRuntime(world, onlooker=onlooker)
        self._history, self._worlds = history, (other, world)
        self._next_score_ns = _SCORE_EVERY_NS

    def follow(self, now_ns: int) -> None:
        """Move to the RAN time of the other world, and tell what both are worth."""
        runtime = self._runtime
        while runtime.port.now_ns < now_ns:
            runtime.advance(min(runtime.next_event_ns(), now_ns))
            runtime.flush()
        if now_ns >= self._next_score_ns:
            self._next_score_ns = now_ns + _SCORE_EVERY_NS
            self.tell()

    def tell(self) -> None:
        """Tell the scores so far, of worlds that keep one; in the warm-up nothing counts yet."""
        scored = [world for world in self._worlds if isinstance(world, ScoredPort)]
        if len(scored) < len(self._worlds):
            return
        try:
            kpis = [asdict(kpi) for kpi in scored[0].kpis()]
            worlds = [_known(world.score()) for world in scored]
        except NodeError:
            return
        self._history.state("score", {"kind": "score", "kpis": kpis, "worlds": worlds})


class Pace:
    """Lets RAN time pass no quicker than `speed` seconds per second of the wall clock."""

    def __init__(self, speed: float) -> None:
        self._speed, self._start_s = speed, time.monotonic()

    def follow(self, now_ns: int) -> None:
        """Wait until this RAN time has come."""
        time.sleep(max(self._start_s + now_ns / 1e9 / self._speed - time.monotonic(), 0.0))


def _known(score: Mapping[str, float]) -> Mapping[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in score.items()}
