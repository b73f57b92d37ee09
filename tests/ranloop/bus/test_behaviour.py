"""What every bus does, over memory and over real brokers."""

from __future__ import annotations

import random
import threading
import time

import pytest

from ranloop.bus import Will
from ranloop.bus.mqtt import MqttBus
from ranloop.errors import BusError
from tests.ranloop.bus.conftest import Heard, Join, Pump, ear, in_the_socket, retain, settle


@pytest.mark.parametrize("qos", [0, 1])
def test_messages_arrive_in_the_order_they_were_published(
    join: Join, pump: Pump, topic: str, qos: int
) -> None:
    sender, receiver = join("sender"), join("receiver")
    heard = ear(receiver, pump, topic, qos=qos)
    for n in range(200):
        sender.publish(topic, b"%d" % n, qos=qos)
    pump(lambda: len(heard) >= 200, receiver, sender)
    assert heard == [(topic, b"%d" % n) for n in range(200)]


def test_a_wildcard_subscription_hears_what_matches_and_nothing_else(
    join: Join, pump: Pump, topic: str
) -> None:
    sender, receiver = join("sender"), join("receiver")
    one_level, below = ear(receiver, pump, f"{topic}/+/ue"), ear(receiver, pump, f"{topic}/b/#")
    for path in ("a/ue", "a/cell", "a/ue/100", "b", "b/cell/100", "c/x"):
        sender.publish(f"{topic}/{path}", path.encode())
    settle(sender, pump)
    settle(receiver, pump)
    assert [payload for _, payload in one_level] == [b"a/ue"]
    assert [payload for _, payload in below] == [b"b", b"b/cell/100"]


def test_nested_filters_of_one_bus_hear_each_message_once(join: Join, pump: Pump, topic: str) -> None:
    sender, receiver = join("sender"), join("receiver")
    wide, narrow = ear(receiver, pump, f"{topic}/#"), ear(receiver, pump, f"{topic}/+/ue")
    sender.publish(f"{topic}/a/ue", b"once")
    settle(sender, pump)
    settle(receiver, pump)
    assert wide == narrow == [(f"{topic}/a/ue", b"once")]


def test_the_narrow_filter_goes_on_when_the_wide_one_is_cancelled(join: Join, pump: Pump, topic: str) -> None:
    bus = join("both")
    wide: Heard = []
    subscription = bus.subscribe(f"{topic}/#", lambda t, p: wide.append((t, p)))
    narrow = ear(bus, pump, f"{topic}/ue")
    subscription.cancel()
    settle(bus, pump)
    bus.publish(f"{topic}/ue", b"still here")
    pump(lambda: bool(narrow), bus)
    assert (wide, narrow) == ([], [(f"{topic}/ue", b"still here")])


def test_a_retained_message_is_heard_by_who_comes_later(join: Join, pump: Pump, topic: str) -> None:
    sender = join("sender")
    retain(sender, pump, topic, b"old")
    retain(sender, pump, topic, b"new", qos=1)
    late = join("late")
    heard = ear(late, pump, topic)
    pump(lambda: bool(heard), late)
    assert heard == [(topic, b"new")]


def test_a_second_subscription_hears_what_is_retained_and_the_first_not_again(
    join: Join, pump: Pump, topic: str
) -> None:
    bus = join("both")
    retain(bus, pump, f"{topic}/a", b"kept")
    first = ear(bus, pump, f"{topic}/#")
    pump(lambda: bool(first), bus)
    second, third = ear(bus, pump, f"{topic}/#"), ear(bus, pump, f"{topic}/+")
    pump(lambda: bool(second) and bool(third), bus)
    settle(bus, pump)
    assert first == second == third == [(f"{topic}/a", b"kept")]


def test_who_heard_it_live_does_not_hear_it_again_when_somebody_else_subscribes(
    join: Join, pump: Pump, topic: str
) -> None:
    bus = join("both")
    first = ear(bus, pump, topic, qos=1)
    retain(join("sender"), pump, topic, b"kept", qos=1)
    pump(lambda: bool(first), bus)
    second = ear(bus, pump, topic, qos=1)
    pump(lambda: bool(second), bus)
    settle(bus, pump)
    assert first == second == [(topic, b"kept")]


def test_an_empty_retained_message_forgets_the_topic(join: Join, pump: Pump, topic: str) -> None:
    sender = join("sender")
    retain(sender, pump, topic, b"kept")
    retain(sender, pump, topic, b"")
    late = join("late")
    heard = ear(late, pump, topic)
    settle(late, pump)
    assert heard == []


