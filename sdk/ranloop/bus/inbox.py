"""The inbox of one bus: what has arrived and waits for `poll`, bounded per subscription in messages and in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ranloop.bus.base import BusStats, Handler
from ranloop.bus.filters import check_filter, matches

_ROUTES_KEPT = 4096
MAX_WAITING_BYTES = 1 << 25  # of one subscription: two of the largest messages that decode


class InboxSubscription:
    """One subscription and the keys of its waiting messages, oldest first."""

    __slots__ = (
        "_forget",
        "conflated",
        "dropped",
        "handler",
        "keep",
        "latest",
        "newest",
        "qos",
        "topic_filter",
        "waiting",
        "waiting_bytes",
    )

    def __init__(
        self,
        topic_filter: str,
        handler: Handler,
        *,
        qos: int,
        keep: int,
        latest: bool,
        forget: Callable[[InboxSubscription], None],
    ) -> None:
        if qos not in (0, 1):
            raise ValueError(f"qos is 0 or 1, not {qos}")
        if keep < 1:
            raise ValueError(f"keep is at least 1, not {keep}")
        self.topic_filter = check_filter(topic_filter)
        self.handler, self.qos, self.keep, self.latest = handler, qos, keep, latest
        self.dropped = self.conflated = 0
        # Key -> arrival number; the key is the topic where only the newest is kept, else the number itself.
        self.waiting: OrderedDict[str | int, int] = OrderedDict()
        self.newest: dict[str, int] = {}  # topic -> arrival number of the newest of it that waits
        self.waiting_bytes = 0
        self._forget = forget

    def cancel(self) -> None:
        """Stop; messages that wait are let go of. A second call changes nothing."""
        self._forget(self)

    def gone(self, topic: str, arrival: int) -> bool:
        """Note that this message waits no more; whether it was the newest of its topic."""
        newest = self.newest.get(topic) == arrival
        if newest:
            del self.newest[topic]
        return newest


class Inbox:
    """Waiting messages of all subscriptions, in the order of arrival. Not thread safe: its owner locks."""

    def __init__(self, stats: BusStats) -> None:
        self.subscriptions: list[InboxSubscription] = []
        self._stats = stats
        self._arrived = 0
        # Arrival number -> (subscription, its key, topic, payload)
        self._pending: OrderedDict[int, tuple[InboxSubscription, str | int, str, bytes]] = OrderedDict()
        self._routes: dict[str, tuple[InboxSubscription, ...]] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, subscription: InboxSubscription) -> None:
        self.subscriptions.append(subscription)
        self._routes.clear()

    def remove(self, subscription: InboxSubscription) -> None:
        if subscription in self.subscriptions:
            self.subscriptions.remove(subscription)
            self._routes.clear()
        for arrival in subscription.waiting.values():
            del self._pending[arrival]
        subscription.waiting.clear()
        subscription.newest.clear()
        subscription.waiting_bytes = 0

    def clear(self) -> None:
        for subscription in tuple(self.subscriptions):
            self.remove(subscription)

    def wanted_by(self, topic: str) -> tuple[InboxSubscription, ...]:
        """The subscriptions that match `topic`."""
        route = self._routes.get(topic)
        if route is None:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            route = tuple(one for one in self.subscriptions if matches(one.topic_filter, topic))
            self._routes[topic] = route
        return route

    def put(self, subscription: InboxSubscription, topic: str, payload: bytes) -> tuple[str, ...]:
        """Let a message wait for `subscription`; drop or conflate as it asked for, and count.

        Returns:
            Topics whose newest message was dropped: `subscription` does not know how they stand.
        """
        arrival = self._arrived = self._arrived + 1
        waiting = subscription.waiting
        missed: tuple[str, ...] = ()
        subscription.newest[topic] = arrival
        key = topic if subscription.latest else arrival
        if key in waiting:
            self._let_go(subscription, key)
            subscription.conflated += 1
            self._stats.conflated += 1
        room_bytes = MAX_WAITING_BYTES - len(payload)
        while waiting and (len(waiting) >= subscription.keep or subscription.waiting_bytes > room_bytes):
            missed += self._let_go(subscription, next(iter(waiting)))
            subscription.dropped += 1
            self._stats.dropped += 1
        waiting[key] = arrival
        subscription.waiting_bytes += len(payload)
        self._pending[arrival] = (subscription, key, topic, payload)
        return missed

    def _let_go(self, subscription: InboxSubscription, key: str | int) -> tuple[str, ...]:
        """Forget a message that waits; its topic, where no newer one of it waits."""
        arrival = subscription.waiting.pop(key)
        _, _, topic, payload = self._pending.pop(arrival)
        subscription.waiting_bytes -= len(payload)
        return (topic,) if subscription.gone(topic, arrival) else ()

    def last_arrival(self) -> int:
        return self._arrived

    def take(self, until: int) -> tuple[Handler, str, bytes] | None:
        """The oldest message that had arrived by number `until`, or None."""
        if not self._pending or next(iter(self._pending)) > until:
            return None
        arrival, (subscription, key, topic, payload) = self._pending.popitem(last=False)
        del subscription.waiting[key]
        subscription.gone(topic, arrival)
        subscription.waiting_bytes -= len(payload)
        self._stats.delivered += 1
        return subscription.handler, topic, payload
