"""The in-process bus between threads."""

from __future__ import annotations

import threading
import time

from ranloop.bus import open_bus


def test_a_publish_in_another_thread_ends_the_wait_of_poll() -> None:
    heard: list[bytes] = []
    with (
        open_bus("memory://threads", name="receiver") as receiver,
        open_bus("memory://threads", name="s") as sender,
    ):
        receiver.subscribe("t", lambda topic, payload: heard.append(payload))
        thread = threading.Thread(target=sender.publish, args=("t", b"wake"), name="publisher")
        began_s = time.monotonic()
        thread.start()
        assert receiver.poll(30.0) == 1
        assert time.monotonic() - began_s < 10.0
        thread.join()
    assert heard == [b"wake"]


def test_messages_of_many_threads_reach_all_in_one_order() -> None:
    with open_bus("memory://order", name="a") as a, open_bus("memory://order", name="b") as b:
        heard_a: list[bytes] = []
        heard_b: list[bytes] = []
        a.subscribe("t", lambda topic, payload: heard_a.append(payload), keep=10_000)
        b.subscribe("t", lambda topic, payload: heard_b.append(payload), keep=10_000)

        def talk(who: int) -> None:
            for n in range(300):
                a.publish("t", b"%d/%d" % (who, n))

        threads = [threading.Thread(target=talk, args=(who,), name=f"talker-{who}") for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (a.poll(), b.poll()) == (1200, 1200)
        assert heard_a == heard_b
        assert len(set(heard_a)) == 1200


def test_buses_of_different_names_do_not_hear_each_other() -> None:
    with open_bus("memory://one", name="a") as one, open_bus("memory://two", name="b") as two:
        one.subscribe("#", lambda topic, payload: None)
        two.publish("t", b"x", retain=True)
        assert one.poll() == 0


def test_a_broker_is_forgotten_with_its_last_client() -> None:
    with open_bus("memory://short", name="a") as bus:
        bus.publish("t", b"kept", retain=True)
    del bus
    with open_bus("memory://short", name="b") as later:
        later.subscribe("t", lambda topic, payload: None)
        assert later.poll() == 0


def test_the_payload_is_passed_on_and_not_copied() -> None:
    payload = bytes(100)
    with open_bus("memory://same", name="a") as bus:
        heard: list[bytes] = []
        bus.subscribe("t", lambda topic, payload: heard.append(payload))
        bus.publish("t", payload)
        bus.poll()
    assert heard[0] is payload
