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

from ranloop.bus.filter_tree import FilterTree
from ranloop.bus.inbox import InboxSubscription

FIRST_ASK_S, LAST_GAP_S = 0.5, 32.0  # asked again 0.5, 1, 2, 4 … 64 s after the latest subscription
_FILTERS_AT_ONCE = 100  # in one SUBSCRIBE
_TOPICS_KEPT = 4096  # of one subscription, whose retained messages are recognised
_LIVE: Final = "live"  # heard when it was published: the retained message of that topic is no news any more


class Interest:
    """The filters that the broker knows of one client, kept in step with its subscriptions.

    Args:
        client: Sends the requests.
        clock: Seconds, monotonic.
    """

    def __init__(self, client: paho.Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock = client, clock
        self._tree = FilterTree()  # of all subscriptions
        self._count: dict[str, list[int]] = {}  # filter -> number of subscriptions of QoS 0, and of QoS 1
        self._at_broker: dict[str, int] = {}  # filter that no other one covers -> QoS
        self._asked: dict[int, list[str]] = {}  # filters of each SUBSCRIBE that waits for its answer
        self._refused: set[str] = set()  # filters, since the last connection
        # Topic -> hash of the retained payload that a subscription has heard, since the subscription or the last connection.
        self._had: dict[InboxSubscription, dict[str, int | Literal["live"]]] = {}
        self._gap_s = FIRST_ASK_S
        self._ask_at_s = float("inf")  # by the clock

    def renew(self, subscriptions: Iterable[InboxSubscription]) -> None:
        """After (re)connecting: ask for everything. Retained messages may have changed, so they are heard again."""
        self._tree = FilterTree()
        for known in (self._count, self._at_broker, self._asked, self._refused, self._had):
            known.clear()
        for one in subscriptions:
            self._add(one)
        self._at_broker |= {wide: self._needed_qos(wide) for wide in self._count if not self._wider(wide)}
        self._ask(self._at_broker.items())
        self._ask_soon()

    def add(self, one: InboxSubscription) -> None:
        """A new subscription: ask for its filter. It hears retained messages, also where another filter covers its own."""
        own = one.topic_filter
        self._add(one)
        if wider := self._wider(own):
            for wide in wider:
                if self._at_broker.get(wide, one.qos) < one.qos:
                    self._at_broker[wide] = one.qos
                    self._ask([(wide, one.qos)])
            self._ask([(own, one.qos)])  # this fetches the retained messages, and nothing else
            self._client.unsubscribe(own)
        else:
            self._at_broker[own] = self._needed_qos(own)
            self._ask([(own, self._at_broker[own])])
            for narrow in self._tree.covered_by(own):
                if narrow != own and self._at_broker.pop(narrow, None) is not None:
                    self._client.unsubscribe(narrow)
        if one.qos:
            self._ask_soon()

    def remove(self, one: InboxSubscription) -> None:
        """A subscription that ended: ask for the filters that its own one covered, and give that up if it was the last."""
        own = one.topic_filter
        self._count[own][one.qos] -= 1
        if any(self._count[own]):
            return
        del self._count[own]
        self._tree.remove(own)
        if self._at_broker.pop(own, None) is not None:
            for narrow in self._tree.covered_by(own):
                if not self._wider(narrow):
                    self._at_broker[narrow] = self._needed_qos(narrow)
                    self._ask([(narrow, self._at_broker[narrow])])
            self._client.unsubscribe(own)

    def _add(self, one: InboxSubscription) -> None:
        self._tree.add(one.topic_filter)
        self._count.setdefault(one.topic_filter, [0, 0])[one.qos] += 1

    def _wider(self, narrow: str) -> list[str]:
        return [wide for wide in self._tree.covering(narrow) if wide != narrow]

    def _needed_qos(self, wide: str) -> int:
        """The highest QoS of the subscriptions that a filter covers."""
        return int(any(self._count[narrow][1] for narrow in self._tree.covered_by(wide)))

    def _ask(self, filters: Iterable[tuple[str, int]]) -> None:
        asked = list(filters)
        for first in range(0, len(asked), _FILTERS_AT_ONCE):
            some = asked[first : first + _FILTERS_AT_ONCE]
            _, number = self._client.subscribe(some)
            if number is not None:
                self._asked[number] = [topic_filter for topic_filter, _ in some]

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
        self._ask([(topic_filter, qos) for topic_filter, qos in self._at_broker.items() if qos])

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
