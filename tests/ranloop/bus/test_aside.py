"""A bus with a thread of its own: messages are fetched at once and handled when the owner serves them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ranloop.bus import AsideBus, Bus
from ranloop.bus.aside import CLOSE_S
from ranloop.bus.memory import MemoryBus, memory_broker
from ranloop.errors import BusError

Connect = Callable[[str], Bus]
PATIENCE_S = 10.0


@pytest.fixture
def woken() -> threading.Event:
    return threading.Event()


def test_a_message_wakes_the_owner_and_is_handled_in_the_owners_thread(
    connect: Connect, woken: threading.Event
) -> None:
    heard: list[tuple[bytes, str]] = []
    sender = connect("operator")
    with AsideBus(connect("host"), wake=woken.set) as aside:
        aside.subscribe("order", lambda _, payload: heard.append((payload, threading.current_thread().name)))
        assert aside.serve() == 0
        sender.publish("order", b"kill")
        assert woken.wait(PATIENCE_S)
        assert heard == []
        assert aside.serve() == 1
    assert heard == [(b"kill", threading.current_thread().name)]


def test_messages_are_handled_in_order(connect: Connect) -> None:
    heard: list[bytes] = []
    all_there = threading.Barrier(2)
    n_woken = 0

    def wake() -> None:
        nonlocal n_woken
        n_woken += 1
        if n_woken == 50:
            all_there.wait(PATIENCE_S)

    sender = connect("operator")
    with AsideBus(connect("host"), wake=wake) as aside:
        aside.subscribe("order", lambda _, payload: heard.append(payload))
        aside.serve()
        for number in range(50):
            sender.publish("order", b"%d" % number)
        all_there.wait(PATIENCE_S)
        assert aside.serve() == 50
    assert heard == [b"%d" % number for number in range(50)]


def test_a_message_that_a_handler_causes_is_for_the_next_call(connect: Connect) -> None:
    woken = threading.Semaphore(0)
    sender = connect("operator")
    with AsideBus(connect("host"), wake=lambda: woken.release()) as aside:
        aside.subscribe("order", lambda topic, payload: sender.publish("order", payload))
        aside.serve()
        sender.publish("order", b"again")
        for _ in range(3):
            assert woken.acquire(timeout=PATIENCE_S)
            assert aside.serve() == 1


def test_closing_ends_the_thread_and_the_bus_and_may_be_done_twice(
    connect: Connect, woken: threading.Event
) -> None:
    bus = connect("host")
    aside = AsideBus(bus, wake=woken.set)
    aside.serve()
    assert "ranloop.bus.aside" in {thread.name for thread in threading.enumerate()}
    aside.close()
    aside.close()
    assert "ranloop.bus.aside" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(BusError, match="closed"):
        bus.poll()


def test_a_connection_that_hangs_is_left_all_the_same() -> None:
    class Hanging(MemoryBus):
        def poll(self, timeout_s: float = 0.0) -> int:
            let_go.wait()
            return 0

    let_go = threading.Event()
    aside = AsideBus(Hanging(memory_broker("aside"), name="owner"), wake=lambda: None)
    aside.serve()
    began_s = time.monotonic()
    try:
        aside.close()
        assert time.monotonic() - began_s < CLOSE_S + 1.0
    finally:
        let_go.set()
