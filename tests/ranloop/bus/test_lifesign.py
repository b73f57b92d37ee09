"""Life signs: one name and one RAN node have one living owner; nothing that is left of the dead is in the way for long."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from ranloop.bus import LifeSign, lifesign, will_of
from ranloop.bus.memory import MemoryBus, memory_broker
from ranloop.errors import BusError
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence, encode
from ranloop.wire.messages import Presence

_fresh = itertools.count()


class Peer(MemoryBus):
    """A client that lets the others poll whenever it polls: they live at the same time."""

    def __init__(self, room: Room, name: str, run: str) -> None:
        super().__init__(room.broker, name=name, will=will_of(name, run))
        self._room = room

    def poll(self, timeout_s: float = 0.0) -> int:
        handled = super().poll(0.0)
        for other in self._room.awake:
            if other is not self:
                MemoryBus.poll(other)  # what it says to what we said comes with our next poll
        return handled


class Room:
    """A broker and who lives there."""

    def __init__(self) -> None:
        self.broker = memory_broker(f"lifesigns-{next(_fresh)}")
        self.awake: list[Peer] = []
        self.stack = ExitStack()

    def enter(
        self, name: str, run: str, *nodes: str, untrusted: tuple[str, ...] = ()
    ) -> tuple[LifeSign, Peer]:
        """A participant that has not asked yet."""
        bus = self.stack.enter_context(closing(Peer(self, name, run)))
        sign = LifeSign(bus, name, {"kind": "host", "nodes": list(nodes)}, run=run, untrusted=untrusted)
        self.awake.append(bus)
        return sign, bus

    def live(
        self, name: str, run: str, *nodes: str, untrusted: tuple[str, ...] = ()
    ) -> tuple[LifeSign, Peer]:
        sign, bus = self.enter(name, run, *nodes, untrusted=untrusted)
        sign.claim()
        sign.show()
        return sign, bus

    def retained(self, name: str) -> tuple[bool, object]:
        """Whether the broker says that `name` lives, and in which run."""
        presence = decode_presence(self.broker.retained[topics.presence(name)])
        return presence.alive, presence.facts.get("run")


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    with room.stack:
        yield room


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifesign, "ANSWER_S", 0.02)


def test_where_nobody_is_there_is_nothing_to_wait_for(room: Room) -> None:
    started_s = time.perf_counter()
    room.live("host", "1")
    assert time.perf_counter() - started_s < lifesign.ANSWER_S / 2
    assert room.retained("host") == (True, "1")


def test_a_second_one_of_a_name_is_turned_away_and_the_first_lives_on(room: Room) -> None:
    _, first = room.live("host", "1", "site0")
    newcomer, bus = room.enter("host", "2", "site1")
    with pytest.raises(
        BusError, match=r"^another host 'host' is on this bus already; one name is one process: stop"
    ):
        newcomer.claim()
    newcomer.withdraw()
    room.awake.remove(bus)
    bus.kill()  # as the command line does: the newcomer's will says that it is gone
    first.poll()
    assert room.retained("host") == (True, "1")


def test_a_host_with_another_name_cannot_have_the_same_node(room: Room) -> None:
    room.live("a", "1", "site0", "site1")
    with pytest.raises(
        BusError, match="another host 'a' with site1 is on this bus already; a RAN node is hosted by"
    ):
        room.enter("b", "2", "site1", "site2")[0].claim()
    room.live("c", "3", "site2")


def test_what_a_crashed_process_left_behind_is_in_the_way_for_a_second_and_no_longer(
    room: Room, no_patience: None
) -> None:
    left = Presence(name="host", alive=True, facts={"run": "0", "nodes": ["site0"]})
    room.broker.retained[topics.presence("host")] = encode(left)
    _, bus = room.live("host", "1", "site0")
    assert room.retained("host") == (True, "1")
    room.broker.publish(topics.presence("host"), encode(left), retain=False)  # heard again, late
    bus.poll()
    room.broker.publish(
        topics.presence("host"), will_of("host", "0").payload, retain=True
    )  # its will, later still
    bus.poll()
    assert room.retained("host") == (True, "1")


def test_one_that_slept_through_the_question_stops_when_it_hears_the_newcomer(
    room: Room, no_patience: None
) -> None:
    sleeper, bus = room.live("host", "1")
    room.awake.remove(bus)
    room.live("host", "2")
    with pytest.raises(BusError, match="another host 'host' has come to this bus and taken over; one name"):
        bus.poll()
    sleeper.withdraw()
    assert room.retained("host") == (True, "2")


def test_of_two_that_start_together_the_first_to_ask_has_the_name(room: Room) -> None:
    first, _ = room.enter("host", "1")
    second, bus = room.enter("host", "2")
    room.awake.remove(bus)
    first.claim()
    with pytest.raises(BusError, match="another host 'host' starts at this moment"):
        second.claim()
    first.show()
    assert room.retained("host") == (True, "1")


def test_who_comes_back_to_the_bus_asks_before_it_shows_itself(room: Room) -> None:
    away, bus = room.live("host", "1")
    room.awake.remove(bus)
    room.broker.clients.remove(bus)
    room.broker.publish(topics.presence("host"), will_of("host", "1").payload, retain=True)
    room.live("host", "2")
    room.broker.clients.append(bus)
    room.awake.append(bus)
    bus._offer(topics.presence("host"), room.broker.retained[topics.presence("host")])  # as a broker does
    bus.stats.reconnects += 1
    with pytest.raises(BusError, match="another host 'host' is on this bus already"):
        away.claim()
    assert room.retained("host") == (True, "2")


def test_an_xapp_cannot_claim_a_node_of_the_host_that_it_is_registered_at(room: Room) -> None:
    _, bus = room.live("host", "1", "site0", untrusted=("rogue",))
    room.live("rogue", "2", "site0", untrusted=("host",))
    bus.poll()
    assert room.retained("host") == (True, "1")


def test_the_others_are_those_who_live(room: Room) -> None:
    sign, bus = room.live("watcher", "1")
    _, other = room.live("host", "2", "site0")
    bus.poll()
    assert list(sign.others) == ["host"]
    room.broker.publish(topics.presence("host"), will_of("host", "of-before").payload, retain=True)
    bus.poll()
    assert list(sign.others) == ["host"]
    room.awake.remove(other)
    other.kill()
    bus.poll()
    assert sign.others == {}


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"[" * 1000, encode(Presence(name="other", alive=True)), b"\xff" * 100],
)
def test_what_is_no_life_sign_of_the_topics_owner_changes_nothing(room: Room, payload: bytes) -> None:
    sign, bus = room.live("host", "1", "site0")
    room.broker.publish(topics.presence("vandal"), payload, retain=False)
    odd = Presence(name="odd", alive=True, facts={"nodes": [["site0"], 7], "run": ["x"]})
    room.broker.publish(topics.presence("odd"), encode(odd), retain=False)
    bus.poll()
    assert list(sign.others) == ["odd"]


def test_a_run_that_is_no_text_is_a_run_like_any_other(room: Room, no_patience: None) -> None:
    odd = Presence(name="host", alive=True, facts={"run": {"x": []}})
    room.broker.retained[topics.presence("host")] = encode(odd)
    _, bus = room.live("host", "1")
    room.broker.publish(topics.presence("host"), encode(odd), retain=False)
    bus.poll()
    assert room.retained("host") == (True, "1")
