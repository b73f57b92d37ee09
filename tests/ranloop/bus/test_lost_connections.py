"""A broker that is slow, silent, flooding or gone: what a client then waits for, keeps and gives up."""

from __future__ import annotations

import re
import time
import tracemalloc

import pytest
from structlog.testing import capture_logs

from ranloop.bus.mqtt import (
    FIRST_BACKOFF_S,
    IN_FLIGHT,
    OUTBOX,
    UNFLUSHED,
    MqttBus,
)
from tests.ranloop.bus.conftest import Curt, Pump, in_the_socket

ARE_YOU_THERE = b"\xc0\x00"  # PINGREQ
NEWS = b"\x30\x03\x00\x01t"  # an empty message on topic t, QoS 0


def test_an_idle_client_asks_whether_the_broker_is_there_and_leaves_one_that_does_not_answer(
    curt: Curt, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the broker takes an idle client for dead, and the client never sees that a cable was pulled."""
    monkeypatch.setattr("ranloop.bus.mqtt.KEEPALIVE_S", 1)
    bus = curt.join()
    pump(lambda: ARE_YOU_THERE in curt.heard(), bus)
    assert bus.connected
    pump(lambda: not bus.connected, bus)
    pump(lambda: bus.stats.reconnects == 1, bus)
    bus.kill()


def test_the_waits_between_attempts_double_also_where_a_broker_hangs_up_at_once(
    curt: Curt, bus: MqttBus, pump: Pump
) -> None:
    curt.hangs_up = True
    curt.hang_up()
    hung_up_at_s = time.monotonic()
    pump(lambda: len(curt.taken_at_s) == 6, bus)
    # 0.05 + 0.1 + 0.2 + 0.4 + 0.8 s, of which a client waits at least half.
    assert curt.taken_at_s[-1] - hung_up_at_s >= FIRST_BACKOFF_S * (2**5 - 1) / 2


def test_a_broker_that_goes_and_comes_back_is_told_once_each(curt: Curt, bus: MqttBus, pump: Pump) -> None:
    with capture_logs() as logs:
        curt.hang_up()
        pump(lambda: len(curt.taken_at_s) == 2 and bus.connected, bus)
    told = [(line["event"], line["log_level"]) for line in logs]
    assert told == [("bus_disconnected", "warning"), ("bus_reconnected", "warning")]


def test_a_broker_that_hangs_up_again_and_again_is_told_ever_more_rarely(
    curt: Curt, bus: MqttBus, pump: Pump
) -> None:
    with capture_logs() as logs:
        curt.hangs_up = True
        curt.hang_up()
        pump(lambda: len(curt.taken_at_s) == 7, bus)
    lost = [line["in_a_row"] for line in logs if line["event"] == "bus_disconnected"]
    assert lost == [1, 2, 4]


def test_after_a_stable_connection_the_waits_begin_anew(
    curt: Curt, bus: MqttBus, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    curt.hangs_up = True
    curt.hang_up()
    pump(lambda: len(curt.taken_at_s) == 5, bus)
    curt.hangs_up = False
    pump(lambda: len(curt.taken_at_s) == 6 and bus.connected, bus)
    monkeypatch.setattr("ranloop.bus.mqtt.STABLE_S", 0.0)  # it has lived long enough
    curt.hang_up()
    hung_up_at_s = time.monotonic()
    pump(lambda: len(curt.taken_at_s) == 7, bus)
    # The sixth wait in a row would be at least 0.05 * 2**5 / 2 = 0.8 s.
    assert curt.taken_at_s[-1] - hung_up_at_s < 0.5


def test_nobody_waits_longer_than_the_longest_backoff(
    curt: Curt, bus: MqttBus, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.bus.mqtt.LAST_BACKOFF_S", 0.1)
    curt.hangs_up = True
    curt.hang_up()
    pump(lambda: len(curt.taken_at_s) == 9, bus)
    # Without a bound the eighth wait would be at least 0.05 * 2**7 / 2 = 3.2 s.
    assert curt.taken_at_s[-1] - curt.taken_at_s[-2] < 1.0


def test_a_flood_does_not_keep_the_handlers_waiting(curt: Curt, bus: MqttBus, pump: Pump) -> None:
    n_messages = 12_000  # more than Python can read in the time that a poll reads
    heard: list[bytes] = []
    bus.subscribe("t", lambda topic, payload: heard.append(payload), keep=n_messages)
    curt.say(NEWS * n_messages)
    pump(lambda: len(in_the_socket(bus)) == len(NEWS) * n_messages)
    assert 0 < bus.poll() == len(heard) < n_messages
    pump(lambda: len(heard) == n_messages, bus)


def test_what_waits_for_a_broker_that_reads_nothing_is_bounded(bus: MqttBus) -> None:
    """What the kernel takes is not ours to bound: some MB at most."""
    tracemalloc.start()
    for _ in range(2 * UNFLUSHED + 1000):
        bus.publish("t", bytes(10_000))
    kept_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 0.9 * UNFLUSHED * 10_000 < kept_bytes < 1.2 * UNFLUSHED * 10_000
    assert bus.stats.unsent > 0
    assert bus.stats.published + bus.stats.unsent == 2 * UNFLUSHED + 1000


def test_messages_leave_at_once_however_many_are_unacknowledged(curt: Curt, bus: MqttBus, pump: Pump) -> None:
    """A message that waited for acknowledgements would be overtaken by later ones of QoS 0."""
    sent = [b"<%d>" % n for n in range(IN_FLIGHT)]
    for payload in sent:
        bus.publish("t", payload, qos=1)
    pump(lambda: all(payload in curt.heard() for payload in (sent[0], sent[-1])), bus)
    assert re.findall(rb"<\d+>", curt.heard()) == sent


def test_what_a_broker_does_not_acknowledge_is_bounded(bus: MqttBus) -> None:
    for _ in range(IN_FLIGHT + OUTBOX + 7):
        bus.publish("t", b"x", qos=1)
    assert (bus.stats.published, bus.stats.unsent) == (IN_FLIGHT + OUTBOX, 7)
