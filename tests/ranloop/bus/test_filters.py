"""Which topics a filter wants, against the examples of MQTT 3.1.1 clause 4.7 and an independent matcher."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from ranloop.bus.filter_tree import FilterTree
from ranloop.bus.filters import check_filter, check_topic, matches
from ranloop.bus.inbox import InboxSubscription
from ranloop.bus.interest import Interest

LEVEL = st.sampled_from(["", "a", "b", "$x"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
PARTS = st.lists(st.one_of(LEVEL, st.just("+")), min_size=1, max_size=4)
FILTER = st.builds(lambda parts, end: "/".join(parts + end), PARTS, st.sampled_from([[], ["#"]])).filter(bool)


@pytest.mark.parametrize("check", [check_filter, check_topic])
def test_a_name_has_65535_bytes_at_most(check: Callable[[str], str]) -> None:
    longest = "é" * 32_767 + "e"  # clause 1.5.3: the length is a number of two bytes
    assert check(longest) == longest
    with pytest.raises(ValueError, match="topic"):
        check(longest + "e")


@pytest.mark.parametrize(
    ("topic_filter", "topic", "wanted"),
    [  # clauses 4.7.1.2, 4.7.1.3 and 4.7.2, example by example
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "any/thing", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/broker", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/broker", True),
    ],
)
def test_filters_want_what_the_specification_says(topic_filter: str, topic: str, wanted: bool) -> None:
    assert matches(topic_filter, topic) is wanted


def by_regular_expression(topic_filter: str, topic: str) -> bool:
    """The same rule said differently: `+` is anything but a slash, `/#` is nothing or a slash and anything."""
    if topic.startswith("$") and topic_filter[0] in "+#":
        return False
    if topic_filter == "#":
        return True
    below = topic_filter.endswith("/#")
    pattern = re.escape(topic_filter.removesuffix("/#")).replace(r"\+", "[^/]*")
    return re.fullmatch(pattern + ("(/.*)?" if below else ""), topic) is not None


@given(topic_filter=FILTER, topic=TOPIC)
def test_the_matcher_agrees_with_a_regular_expression(topic_filter: str, topic: str) -> None:
    assert check_filter(topic_filter) == topic_filter
    assert matches(topic_filter, topic) == by_regular_expression(topic_filter, topic)


# The tree of many filters


def covers(wide: str, narrow: str) -> bool:
    """The rule, pair by pair: every topic that matches `narrow` matches `wide`."""
    if narrow.startswith("$") and wide[:1] in "+#":
        return False
    outer, inner = wide.split("/"), narrow.split("/")
    for depth, level in enumerate(outer):
        if level == "#":
            return True
        if depth == len(inner) or inner[depth] == "#" or level not in ("+", inner[depth]):
            return False
    return len(outer) == len(inner)


@given(wide=FILTER, narrow=FILTER, topic=TOPIC)
def test_a_filter_that_covers_another_hears_all_that_the_other_hears(
    wide: str, narrow: str, topic: str
) -> None:
    if covers(wide, narrow) and matches(narrow, topic):
        assert matches(wide, topic)


@given(topic_filter=FILTER, topic=TOPIC)
def test_a_filter_covers_exactly_the_topics_that_it_matches(topic_filter: str, topic: str) -> None:
    assert covers(topic_filter, topic) == matches(topic_filter, topic)


@given(filters=st.sets(FILTER, max_size=8), gone=st.sets(FILTER, max_size=8), asked=st.one_of(FILTER, TOPIC))
def test_the_tree_finds_what_the_rule_finds_pair_by_pair(
    filters: set[str], gone: set[str], asked: str
) -> None:
    tree = FilterTree()
    for one in filters:
        tree.add(one)
    for one in filters & gone:
        tree.remove(one)
    left = filters - gone
    assert sorted(tree.covering(asked)) == sorted(one for one in left if covers(one, asked))
    assert sorted(tree.covered_by(asked)) == sorted(one for one in left if covers(asked, one))


def test_a_tree_that_forgot_all_its_filters_is_empty_again() -> None:
    tree = FilterTree()
    for one in ("a/b/c", "a/+", "a/#"):
        tree.add(one)
    for one in ("a/+", "a/b/c", "a/#"):
        tree.remove(one)
    assert tree._root.below == {}


# The filters that a client asks for


class Asked(paho.Client):
    """A client of no broker that keeps what the broker knows."""

    def __init__(self) -> None:
        super().__init__(CallbackAPIVersion.VERSION2)
        self.known: dict[str, int] = {}
        self.n_packets = 0

    def subscribe(self, topic: Any, qos: int = 0, *rest: Any, **more: Any) -> Any:
        self.known |= dict(topic)
        self.n_packets += 1
        return MQTTErrorCode.MQTT_ERR_SUCCESS, self.n_packets

    def unsubscribe(self, topic: Any, *rest: Any, **more: Any) -> Any:
        del self.known[topic]
        return MQTTErrorCode.MQTT_ERR_SUCCESS, 0


def subscription(topic_filter: str, qos: int = 0) -> InboxSubscription:
    return InboxSubscription(
        topic_filter, lambda t, p: None, qos=qos, keep=1, latest=False, forget=lambda one: None
    )


def test_a_wider_filter_stands_for_those_it_covers_at_the_highest_of_their_qos() -> None:
    client = Asked()
    interest = Interest(client)
    narrow, high, wide, other = (
        subscription("a/b"), subscription("a/+/c", 1), subscription("a/#"), subscription("d"),
    )  # fmt: skip
    interest.renew([narrow, high, wide, other])
    assert client.known == {"a/#": 1, "d": 0}
    interest.remove(wide)
    assert client.known == {"a/b": 0, "a/+/c": 1, "d": 0}
    interest.add(wide)
    assert client.known == {"a/#": 1, "d": 0}
    interest.add(subscription("d", 1))
    assert client.known == {"a/#": 1, "d": 1}


@given(
    steps=st.lists(st.tuples(FILTER, st.sampled_from([0, 1]), st.booleans()), max_size=10),
    renew=st.booleans(),
)
def test_the_broker_knows_the_fewest_filters_that_cover_all(
    steps: list[tuple[str, int, bool]], renew: bool
) -> None:
    """However subscriptions came and went, no two filters at the broker nest, and each subscription is covered at its QoS."""
    client, here = Asked(), list[InboxSubscription]()
    interest = Interest(client)
    for topic_filter, qos, comes in steps:
        if comes or not here:
            here.append(subscription(topic_filter, qos))
            interest.add(here[-1])
        else:
            interest.remove(here.pop(0))
    if renew:
        client.known.clear()
        interest.renew(here)
    filters = {one.topic_filter for one in here}
    assert client.known.keys() == {
        one for one in filters if not any(covers(other, one) for other in filters - {one})
    }
    for one in here:
        assert max(client.known[wide] for wide in client.known if covers(wide, one.topic_filter)) >= one.qos


def test_a_client_of_thousands_of_nodes_asks_for_each_of_them_once() -> None:
    """The number of filters that are looked at per subscription must not grow with the number of subscriptions."""
    client = Asked()
    interest = Interest(client)
    nodes = [subscription(f"act/x/gnb-{number}", 1) for number in range(3000)]
    for one in nodes:
        interest.add(one)
    assert client.n_packets == len(client.known) == 3000
    interest.renew(nodes)
    assert client.n_packets == 3000 + 3000 / 100  # a hundred in a packet
    for one in nodes:
        interest.remove(one)
    assert client.known == {}
