"""The active alarms of an xApp, raised and cleared by its handlers; `alarm_line` publishes them."""

from __future__ import annotations

import re
from typing import get_args

from ranloop.vocabulary.near import near_matches
from ranloop.wire import topics
from ranloop.wire.messages import Alarm, Severity
from ranloop.wire.operating import MAX_ALARMS

__all__ = ("AlarmBoard",)

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
