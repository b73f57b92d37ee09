"""A host's copy of a manifest and the xApp's own: where they differ, both say so, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from structlog.testing import capture_logs
from structlog.typing import EventDict

from ranloop.bus import Bus
from ranloop.guard import ActionRight, Rights, StreamRight
from ranloop.node import NodeHost, Registration
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence, encode
from ranloop.wire.messages import Admission, Presence
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from tests.builders import APP, MANIFEST, write_xapp

Connect = Callable[[str], Bus]
READS = StreamRight(level="ue", every_ms=100, measurements=("DRB.UEThpDl",))
NARROWER = Rights(
    streams=(READS,), actions=(ActionRight(name="SetUeWeight", ranges={"weight": (0.5, 2.0)}, rate_per_s=1000),)
)  # fmt: skip
LINE = "SetUeWeight: ranges is {'weight': (0.5, 2.0)} at the host and {'weight': (0.5, 4.0)} in the xApp's manifest"


def instance(folder: Path) -> Instance:
    text, app = MANIFEST.replace('"CQI"', '"DRB.UEThpDl"'), APP.replace('"CQI"', '"DRB.UEThpDl"')
    return Instance(load_package(write_xapp(folder / "weigher", app=app, text=text.format(name="weigher"))))


def told(logs: list[EventDict]) -> list[tuple[str, str]]:
    """(Who told it, the line)."""
    return [
        ("host" if "advice" in line else "xapp", line["differs"])
        for line in logs
        if line["event"] == "manifest_differs"
    ]


def test_both_tell_what_differs_once_and_no_more_when_it_is_admitted_anew(
    connect: Connect, tmp_path: Path
) -> None:
    xapp = instance(tmp_path)
    with capture_logs() as logs:
        bus = connect("host")
        host = NodeHost(ToyWorld(), bus, xapps={"weigher": Registration(rights=NARROWER)})
        host.announce(alive=True)
        runner_bus = connect("weigher")
        LiveRunner(xapp, runner_bus)
        for _ in range(3):
            bus.poll(0.0)
            runner_bus.poll(0.0)
        host.announce(alive=True)  # after a reconnection
        runner_bus.poll(0.0)
    assert told(logs) == [("host", LINE), ("xapp", LINE)]
    assert [line["advice"] for line in logs if "advice" in line] == [
        "with the xApp's own: ranloop admit FOLDER --host host"
    ]
    signs: list[Presence] = []
    watcher = connect("watcher")
    watcher.subscribe(
        topics.presence("host"), lambda _, payload: signs.append(decode_presence(payload)), qos=1
    )
    anew = Admission(id="1", xapp="weigher", rights=xapp.manifest.rights.as_facts())
    watcher.publish(topics.admission("host", "weigher"), encode(anew), qos=1)
    bus.poll(0.0)
    watcher.poll(0.0)
    assert [sign.facts.get("differs") for sign in signs] == [{"weigher": LINE}, None]


def test_a_lockstep_xapp_that_was_there_first_tells_it_too(connect: Connect, tmp_path: Path) -> None:
    runner_bus, bus = connect("weigher"), connect("host")
    LockstepRunner(instance(tmp_path), runner_bus)
    with capture_logs() as logs:
        NodeHost(ToyWorld(), bus, xapps={"weigher": Registration(rights=NARROWER)}).announce(alive=True)
        runner_bus.poll(0.0)
    assert told(logs) == [("host", LINE), ("xapp", LINE)]


def test_copies_that_agree_are_no_news(connect: Connect, tmp_path: Path) -> None:
    xapp, bus = instance(tmp_path), connect("host")
    with capture_logs() as logs:
        NodeHost(ToyWorld(), bus, xapps={"weigher": Registration(rights=xapp.manifest.rights)})
        LiveRunner(xapp, connect("weigher"))
        bus.poll(0.0)
    assert logs == []


def test_every_kind_of_difference_has_its_clause() -> None:
    host = Rights(
        streams=(READS, StreamRight(level="cell", every_ms=1000, measurements=("RRC.ConnMean",))),
        actions=(ActionRight(name="Handover"), ActionRight(name="SetUeWeight")),
    )
    own = Rights(
        streams=(StreamRight(level="ue", every_ms=100, measurements=("CQI", "DRB.UEThpDl")),),
        actions=(ActionRight(name="SetTxPower"), ActionRight(name="SetUeWeight", max_targets=2000)),
    )
    assert host.differences(own) == [
        "ue every 100 ms: CQI is read and not admitted",
        "cell every 1000 ms: RRC.ConnMean is admitted and not read",
        "SetTxPower is asked for and not admitted",
        "Handover is admitted and not asked for",
        "SetUeWeight: max_targets is 1024 at the host and 2000 in the xApp's manifest",
    ]


def test_a_manifest_that_is_none_is_told_and_changes_nothing(connect: Connect) -> None:
    bus, other = connect("host"), connect("weigher")
    host = NodeHost(ToyWorld(), bus, xapps={"weigher": Registration(rights=NARROWER)})
    sign = Presence(
        name="weigher", alive=True, facts={"rights": {"actions": "\x1b[2J"}, "timers": {"tick": 100}}
    )
    with capture_logs() as logs:
        other.publish(topics.presence("weigher"), encode(sign), qos=1)
        bus.poll(0.0)
    ((_, line),) = told(logs)
    assert line.startswith("the manifest that it announces is none: ")
    assert host.runtime.timers.next_ns(0) == 100_000_000
