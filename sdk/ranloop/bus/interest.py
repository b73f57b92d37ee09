"""The filters that a client asks its broker for: the fewest that cover all its subscriptions.

A broker may send a message once per client or once per matching filter (MQTT 3.1.1, clause 3.3.5). mosquitto does the
former, nats-server the latter, so filters at the broker must not nest. Two cases are left in which nats-server sends a
QoS 0 message twice: filters overlap without one covering the other (`a/+/c` and `a/b/+`), and a subscription to `a/#` was
replaced by a wider one (the server goes on sending the topic `a`).

nats-server can lose a retained message for a subscription that is made while the message is being stored: one in twenty
starts of an xApp that coincide with the start of its host. QoS 1 subscriptions therefore ask for retained messages again,
less and less often.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, Literal

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from ranloop.bus.inbox import InboxSubscription

FIRST_ASK_S, LAST_GAP_S = 0.5, 32.0  # asked again 0.5, 1, 2, 4 … 64 s after the latest subscription
_TOPICS_KEPT = 4096  # of one subscription, whose retained messages are recognised
_LIVE: Final = "live"  # heard when it was published: the retained message of that topic is no news any more


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
    """The filters that the broker knows of one client, kept in step with its subscriptions.

    Args:
        client: Sends the requests.
        clock: Seconds, monotonic.
    """

    def __init__(self, client: paho.Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock = client, clock
        self._at_broker: dict[str, int] = {}
        self._asked: dict[int, list[str]] = {}  # filters of each SUBSCRIBE that waits for its answer
        self._refused: set[str] = set()  # filters, since the last connection
        # Topic -> hash of the retained payload that a subscription has heard, since the subscription or the last connection.
        self._had: dict[InboxSubscription, dict[str, int | Literal["live"]]] = {}
        self._gap_s = FIRST_ASK_S
        self._ask_at_s = float("inf")  # by the clock

    def renew(self, subscriptions: Iterable[InboxSubscription]) -> None:
        """After (re)connecting: ask for everything. Retained messages may have changed, so they are heard again."""
        self._at_broker.clear()
        self._asked.clear()
        self._refused.clear()
        self._had.clear()
        self.follow(subscriptions)
        self._ask_soon()

    def follow(
        self, subscriptions: Iterable[InboxSubscription], added: InboxSubscription | None = None
    ) -> None:
        """Ask for the filters that `subscriptions` need, and give up the others.

        Args:
            subscriptions: All subscriptions of the client.
            added: The new one among them; it hears retained messages.
        """
        wanted = fewest_filters(subscriptions)
        for topic_filter, qos in wanted.items():
            is_new = added is not None and topic_filter == added.topic_filter
            if is_new or self._at_broker.get(topic_filter) != qos:
                self._ask([(topic_filter, qos)])
        if added is not None and added.topic_filter not in wanted:
            # A wider filter covers it: this fetches the retained messages, and nothing else.
            self._ask([(added.topic_filter, added.qos)])
            self._client.unsubscribe(added.topic_filter)
        for topic_filter in self._at_broker.keys() - wanted.keys():
            self._client.unsubscribe(topic_filter)
        self._at_broker = wanted
        if added is not None and added.qos:
            self._ask_soon()

    def _ask(self, filters: list[tuple[str, int]]) -> None:
        _, number = self._client.subscribe(filters)
        if number is not None:
            self._asked[number] = [topic_filter for topic_filter, _ in filters]

    def refused(self, number: int, reasons: Iterable[ReasonCode]) -> list[str]:
        """Filters that the broker refuses in its answer to the SUBSCRIBE of this number.

        A filter is named once per connection, however often it is asked for.
        """
        asked = zip(self._asked.pop(number, []), reasons, strict=False)
        news = [one for one, reason in asked if reason.is_failure and one not in self._refused]
        self._refused.update(news)
        return news

    def _ask_soon(self) -> None:
        self._gap_s = FIRST_ASK_S
        self._ask_at_s = min(self._ask_at_s, self._clock() + self._gap_s)

    def ask_again(self) -> None:
        """If it is time: ask again for retained messages. A subscription that has had one does not hear it again."""
        now_s = self._clock()
        if now_s < self._ask_at_s:
            return
        self._ask_at_s = now_s + self._gap_s if self._gap_s <= LAST_GAP_S else float("inf")
        self._gap_s *= 2
        if filters := [(topic_filter, qos) for topic_filter, qos in self._at_broker.items() if qos]:
            self._ask(filters)

    def new_to(
        self, route: Iterable[InboxSubscription], topic: str, payload: bytes
    ) -> tuple[InboxSubscription, ...]:
        """The subscriptions of `route` that hear this retained message: none that has had it, or has heard the topic live since."""
        sign = hash(payload)
        new = tuple(one for one in route if self._had.get(one, {}).get(topic) not in (sign, _LIVE))
        for one in new:
            self._note(one, topic, sign)
        return new

    def heard_live(self, route: Iterable[InboxSubscription], topic: str) -> None:
        """From now on a retained message of this topic is no newer than the one that `route` hears now."""
        for one in route:
            self._note(one, topic, _LIVE)

    def _note(self, one: InboxSubscription, topic: str, sign: int | Literal["live"]) -> None:
        had = self._had.setdefault(one, {})
        if len(had) >= _TOPICS_KEPT:  # too many topics, so a stranger made them; a message may be heard twice
            had.clear()
        had[topic] = sign

    def missed(self, one: InboxSubscription, topic: str) -> None:
        """The newest message of this topic was dropped before `one` heard it: the retained one is news again."""
        if (had := self._had.get(one)) is not None:
            had.pop(topic, None)

    def forget(self, subscription: InboxSubscription) -> None:
        self._had.pop(subscription, None)
