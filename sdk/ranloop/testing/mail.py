"""A bus whose messages a test loses, delays, repeats or reorders, in virtual time."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Literal

from ranloop.bus import Bus, Subscription
from ranloop.bus.base import Handler
from ranloop.wire import topics

__all__ = ("Kind", "Mail")

Kind = Literal["report", "act", "result"]
_Send = Callable[[], None]
_NEVER_NS = 1 << 62


class Mail:
    """What becomes of the next messages of each kind.

    A message that is repeated or put behind the next one is sent by `release`, so that its reader has looked at the other
    one by then.

    Args:
        now_ns: Virtual time.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._plans: defaultdict[str, deque[str | int]] = defaultdict(deque)  # a delay in ns, or what happens
        self._behind: dict[str, _Send] = {}  # kind -> what waits until the next of its kind is sent
        self._late: list[tuple[int, int, _Send]] = []
        self._order = itertools.count()

    def plan(self, kind: Kind, what: Literal["lost", "twice", "behind"] | int, n: int) -> None:
        """Let this happen to the next `n` messages of a kind that nothing is planned for; a number is a delay in ns."""
        self._plans[kind] += [what] * n

    def send(self, topic: str, send: _Send) -> None:
        """Send a message, or do with it what is planned."""
        kind = topics.levels(topic)[0]
        what = self._plans[kind].popleft() if self._plans[kind] else None
        behind = self._behind.pop(kind, None)
        if what == "behind":
            self._behind[kind] = send
        elif isinstance(what, int):
            self._later(what, send)
        elif what != "lost":
            send()
        if what == "twice":
            self._later(0, send)
        if behind is not None:
            self._later(0, behind)

    def _later(self, delay_ns: int, send: _Send) -> None:
        heapq.heappush(self._late, (self._now_ns() + delay_ns, next(self._order), send))

    def next_ns(self) -> int:
        """When something that is late is to be sent."""
        return self._late[0][0] if self._late else _NEVER_NS

    def release(self) -> bool:
        """Send one message that is due; whether there was one."""
        if self.next_ns() > self._now_ns():
            return False
        heapq.heappop(self._late)[2]()
        return True


class MailedBus:
    """A client whose publications go through `mail`; everything else is the inner client's."""

    def __init__(self, inner: Bus, mail: Mail) -> None:
        self._inner, self._mail = inner, mail

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """As in `Bus`."""
        self._mail.send(topic, lambda: self._deliver(topic, payload, qos=qos, retain=retain))

    def _deliver(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        if self._inner.connected:  # a host that has crashed meanwhile sends nothing
            self._inner.publish(topic, payload, qos=qos, retain=retain)

    def subscribe(self, topic_filter: str, handler: Handler, **options: Any) -> Subscription:
        """As in `Bus`."""
        return self._inner.subscribe(topic_filter, handler, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
