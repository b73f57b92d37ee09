"""Buses to test: the same behaviour over memory, mosquitto and nats."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Protocol

import pytest

from ranloop.bus import Broker, Will, open_bus
from ranloop.bus.address import MqttAddress
from ranloop.bus.memory import MemoryBus
from ranloop.bus.mqtt import MqttBus
from ranloop.testing.brokers import running_broker

AnyBus = MemoryBus | MqttBus
Pump = Callable[..., None]
Heard = list[tuple[str, bytes]]


class Join(Protocol):
    def __call__(self, name: str, will: Will | None = None) -> AnyBus: ...


@pytest.fixture(scope="module")
def mosquitto() -> Iterator[Broker]:
    with running_broker("mosquitto") as broker:
        yield broker


@pytest.fixture(scope="module")
def nats() -> Iterator[Broker]:
    with running_broker("nats") as broker:
        yield broker


@pytest.fixture(
    params=[
        "memory",
        pytest.param("mosquitto", marks=pytest.mark.broker),
        pytest.param("nats", marks=pytest.mark.broker),
    ]
)
def bus_url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://behaviour"
    broker: Broker = request.getfixturevalue(request.param)
    return broker.url


@pytest.fixture
def join(bus_url: str) -> Iterator[Join]:
    """Open any number of buses to the same broker; closed after the test."""
    with ExitStack() as stack:

        def join(name: str, will: Will | None = None) -> AnyBus:
            bus = open_bus(bus_url, name=name, will=will)
            assert isinstance(bus, (MemoryBus, MqttBus))
            stack.callback(bus.close)
            return bus

        yield join


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic of this test alone: retained messages outlive a test."""
    name = "".join(sign if sign.isalnum() else "-" for sign in request.node.name.lower())
    return f"test/{name}"


@pytest.fixture
def pump() -> Pump:
    """Poll the buses in turn until `done()`; fail after 5 s."""

    def pump(done: Callable[[], bool], *buses: AnyBus) -> None:
        give_up_s = time.monotonic() + 5.0
        while not done():
            assert time.monotonic() < give_up_s, "what the test waits for did not happen within 5 s"
            for bus in buses:
                bus.poll(0.002)

    return pump


def ear(
    bus: AnyBus, pump: Pump, topic_filter: str, *, qos: int = 0, keep: int = 256, latest: bool = False
) -> Heard:
    """Subscribe, and return the list that fills with what is heard; the subscription is in force."""
    heard: Heard = []
    bus.subscribe(
        topic_filter, lambda topic, payload: heard.append((topic, payload)), qos=qos, keep=keep, latest=latest
    )
    settle(bus, pump)
    return heard


_marks = iter(range(1_000_000))


def settle(bus: AnyBus, pump: Pump) -> None:
    """Return when the broker has done everything this bus asked of it: a message to itself has come back."""
    mark = f"settle/{id(bus)}/{next(_marks)}"
    back: Heard = []
    subscription = bus.subscribe(mark, lambda topic, payload: back.append((topic, payload)))
    bus.publish(mark, b"")
    pump(lambda: bool(back), bus)
    subscription.cancel()


def retain(bus: AnyBus, pump: Pump, topic: str, payload: bytes, *, qos: int = 0) -> None:
    """Publish a retained message; return when new subscribers get it, which nats-server does a moment later."""
    bus.publish(topic, payload, qos=qos, retain=True)
    expected = [(topic, payload)] if payload else []
    give_up_s = time.monotonic() + 5.0
    heard: Heard = []
    while True:
        heard.clear()
        subscription = bus.subscribe(topic, lambda topic, payload: heard.append((topic, payload)))
        settle(bus, pump)
        subscription.cancel()
        if heard == expected:
            return
        assert time.monotonic() < give_up_s, f"new subscribers hear {heard} instead of {expected}"


def in_the_socket(bus: MqttBus) -> bytes:
    """What has come for `bus` and was not read yet."""
    connection = bus._client.socket()
    assert isinstance(connection, socket.socket)
    with suppress(BlockingIOError):
        return connection.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return b""


ACCEPTED = b"\x20\x02\x00\x00"  # CONNACK


class Curt:
    """A broker that takes every client and then says and reads nothing by itself."""

    def __init__(self) -> None:
        self.hangs_up = False  # on each client, right after taking it
        self.taken_at_s: list[float] = []
        self.peer: socket.socket | None = None  # the client taken last
        self._peers = ExitStack()
        self._heard = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="curt-broker")
        self._thread.start()

    def join(self) -> MqttBus:
        return MqttBus(MqttAddress(host="127.0.0.1", port=self.port), name="client")

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:  # closed
                return
            if not peer.recv(4096):  # somebody only knocked
                peer.close()
                continue
            hangs_up = self.hangs_up
            if not hangs_up:
                self.peer = self._peers.enter_context(peer)
            self.taken_at_s.append(time.monotonic())
            peer.sendall(ACCEPTED)
            if hangs_up:
                peer.close()

    def heard(self) -> bytes:
        """What the client has said since it was taken."""
        assert self.peer is not None
        with suppress(BlockingIOError):
            while said := self.peer.recv(1 << 16, socket.MSG_DONTWAIT):
                self._heard += said
        return self._heard

    def say(self, packets: bytes) -> None:
        assert self.peer is not None
        self.peer.sendall(packets)

    def hang_up(self) -> None:
        assert self.peer is not None
        self.peer.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self._peers.close()


@pytest.fixture
def curt() -> Iterator[Curt]:
    broker = Curt()
    yield broker
    broker.close()


@pytest.fixture
def bus(curt: Curt) -> Iterator[MqttBus]:
    bus = curt.join()
    yield bus
    bus.kill()