def test_the_will_of_a_client_that_vanishes_is_published_and_retained(
    join: Join, pump: Pump, topic: str
) -> None:
    watcher = join("watcher")
    heard = ear(watcher, pump, topic)
    mortal = join("mortal", will=Will(topic=topic, payload=b"gone"))
    mortal.kill()
    pump(lambda: bool(heard), watcher)
    assert heard == [(topic, b"gone")]
    late = join("late")
    heard_late = ear(late, pump, topic)
    pump(lambda: bool(heard_late), late)
    assert heard_late == [(topic, b"gone")]


def test_a_client_that_closes_leaves_no_will(join: Join, pump: Pump, topic: str) -> None:
    watcher = join("watcher")
    heard = ear(watcher, pump, "test/will-or-not/#")
    leaver = join("leaver", will=Will(topic="test/will-or-not/closed", payload=b"gone"))
    # Input that it never reads must not turn its goodbye into a connection reset.
    leaver.subscribe(f"{topic}/flood", lambda topic, payload: None)
    settle(leaver, pump)
    for _ in range(50):
        watcher.publish(f"{topic}/flood", bytes(1000))
    settle(watcher, pump)
    leaver.close()
    # A client that dies after it left is the mark that the broker has seen both.
    join("mark", will=Will(topic="test/will-or-not/killed", payload=b"gone")).kill()
    pump(lambda: bool(heard), watcher)
    assert [topic for topic, _ in heard] == ["test/will-or-not/killed"]


def test_a_full_queue_drops_the_oldest_and_counts_them(join: Join, pump: Pump, topic: str) -> None:
    sender, receiver = join("sender"), join("receiver")
    heard: Heard = []
    subscription = receiver.subscribe(topic, lambda t, p: heard.append((t, p)), keep=5)
    settle(receiver, pump)
    for n in range(100):
        sender.publish(topic, b"%d" % n)
    settle(sender, pump)
    pump(lambda: bool(heard) and heard[-1][1] == b"99", receiver)
    assert [p for _, p in heard][-5:] == [b"95", b"96", b"97", b"98", b"99"]
    assert subscription.dropped > 0
    assert len(heard) + subscription.dropped == 100
    assert receiver.stats.dropped == subscription.dropped


def test_latest_hands_out_the_newest_of_each_topic_and_counts_the_rest(
    join: Join, pump: Pump, topic: str
) -> None:
    sender, receiver = join("sender"), join("receiver")
    heard: Heard = []
    subscription = receiver.subscribe(f"{topic}/+", lambda t, p: heard.append((t, p)), latest=True)
    settle(receiver, pump)
    for n in range(100):
        sender.publish(f"{topic}/{'ab'[n % 2]}", b"%d" % n)
    settle(sender, pump)
    pump(lambda: {(f"{topic}/a", b"98"), (f"{topic}/b", b"99")} <= set(heard), receiver)
    assert subscription.conflated > 0
    assert len(heard) + subscription.conflated == 100
    assert (subscription.dropped, receiver.stats.dropped) == (0, 0)


def test_payloads_pass_as_they_are(join: Join, pump: Pump, topic: str) -> None:
    rng = random.Random(7)
    sent = [b"", b"\x00", b"\xff\xfe\n", *(rng.randbytes(n) for n in (1, 127, 128, 16_384, 1_000_000))]
    sender, receiver = join("sender"), join("receiver")
    heard = ear(receiver, pump, topic, qos=1)
    for payload in sent:
        sender.publish(topic, payload, qos=1)
    pump(lambda: len(heard) == len(sent), sender, receiver)
    assert [payload for _, payload in heard] == sent


def test_a_cancelled_subscription_hears_nothing_more(join: Join, pump: Pump, topic: str) -> None:
    bus = join("alone")
    heard: Heard = []
    subscription = bus.subscribe(topic, lambda t, p: heard.append((t, p)))
    settle(bus, pump)
    subscription.cancel()
    subscription.cancel()
    bus.publish(topic, b"too late")
    settle(bus, pump)
    assert heard == []


def test_a_handler_may_publish_subscribe_and_cancel(join: Join, pump: Pump, topic: str) -> None:
    bus = join("busy")
    answers: Heard = []

    def once(_: str, payload: bytes) -> None:
        first.cancel()
        bus.subscribe(f"{topic}/answer", lambda t, p: answers.append((t, p)))
        bus.publish(f"{topic}/answer", payload[::-1])

    first = bus.subscribe(f"{topic}/question", once)
    settle(bus, pump)
    bus.publish(f"{topic}/question", b"abc")
    bus.publish(f"{topic}/question", b"def")
    pump(lambda: bool(answers), bus)
    settle(bus, pump)
    assert answers == [(f"{topic}/answer", b"cba")]


