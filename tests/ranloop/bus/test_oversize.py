"""A broker that hangs up for the size of a message is named with it, and is not sent it for ever."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from ranloop.bus.address import MqttAddress
from ranloop.bus.mqtt import MqttBus
from ranloop.bus.oversize import LARGE_BYTES, REFUSED_S, Oversize
from ranloop.testing.brokers import running_broker
from tests.ranloop.bus.conftest import Pump, ear

TOO_MUCH = (1 << 24) + 1_000_000  # our brokers take 16 MiB


def test_twice_in_a_row_the_largest_message_of_a_short_connection_is_the_reason() -> None:
    found = Oversize()
    for n_bytes in (200_000, 150_000):
        found.sent("small", LARGE_BYTES)
        found.sent("t", n_bytes)
        named = found.hung_up(0.0, 0.1)
    assert named == ("t", 150_000)
    assert not found.refuses("t", 149_999, 1.0)
    assert found.refuses("t", 150_000, 1.0)
    assert not found.refuses("u", 10**9, 1.0)
    assert not found.refuses("t", 150_000, 0.1 + REFUSED_S)  # one more is tried


@pytest.mark.parametrize(
    "connections",
    [[("t", 0.1)], [("t", 0.1), ("u", 0.1)], [("t", 60.0), ("t", 0.1)], [("t", 0.1), ("t", 60.0)], [("t", 0.1), (None, 0.1), ("t", 0.1)]],
    ids=["once", "two topics", "long, then short", "short, then long", "without it in between"],
)  # fmt: skip
def test_a_connection_that_is_lost_for_another_reason_refuses_nothing(
    connections: list[tuple[str | None, float]],
) -> None:
    found = Oversize()
    for topic, lived_s in connections:
        if topic is not None:
            found.sent(topic, 10**6)
        assert found.hung_up(0.0, lived_s) is None
    assert not found.refuses("t", 10**9, 1.0)


def test_it_is_said_once_per_topic() -> None:
    found = Oversize()
    said = []
    for _ in range(6):
        found.sent("t", 10**6)
        said.append(found.hung_up(0.0, 0.1))
    assert [one for one in said if one] == [("t", 10**6)]


def told(logs: list[Any]) -> list[Any]:
    return [log for log in logs if log["event"] == "publish_too_large"]


def test_what_is_refused_on_ever_new_topics_fills_no_memory() -> None:
    found = Oversize()
    for k in range(2_000):
        for _ in range(2):
            found.sent(f"t{k}", 10**6)
            found.hung_up(0.0, 0.1)
    assert 1 <= sum(found.refuses(f"t{k}", 10**6, 1.0) for k in range(2_000)) <= 256


@pytest.mark.broker
@pytest.mark.parametrize("qos", [0, 1])
def test_a_broker_that_hangs_up_for_a_message_is_heard_of_once_and_all_else_goes_on(
    pump: Pump, qos: int
) -> None:
    with (
        running_broker("nats") as broker,
        MqttBus(MqttAddress(host="127.0.0.1", port=broker.port), name="big") as bus,
        MqttBus(MqttAddress(host="127.0.0.1", port=broker.port), name="other") as other,
        capture_logs() as logs,
    ):
        heard = ear(other, pump, "t")
        while not told(logs):
            lost = bus.stats.reconnects
            bus.publish("t", bytes(TOO_MUCH), qos=qos)
            pump(lambda lost=lost: bus.connected and (bus.stats.reconnects > lost or told(logs)), bus)
        lost = bus.stats.reconnects
        bus.publish("t", bytes(TOO_MUCH), qos=qos)
        bus.publish("t", b"small", qos=1)
        pump(lambda: heard == [("t", b"small")], bus, other)
        assert bus.stats.reconnects == lost
    (said,) = told(logs)
    assert (said["topic"], said["bytes"]) == ("t", TOO_MUCH)
    assert "max_payload" in said["advice"]
