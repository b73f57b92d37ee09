"""What waits between two polls: exact counts, with nothing in between that could be early or late."""

from __future__ import annotations

import pytest

from ranloop.bus.base import MOST_S, BusStats
from ranloop.bus.inbox import _ROUTES_KEPT, MAX_WAITING_BYTES, Inbox, InboxSubscription, deliver


def subscribed(
    inbox: Inbox, topic_filter: str, *, keep: int = 3, latest: int = False, urgent: bool = False
) -> InboxSubscription:
    one = InboxSubscription(
        topic_filter, lambda t, p: None, qos=0, keep=keep, latest=latest, urgent=urgent, forget=inbox.remove
    )
    inbox.add(one)
    return one


def arrive(inbox: Inbox, topic: str, payload: bytes) -> None:
    for one in inbox.wanted_by(topic):
        inbox.put(one, topic, payload)


def taken(inbox: Inbox) -> list[tuple[str, bytes]]:
    out = []
    while (message := inbox.take()) is not None:
        out.append(message[1:])
    return out


def test_the_oldest_messages_are_let_go_of() -> None:
    stats = BusStats()
    inbox = Inbox(stats)
    one = subscribed(inbox, "t", keep=3)
    for n in range(10):
        arrive(inbox, "t", b"%d" % n)
    assert taken(inbox) == [("t", b"7"), ("t", b"8"), ("t", b"9")]
    assert (one.dropped, stats.dropped, stats.delivered, len(inbox)) == (7, 7, 3, 0)


def test_one_slow_subscription_does_not_cost_another_its_messages() -> None:
    inbox = Inbox(BusStats())
    small, large = subscribed(inbox, "t", keep=1), subscribed(inbox, "#", keep=10)
    for n in range(5):
        arrive(inbox, "t", b"%d" % n)
    assert (small.dropped, large.dropped) == (4, 0)
    assert len(taken(inbox)) == 1 + 5


def test_latest_keeps_one_message_per_topic_in_the_order_of_the_newest() -> None:
    stats = BusStats()
    inbox = Inbox(stats)
    one = subscribed(inbox, "#", latest=True)
    for topic, payload in [("a", b"1"), ("b", b"2"), ("a", b"3")]:
        arrive(inbox, topic, payload)
    assert taken(inbox) == [("b", b"2"), ("a", b"3")]
    assert (one.conflated, one.dropped, stats.conflated) == (1, 0, 1)


def test_latest_is_bounded_in_topics() -> None:
    inbox = Inbox(BusStats())
    one = subscribed(inbox, "#", latest=True, keep=2)
    for topic in "abc":
        arrive(inbox, topic, b"")
    assert taken(inbox) == [("b", b""), ("c", b"")]
    assert one.dropped == 1


def test_latest_may_keep_more_than_one_message_per_topic() -> None:
    inbox = Inbox(BusStats())
    one = subscribed(inbox, "#", latest=2, keep=9)
    for n in range(4):
        arrive(inbox, "flood", b"%d" % n)
    arrive(inbox, "other", b"x")
    assert taken(inbox) == [("flood", b"2"), ("flood", b"3"), ("other", b"x")]
    assert (one.conflated, one.dropped) == (2, 0)


def test_subscriptions_take_turns_and_each_hears_its_oldest_first() -> None:
    inbox = Inbox(BusStats())
    for topic in ("flood", "a", "b"):
        subscribed(inbox, topic, keep=100)
    for topic, payload in [
        ("flood", b"0"),
        ("flood", b"1"),
        ("flood", b"2"),
        ("a", b"0"),
        ("b", b"0"),
        ("a", b"1"),
    ]:
        arrive(inbox, topic, payload)
    assert [f"{topic}{payload.decode()}" for topic, payload in taken(inbox)] == [
        "flood0", "a0", "b0", "flood1", "a1", "flood2"
    ]  # fmt: skip


def test_what_is_urgent_comes_first_also_while_others_are_served() -> None:
    inbox = Inbox(BusStats())
    subscribed(inbox, "flood", keep=100)
    subscribed(inbox, "order", urgent=True)
    for topic in ("flood", "flood", "order", "order"):
        arrive(inbox, topic, b"")
    assert [message[1] for _ in range(3) if (message := inbox.take())] == ["order", "order", "flood"]
    arrive(inbox, "flood", b"")
    arrive(inbox, "order", b"")
    assert [topic for topic, _ in taken(inbox)] == ["order", "flood", "flood"]


def test_a_poll_stops_after_its_time_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    inbox, handled = Inbox(BusStats()), list[bytes]()

    def slow(_: str, payload: bytes) -> None:
        now_s[0] += 0.4 * MOST_S
        handled.append(payload)

    one = InboxSubscription("t", slow, qos=0, keep=9, latest=0, forget=inbox.remove)
    inbox.add(one)
    for n in range(5):
        arrive(inbox, "t", b"%d" % n)
    assert deliver(len(inbox), inbox.take) == 3  # 0.4, 0.8 and 1.2 of the time
    assert deliver(len(inbox), inbox.take) == 2
    assert handled == [b"0", b"1", b"2", b"3", b"4"]


def test_a_cancelled_subscription_leaves_nothing_behind() -> None:
    inbox = Inbox(BusStats())
    one = subscribed(inbox, "t")
    arrive(inbox, "t", b"x")
    one.cancel()
    arrive(inbox, "t", b"y")
    assert (len(inbox), inbox.subscriptions, taken(inbox)) == (0, {}, [])


@pytest.mark.parametrize("latest", [True, False])
def test_what_is_dropped_is_missed_unless_a_newer_message_of_its_topic_waits(latest: bool) -> None:
    inbox = Inbox(BusStats())
    one = subscribed(inbox, "#", keep=2, latest=latest)
    arrivals = "abacc"
    # What waits, oldest first: a, ab, ba, ac and then, where only the newest of a topic is kept, ac; else cc.
    missed = ["", "", "", "b", "" if latest else "a"]
    assert ["".join(inbox.put(one, topic, b"")) for topic in arrivals] == missed
    assert [topic for topic, _ in taken(inbox)] == (["a", "c"] if latest else ["c", "c"])
    assert one.of_topic == {}  # what was taken leaves nothing behind


def test_a_subscription_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="keep is at least 1, not 0"):
        subscribed(Inbox(BusStats()), "t", keep=0)


def test_ever_new_topics_fill_no_memory() -> None:
    inbox = Inbox(BusStats())
    one = subscribed(inbox, "t/+", keep=1)
    for n in range(2 * _ROUTES_KEPT):
        arrive(inbox, f"t/{n}", b"")
    assert len(inbox._routes) <= _ROUTES_KEPT
    assert one.dropped == 2 * _ROUTES_KEPT - 1  # all of them found their way


def test_what_waits_is_bounded_in_bytes_as_well() -> None:
    stats = BusStats()
    inbox = Inbox(stats)
    one = InboxSubscription("a", lambda _t, _p: None, qos=0, keep=1000, latest=False, forget=inbox.remove)
    inbox.add(one)
    big = bytes(MAX_WAITING_BYTES // 2)
    for _ in range(3):
        inbox.put(one, "a", big)
    assert (len(one.waiting), one.waiting_bytes, one.dropped, stats.dropped) == (2, MAX_WAITING_BYTES, 1, 1)
    inbox.take()
    assert one.waiting_bytes == MAX_WAITING_BYTES // 2
    inbox.remove(one)
    assert (one.waiting_bytes, len(inbox)) == (0, 0)
