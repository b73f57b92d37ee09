"""The clients of one rule of `check_bus`, and how it waits for messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NoReturn

from ranloop.bus.base import Bus, Will

__all__ = ("PATIENCE_S", "Heard", "OpenBus", "Room", "said", "wrong")

OpenBus = Callable[[str, Will | None], Bus]
Heard = list[tuple[str, bytes]]

PATIENCE_S = 5.0  # for a message that has to come


def wrong(finding: str) -> NoReturn:
    raise AssertionError(finding)


def said(heard: Heard) -> str:
    return str([payload.decode(errors="replace") for _, payload in heard[:8]])


class Room(ExitStack):
    """The clients of one rule and a topic of its own."""

    def __init__(self, open_bus_at: OpenBus, topic: str) -> None:
        super().__init__()
        self.topic = topic
        self._open_bus_at = open_bus_at
        self._n_marks = 0

    def join(self, name: str, will: Will | None = None) -> Bus:
        bus = self._open_bus_at(name, will)
        self.callback(bus.close)
        return bus

    def wait(self, done: Callable[[], bool], missing: str, *buses: Bus) -> None:
        """Poll the buses in turn until `done()`."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > give_up_s:
                wrong(f"{missing} within {PATIENCE_S:g} s")
            for bus in buses:
                bus.poll(0.002)

    def settle(self, bus: Bus) -> None:
        """Return when the broker has done everything that `bus` asked of it: a message to itself has come back."""
        self._n_marks += 1
        mark, back = f"{self.topic}-marks/{self._n_marks}", list[str]()
        subscription = bus.subscribe(mark, lambda topic, payload: back.append(topic))
        bus.publish(mark, b"")
        self.wait(lambda: bool(back), "a message to itself did not come back", bus)
        subscription.cancel()

    def ear(self, bus: Bus, topic_filter: str, *, qos: int = 0) -> Heard:
        """Subscribe; the list that fills with what is heard. The subscription is in force."""
        heard: Heard = []
        bus.subscribe(topic_filter, lambda topic, payload: heard.append((topic, payload)), qos=qos)
        self.settle(bus)
        return heard

    def newcomer_hears(self, topic: str, wanted: Heard) -> None:
        """Wait until a client that comes now hears `wanted` of `topic`; a broker may need a moment to keep a message."""
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            with self._open_bus_at("newcomer", None) as bus:
                heard = self.ear(bus, topic)
            if heard == wanted:
                return
            if time.monotonic() > give_up_s:
                wrong(f"a client that comes later hears {said(heard)} instead of {said(wanted)}")