def test_what_a_handler_raises_reaches_the_caller_of_poll_and_loses_no_other_message(
    join: Join, pump: Pump, topic: str
) -> None:
    bus = join("broken")
    heard: Heard = []

    def handler(topic: str, payload: bytes) -> None:
        if payload == b"bad":
            raise ZeroDivisionError
        heard.append((topic, payload))

    bus.subscribe(topic, handler)
    settle(bus, pump)
    bus.publish(topic, b"bad")
    bus.publish(topic, b"good")
    with pytest.raises(ZeroDivisionError):
        pump(lambda: bool(heard), bus)
    pump(lambda: bool(heard), bus)
    assert heard == [(topic, b"good")]


def test_poll_returns_when_nothing_comes_within_its_timeout(join: Join) -> None:
    bus = join("patient")
    began_s = time.monotonic()
    assert bus.poll(0.1) == 0
    assert 0.09 <= time.monotonic() - began_s < 1.0


def test_poll_says_how_many_handlers_ran(join: Join, pump: Pump, topic: str) -> None:
    bus = join("counting")
    heard: Heard = []
    for _ in range(2):
        bus.subscribe(topic, lambda t, p: heard.append((t, p)))
    settle(bus, pump)
    bus.publish(topic, b"1")
    assert bus.poll(5.0) == 2
    assert bus.stats.delivered >= 2


def test_handlers_that_answer_themselves_do_not_hold_a_poll(join: Join, pump: Pump, topic: str) -> None:
    bus = join("echo")
    bus.subscribe(topic, lambda t, p: bus.publish(t, p))
    settle(bus, pump)
    bus.publish(topic, b"for ever")
    assert bus.poll(5.0) == 1


def test_a_flood_on_one_subscription_does_not_delay_the_others_by_its_backlog(
    join: Join, pump: Pump, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.bus.mqtt._DRAIN_S", 5.0)  # one poll reads all of it, also on a busy machine
    monkeypatch.setattr("ranloop.bus.inbox.MOST_S", 5.0)
    sender, receiver = join("sender"), join("receiver")
    served: list[str] = []
    for name, urgent in (("flood", False), ("honest", False), ("order", True)):
        receiver.subscribe(
            f"{topic}/{name}", lambda t, p: served.append(t.rpartition("/")[2]), keep=10_000, urgent=urgent
        )
    settle(receiver, pump)
    for name in (*["flood"] * 300, "honest", "order"):
        sender.publish(f"{topic}/{name}", b"x")
    settle(sender, pump)
    if isinstance(receiver, MqttBus):
        pump(lambda: in_the_socket(receiver).count(topic.encode()) == 302, sender)
    assert receiver.poll(5.0) == 302
    assert served[:3] == ["order", "flood", "honest"]


def test_one_participant_may_have_two_connections_and_one_will(join: Join, pump: Pump, topic: str) -> None:
    watcher = join("watcher")
    wills = ear(watcher, pump, f"{topic}/will")
    reports = join("host", will=Will(topic=f"{topic}/will", payload=b"gone"))
    orders = join("host")
    heard = ear(orders, pump, f"{topic}/order")
    reports.publish(f"{topic}/order", b"kill")
    pump(lambda: heard == [(f"{topic}/order", b"kill")], orders, reports)
    orders.kill()
    settle(watcher, pump)
    assert (wills, reports.connected) == ([], True)
    reports.kill()
    pump(lambda: wills == [(f"{topic}/will", b"gone")], watcher)


def test_no_thread_is_created(join: Join, pump: Pump, topic: str) -> None:
    threads = threading.active_count()
    bus = join("single")
    heard = ear(bus, pump, topic, qos=1)
    bus.publish(topic, b"x", qos=1)
    pump(lambda: bool(heard), bus)
    assert threading.active_count() == threads


def test_a_closed_bus_says_so(join: Join, topic: str) -> None:
    bus = join("leaver")
    assert bus.connected
    bus.close()
    bus.close()
    assert not bus.connected
    with pytest.raises(BusError, match="the bus of 'leaver' is closed"):
        bus.publish(topic, b"x")
    with pytest.raises(BusError, match="closed"):
        bus.poll()


@pytest.mark.parametrize("wrong", ["", "a/+", "a/#", "a\0b"])
def test_a_topic_with_wildcards_is_not_published_to(join: Join, wrong: str) -> None:
    with pytest.raises(ValueError, match="is not a topic to publish to"):
        join("sender").publish(wrong, b"x")


@pytest.mark.parametrize("wrong", ["", "a/#/b", "a+/b", "a/b#"])
def test_a_wrong_filter_is_refused(join: Join, wrong: str) -> None:
    with pytest.raises(ValueError, match="is not a topic filter"):
        join("receiver").subscribe(wrong, lambda topic, payload: None)
