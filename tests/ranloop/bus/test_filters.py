"""Which topics a filter wants, against the examples of MQTT 3.1.1 clause 4.7 and an independent matcher."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranloop.bus.filters import check_filter, check_topic, matches
from ranloop.bus.inbox import InboxSubscription
from ranloop.bus.interest import covers, fewest_filters

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


@given(wide=FILTER, narrow=FILTER, topic=TOPIC)
def test_a_filter_that_covers_another_hears_all_that_the_other_hears(
    wide: str, narrow: str, topic: str
) -> None:
    if covers(wide, narrow) and matches(narrow, topic):
        assert matches(wide, topic)


@given(topic_filter=FILTER, topic=TOPIC)
def test_a_filter_covers_exactly_the_topics_that_it_matches(topic_filter: str, topic: str) -> None:
    assert covers(topic_filter, topic) == matches(topic_filter, topic)


def subscription(topic_filter: str, qos: int = 0) -> InboxSubscription:
    return InboxSubscription(
        topic_filter, lambda t, p: None, qos=qos, keep=1, latest=False, forget=lambda one: None
    )


def test_a_wider_filter_stands_for_those_it_covers_at_the_highest_of_their_qos() -> None:
    subscriptions = [subscription("a/b"), subscription("a/+/c", 1), subscription("a/#"), subscription("d")]
    assert fewest_filters(subscriptions) == {"a/#": 1, "d": 0}


@given(filters=st.lists(FILTER, max_size=6), topic=TOPIC)
def test_the_fewest_filters_hear_what_all_hear(filters: list[str], topic: str) -> None:
    kept = fewest_filters([subscription(one) for one in filters])
    assert any(matches(one, topic) for one in filters) == any(matches(one, topic) for one in kept)
