"""The active alarms of an xApp: raised and cleared by its handlers, published by its runner as one list."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import get_args

from ranloop.bus import Bus
from ranloop.guard.grants import TokenBucket
from ranloop.vocabulary.near import near_matches
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.headers import MAX_ALARMS
from ranloop.wire.messages import Alarm, Alarms, Severity

__all__ = ("AlarmBoard", "AlarmLine")

PER_S, BURST = 5.0, 20.0  # lists published; changes in between are in the next one
_NAME = re.compile(r"[!-~]{1,64}")
_MOST_TARGET, _MOST_TEXT = 128, 256  # characters


class AlarmBoard:
    """The alarms that are active now.

    Attributes:
        node: Node of the report or result that is being handled; "" during a timer.
        now_ns: RAN time at which it is.
        left_out: Alarms that found no room.
        is_news: Whether something has changed since the list was published.
    """

    def __init__(self) -> None:
        self.node, self.now_ns = "", 0
        self.left_out = 0
        self.is_news = False
        self._active: dict[tuple[str, str, str], Alarm] = {}

    @property
    def active(self) -> tuple[Alarm, ...]:
        """In the order of name, node and target."""
        return tuple(self._active[key] for key in sorted(self._active))

    def set(self, name: str, severity: Severity, node: str | None, target: str, text: str) -> None:
        """Raise an alarm, or give an active one another severity or text."""
        if severity not in get_args(Severity):
            near = ", ".join(near_matches(str(severity), get_args(Severity)) or get_args(Severity))
            raise ValueError(f"alarm {name!r}: no severity {severity!r}; there is {near}")
        key = self._key(name, node, target)
        since_ns = self._active[key].since_ns if key in self._active else self.now_ns
        text = text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"
        alarm = Alarm(name=name, severity=severity, node=key[1], target=target, text=text, since_ns=since_ns)
        if self._active.get(key) == alarm:
            return
        if key not in self._active and len(self._active) >= MAX_ALARMS:
            self.left_out += 1
        else:
            self._active[key] = alarm
        self.is_news = True

    def clear(self, name: str, node: str | None, target: str) -> None:
        """End an alarm; one that is not active stays so."""
        if self._active.pop(self._key(name, node, target), None) is not None:
            self.is_news = True

    def _key(self, name: str, node: str | None, target: str) -> tuple[str, str, str]:
        at = self.node if node is None else node
        if not _NAME.fullmatch(name):
            raise ValueError(f"alarm {name!r}: a name has 1 to 64 printable characters and no blank")
        if at and not topics.is_topic_level(at):
            raise ValueError(f"alarm {name!r}: {at!r} is no node's name")
        if len(target) > _MOST_TARGET:
            raise ValueError(f"alarm {name!r}: a target of {len(target)} characters; at most {_MOST_TARGET}")
        return name, at, target


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
