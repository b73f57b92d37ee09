"""The filters that a client asks its broker for, and the subscriptions that hear a retained message."""

from __future__ import annotations

from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from ranloop.bus.inbox import InboxSubscription
from ranloop.bus.interest import FIRST_ASK_S, LAST_GAP_S, Interest

SOME, OTHER = b"some", b"other"


class Asked(paho.Client):
    """A client of no broker that keeps what it would ask for."""

    def __init__(self) -> None:
        super().__init__(CallbackAPIVersion.VERSION2)
        self.filters: list[Any] = []
        self.number = 0  # of the latest SUBSCRIBE

    def subscribe(self, topic: Any, qos: int = 0, *rest: Any, **more: Any) -> Any:
        self.filters += topic
        self.number += 1
        return MQTTErrorCode.MQTT_ERR_SUCCESS, self.number


def wanting(topic_filter: str, qos: int = 1) -> InboxSubscription:
    return InboxSubscription(
        topic_filter, lambda topic, payload: None, qos=qos, keep=1, latest=False, forget=lambda one: None
    )


class Clock:
    """Stands still until a test moves it."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def asked_at(
    interest: Interest, client: Asked, clock: Clock, *, for_s: float, step_s: float = 0.25
) -> list[float]:
    """Seconds from now at which `interest` asks again, looked at every `step_s`."""
    client.filters.clear()
    began_s, times_s = clock.now_s, []
    for step in range(round(for_s / step_s)):
        clock.now_s = began_s + step * step_s
        interest.ask_again()
        if client.filters:
            times_s.append(step * step_s)
            client.filters.clear()
    return times_s


def test_qos_1_subscriptions_are_asked_for_again_ever_more_rarely_and_then_no_more() -> None:
    client, clock = Asked(), Clock()
    interest, catalogues = Interest(client, clock), wanting("catalogue/+")
    interest.add(catalogues)
    assert asked_at(interest, client, clock, for_s=1000) == [0.5, 1, 2, 4, 8, 16, 32, 64]
    orders = wanting("order/a")
    interest.add(orders)
    assert asked_at(interest, client, clock, for_s=1.5) == [0.5, 1]
    interest.renew([catalogues, orders])  # a broker that was restarted may lose what is retained as well
    assert asked_at(interest, client, clock, for_s=1.5) == [0.5, 1]


def test_nothing_is_asked_again_for_subscriptions_of_qos_0() -> None:
    client, clock = Asked(), Clock()
    interest, reports = Interest(client, clock), wanting("report/#", qos=0)
    interest.add(reports)
    assert asked_at(interest, client, clock, for_s=1000) == []
    catalogues = wanting("catalogue/+")
    interest.add(catalogues)
    client.filters.clear()
    clock.now_s += FIRST_ASK_S
    interest.ask_again()
    assert client.filters == [("catalogue/+", 1)]


def test_a_filter_that_is_refused_each_time_it_is_asked_for_is_told_once_per_connection() -> None:
    client, clock = Asked(), Clock()
    interest, denied, granted = Interest(client, clock), wanting("denied"), wanting("granted")
    no, yes = (ReasonCode(PacketTypes.SUBACK, identifier=code) for code in (0x80, 0x01))  # clause 3.9.3

    def asked_again() -> list[str]:
        clock.now_s += 2 * LAST_GAP_S
        interest.ask_again()
        return interest.refused(client.number, [no, yes])

    interest.add(denied)
    assert interest.refused(client.number, [no]) == ["denied"]
    interest.add(granted)
    assert interest.refused(client.number, [yes]) == []
    assert [asked_again() for _ in range(3)] == [[], [], []]
    interest.renew([denied, granted])
    assert [asked_again() for _ in range(3)] == [["denied"], [], []]


def test_what_is_retained_is_heard_once_and_again_when_it_has_changed() -> None:
    interest, one = Interest(Asked()), wanting("a/+")
    for topic, payload, hears in (
        ("a/b", SOME, True),
        ("a/b", SOME, False),
        ("a/b", OTHER, True),  # the first answer was from before, its successor was lost
        ("a/c", SOME, True),
    ):
        assert interest.new_to((one,), topic, payload) == ((one,) if hears else ())


def test_what_is_retained_is_no_news_on_a_topic_that_was_heard_live() -> None:
    """The broker may still hand out what the live message has replaced: a kill switch must not come back."""
    interest, early, late = Interest(Asked()), wanting("a"), wanting("a")
    interest.new_to((early,), "a", SOME)
    interest.heard_live((early,), "a")
    assert interest.new_to((early, late), "a", SOME) == (late,)
    assert interest.new_to((early, late), "a", OTHER) == (late,)
    interest.renew([early, late])  # nobody knows what was said meanwhile
    assert interest.new_to((early, late), "a", SOME) == (early, late)


@pytest.mark.parametrize("live", [True, False])
def test_what_was_dropped_unheard_is_news_when_it_is_asked_for_again(live: bool) -> None:
    interest, one, other = Interest(Asked()), wanting("a"), wanting("a")
    if live:
        interest.heard_live((one, other), "a")
    else:
        interest.new_to((one, other), "a", SOME)
    interest.missed(one, "a")
    assert interest.new_to((one, other), "a", SOME) == (one,)
    interest.missed(wanting("a"), "a")  # who has never heard anything misses nothing


@pytest.mark.parametrize("live", [True, False])
def test_a_stranger_with_ever_new_topics_fills_no_memory(live: bool) -> None:
    interest, one = Interest(Asked()), wanting("#")
    for n in range(10_000):
        if live:
            interest.heard_live((one,), f"a/{n}")
        else:
            interest.new_to((one,), f"a/{n}", SOME)
    assert len(interest._had[one]) <= 4096
