"""An onlooker sees more of a run than the run has, and changes nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ranloop.bus import open_bus
from ranloop.embedded import run_embedded
from ranloop.guard.rights import Rights, StreamRight
from ranloop.node import NodeHost, NodeRuntime, Registration, VirtualClock
from ranloop.node.live import LiveHost
from ranloop.node.outlets import Event, Pulse
from ranloop.page import History, Watcher
from ranloop.page.beside import Beside
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import decode_report
from ranloop.wire.messages import Report
from tests.builders import write_xapp

MANIFEST = """
name = "reader"
version = "0.1.0"
summary = "reads"

[[streams]]
level = "ue"
every_ms = 100
measurements = ["DRB.UEThpDl"]

[[actions]]
name = "SetUeWeight"
ranges = { weight = [0.5, 4.0] }
"""
APP = """
from ranloop import Report, SetUeWeight, XApp
app = XApp()

@app.on_report("DRB.UEThpDl")
def act(report: Report) -> SetUeWeight:
    assert report.names == ("DRB.UEThpDl",)
    return SetUeWeight(ue=report.ue, weight=report["DRB.UEThpDl"] * 0 + 2.0)
"""
MORE = {"ue": ("DRB.UEThpDl", "X.UE.Weight"), "cell": ("RRC.ConnMean",)}


class Eyes:
    """An onlooker that notes what it sees; from the fifth report on it looks at `then`."""

    def __init__(
        self, looks_at: Mapping[str, Sequence[str]], *, then: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.looks_at, self._then = looks_at, then
        self.events: list[Event] = []

    def take(self, event: Event) -> None:
        self.events.append(event)
        if self._then is not None and isinstance(event, Report) and event.seq == 4:
            self.looks_at = self._then

    def streams(self, seq: int) -> set[tuple[str, tuple[str, ...]]]:
        return {
            (str(event.level), event.names)
            for event in self.events
            if isinstance(event, Report) and event.seq == seq
        }


class Notes:
    """An outlet."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def take(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    return write_xapp(tmp_path / "reader", app=APP, text=MANIFEST)


def test_an_onlooker_sees_more_and_the_run_is_the_same(reader: Path) -> None:
    alone, notes = Notes(), Notes()
    bare = run_embedded(ToyWorld(), [reader], outlets=[alone])
    eyes = Eyes(MORE)
    watched = run_embedded(ToyWorld(), [reader], outlets=[notes], onlooker=eyes)
    assert watched.summary.trace_hash == bare.summary.trace_hash
    assert watched.summary.n_reports == bare.summary.n_reports
    assert eyes.streams(3) == {("ue", ("DRB.UEThpDl", "X.UE.Weight")), ("cell", ("RRC.ConnMean",))}
    seen = [(type(event), getattr(event, "names", ())) for event in notes.events]
    assert seen == [(type(event), getattr(event, "names", ())) for event in alone.events]
    pulses = [event for event in eyes.events if isinstance(event, Pulse)]
    assert "step" in pulses[-1].took_ns or len(pulses) == 1  # the first comes before the first step is over


def test_what_is_looked_at_may_change_while_the_run_goes_on(reader: Path) -> None:
    eyes = Eyes({}, then=MORE)
    run_embedded(ToyWorld(), [reader], onlooker=eyes)
    assert eyes.streams(3) == {("ue", ("DRB.UEThpDl",))}
    assert eyes.streams(6) == {("ue", ("DRB.UEThpDl", "X.UE.Weight")), ("cell", ("RRC.ConnMean",))}


def test_the_bus_carries_nothing_that_an_onlooker_alone_looks_at() -> None:
    bus, other = (open_bus("memory://onlooker", name=name) for name in ("host", "ear"))
    heard: list[Report] = []
    other.subscribe(topics.report("+", "+", "+"), lambda _, payload: heard.append(decode_report(payload)))
    right = StreamRight.model_validate({"level": "ue", "every_ms": 100, "measurements": ["DRB.UEThpDl"]})
    eyes = Eyes(MORE)
    host = NodeHost(
        ToyWorld(duration_s=0.5),
        bus,
        xapps={"reader": Registration(rights=Rights(streams=(right,)))},
        onlooker=eyes,
    )
    LiveHost(host, clock=VirtualClock()).run(0.4)
    other.poll(0.0)
    assert {(report.level, report.names) for report in heard} == {("ue", ("DRB.UEThpDl",))}
    assert ("cell", ("RRC.ConnMean",)) in eyes.streams(1)
    bus.close()
    other.close()


def test_the_world_beside_a_run_comes_to_the_same_ran_time() -> None:
    history = History({"cell": ("RRC.ConnMean",)})
    world = ToyWorld()
    with Watcher(history, 1) as watcher:
        beside = Beside(world, watcher, history, ToyWorld())
        beside.follow(250_000_000)
        assert world.now_ns == 250_000_000
    assert {key[:3] for key in history.tracks} == {(1, "toy-1", "cell"), (1, "toy-2", "cell")}
    assert "score" not in history.facts  # toys keep none


def test_where_nobody_reads_and_nobody_looks_nothing_is_collected() -> None:
    runtime = NodeRuntime(ToyWorld(), onlooker=Eyes({}))
    assert runtime.wanted == {}  # nobody reads, nobody looks: nothing is collected
