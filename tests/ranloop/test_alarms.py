"""Alarms of xApps: what is raised and cleared, on the bus, in the audit and at outlets, within bounds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from ranloop import XApp
from ranloop.bus import Bus, open_bus
from ranloop.embedded import run_embedded
from ranloop.guard import AuditLog, AuditRecord
from ranloop.node.alarm_desk import BURST as READ_BURST
from ranloop.node.alarm_desk import AlarmDesk
from ranloop.node.outlets import Event
from ranloop.testing import XAppHarness, make_report
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import decode_alarms, encode
from ranloop.wire.messages import Alarm, Alarms
from ranloop.wire.operating import MAX_ALARMS
from ranloop.xapp.alarm_line import BURST, AlarmLine
from ranloop.xapp.alarms import AlarmBoard
from tests.builders import MANIFEST, write_xapp

APP = """
from ranloop import XApp
app = XApp()

@app.on_report("DRB.UEThpDl")
def watch(report):
    if report.node != "toy-1":
        return
    if report.seq == 0:
        app.alarm("no-traffic", severity="major", target="north", text="for 60 s")
        app.alarm("no-traffic", severity="minor", target="south")
    if report.seq == 1:
        app.alarm("no-traffic", severity="major", target="north", text="for 60 s")  # is active: no news
        app.alarm("no-traffic", severity="critical", target="south")
    if report.seq == 2:
        app.clear("no-traffic", target="north")
        app.clear("never-raised")
"""
S = 1_000_000_000
_fresh = itertools.count()


@pytest.fixture
def connect() -> Iterator[Any]:
    url = f"memory://alarms-{next(_fresh)}"
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(closing(open_bus(url, name=name)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manifest = MANIFEST.format(name="watcher").replace("CQI", "DRB.UEThpDl")
    return write_xapp(tmp_path / "watcher", app=APP, text=manifest)


class Seen:
    """An outlet."""

    def __init__(self) -> None:
        self.alarms: list[Alarms] = []

    def take(self, event: Event) -> None:
        if isinstance(event, Alarms):
            self.alarms.append(event)


def test_alarms_reach_the_audit_with_their_differences_and_outlets_with_the_whole_list(folder: Path) -> None:
    audit, seen = AuditLog(), Seen()
    run_embedded(ToyWorld(), [folder], until_ns=400_000_000, audit=audit, outlets=[seen])
    told = [
        (record.event, record.node, record.facts["target"], record.facts["severity"])
        for record in audit
        if record.event.startswith("alarm")
    ]
    assert told == [
        ("alarm_raised", "toy-1", "north", "major"),
        ("alarm_raised", "toy-1", "south", "minor"),
        ("alarm_changed", "toy-1", "south", "critical"),
        ("alarm_cleared", "toy-1", "north", "major"),
    ]
    since = [[(alarm.target, alarm.since_ns) for alarm in alarms.active] for alarms in seen.alarms]
    # The first report ends at 100 ms; an alarm that changes is as old as it was.
    both = [("north", 100_000_000), ("south", 100_000_000)]
    assert since == [both, both, both[1:]]


def test_a_harness_shows_the_active_alarms(folder: Path) -> None:
    xapp = XAppHarness(folder)
    xapp.send(make_report({"DRB.UEThpDl": [5]}, node="toy-1"))
    assert [(alarm.name, alarm.target, alarm.severity) for alarm in xapp.alarms] == [
        ("no-traffic", "north", "major"),
        ("no-traffic", "south", "minor"),
    ]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"severity": "majro"}, r"alarm 'a': no severity 'majro'; there is .*major"),
        ({"severity": "major", "target": "x" * 129}, "a target of 129 characters; at most 128"),
        ({"severity": "major", "node": "No Node"}, "'No Node' is no node's name"),
    ],
)
def test_an_alarm_that_cannot_be_sent_is_refused_in_the_authors_line(
    call: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        XApp().alarm("a", **call)


def test_the_list_is_bounded_and_says_how_many_found_no_room() -> None:
    board = AlarmBoard()
    for i in range(MAX_ALARMS + 2):
        board.set(f"a{i}", "warning", None, "", "x" * 1000)
    assert (len(board.active), board.left_out) == (MAX_ALARMS, 2)
    alarms = Alarms(xapp="a", active=board.active, left_out=2)
    assert decode_alarms(encode(alarms)) == alarms
    assert len(board.active[0].text) == 256


def test_an_xapp_publishes_at_a_bounded_rate_and_the_last_list_in_the_end(connect: Any) -> None:
    heard: list[bytes] = []
    bus: Bus = connect("a")
    bus.subscribe(topics.alarms("a"), lambda _, payload: heard.append(payload))
    board, now = AlarmBoard(), [0]
    line = AlarmLine(bus, "a", board, lambda: now[0])
    for i in range(100):
        board.set("busy", "warning", None, "", str(i))
        line.tell()
    bus.poll()
    assert len(heard) == 1 + BURST  # with the empty one of the start
    now[0] = S
    line.tell()
    line.tell()
    bus.poll()
    assert len(heard) == 2 + BURST
    assert decode_alarms(heard[-1]).active[0].text == "99"
    line.withdraw()
    bus.poll()
    assert heard[-1] == b""


class Desk:
    """The desk of a host, and what it shows."""

    def __init__(self) -> None:
        self.shown: list[Alarms | AuditRecord] = []
        self.dropped: list[tuple[str, str]] = []
        self.now_ns = 0
        self.desk = AlarmDesk(
            self.shown.append, lambda *why: self.dropped.append(why), "r", lambda: self.now_ns
        )

    def hear(self, *alarms: Alarm, xapp: str = "a") -> None:
        payload = encode(Alarms(xapp=xapp, active=alarms)) if alarms else b""
        self.desk.hear("a", payload, 0)

    @property
    def events(self) -> list[str]:
        return [record.event for record in self.shown if isinstance(record, AuditRecord)]


A, B = Alarm(name="a", severity="major"), Alarm(name="b", severity="minor")


def test_a_lost_list_costs_nothing() -> None:
    desk = Desk()
    for active in ((A,), (A, B), (B,), ()):
        desk.hear(*active)
    lossy = Desk()
    for active in ((A,), (B,), ()):  # the second one is lost
        lossy.hear(*active)
    assert sorted(desk.events) == sorted(lossy.events)
    assert dict(desk.desk.active) == {}


def test_alarms_in_the_name_of_another_or_malformed_are_dropped() -> None:
    desk = Desk()
    desk.hear(A, xapp="b")
    desk.desk.hear("a", b"{", 0)
    desk.desk.hear("a", encode(Alarms(xapp="a", active=(A, A))), 0)
    assert [reason for _, reason in desk.dropped][::2] == [
        "alarms in the name of b",
        "alarms: two of the same name, node and target",
    ]
    assert desk.shown == []


def test_a_flood_of_alarms_is_dropped_and_the_next_list_counts() -> None:
    desk = Desk()
    for i in range(1000):
        desk.hear(A if i % 2 else B)
    assert len([event for event in desk.shown if isinstance(event, Alarms)]) == READ_BURST
    assert len(desk.dropped) == 1000 - READ_BURST
    desk.now_ns = S
    desk.hear(A, B)
    assert desk.desk.active["a"].active == (A, B)
