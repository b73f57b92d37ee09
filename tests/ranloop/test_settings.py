"""Settings that an operator changes while xApps run, live and in lockstep: in force, refused, remembered, audited."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ranloop.bus import Bus, open_bus
from ranloop.cli.logs import configure_logs
from ranloop.embedded import Choices, SettingsAt, run_embedded
from ranloop.errors import ManifestError, NodeError
from ranloop.guard import AuditLog
from ranloop.node.host import NodeHost
from ranloop.node.live import LiveHost
from ranloop.node.lockstep import LockstepHost
from ranloop.node.runtime import Registration
from ranloop.node.settings_desk import SettingsDesk
from ranloop.testing import XAppHarness, make_report
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Presence, Settings
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from tests.builders import MANIFEST, write_xapp
from tests.command import Command

APP = """
from ranloop import Request, SetUeWeight, XApp
app = XApp()
seen = []

@app.on_report("DRB.UEThpDl")
def act(report):
    seen.append((report.seq, app.settings["gain"]))

@app.on_settings
def changed(values):
    seen.append(dict(values))
    return Request(action=SetUeWeight(ue=[0], weight=values["gain"]), node="toy-1")
"""
_fresh = itertools.count()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manifest = MANIFEST.format(name="tuned").replace("CQI", "DRB.UEThpDl")
    return write_xapp(tmp_path / "tuned", app=APP, text=manifest)


class Loop:
    """A host of the toy world and the xApp on one bus."""

    def __init__(self, folder: Path, stack: ExitStack, given: dict[str, object] | None = None) -> None:
        self.url = f"memory://settings-{next(_fresh)}"
        self._stack, self._folder, self._given = stack, folder, given
        self.bus, self.operator = self.open("host"), self.open("operator")
        self.audit = AuditLog()
        self.instance = self.load()
        registration = Registration(rights=self.instance.manifest.rights)
        self.host = NodeHost(ToyWorld(), self.bus, xapps={"tuned": registration}, audit=self.audit)

    def open(self, name: str) -> Bus:
        return self._stack.enter_context(closing(open_bus(self.url, name=name)))

    def load(self) -> Instance:
        return Instance(load_package(self._folder), settings=self._given)

    def order(self, id_: str, **values: Any) -> None:
        self.operator.publish(
            topics.settings("host", "tuned"), encode(Settings(id=id_, values=values, by="anna")), retain=True
        )

    @property
    def seen(self) -> list[Any]:
        seen: list[Any] = self.instance.package.module("app").seen
        return seen

    def audited(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (record.event, dict(record.facts)) for record in self.audit if record.event.startswith("settings")
        ]


@pytest.fixture
def loop(folder: Path) -> Iterator[Loop]:
    with ExitStack() as stack:
        yield Loop(folder, stack)


def run_in_lockstep(loop: Loop, until_ms: int, at: dict[int, dict[str, Any]] | None = None) -> str:
    """Run, with the operator's word at some RAN times (in ms); the trace hash."""
    runner = LockstepRunner(loop.instance, loop.open("tuned"))
    host = LockstepHost(loop.host, poll_others=[runner._bus.poll])

    def progress(now_ns: int, _: int) -> None:
        if values := (at or {}).get(now_ns // 1_000_000):
            loop.order(f"at-{now_ns}", **values)

    return host.run(until_ms * 1_000_000, on_progress=progress).trace_hash


def test_in_lockstep_settings_are_in_force_before_the_reports_of_the_next_step(loop: Loop) -> None:
    run_in_lockstep(loop, 300, {100: {"gain": 3.0}})
    # Two nodes. The host hears the order while it waits for the answers of the step at 200 ms.
    assert loop.seen == [(0, 1.0), (0, 1.0), (1, 1.0), (1, 1.0), {"gain": 3.0}, (2, 3.0), (2, 3.0)]
    assert loop.audited() == [
        ("settings_ordered", {"id": "at-100000000", "values": {"gain": 3.0}, "by": "anna"}),
        ("settings_in_force", {"id": "at-100000000"}),
    ]


def test_a_change_at_one_step_gives_the_same_bits_each_time_and_others_than_none(folder: Path) -> None:
    def trace(at: dict[int, dict[str, Any]]) -> str:
        with ExitStack() as stack:
            return run_in_lockstep(Loop(folder, stack), 300, at)

    changed = {100: {"gain": 3.0}}
    assert trace(changed) == trace(changed)
    assert trace(changed) != trace({})


def test_a_value_outside_the_manifest_is_refused_with_all_that_came_with_it(loop: Loop) -> None:
    run_in_lockstep(loop, 300, {100: {"gain": 99.0}})
    assert {gain for entry in loop.seen if isinstance(entry, tuple) for gain in entry[1:]} == {1.0}
    assert loop.audited()[-1] == (
        "settings_refused",
        {"id": "at-100000000", "reason": "tuned: setting gain: got 99.0, want float in [0.0, 10.0]"},
    )


def test_an_order_that_stands_is_in_force_from_the_first_report_and_above_the_values_of_the_start(
    folder: Path,
) -> None:
    with ExitStack() as stack:
        loop = Loop(folder, stack, {"gain": 2.0})
        loop.order("1", gain=4.0)
        run_in_lockstep(loop, 100)
        assert loop.seen == [{"gain": 4.0}, (0, 4.0), (0, 4.0)]


@contextmanager
def living(loop: Loop) -> Iterator[LiveRunner]:
    """The xApp on the bus, polled by hand."""
    runner = LiveRunner(loop.instance, loop.open("tuned"))
    yield runner
    runner._alarms.withdraw()
    runner._sign.withdraw()
    runner._bus.close()


def settle(loop: Loop, runner: LiveRunner) -> None:
    for _ in range(4):
        loop.host.poll(0.0)
        runner._bus.poll()
    loop.host.runtime.flush()


def test_live_settings_come_at_once_and_again_after_a_restart_of_the_xapp(loop: Loop) -> None:
    LiveHost(loop.host)
    loop.host.announce(alive=True)
    loop.order("1", gain=3.0)
    with living(loop) as runner:
        settle(loop, runner)
        assert (loop.seen, loop.instance.settings["gain"]) == ([{"gain": 3.0}], 3.0)
        settle(loop, runner)
        assert loop.seen == [{"gain": 3.0}]  # once
    loop.instance = loop.load()
    with living(loop) as runner:
        settle(loop, runner)
        assert loop.seen == [{"gain": 3.0}]
    assert [event for event, _ in loop.audited()] == [
        "settings_ordered",
        "settings_in_force",
        "settings_in_force",
    ]


def test_a_refusal_is_audited_also_where_the_next_order_came_before_it() -> None:
    noted: list[tuple[Any, ...]] = []
    desk = SettingsDesk(lambda event, xapp, **facts: noted.append((event, facts["id"])))
    desk.meet(Presence(name="tuned", alive=True, facts={"run": "1"}))
    for id_ in ("bad", "former"):
        desk.hear("tuned", Settings(id=id_, values={}))
        assert desk.due("tuned") is not None
    for id_, refused in (("bad", "too much"), ("bad", "too much"), ("former", "")):
        answer = {"run": "1", "settings_order": {"id": id_, "refused": refused}}
        desk.meet(Presence(name="tuned", alive=True, facts=answer))
    assert noted[2:] == [("settings_refused", "bad"), ("settings_in_force", "former")]


def test_an_answer_to_an_order_that_nobody_gave_is_not_audited(loop: Loop) -> None:
    LiveHost(loop.host)
    loop.host.announce(alive=True)
    with living(loop) as runner:
        settle(loop, runner)
        runner._sign.change({"settings_order": {"id": "forged", "refused": ""}}, ())
        runner._sign.show()
        settle(loop, runner)
    assert loop.audited() == []


# The operator's command


@pytest.fixture
def running(loop: Loop) -> Iterator[Loop]:
    """A host and its xApp, each on a thread."""
    configure_logs()
    stop, host = threading.Event(), LiveHost(loop.host, speed=0.05)
    runner = LiveRunner(loop.instance, loop.open("tuned"))
    threads = [
        threading.Thread(target=runner.run, args=(stop,), name="xapp"),
        threading.Thread(target=host.run, name="host"),
    ]
    for thread in threads:
        thread.start()
    yield loop
    stop.set()
    threads[0].join(10.0)
    host.stop()
    threads[1].join(10.0)


def test_the_command_changes_shows_and_forgets(
    running: Loop, ranloop: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.cli.settings.QUIET_S", 0.05)

    def settings(*words: str) -> Any:
        outcome = ranloop("settings", *words, "--bus", running.url)
        return outcome.complaint if outcome.code else outcome.out

    assert settings("host", "tuned") == "gain = 1.0\n"
    assert settings("toy-1", "tuned", "gain=2.5") == "gain = 2.5\n"
    assert settings("host", "tuned", "gain=99") == (
        "tuned: setting gain: got 99, want float in [0.0, 10.0]; nothing has changed"
    )
    assert settings("host", "tuned", "gian=1") == (
        "tuned has no setting 'gian'; it has: gain; nothing has changed"
    )
    assert settings("hots", "tuned", "gain=1").startswith("no host or node 'hots' on memory://")
    assert settings("host", "tunde", "gain=1") == "host does not admit 'tunde'; there is tuned"
    assert settings("host", "tuned", "gain=[1]") == "setting gain=[1]: want a number, true, false or text"
    assert settings("host", "tuned") == "gain = 2.5\n"  # what stood before a refused order stands again
    assert settings("host", "tuned", "--forget") == (
        "forgotten of tuned at host: gain; it stays in force until the xApp starts again\n"
    )
    assert running.instance.settings == {"gain": 2.5}


# In a run of one process


def embedded(folder: Path, at_s: SettingsAt, audit: AuditLog | None = None) -> list[Any]:
    """What the xApp saw in three periods of 100 ms, on two nodes."""
    package = load_package(folder)
    run_embedded(
        ToyWorld(),
        [package],
        Choices(settings={"tuned": {"gain": 2.0}}, settings_at_s=at_s),
        until_ns=300_000_000,
        audit=audit,
    )
    seen: list[Any] = package.module("app").seen
    return seen


def test_a_run_in_one_process_changes_settings_before_the_handlers_of_that_moment(folder: Path) -> None:
    audit = AuditLog()
    seen = embedded(folder, {0.15: {"tuned": {"gain": 3.0}}, 0.3: {"tuned": {"gain": 4}}}, audit)
    assert seen == [(0, 2.0)] * 2 + [{"gain": 3.0}] + [(1, 3.0)] * 2 + [{"gain": 4.0}] + [(2, 4.0)] * 2
    events = [(r.event, r.ran_time_ns, r.facts["id"]) for r in audit if r.event == "settings_in_force"]
    assert events == [
        ("settings_in_force", 200_000_000, "at-150000000"),
        ("settings_in_force", 300_000_000, "at-300000000"),
    ]


@pytest.mark.parametrize(
    ("at_s", "error", "words"),
    [
        (
            {0.1: {"tuned": {"gain": 99.0}}},
            ManifestError,
            r"tuned: setting gain: got 99\.0, want float in \[0\.0, 10\.0\]",
        ),
        ({0.1: {"tuned": {"gian": 1.0}}}, ManifestError, "tuned has no setting 'gian'; it has: gain"),
        ({0.1: {"tunde": {"gain": 1.0}}}, ManifestError, "settings for tunde, which does not run here"),
        (
            {0.4: {"tuned": {"gain": 1.0}}},
            NodeError,
            r"settings_at_s: 0\.4 s is not in the run, which ends at 0\.3 s",
        ),
        ({float("nan"): {}}, NodeError, "settings_at_s: nan s is not in the run"),
    ],
)
def test_a_change_that_cannot_be_made_is_told_before_anything_runs(
    folder: Path, at_s: SettingsAt, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        embedded(folder, at_s)


def test_a_harness_changes_settings(folder: Path) -> None:
    xapp = XAppHarness(folder)
    (action,) = xapp.change(gain=3.0)
    xapp.send(replace(make_report({"DRB.UEThpDl": [5]}), run="1"))
    assert action.parameters().tolist() == [[3.0]]
    assert xapp.module("app").seen == [{"gain": 3.0}, (0, 3.0)]
    with pytest.raises(ValueError, match=r"tuned: setting gain: got 11, want float in \[0.0, 10.0\]"):
        xapp.change(gain=11)
