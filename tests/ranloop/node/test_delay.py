"""Lockstep with handlers that take RAN time: late answers, missed reports, and the same run each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ranloop.bus import Bus
from ranloop.embedded import run_embedded
from ranloop.node import LockstepHost, NodeHost, Registration, RunSummary
from ranloop.node.delay import NO_DELAY, AtWork, Delay, fixed, measured
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import Action, SetUeWeight
from ranloop.wire.messages import Status, Step
from tests.builders import APP, MANIFEST, write_xapp
from tests.ranloop.node.scripted import MS, ScriptedXApp, rights

Connect = Callable[[str], Bus]


def hold(step: Step) -> Sequence[tuple[str, Action]]:
    """Weight 3 on the first UE of toy-1, anew at each report."""
    return [
        (r.node, SetUeWeight(ue=r.ue[:1], weight=3)) for r in step.reports if r.node == "toy-1" and len(r)
    ]


def run(
    connect: Connect, until_ms: int, *, delay: Delay = NO_DELAY, timers: dict[str, int] | None = None
) -> tuple[ScriptedXApp, RunSummary]:
    xapp = ScriptedXApp("weigher", connect("weigher"), hold, timers=timers)
    granted = rights("SetUeWeight", streams=[]) if timers else rights("SetUeWeight")
    host = NodeHost(ToyWorld(), connect("host"), xapps={"weigher": Registration(rights=granted)})
    lockstep = LockstepHost(host, poll_others=[xapp.bus.poll], delay=delay)
    return xapp, lockstep.run(until_ms * MS)


def heard(xapp: ScriptedXApp) -> list[tuple[int, int]]:
    """(when, of when) of the reports of toy-1, in ms."""
    return [
        (step.ran_time_ns // MS, report.ran_time_ns // MS)
        for step in xapp.steps
        for report in step.reports
        if report.node == "toy-1"
    ]


@pytest.mark.parametrize(("delay_ms", "in_force_ms"), [(0, 110), (30, 140), (30.2, 140.5)])
def test_an_answer_reaches_the_guard_that_much_later(
    connect: Connect, delay_ms: float, in_force_ms: float
) -> None:
    """The report of 100 ms, the delay rounded up to a slot of 0.5 ms, the control delay of 10 ms."""
    xapp, _ = run(connect, 250, delay=fixed(delay_ms))
    applied = [
        r.ran_time_ns / MS for step in xapp.steps for r in step.results if r.status[0] == Status.APPLIED
    ]
    assert applied[0] == in_force_ms


def test_a_handler_of_two_periods_misses_every_second_report(connect: Connect) -> None:
    xapp, summary = run(connect, 750, delay=fixed(200))
    assert heard(xapp) == [(100, 100), (300, 300), (500, 500), (700, 700)]
    assert summary.n_missed == {"weigher": 2 * 3}  # of both nodes those of 200, 400 and 600 ms


def test_a_handler_that_is_done_takes_the_newest_report_that_waits_as_a_live_one_does(
    connect: Connect,
) -> None:
    """150 ms of work: done at 250 ms with the report of 200 ms waiting, at 400 ms with a fresh one, …: two of three."""
    xapp, _ = run(connect, 720, delay=fixed(150))
    assert heard(xapp) == [(100, 100), (250, 200), (400, 400), (550, 500), (700, 700)]


def test_a_timer_that_is_due_meanwhile_waits_once(connect: Connect) -> None:
    xapp, _ = run(connect, 180, delay=fixed(100), timers={"tick": 30})
    fired = [(step.ran_time_ns // MS, step.timers) for step in xapp.steps if not step.last]
    assert fired == [(30, ("tick",)), (130, ("tick",))]


def test_what_an_xapp_at_work_wants_at_the_end_is_answered(connect: Connect) -> None:
    xapp, summary = run(connect, 150, delay=fixed(100))
    assert summary.outcomes == {"refused/at-end": 1}
    assert [len(step.results) for step in xapp.steps if step.last] == [1]


def test_a_delay_in_milliseconds_gives_the_same_run_each_time_and_no_delay_another(connect: Connect) -> None:
    hashes = [run(connect, 450, delay=delay)[1].trace_hash for delay in (fixed(40), fixed(40), NO_DELAY)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_measured_is_the_wall_clock_of_the_answer(connect: Connect) -> None:
    at_work = AtWork(measured, slot_ns=MS)
    at_work.begin("a", (), 100 * MS, 7_300_000)
    assert (at_work.next_ns(), at_work.due("a", (), ("tick",))) == (108 * MS, ((), ()))
    at_work.done(108 * MS)
    assert at_work.due("a", (), ()) == ((), ("tick",))


SLOW = "import time\n" + APP.replace('"CQI"', '"DRB.UEThpDl"').replace(
    "    return", "    time.sleep(0.06)\n    return"
)


def test_an_embedded_run_measures_each_xapps_handlers_alone(tmp_path: Path) -> None:
    """Two nodes report, so a step has two calls of 60 ms: each xApp is at work from 100 to 220 ms, and again to 340 ms.

    If the second xApp's step counted with the first one's, it would be at work until 340 ms at once.
    """
    manifest = MANIFEST.replace('"CQI"', '"DRB.UEThpDl"')
    policy = "def weight(rate): return rate * 0 + 2.0"
    folders = [
        write_xapp(tmp_path / name, app=SLOW, policy=policy, text=manifest.format(name=name))
        for name in ("a", "b")
    ]
    run = run_embedded(ToyWorld(), folders, until_ns=330 * MS, handler_delay_ms="measured")
    assert {xapp: time.calls for xapp, (time,) in run.times.items()} == {"a": 4, "b": 4}
    assert run.summary.n_missed == {"a": 0, "b": 0}
