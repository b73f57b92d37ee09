"""`check_bus` finds one fault in a bus that breaks one rule of the protocol."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import pytest

from ranloop.bus import Will
from ranloop.bus.base import Handler
from ranloop.bus.inbox import InboxSubscription
from ranloop.bus.memory import MemoryBus, memory_broker
from ranloop.testing import bus_check, bus_room, check_bus

_fresh = itertools.count()


class Shuffling(MemoryBus):
    """Sends the second message of a topic after the third."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.n_sent: Counter[str] = Counter()
        self.late = b""

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        self.n_sent[topic] += topic.endswith("qos1")
        if self.n_sent[topic] == 2:
            self.late = payload
            return
        super().publish(topic, payload, qos=qos, retain=retain)
        if self.n_sent[topic] == 3:
            super().publish(topic, self.late, qos=qos, retain=retain)


class Trimming(MemoryBus):
    """Takes a zero byte for the end."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        super().publish(topic, payload.rstrip(b"\x00"), qos=qos, retain=retain)


class Subscribing(MemoryBus):
    """Subscribes to something else."""

    options: Mapping[str, Any] = MappingProxyType({})

    def wider(self, topic_filter: str) -> str:
        return topic_filter

    def subscribe(self, topic_filter: str, handler: Handler, **options: Any) -> InboxSubscription:
        return super().subscribe(self.wider(topic_filter), handler, **{**options, **self.options})


class Overhearing(Subscribing):
    """Takes `+` for any number of levels."""

    def wider(self, topic_filter: str) -> str:
        return topic_filter.replace("+/ue", "#") if topic_filter.endswith("2/+/ue") else topic_filter


class Lax(MemoryBus):
    """Publishes to a filter."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        super().publish(topic.replace("+", "x"), payload, qos=qos, retain=retain)


class Repeating(MemoryBus):
    """Hands a message out once for each filter that matches, to each."""

    def subscribe(self, topic_filter: str, handler: Handler, **options: Any) -> InboxSubscription:
        if topic_filter.endswith("+/ue") and self.name == "both":
            super().subscribe(topic_filter, handler, **options)
        return super().subscribe(topic_filter, handler, **options)


class Forgetful(MemoryBus):
    """Retains nothing but wills."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        super().publish(topic, payload, qos=qos)


class Remembering(MemoryBus):
    """Retains an empty message as it does any other."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        super().publish(topic, payload, qos=qos, retain=retain and bool(payload))


class Unbounded(Subscribing):
    options = MappingProxyType({"keep": 10_000})


class Uncounted(MemoryBus):
    """Drops, and counts nothing."""

    def poll(self, timeout_s: float = 0.0) -> int:
        self.stats.dropped = 0
        return super().poll(timeout_s)


class Historian(Subscribing):
    options = MappingProxyType({"latest": 0})


class Leveller(Subscribing):
    options = MappingProxyType({"urgent": False})


class Sleeper(MemoryBus):
    def wake(self) -> None:
        pass


class Immortal(MemoryBus):
    """A crash leaves no will."""

    def kill(self) -> None:
        self.close()


class Dramatic(MemoryBus):
    """Leaves its will in good order too."""

    def close(self) -> None:
        self.kill()


class Fussy(MemoryBus):
    """Is closed once only."""

    is_closed = False

    def close(self) -> None:
        if self.is_closed and self.name == "leaver" and self._will_is_none:
            raise RuntimeError("it is closed")
        self.is_closed = True
        super().close()

    def __init__(self, *args: Any, will: Will | None = None, **options: Any) -> None:
        super().__init__(*args, will=will, **options)
        self._will_is_none = will is None


class Mute(MemoryBus):
    """Sends nothing that a handler publishes."""

    in_poll = False

    def poll(self, timeout_s: float = 0.0) -> int:
        self.in_poll = True
        try:
            return super().poll(timeout_s)
        finally:
            self.in_poll = False

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        if not (self.in_poll and topic.endswith("answer")):
            super().publish(topic, payload, qos=qos, retain=retain)


class Silent(MemoryBus):
    """Swallows what a handler raises."""

    def poll(self, timeout_s: float = 0.0) -> int:
        with suppress(ZeroDivisionError):
            return super().poll(timeout_s)
        return 0


class Endless(MemoryBus):
    """Polls until nothing waits."""

    def poll(self, timeout_s: float = 0.0) -> int:
        ran = n = super().poll(timeout_s)
        while n and ran < 1000:
            ran += (n := super().poll(0.0))
        return ran


class Hasty(MemoryBus):
    """Does not wait for a message."""

    def poll(self, timeout_s: float = 0.0) -> int:
        return super().poll(timeout_s if timeout_s > 1.0 else 0.0)


def check(kind: type[MemoryBus]) -> None:
    name = f"check-{next(_fresh)}"
    broker = memory_broker(name)
    check_bus(lambda name, will: kind(broker, name=name, will=will))


@pytest.mark.parametrize(
    ("kind", "rule", "finding"),
    [
        (Shuffling, "order", "in another order"),
        (Trimming, "payloads", "a payload came changed"),
        (Overhearing, "filters", r"the filter '\+/ue' hears"),
        (Lax, "filters", r"publishing to 'a/\+' raised no ValueError"),
        (Repeating, "nested filters", r"\(1, 2\) times, not \(1, 1\)"),
        (Forgetful, "retained messages", r"comes later hears \[\] instead of \['old'\]"),
        (Remembering, "retained messages", r"comes later hears \['new'\] instead of \[\]"),
        (Unbounded, "keep", "100 messages waited for one poll with keep = 5"),
        (Uncounted, "keep", "of 100 messages 5 came and 95 were counted as dropped"),
        (Historian, "latest", "more than 2 messages of one topic"),
        (Leveller, "turns", "'order' is urgent"),
        (Sleeper, "wake", "a poll after `wake` waited"),
        (Immortal, "wills", "the will of a killed client did not come"),
        (Dramatic, "wills", "the will of a closed client came"),
        (Fussy, "close", "RuntimeError: it is closed"),
        (Mute, "handlers", "got no answer"),
        (Silent, "errors", "reached `poll` 0 times"),
        (Endless, "bounded polls", "one poll ran 20 handlers"),
        (Hasty, "bounded polls", r"a poll of 0.1 s without a message did not take 0.1 s"),
    ],
)
def test_one_broken_rule_is_found_and_named(
    kind: type[MemoryBus], rule: str, finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_room, "PATIENCE_S", 0.5)
    monkeypatch.setattr(bus_check, "_ON_THE_WAY_S", 0.0)
    with pytest.raises(AssertionError, match=f"^{rule}: [^\n]*{finding}[^\n]*$"):
        check(kind)
