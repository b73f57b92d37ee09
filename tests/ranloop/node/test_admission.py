"""xApps come, change what they may do, and go while a host runs, at either pace and over every bus."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ranloop.bus import Bus, open_bus
from ranloop.bus.broker import BrokerKind
from ranloop.errors import NodeError, VocabularyError
from ranloop.guard import ActionRight, Autonomy, Rights, StreamRight
from ranloop.node import LiveHost, NodeHost, NodeRuntime, Registration, VirtualClock
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import topics
from ranloop.wire.codec import decode_admission, decode_presence, decode_result, decode_standing, encode
from ranloop.wire.messages import ActionBatch, Admission, Cause, Result, Standing, Status
from tests.builders import write_xapp
from tests.command import Command
from tests.ranloop.node.scripted import MS, READS_UES, rights

REGISTERED = Registration(rights=rights("SetUeWeight"))
_fresh = itertools.count()


def weight(value: float, *, id: str, at_ns: int, xapp: str = "x") -> ActionBatch:
    return ActionBatch(
        id=id,
        xapp=xapp,
        node="toy-1",
        seq=1,
        action=SetUeWeight(ue=[0], weight=value),
        valid_until_ns=at_ns + 300 * MS,
        lease_ms=300,
    )


def settled(runtime: NodeRuntime, until_ns: int) -> list[Result]:
    """Let time pass, event by event."""
    results: list[Result] = []
    while runtime.port.now_ns < until_ns:
        results += runtime.advance(min(runtime.next_event_ns(), until_ns)).results
    return results


def cause(result: Result) -> Cause:
    return result.causes[int(result.cause[0])][0]


# In the runtime


def test_nothing_is_collected_that_no_admitted_xapp_reads() -> None:
    runtime = NodeRuntime(ToyWorld())
    assert runtime.advance(100 * MS).reports == []
    runtime.admit("x", REGISTERED)
    assert {report.node for report in runtime.advance(200 * MS).reports} == {"toy-1", "toy-2"}
    runtime.dismiss("x")
    assert runtime.advance(300 * MS).reports == []


def test_an_admission_that_no_node_can_serve_changes_nothing() -> None:
    runtime = NodeRuntime(ToyWorld())
    runtime.admit("x", REGISTERED)
    slow = StreamRight(level="ue", every_ms=77, measurements=("DRB.UEThpDl",))
    with pytest.raises(NodeError, match="toy-1 reports every 100, 1000 ms"):
        runtime.admit("x", Registration(rights=Rights(streams=(slow,))))
    assert runtime.xapps == {"x": REGISTERED}
    assert runtime.submit(weight(2, id="1", at_ns=0), sender="x", node="toy-1", now_ns=0) == []


def test_a_dismissed_xapp_loses_what_it_holds_and_is_not_heard_until_it_is_admitted_again() -> None:
    world = ToyWorld()
    runtime = NodeRuntime(world)
    runtime.admit("x", REGISTERED)
    settled(runtime, 100 * MS)
    runtime.submit(weight(3, id="1", at_ns=100 * MS), sender="x", node="toy-1", now_ns=100 * MS)
    settled(runtime, 150 * MS)
    assert world.weight("toy-1", 0) == 3
    runtime.dismiss("x")
    (ended,) = settled(runtime, 160 * MS)
    assert (Status(ended.status[0]), cause(ended)) == (Status.ENDED, Cause.NOT_PERMITTED)
    assert world.weight("toy-1", 0) == 1
    (refused,) = runtime.submit(weight(3, id="2", at_ns=160 * MS), sender="x", node="toy-1", now_ns=160 * MS)
    assert cause(refused) is Cause.IDENTITY
    with pytest.raises(VocabularyError):
        runtime.dismiss("x")
    runtime.admit("x", REGISTERED)
    assert runtime.submit(weight(3, id="3", at_ns=160 * MS), sender="x", node="toy-1", now_ns=160 * MS) == []


def test_changed_rights_hold_from_the_next_batch_on_and_what_is_held_lapses_by_its_lease() -> None:
    world = ToyWorld()
    runtime = NodeRuntime(world)
    runtime.admit("x", REGISTERED)
    settled(runtime, 100 * MS)
    runtime.submit(weight(3, id="1", at_ns=100 * MS), sender="x", node="toy-1", now_ns=100 * MS)
    narrow = ActionRight(name="SetUeWeight", ranges={"weight": (1.0, 2.0)})
    runtime.admit("x", Registration(rights=Rights(streams=(READS_UES,), actions=(narrow,))))
    assert [Status(r.status[0]) for r in settled(runtime, 150 * MS)] == [Status.APPLIED]
    (refused,) = runtime.submit(weight(3, id="2", at_ns=150 * MS), sender="x", node="toy-1", now_ns=150 * MS)
    assert cause(refused) is Cause.RANGE
    assert world.weight("toy-1", 0) == 3
    assert [cause(r) for r in settled(runtime, 450 * MS)] == [Cause.LEASE_LAPSED]


def test_a_raised_priority_displaces_and_a_lowered_autonomy_ends_what_is_held() -> None:
    world = ToyWorld()
    runtime = NodeRuntime(world)
    for name in "ab":
        runtime.admit(name, REGISTERED)
    settled(runtime, 100 * MS)
    at_ns = 100 * MS
    runtime.submit(weight(3, id="1", at_ns=at_ns, xapp="a"), sender="a", node="toy-1", now_ns=at_ns)
    (lost,) = runtime.submit(weight(2, id="2", at_ns=at_ns, xapp="b"), sender="b", node="toy-1", now_ns=at_ns)
    assert cause(lost) is Cause.CONFLICT
    runtime.admit("b", replace(REGISTERED, priority=1))
    assert (
        runtime.submit(weight(2, id="3", at_ns=at_ns, xapp="b"), sender="b", node="toy-1", now_ns=at_ns) == []
    )
    settled(runtime, 150 * MS)
    assert world.weight("toy-1", 0) == 2
    runtime.admit("b", replace(REGISTERED, priority=1, autonomy=Autonomy.RECOMMEND))
    assert [cause(r) for r in settled(runtime, 160 * MS)] == [Cause.AUTONOMY]
    assert world.weight("toy-1", 0) == 1


def test_who_was_admitted_by_which_word_with_what_stands_in_the_audit() -> None:
    runtime = NodeRuntime(ToyWorld())
    runtime.admit("x", replace(REGISTERED, priority=4), by="word-1")
    runtime.dismiss("x")
    runtime.flush()
    first, *gone = [r for r in runtime.audit if r.event in ("admitted", "dismissed")]
    assert (first.event, first.xapp) == ("admitted", "x")
    assert (first.facts["by"], first.facts["priority"]) == ("word-1", 4)
    assert first.facts["rights"]["actions"] == [{"name": "SetUeWeight"}]
    assert {r.event for r in gone} == {"dismissed"}


# Over a bus


@pytest.fixture(
    params=[
        "memory",
        pytest.param("mosquitto", marks=pytest.mark.broker),
        pytest.param("nats", marks=pytest.mark.broker),
    ]
)
def bus_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "memory":
        yield f"memory://admission-{next(_fresh)}"
        return
    kind: BrokerKind = request.param
    with running_broker(kind) as broker:
        yield broker.url


class Running:
    """A live host in a thread, on two connections."""

    def __init__(self, url: str, **xapps: Registration) -> None:
        self.world = ToyWorld(duration_s=3600)
        self.bus = open_bus(url, name="host")
        self.host = NodeHost(
            self.world, self.bus, xapps=xapps, operator_bus=open_bus(url, name="host-operator")
        )
        self.live = LiveHost(self.host)
        self.thread = threading.Thread(target=self.live.run, name="host")
        self.thread.start()

    def close(self) -> None:
        self.live.stop()
        self.thread.join(10.0)
        assert not self.thread.is_alive()
        self.bus.close()


def until(bus: Bus, done: Callable[[], bool]) -> None:
    for _ in range(200):
        if done():
            return
        bus.poll(0.05)
    raise AssertionError("it did not come within 10 s")


def test_an_xapp_is_admitted_acts_and_is_dismissed_while_the_host_runs(bus_url: str) -> None:
    with closing(open_bus(bus_url, name="other")) as bus, closing(Running(bus_url)) as running:
        said: list[Standing] = []
        results: list[Result] = []
        lists: list[list[str]] = []
        bus.subscribe(topics.standing("toy-1"), lambda _, p: said.append(decode_standing(p)), qos=1)
        bus.subscribe(topics.result("x", "toy-1"), lambda _, p: results.append(decode_result(p)), qos=1)
        bus.subscribe(
            topics.presence("host"), lambda _, p: lists.append(decode_presence(p).facts["xapps"]), qos=1
        )
        word = Admission(
            id="1", xapp="x", rights=rights("SetUeWeight").model_dump(mode="json", exclude_defaults=True)
        )
        bus.publish(topics.admission("host", "x"), encode(word), qos=1, retain=True)
        until(bus, lambda: any(s.order == "1" and "x" in s.autonomy for s in said))
        until(bus, lambda: bool(lists) and lists[-1] == ["x"])
        batch = replace(weight(2, id="b", at_ns=running.world.now_ns), valid_until_ns=10**10, lease_ms=None)
        bus.publish(topics.act("x", "toy-1"), encode(batch), qos=1)
        until(bus, lambda: bool(results))
        bus.publish(topics.admission("host", "x"), encode(Admission(id="2", xapp="x", admitted=False)), qos=1)
        until(bus, lambda: any(s.order == "2" and "x" not in s.autonomy for s in said))
        until(bus, lambda: lists[-1] == [])


@pytest.mark.parametrize(
    ("word", "words"),
    [
        (
            Admission(id="1", xapp="x", rights={"streams": [{"level": "ue", "every_ms": 100}]}),
            "the rights of x: streams/0/measurements: Field required",
        ),
        (
            Admission(id="1", xapp="x", rights={"actions": [{"name": "SetUeWaight"}]}),
            "did you mean SetUeWeight",
        ),
        (
            Admission(
                id="1",
                xapp="x",
                rights={"streams": [{"level": "ue", "every_ms": 77, "measurements": ["DRB.UEThpDl"]}]},
            ),
            "toy-1 reports every 100, 1000 ms",
        ),
    ],
)
def test_an_admission_that_cannot_be_is_answered_with_its_reason_and_the_host_goes_on(
    connect: Callable[[str], Bus], word: Admission, words: str
) -> None:
    other, said = connect("other"), list[Standing]()
    other.subscribe(topics.standing("toy-1"), lambda _, p: said.append(decode_standing(p)), qos=1)
    other.publish(topics.admission("host", "x"), encode(word), qos=1, retain=True)
    host = NodeHost(ToyWorld(), connect("host"), xapps={"calm": REGISTERED})
    assert LiveHost(host, clock=VirtualClock()).run(0.25).n_reports == 4
    other.poll()
    (refused,) = {standing.refused for standing in said if standing.order == "1"}
    assert words in refused
    assert list(host.runtime.xapps) == ["calm"]


def test_the_reason_of_a_refused_admission_is_one_short_line(connect: Callable[[str], Bus]) -> None:
    other, said = connect("other"), list[bytes]()
    other.subscribe(topics.standing("toy-1"), lambda _, payload: said.append(payload), qos=1)
    word = Admission(id="1", xapp="x", rights={"actions": [{"name": "Set\n\x1b[2J" + "x" * 20_000}]})
    other.publish(topics.admission("host", "x"), encode(word), qos=1, retain=True)
    host = NodeHost(ToyWorld(), connect("host"), xapps={})
    LiveHost(host, clock=VirtualClock()).run(0.25)
    other.poll()
    (refused,) = {standing.refused for payload in said if (standing := decode_standing(payload)).refused}
    assert refused.startswith("the rights of x: actions/0")
    assert refused.isprintable()
    assert len(refused) <= 1_001  # with the mark that it is cut


def test_an_admission_on_the_topic_of_another_xapp_admits_nobody(connect: Callable[[str], Bus]) -> None:
    other = connect("other")
    other.publish(topics.admission("host", "x"), encode(Admission(id="1", xapp="y")), qos=1, retain=True)
    host = NodeHost(ToyWorld(), connect("host"), xapps={"calm": REGISTERED})
    summary = LiveHost(host, clock=VirtualClock()).run(0.25)
    assert (list(host.runtime.xapps), summary.n_dropped) == (["calm"], 1)


class Noted:
    """A bus that notes the order in which its owner subscribes and publishes."""

    def __init__(self, bus: Bus, said: list[str]) -> None:
        self._bus, self._said = bus, said

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    def subscribe(self, topic_filter: str, *arguments: Any, **options: Any) -> Any:
        self._said.append(f"subscribe {topic_filter}")
        return self._bus.subscribe(topic_filter, *arguments, **options)

    def publish(self, topic: str, payload: bytes, **options: Any) -> None:
        self._said.append(f"publish {topic}")
        self._bus.publish(topic, payload, **options)


def test_an_xapp_is_listened_to_before_anybody_is_told_that_it_is_admitted() -> None:
    said: list[str] = []
    with (
        closing(open_bus("memory://listened", name="host")) as bus,
        closing(open_bus("memory://listened", name="other")) as other,
    ):
        host = NodeHost(ToyWorld(), Noted(bus, said), xapps={})
        LiveHost(host)
        host.announce(alive=True)
        said.clear()
        word = Admission(
            id="1", xapp="x", rights=rights("SetUeWeight").model_dump(mode="json", exclude_defaults=True)
        )
        other.publish(topics.admission("host", "x"), encode(word), qos=1, retain=True)
        host.poll(0.0)
        heard = said.index(f"subscribe {topics.act('x', 'toy-1')}")
        assert heard < said.index(f"publish {topics.standing('toy-1')}")
        assert heard < said.index(f"publish {topics.presence('host')}")


# From the command line


def test_an_admission_that_is_refused_leaves_the_one_that_stood(ranloop: Command, tmp_path: Path) -> None:
    url = f"memory://admission-{next(_fresh)}"
    folder = write_xapp(tmp_path / "mine")
    text = (folder / "manifest.toml").read_text().replace('"CQI"', '"DRB.UEThpDl"')
    with closing(Running(url)), closing(open_bus(url, name="other")) as other:
        (folder / "manifest.toml").write_text(text)
        assert ranloop("admit", folder, "--bus", url, "--priority", "3").code == 0
        (folder / "manifest.toml").write_text(text.replace("every_ms = 100", "every_ms = 77"))
        assert ranloop("admit", folder, "--bus", url, "--priority", "4").code == 2
        stands: list[int] = []
        other.subscribe(
            topics.admission("host", "mine"), lambda _, p: stands.append(decode_admission(p).priority), qos=1
        )
        until(other, lambda: bool(stands))
    assert stands == [3]


def test_the_command_line_admits_and_dismisses(ranloop: Command, tmp_path: Path) -> None:
    with running_broker("mosquitto") as broker, closing(Running(broker.url)) as running:
        text = (write_xapp(tmp_path / "mine") / "manifest.toml").read_text()
        (tmp_path / "mine" / "manifest.toml").write_text(text.replace('"CQI"', '"DRB.UEThpDl"'))
        admitted = ranloop("admit", tmp_path / "mine", "--bus", broker.url, "--priority", "3", "--json")
        assert json.loads(admitted.out) == {"xapp": "mine", "host": "host", "admitted": ["toy-1", "toy-2"]}
        assert running.host.runtime.xapps["mine"].priority == 3
        assert ranloop("dismiss", "mine", "--bus", broker.url).out.startswith("mine is dismissed at host")
        assert running.host.runtime.xapps == {}
        slow = text.replace('"CQI"', '"DRB.UEThpDl"').replace("every_ms = 100", "every_ms = 77")
        (tmp_path / "mine" / "manifest.toml").write_text(slow)
        refused = ranloop("admit", tmp_path / "mine", "--bus", broker.url)
        told = refused.err.splitlines()[-1]  # behind the host's own log, which runs in this process
        assert (refused.code, told.partition(", but")[0]) == (
            2,
            "error: host 'host' does not admit mine: mine reads ue reports every 77 ms",
        )
        (tmp_path / "mine" / "manifest.toml").write_text("name = 3")
        assert "manifest.toml" in ranloop("admit", tmp_path / "mine", "--bus", broker.url).complaint
        assert running.thread.is_alive()


def test_a_host_that_is_not_there_is_told_to_whoever_admits(
    ranloop: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.cli.admission.CONFIRMED_S", 0.1)  # nobody there could answer
    with running_broker("mosquitto") as broker:
        complaint = ranloop(
            "admit", write_xapp(tmp_path / "mine"), "--host", "north", "--bus", broker.url
        ).complaint
    assert complaint.startswith("no host 'north' on mqtt://")
    assert "obeys it when it starts" in complaint
