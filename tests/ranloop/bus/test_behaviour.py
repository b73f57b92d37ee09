"""Every bus keeps to the protocol, over memory and over real brokers, and does some things beyond `check_bus`."""

from __future__ import annotations

import random
import threading
import time

import pytest

from ranloop.bus import Will, open_bus
from ranloop.bus.mqtt import MqttBus
from ranloop.errors import BusError
from ranloop.testing import check_bus
from tests.ranloop.bus.conftest import Heard, Join, Pump, ear, in_the_socket, retain, settle


def test_every_bus_passes_the_shipped_bus_check(bus_url: str) -> None:
    check_bus(lambda name, will: open_bus(bus_url, name=name, will=will))


def test_a_bus_says_since_when_its_owner_works_and_nothing_while_it_waits(
    join: Join, pump: Pump, topic: str
) -> None:
    bus = join("worker")
    in_handler: list[float | None] = []
    bus.subscribe(topic, lambda t, p: in_handler.append(bus.stats.busy_since_s))
    settle(bus, pump)
    began_s = time.monotonic()
    bus.publish(topic, b"")
    pump(lambda: bool(in_handler), bus)
    assert in_handler[0] is not None
    assert began_s <= in_handler[0] <= time.monotonic()
    assert bus.stats.busy_since_s is not None  # between two polls
    waits = threading.Thread(target=bus.poll, args=(5.0,), name="owner")
    waits.start()
    pump(lambda: bus.stats.busy_since_s is None)
    bus.wake()
    waits.join()
    assert bus.stats.busy_since_s is not None


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


def test_payloads_pass_as_they_are(join: Join, pump: Pump, topic: str) -> None:
    rng = random.Random(7)
    sent = [b"", b"\x00", b"\xff\xfe\n", *(rng.randbytes(n) for n in (1, 127, 128, 16_384, 1_000_000))]
    sender, receiver = join("sender"), join("receiver")
    heard = ear(receiver, pump, topic, qos=1)
    for payload in sent:
        sender.publish(topic, payload, qos=1)
    pump(lambda: len(heard) == len(sent), sender, receiver)
    assert [payload for _, payload in heard] == sent


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


def test_poll_says_how_many_handlers_ran(join: Join, pump: Pump, topic: str) -> None:
    bus = join("counting")
    heard: Heard = []
    for _ in range(2):
        bus.subscribe(topic, lambda t, p: heard.append((t, p)))
    settle(bus, pump)
    bus.publish(topic, b"1")
    assert bus.poll(5.0) == 2
    assert bus.stats.delivered >= 2


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
