"""What a client asks its broker for: the fewest filters that cover all its subscriptions.

A broker may send a message once per client or once per matching filter (MQTT 3.1.1, clause 3.3.5; mosquitto does
the one, nats-server the other), so filters at the broker must not nest. Filters that overlap without one covering
the other (`a/+/c` and `a/b/+`) are beyond this: with nats-server a message that matches both is heard twice.
"""

from __future__ import annotations

from collections.abc import Iterable

import paho.mqtt.client as paho

from ranloop.bus.inbox import InboxSubscription


def covers(wide: str, narrow: str) -> bool:
    """Whether every topic that matches `narrow` matches `wide`."""
    if narrow.startswith("$") and wide[:1] in "+#":
        return False
    outer, inner = wide.split("/"), narrow.split("/")
    for depth, level in enumerate(outer):
        if level == "#":
            return True
        if depth == len(inner) or inner[depth] == "#" or level not in ("+", inner[depth]):
            return False
    return len(outer) == len(inner)


def fewest_filters(subscriptions: Iterable[InboxSubscription]) -> dict[str, int]:
    """Filter -> QoS that together cover all `subscriptions`, in their order."""
    qos: dict[str, int] = {}
    for one in subscriptions:
        qos[one.topic_filter] = max(one.qos, qos.get(one.topic_filter, 0))
    return {
        wide: max(qos[narrow] for narrow in qos if covers(wide, narrow))
        for wide in qos
        if not any(covers(other, wide) for other in qos if other != wide)
    }


class Interest:
    """The filters that the broker knows of one client, kept in step with its subscriptions."""

    def __init__(self, client: paho.Client) -> None:
        self._client = client
        self._at_broker: dict[str, int] = {}
        # Which retained topics a subscription has had since it was made or since we came back.
        self._had: dict[InboxSubscription, set[str]] = {}

    def renew(self, subscriptions: Iterable[InboxSubscription]) -> None:
        """After (re)connecting: ask for everything; what is retained may have changed, so it is heard again."""
        self._at_broker.clear()
        self._had.clear()
        self.follow(subscriptions)

    def follow(
        self, subscriptions: Iterable[InboxSubscription], added: InboxSubscription | None = None
    ) -> None:
        """Ask for what `subscriptions` need and no longer for what they do not.

        Args:
            subscriptions: All of the client's.
            added: The one that is new among them; it hears what is retained.
        """
        wanted = fewest_filters(subscriptions)
        for topic_filter, qos in wanted.items():
            is_new = added is not None and topic_filter == added.topic_filter
            if is_new or self._at_broker.get(topic_filter) != qos:
                self._client.subscribe(topic_filter, qos)
        if added is not None and added.topic_filter not in wanted:
            # Covered by a wider one: this fetches what is retained, and only that.
            self._client.subscribe(added.topic_filter, added.qos)
            self._client.unsubscribe(added.topic_filter)
        for topic_filter in self._at_broker.keys() - wanted.keys():
            self._client.unsubscribe(topic_filter)
        self._at_broker = wanted

    def new_to(self, route: Iterable[InboxSubscription], topic: str) -> tuple[InboxSubscription, ...]:
        """Who of `route` has not had the retained message of `topic`; from now on they have."""
        new = tuple(one for one in route if topic not in self._had.setdefault(one, set()))
        for one in new:
            self._had[one].add(topic)
        return new

    def forget(self, subscription: InboxSubscription) -> None:
        self._had.pop(subscription, None)
