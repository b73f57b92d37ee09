"""Publishes the alarms of an xApp as one list, at a bounded rate."""

from __future__ import annotations

from collections.abc import Callable

from ranloop.bus import Bus
from ranloop.guard.grants import TokenBucket
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Alarms
from ranloop.xapp.alarms import AlarmBoard

__all__ = ("AlarmLine",)

PER_S, BURST = 5.0, 20.0  # lists published; changes in between are in the next one


class AlarmLine:
    """Publishes the alarms of one xApp; what a crashed process left behind is forgotten at the start.

    `now_ns` is the time in which the rate is bounded; it never goes back.
    """

    def __init__(self, bus: Bus, xapp: str, board: AlarmBoard, now_ns: Callable[[], int]) -> None:
        self._bus, self._xapp, self._board, self._now_ns = bus, xapp, board, now_ns
        self._bucket = TokenBucket(PER_S, burst=BURST)
        self._say(b"")

    def tell(self) -> None:
        """Publish the list if it has changed and the rate allows it."""
        if not (self._board.is_news and self._bucket.take(self._now_ns())):
            return
        self._board.is_news = False
        alarms = Alarms(xapp=self._xapp, active=self._board.active, left_out=self._board.left_out)
        self._say(encode(alarms) if alarms.active else b"")

    def withdraw(self) -> None:
        """The xApp goes, and its alarms with it."""
        self._say(b"")

    def _say(self, payload: bytes) -> None:
        self._bus.publish(topics.alarms(self._xapp), payload, qos=1, retain=True)
