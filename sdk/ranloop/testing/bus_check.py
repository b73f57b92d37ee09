"""`check_bus`: holds a transport of your own to the bus protocol, before hosts and xApps rely on it.

def test_my_bus() -> None:
    check_bus(lambda name, will: MyBus(name, will))
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from ranloop.bus.base import MOST_S, Bus, Will
from ranloop.errors import BusError
from ranloop.testing import bus_room
from ranloop.testing.bus_room import Heard, OpenBus, Room, wrong

__all__ = ("RULES", "check_bus")

_TRIES = 5  # where messages may still be on their way when a poll begins
_ON_THE_WAY_S = 0.1


def check_bus(open_bus_at: OpenBus) -> None:
    """Hold a transport to `ranloop.bus.Bus`.

    Args:
        open_bus_at: Opens one more client of the same broker, `open_bus_at(name, will)`. The check opens up to three at a
            time, and closes them. Its topics begin with `ranloop-check/`.

    Raises:
        AssertionError: One line for each rule that is broken; see `RULES`.
    """
    findings: list[str] = []
    run = uuid.uuid4().hex
    for number, (name, rule) in enumerate(RULES.items()):
        try:
            with Room(open_bus_at, f"ranloop-check/{run}/{number}") as room:
                rule(room)
        except Exception as error:  # noqa: BLE001 whatever a foreign bus raises is a finding
            finding = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            findings.append(f"{name}: {finding}")
    if findings:  # no assert: pytest, which rewrites ours since it knows the plugin, would add its own words
        raise AssertionError("\n".join(findings))


def _order(room: Room) -> None:
    sender, receiver = room.join("sender"), room.join("receiver")
    for qos in (0, 1):
        topic = f"{room.topic}/qos{qos}"
        heard = room.ear(receiver, topic, qos=qos)
        sent = [(topic, b"%d" % n) for n in range(100)]
        for each, payload in sent:
            sender.publish(each, payload, qos=qos)
        room.wait(partial(_has, heard, 100), f"QoS {qos}: not all messages came", sender, receiver)
        if heard != sent:
            wrong(f"QoS {qos}: messages of one topic came in another order, or more often than once")


def _payloads(room: Room) -> None:
    sent = [b"", b"\x00", b"\xff\xfe\n", bytes(range(256)) * 1024]
    sender, receiver = room.join("sender"), room.join("receiver")
    heard = room.ear(receiver, room.topic, qos=1)
    for payload in sent:
        sender.publish(room.topic, payload, qos=1)
    room.wait(lambda: len(heard) >= len(sent), "not all payloads came", sender, receiver)
    if [payload for _, payload in heard] != sent:
        wrong("a payload came changed")


def _filters(room: Room) -> None:
    sender, receiver = room.join("sender"), room.join("receiver")
    wanted = {"+/ue": ["a/ue"], "b/#": ["b", "b/cell/100"], "a/cell": ["a/cell"]}
    ears = {each: room.ear(receiver, f"{room.topic}/{each}") for each in wanted}
    for path in ("a/ue", "a/cell", "a/ue/100", "b", "b/cell/100", "c/x"):
        sender.publish(f"{room.topic}/{path}", b"x")
    room.settle(sender)
    room.wait(lambda: all(map(len, ears.values())), "not all messages came", receiver)
    room.settle(receiver)
    for each, paths in wanted.items():
        if (topics := [topic for topic, _ in ears[each]]) != [f"{room.topic}/{path}" for path in paths]:
            wrong(f"the filter {each!r} hears {topics} instead of {paths}")
    for topic in ("", "a/+", "a/#"):
        _refuses(ValueError, f"publishing to {topic!r}", partial(sender.publish, topic, b""))
    for each in ("", "a/#/b", "a+/b"):
        _refuses(ValueError, f"the filter {each!r}", partial(receiver.subscribe, each, _ignore))


def _nested_filters(room: Room) -> None:
    bus = room.join("both")
    wide: list[str] = []
    subscription = bus.subscribe(f"{room.topic}/#", lambda topic, payload: wide.append(topic))
    narrow = room.ear(bus, f"{room.topic}/+/ue")
    for number, wanted in enumerate(((1, 1), (1, 2))):
        bus.publish(f"{room.topic}/a/ue", b"x")
        room.wait(partial(_has, narrow, number + 1), "a message did not come to the narrow filter", bus)
        room.settle(bus)
        if (len(wide), len(narrow)) != wanted:
            wrong(
                f"a message came to the wide and the narrow filter {(len(wide), len(narrow))} times, not {wanted}"
            )
        subscription.cancel()


def _retained(room: Room) -> None:
    sender = room.join("sender")
    for payload in (b"old", b"new"):
        sender.publish(room.topic, payload, qos=1, retain=True)
        room.newcomer_hears(room.topic, [(room.topic, payload)])
    first = room.ear(sender, room.topic)
    room.wait(lambda: bool(first), "a subscription did not hear a retained message", sender)
    second = room.ear(sender, f"{room.topic}/#")
    room.wait(lambda: bool(second), "a second subscription did not hear a retained message", sender)
    room.settle(sender)
    if not len(first) == len(second) == 1:
        wrong("a subscription hears a retained message again when another one is made")
    sender.publish(room.topic, b"", qos=1, retain=True)
    room.newcomer_hears(room.topic, [])


def _keep(room: Room) -> None:
    receiver, heard = room.join("receiver"), Heard()
    subscription = receiver.subscribe(room.topic, lambda *message: heard.append(message), keep=5)
    for n_at_once in _flood(room, receiver, heard, [room.topic] * 100):
        if n_at_once.total() > 5:
            wrong(f"{n_at_once.total()} messages waited for one poll with keep = 5")
    if len(heard) + subscription.dropped != 100 or receiver.stats.dropped != subscription.dropped:
        wrong(f"of 100 messages {len(heard)} came and {subscription.dropped} were counted as dropped")


def _latest(room: Room) -> None:
    receiver, heard = room.join("receiver"), Heard()
    subscription = receiver.subscribe(f"{room.topic}/+", lambda *message: heard.append(message), latest=2)
    for n_at_once in _flood(room, receiver, heard, [f"{room.topic}/a", f"{room.topic}/b"] * 50):
        if max(n_at_once.values()) > 2:
            wrong("more than 2 messages of one topic waited for one poll with latest = 2")
    if len(heard) + subscription.conflated != 100 or subscription.dropped:
        wrong(f"of 100 messages {len(heard)} came and {subscription.conflated} were counted as conflated")


def _flood(room: Room, receiver: Bus, heard: Heard, topics: Sequence[str]) -> Iterator[Counter[str]]:
    """Send more than waits between two polls, numbered; how many of each topic one poll handed out, until the newest came."""
    sender = room.join("sender")
    room.settle(receiver)
    sent = [(topic, b"%d" % n) for n, topic in enumerate(topics)]
    for topic, payload in sent:
        sender.publish(topic, payload)
    room.settle(sender)
    newest = set(dict(sent).items())
    give_up_s = time.monotonic() + bus_room.PATIENCE_S
    while not newest <= set(heard):
        if time.monotonic() > give_up_s:
            wrong("the newest message of a topic did not come")
        before = len(heard)
        receiver.poll(0.002)
        if heard[before:]:
            yield Counter(topic for topic, _ in heard[before:])


def _turns(room: Room) -> None:
    sender, receiver = room.join("sender"), room.join("receiver")
    served: list[str] = []

    def serve(topic: str, payload: bytes) -> None:
        served.append(topic.rpartition("/")[2])

    for name in ("flood", "honest", "order"):
        receiver.subscribe(f"{room.topic}/{name}", serve, urgent=name == "order")
    room.settle(receiver)
    for _ in range(_TRIES):
        served.clear()
        for name in (*["flood"] * 50, "honest", "order"):
            sender.publish(f"{room.topic}/{name}", b"x")
        room.settle(sender)
        time.sleep(_ON_THE_WAY_S)
        room.wait(lambda: len(served) == 52, "not all messages came", receiver)
        if served[:3] == ["order", "flood", "honest"]:
            return
    wrong(
        f"'order' is urgent and 'honest' has a turn, but {served.index('order')} and {served.index('honest')} came first"
    )


def _wake(room: Room) -> None:
    bus = room.join("sleeper")
    room.settle(bus)
    bus.wake()
    if _took_s(lambda: bus.poll(bus_room.PATIENCE_S)) > bus_room.PATIENCE_S / 2:
        wrong("a poll after `wake` waited")
    alarm = threading.Timer(0.1, bus.wake)
    alarm.start()
    took_s = _took_s(lambda: bus.poll(bus_room.PATIENCE_S))
    alarm.join()
    if took_s > bus_room.PATIENCE_S / 2:
        wrong("`wake` in another thread did not end a poll")


def _wills(room: Room) -> None:
    watcher = room.join("watcher")
    heard = room.ear(watcher, f"{room.topic}/+")
    closed, killed = f"{room.topic}/closed", f"{room.topic}/killed"
    leaver = room.join("leaver", Will(topic=closed, payload=b"gone"))
    room.settle(leaver)
    leaver.close()
    mortal = room.join("mortal", Will(topic=killed, payload=b"gone"))
    room.settle(mortal)
    mortal.kill()
    room.wait(lambda: (killed, b"gone") in heard, "the will of a killed client did not come", watcher)
    room.newcomer_hears(killed, [(killed, b"gone")])
    if (closed, b"gone") in heard:
        wrong("the will of a closed client came")
    watcher.publish(killed, b"", qos=1, retain=True)
    room.settle(watcher)


def _close(room: Room) -> None:
    bus = room.join("leaver")
    if not bus.connected:
        wrong("an open bus is not `connected`")
    bus.close()
    bus.close()
    if bus.connected:
        wrong("a closed bus is `connected`")
    _refuses(BusError, "publishing on a closed bus", lambda: bus.publish(room.topic, b""))
    _refuses(BusError, "polling a closed bus", bus.poll)


def _handlers(room: Room) -> None:
    bus = room.join("busy")
    answers: list[bytes] = []

    def once(topic: str, payload: bytes) -> None:
        question.cancel()
        bus.subscribe(f"{room.topic}/answer", lambda topic, payload: answers.append(payload))
        bus.publish(f"{room.topic}/answer", payload[::-1])

    question = bus.subscribe(f"{room.topic}/question", once)
    room.settle(bus)
    for payload in (b"abc", b"def"):
        bus.publish(f"{room.topic}/question", payload)
    room.wait(lambda: bool(answers), "a handler that subscribes and publishes got no answer", bus)
    room.settle(bus)
    if answers != [b"cba"]:
        wrong(f"a handler that cancelled its own subscription ran {len(answers)} times")


def _errors(room: Room) -> None:
    bus = room.join("broken")
    heard: list[bytes] = []

    def handler(topic: str, payload: bytes) -> None:
        if payload == b"bad":
            raise ZeroDivisionError
        heard.append(payload)

    bus.subscribe(room.topic, handler)
    room.settle(bus)
    bus.publish(room.topic, b"bad")
    bus.publish(room.topic, b"good")
    raised = 0
    give_up_s = time.monotonic() + bus_room.PATIENCE_S
    while not heard and time.monotonic() < give_up_s:
        try:
            bus.poll(0.002)
        except ZeroDivisionError:
            raised += 1
    if (raised, heard) != (1, [b"good"]):
        wrong(
            f"an error of a handler reached `poll` {raised} times, and {len(heard)} of 1 later messages came"
        )


def _bounded(room: Room) -> None:
    bus = room.join("patient")
    room.settle(bus)
    if not 0.05 <= _took_s(lambda: bus.poll(0.1)) <= 1.0:
        wrong("a poll of 0.1 s without a message did not take 0.1 s")
    bus.subscribe(f"{room.topic}/echo", lambda topic, payload: bus.publish(topic, payload))
    slow = bus.subscribe(f"{room.topic}/slow", lambda topic, payload: time.sleep(MOST_S / 2))
    room.settle(bus)
    for _ in range(20):
        bus.publish(f"{room.topic}/slow", b"")
    time.sleep(_ON_THE_WAY_S)
    if (ran := bus.poll(bus_room.PATIENCE_S)) > 5:
        wrong(f"one poll ran {ran} handlers of {MOST_S / 2:g} s; after {MOST_S:g} s none may start")
    slow.cancel()
    bus.publish(f"{room.topic}/echo", b"")
    if (ran := bus.poll(bus_room.PATIENCE_S)) != 1:
        wrong(f"one poll ran a handler that answers itself {ran} times")


def _has(heard: Heard, n: int) -> bool:
    return len(heard) >= n


def _took_s(act: Callable[[], object]) -> float:
    began_s = time.monotonic()
    act()
    return time.monotonic() - began_s


def _refuses(kind: type[Exception], what: str, act: Callable[[], object]) -> None:
    try:
        act()
    except kind:
        return
    wrong(f"{what} raised no {kind.__name__}")


def _ignore(topic: str, payload: bytes) -> None:
    """A handler where none is to run."""


RULES: Final[Mapping[str, Callable[[Room], None]]] = MappingProxyType(
    {
        "order": _order,
        "payloads": _payloads,
        "filters": _filters,
        "nested filters": _nested_filters,
        "retained messages": _retained,
        "keep": _keep,
        "latest": _latest,
        "turns": _turns,
        "wake": _wake,
        "wills": _wills,
        "close": _close,
        "handlers": _handlers,
        "errors": _errors,
        "bounded polls": _bounded,
    }
)
