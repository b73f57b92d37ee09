"""The inbox of one bus: messages that wait for `poll`, bounded per subscription in messages and in bytes.

Subscriptions take turns. Each turn serves the oldest message of one subscription, so a flood on one of them delays the
others by one message at a time. Urgent subscriptions come before all others. Within a subscription, messages of one topic
keep their order.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from ranloop.bus.base import MOST_S, BusStats, Handler
from ranloop.bus.filter_tree import FilterTree
from ranloop.bus.filters import check_filter

_ROUTES_KEPT = 4096
MAX_WAITING_BYTES = 1 << 25  # of one subscription: two of the largest messages that decode

Delivery = tuple[Handler, str, bytes]


class InboxSubscription:
    """One subscription and its waiting messages, oldest first."""

    __slots__ = (
        "_forget",
        "conflated",
        "dropped",
        "handler",
        "keep",
        "latest",
        "of_topic",
        "qos",
        "topic_filter",
        "urgent",
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
        latest: int,
        urgent: bool = False,
        forget: Callable[[InboxSubscription], None],
    ) -> None:
        if qos not in (0, 1):
            raise ValueError(f"qos is 0 or 1, not {qos}")
        if keep < 1:
            raise ValueError(f"keep is at least 1, not {keep}")
        self.topic_filter = check_filter(topic_filter)
        self.handler, self.qos, self.keep, self.latest, self.urgent = handler, qos, keep, int(latest), urgent
        self.dropped = self.conflated = 0
        self.waiting: OrderedDict[int, tuple[str, bytes]] = OrderedDict()  # by arrival number
        self.of_topic: dict[str, deque[int]] = {}  # topic -> arrival numbers of its waiting messages
        self.waiting_bytes = 0
        self._forget = forget

    def cancel(self) -> None:
        """End the subscription and drop its waiting messages. A second call changes nothing."""
        self._forget(self)

    def let_go(self, arrival: int) -> tuple[str, bytes]:
        """Remove a waiting message, the oldest of its topic."""
        topic, payload = self.waiting.pop(arrival)
        self.waiting_bytes -= len(payload)
        arrivals = self.of_topic[topic]
        arrivals.popleft()
        if not arrivals:
            del self.of_topic[topic]
        return topic, payload


class Inbox:
    """Waiting messages of all subscriptions. It is not thread safe; its owner locks."""

    def __init__(self, stats: BusStats) -> None:
        self.subscriptions: dict[
            InboxSubscription, int
        ] = {}  # with the number in the order in which they came
        self._tree = FilterTree()
        self._of_filter: dict[str, list[InboxSubscription]] = {}
        self._n_added = 0
        self._stats = stats
        self._arrived = 0
        # Subscriptions with waiting messages, in the order of their turns: urgent ones, then all others.
        self._turns: tuple[dict[InboxSubscription, None], dict[InboxSubscription, None]] = {}, {}
        self._routes: dict[str, tuple[InboxSubscription, ...]] = {}

    def __len__(self) -> int:
        return self._stats.waiting

    def add(self, subscription: InboxSubscription) -> None:
        self.subscriptions[subscription] = self._n_added = self._n_added + 1
        self._tree.add(subscription.topic_filter)
        self._of_filter.setdefault(subscription.topic_filter, []).append(subscription)
        self._routes.clear()

    def remove(self, subscription: InboxSubscription) -> None:
        if self.subscriptions.pop(subscription, None) is not None:
            own = subscription.topic_filter
            self._of_filter[own].remove(subscription)
            if not self._of_filter[own]:
                del self._of_filter[own]
                self._tree.remove(own)
            self._routes.clear()
        for turns in self._turns:
            turns.pop(subscription, None)
        self._stats.waiting -= len(subscription.waiting)
        subscription.waiting.clear()
        subscription.of_topic.clear()
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
            found = [one for wide in self._tree.covering(topic) for one in self._of_filter[wide]]
            route = self._routes[topic] = tuple(sorted(found, key=self.subscriptions.__getitem__))
        return route

    def put(self, subscription: InboxSubscription, topic: str, payload: bytes) -> list[str]:
        """Add a message that waits for `subscription`; drop or conflate older ones as its options say, and count.

        Returns:
            Topics whose newest message was dropped, so that `subscription` does not have their present state.
        """
        arrival = self._arrived = self._arrived + 1
        waiting, arrivals = subscription.waiting, subscription.of_topic.setdefault(topic, deque())
        arrivals.append(arrival)
        if subscription.latest and len(arrivals) > subscription.latest:
            subscription.let_go(arrivals[0])
            self._stats.waiting -= 1
            subscription.conflated += 1
            self._stats.conflated += 1
        missed: list[str] = []
        room_bytes = MAX_WAITING_BYTES - len(payload)
        while waiting and (len(waiting) >= subscription.keep or subscription.waiting_bytes > room_bytes):
            dropped, _ = subscription.let_go(next(iter(waiting)))
            if dropped not in subscription.of_topic:
                missed.append(dropped)
            self._stats.waiting -= 1
            subscription.dropped += 1
            self._stats.dropped += 1
        waiting[arrival] = topic, payload
        subscription.waiting_bytes += len(payload)
        self._stats.waiting += 1
        self._turns[not subscription.urgent].setdefault(subscription)
        return missed

    def take(self) -> Delivery | None:
        """The oldest message of the subscription whose turn it is, or None."""
        turns = self._turns[0] or self._turns[1]
        if not turns:
            return None
        subscription = next(iter(turns))
        del turns[subscription]
        topic, payload = subscription.let_go(next(iter(subscription.waiting)))
        if subscription.waiting:
            turns[subscription] = None
        self._stats.waiting -= 1
        self._stats.delivered += 1
        return subscription.handler, topic, payload


def deliver(n_waiting: int, take: Callable[[], Delivery | None]) -> int:
    """Run the handlers of `n_waiting` messages from `take`, and count them; after `MOST_S` start no further one.

    Messages that arrive meanwhile are left to the next poll, so handlers that answer each other do not hold this one.
    """
    handled, give_up_s = 0, time.monotonic() + MOST_S
    while handled < n_waiting and (message := take()) is not None:
        handler, topic, payload = message
        handler(topic, payload)
        handled += 1
        if time.monotonic() > give_up_s:
            break
    return handled
