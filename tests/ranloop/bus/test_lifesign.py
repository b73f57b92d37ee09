"""Life signs: one name and one RAN node have one living owner; nothing that is left of the dead is in the way for long."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing

import pytest
from structlog.testing import capture_logs

from ranloop.bus import LifeSign, health_question, lifesign, will_of
from ranloop.bus.lifesign import PER_S
from ranloop.bus.memory import MemoryBus, memory_broker
from ranloop.errors import NameTakenError
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence, encode
from ranloop.wire.frame import most_header_bytes
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

    def broker_says(self, name: str, presence: Presence) -> None:
        """Somebody outside of the room publishes on the topic of `name`."""
        with closing(MemoryBus(self.broker, name="outside")) as bus:
            bus.publish(topics.presence(name), encode(presence), qos=1)

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


def test_on_a_bus_without_its_name_a_host_starts_without_waiting(room: Room) -> None:
    started_s = time.perf_counter()
    room.live("host", "1")
    assert time.perf_counter() - started_s < lifesign.ANSWER_S / 2
    assert room.retained("host") == (True, "1")


def test_a_second_one_of_a_name_is_turned_away_and_the_first_lives_on(room: Room) -> None:
    _, first = room.live("host", "1", "site0")
    newcomer, bus = room.enter("host", "2", "site1")
    with pytest.raises(
        NameTakenError, match=r"^another host 'host' is on this bus already; one name is one process: stop"
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
        NameTakenError, match="another host 'a' with site1 is on this bus already; a RAN node is hosted by"
    ):
        room.enter("b", "2", "site1", "site2")[0].claim()
    room.live("c", "3", "site2")


def test_the_life_sign_and_will_of_a_crashed_process_do_not_keep_its_name_taken(
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


def complaints(logs: Sequence[Mapping[str, object]]) -> list[tuple[object, str]]:
    """Who complains, and of what, up to the advice."""
    return [
        (entry["by"], str(entry["reason"]).partition(";")[0])
        for entry in logs
        if entry["event"] == "name_taken_twice"
    ]


def test_a_host_that_missed_the_question_runs_on_and_the_double_name_is_logged_once(
    room: Room, no_patience: None
) -> None:
    _, asleep = room.live("host", "1")
    room.awake.remove(asleep)
    _, awake = room.live("host", "2")
    with capture_logs() as logs:
        for _ in range(3):
            asleep.poll()  # hears the question and answers it, and hears the newcomer
            awake.poll()
    assert complaints(logs) == [("host", "another host 'host' is on this bus, too")]
    room.awake.append(asleep)
    third, _ = room.enter("host", "3")
    with pytest.raises(NameTakenError):
        third.claim()


def test_nothing_that_is_heard_ends_a_participant_that_has_shown_itself(room: Room) -> None:
    """Not even what comes under its own name, which at a broker with an access list only a twin can say."""
    said_of_others: list[dict[str, object]] = [
        {"run": "z"},
        {"run": "z", "answers": "1"},
        {"run": "z", "asks": True},
        {"run": "1", "nodes": ["site0"]},
        {"run": "y", "nodes": ["site0"], "answers": "1"},
    ]
    _, bus = room.live("host", "1", "site0")
    for name in ("host", "rogue"):
        for alive, facts in itertools.product((True, False), said_of_others):
            said = Presence(name=name, alive=alive, facts=facts)
            room.broker.publish(topics.presence(name), encode(said), retain=True)
            bus.poll()
    bus.poll()
    room.broker.publish(topics.presence("host"), will_of("host", "z").payload, retain=True)
    bus.poll()
    assert room.retained("host") == (True, "1")


def test_a_starting_host_ignores_strangers_and_untrusted_names_that_claim_its_node(
    room: Room,
) -> None:
    sign, bus = room.enter("host", "1", "site0", untrusted=("registered",))
    answers: tuple[tuple[str, dict[str, object]], ...] = (
        ("rogue", {"run": "z", "answers": "1"}),
        ("registered", {"run": "y", "answers": "1", "nodes": ["site0"]}),
    )
    for name, facts in answers:
        said = Presence(name=name, alive=True, facts=facts)
        room.broker.publish(topics.presence(name), encode(said), retain=False)
    sign.claim()
    sign.show()
    bus.poll()
    assert room.retained("host") == (True, "1")


def test_of_two_that_start_together_the_first_to_ask_has_the_name(room: Room) -> None:
    first, _ = room.enter("host", "1")
    second, bus = room.enter("host", "2")
    room.awake.remove(bus)
    first.claim()
    with pytest.raises(NameTakenError, match="another host 'host' starts at this moment"):
        second.claim()
    first.show()
    assert room.retained("host") == (True, "1")


def test_a_will_that_is_sent_for_a_connection_lost_for_a_moment_is_taken_back(room: Room) -> None:
    _, bus = room.live("host", "1")
    room.broker.publish(topics.presence("host"), will_of("host", "1").payload, retain=True)
    bus.poll()
    assert room.retained("host") == (True, "1")


def test_a_life_sign_of_another_name_with_our_run_is_not_answered(room: Room) -> None:
    _, bus = room.live("host", "1")
    bus.poll()
    said = bus.stats.published
    room.broker.publish(topics.presence("rogue"), will_of("rogue", "1").payload, retain=False)
    bus.poll()
    assert bus.stats.published == said


def test_what_is_no_life_sign_is_said_ever_more_rarely(room: Room) -> None:
    sign, bus = room.live("host", "1")
    most = most_header_bytes("presence")
    huge = encode(Presence(name="vandal-1", alive=True, facts={"x": ["y" * 200] * (most // 200)}))
    with capture_logs() as logs:
        for n in range(100):  # each from another topic, so that none floods
            room.broker.publish(topics.presence(f"vandal-{n}"), huge if n == 1 else b"{}", retain=False)
            bus.poll()
    assert not sign.others
    counts = [entry["so_far"] for entry in logs if entry["event"] == "life_sign_ignored"]
    assert counts == [1, 2, 4, 8, 16, 32, 64]


def test_one_that_floods_is_named_ever_more_rarely_and_the_others_are_heard(room: Room) -> None:
    """And of what waits between two polls it has a few places, however much it sends."""
    sign, bus = room.live("host", "1")
    room.awake.remove(bus)
    room.live("before", "2")
    flood = encode(Presence(name="vandal", alive=True, facts={"run": "3"}))
    with capture_logs() as logs:
        for _ in range(5000):
            room.broker.publish(topics.presence("vandal"), flood, retain=False)
        room.live("after", "4")
        assert bus.poll() <= 12  # of three senders
        for _ in range(PER_S + 100):
            room.broker.publish(topics.presence("vandal"), flood, retain=False)
            bus.poll()
    assert {"before", "after", "vandal"} == set(sign.others)
    floods = [entry for entry in logs if entry["event"] == "life_signs_flood" and entry["by"] == "host"]
    named = [(entry["topic"], entry["so_far"]) for entry in floods]
    assert [n for _, n in named[:4]] == [1, 2, 4, 8]
    assert {topic for topic, _ in named} == {"ranloop/1/presence/vandal"}
    assert len(named) <= 7


def test_a_claim_reaches_the_operator_without_control_characters_and_cut(room: Room) -> None:
    room.live("first", "1", "site0")
    evil = {"kind": "\x1b[2J" + "k" * 1000, "nodes": ["site0"], "run": "r" * 5000}
    _, bus = room.live("host", "2", "site1")
    with capture_logs() as logs:
        said = Presence(name="vandal", alive=True, facts=evil | {"nodes": ["site1"]})
        room.broker.publish(topics.presence("vandal"), encode(said), retain=False)
        bus.poll()
    (reason,) = [str(entry["reason"]) for entry in logs if entry["event"] == "name_taken_twice"]
    assert reason.isprintable()
    assert len(reason) < 300


def test_an_xapp_cannot_claim_a_node_of_the_host_that_it_is_registered_at(room: Room) -> None:
    _, bus = room.live("host", "1", "site0", untrusted=("rogue",))
    room.live("rogue", "2", "site0", untrusted=("host",))
    bus.poll()
    assert room.retained("host") == (True, "1")


def test_others_holds_the_life_signs_of_living_participants_only(room: Room) -> None:
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


def test_a_question_with_a_long_run_is_answered_shortly(room: Room) -> None:
    """An answer names the run that it is for: 64 characters of it, beside some 100 bytes of its own."""
    _, bus = room.live("host", "1")
    heard: list[bytes] = []
    bus.subscribe(topics.presence("host"), lambda _, payload: heard.append(payload), qos=1)
    bus.poll()
    heard.clear()
    long = Presence(name="host", alive=True, facts={"asks": True, "run": "r" * 50_000})
    room.broker.publish(topics.presence("host"), encode(long), retain=False)
    bus.poll()
    bus.poll()
    (answer,) = [one for payload in heard if "answers" in (one := decode_presence(payload)).facts]
    assert answer.facts["answers"] == "r" * 64


def test_ever_new_claims_of_our_node_are_told_so_often_and_no_more(room: Room) -> None:
    """A sender makes up 5,000 names and runs; what is remembered of runs, and so what is told, is bounded by 4,096."""
    _, bus = room.live("host", "1", "site0")
    with capture_logs() as logs:
        for k in range(5_000):
            claim = Presence(name=f"v{k}", alive=True, facts={"nodes": ["site0"], "run": f"{k}"})
            room.broker.publish(topics.presence(f"v{k}"), encode(claim), retain=False)
            if k % 1_000 == 999:
                bus.poll()
        bus.poll()
    assert 4_000 <= sum(entry["event"] == "name_taken_twice" for entry in logs) <= 4_096


def test_a_health_check_gets_an_answer_and_takes_no_name_away(room: Room) -> None:
    _, bus = room.live("a", "1")
    question = health_question("a", "check")
    heard: list[object] = []
    bus.subscribe(topics.presence("a"), lambda _, p: heard.append(decode_presence(p).facts.get("answers")))
    room.broker_says("a", question)
    bus.poll()
    bus.poll()
    assert "check" in heard
    # A participant that is still asking for its name would give way to another one that asks; not to a check.
    asking, at = room.enter("b", "2")
    room.broker_says("b", health_question("b", "check"))
    at.poll()
    asking.claim()
    asking.show()
    assert room.retained("b") == (True, "2")
