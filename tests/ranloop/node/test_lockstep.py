"""The lockstep host: RAN time waits for the xApps, and the same run is the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from ranloop.bus import Bus, open_bus
from ranloop.bus.broker import BrokerKind
from ranloop.errors import LockstepError, NodeError
from ranloop.guard import Autonomy, StreamRight
from ranloop.node import LockstepHost, NodeHost, Registration, RunSummary
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import CELL_RATE_KBITS, ToyWorld
from ranloop.vocabulary import Action, SetUeWeight
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Answer, Cause, Presence, Result, Status, Step
from tests.ranloop.node.scripted import MS, ScriptedXApp, rights

Connect = Callable[[str], Bus]
Wants = Sequence[tuple[str, Action]]


def favour_first_ue(step: Step) -> Wants:
    """Hold weight 3 on the first UE of every report."""
    return [(r.node, SetUeWeight(ue=r.ue[:1], weight=3)) for r in step.reports if len(r)]


def nothing(_step: Step) -> Wants:
    return []


def lockstep(
    bus: Bus, *xapps: ScriptedXApp, world: ToyWorld | None = None, **registered: Registration
) -> LockstepHost:
    registered = registered or {xapp.name: Registration(rights=rights("SetUeWeight")) for xapp in xapps}
    host = NodeHost(world or ToyWorld(), bus, xapps=registered)
    return LockstepHost(host, poll_others=[xapp.bus.poll for xapp in xapps])


def results_of(xapp: ScriptedXApp) -> list[Result]:
    return [result for step in xapp.steps for result in step.results]


def test_an_action_shows_in_the_report_after_the_control_delay(connect: Connect) -> None:
    xapp = ScriptedXApp("weigher", connect("weigher"), favour_first_ue)
    summary = lockstep(connect("host"), xapp).run(300 * MS)
    at_100, at_200, at_300 = (
        next(r for r in step.reports if r.node == "toy-1") for step in xapp.steps if step.reports
    )
    # Until 200 ms, UEs 0, 1 and 2 came; 0 and 2 share cell 0: with weight 3 UE 0 has 3/4 of it.
    assert at_100["DRB.UEThpDl"].tolist() == [CELL_RATE_KBITS, CELL_RATE_KBITS]
    assert (at_200.ue.tolist(), at_200.cell.tolist()) == ([0, 1, 2], [0, 1, 0])
    assert at_200["DRB.UEThpDl"].tolist() == [0.75 * CELL_RATE_KBITS, CELL_RATE_KBITS, 0.25 * CELL_RATE_KBITS]
    assert at_300.ran_time_ns == summary.ran_time_ns == 300 * MS
    # Two of three batches per node had their slot before the end; both nodes.
    assert summary.outcomes["applied"] == 4
    assert (summary.steps, summary.n_reports) == (3, 6)


def test_results_ride_with_the_next_step_and_with_the_last(connect: Connect) -> None:
    xapp = ScriptedXApp("weigher", connect("weigher"), favour_first_ue)
    lockstep(connect("host"), xapp).run(200 * MS)
    first, second, last = xapp.steps
    assert first.results == ()
    assert {(r.id, r.ran_time_ns, r.count(Status.APPLIED)) for r in second.results} == {
        ("weigher-1", 110 * MS, 1),
        ("weigher-2", 110 * MS, 1),
    }
    assert last.last
    # What was sent at 200 ms would take effect at 210 ms, after the end.
    assert [(r.status[0], r.causes[1][0]) for r in last.results] == [(Status.EXPIRED, Cause.LOST)] * 2


def test_an_xapp_sees_the_columns_of_its_manifest_and_no_others(connect: Connect) -> None:
    narrow = ScriptedXApp("narrow", connect("narrow"), nothing)
    wide = ScriptedXApp("wide", connect("wide"), nothing)
    both = StreamRight(level="ue", every_ms=100, measurements=("X.UE.Weight", "DRB.UEThpDl"))
    cells = StreamRight(level="cell", every_ms=1000, measurements=("RRC.ConnMean",))
    lockstep(
        connect("host"),
        narrow,
        wide,
        narrow=Registration(rights=rights()),
        wide=Registration(rights=rights(streams=[both, cells])),
    ).run(1000 * MS)
    assert {r.names for step in narrow.steps for r in step.reports} == {("DRB.UEThpDl",)}
    seen = {(r.level, r.period_ms, r.names) for step in wide.steps for r in step.reports}
    assert seen == {("ue", 100, ("X.UE.Weight", "DRB.UEThpDl")), ("cell", 1000, ("RRC.ConnMean",))}


def test_timers_fire_at_multiples_of_their_period_on_slots(connect: Connect) -> None:
    clock = ScriptedXApp("clock", connect("clock"), nothing, timers={"tick": 30, "tock": 45})
    lockstep(connect("host"), clock, clock=Registration(rights=rights(streams=[]))).run(100 * MS)
    fired = [(step.ran_time_ns // MS, step.timers) for step in clock.steps if not step.last]
    assert fired == [(30, ("tick",)), (45, ("tock",)), (60, ("tick",)), (90, ("tick", "tock"))]


def test_batches_are_judged_by_xapp_then_sequence_whoever_answers_first(connect: Connect) -> None:
    def grab(step: Step) -> Wants:
        return [(r.node, SetUeWeight(ue=[0], weight=2)) for r in step.reports if r.node == "toy-1"]

    late = ScriptedXApp("a", connect("a"), grab)
    early = ScriptedXApp("b", connect("b"), grab)
    registered = {name: Registration(rights=rights("SetUeWeight")) for name in "ab"}
    host = NodeHost(ToyWorld(), connect("host"), xapps=registered)
    LockstepHost(host, poll_others=[early.bus.poll, late.bus.poll]).run(200 * MS)
    assert {r.status[0] for r in results_of(late)} == {Status.APPLIED, Status.EXPIRED}
    assert {r.causes[1][0] for r in results_of(early)} == {Cause.CONFLICT}


def test_batches_of_one_xapp_are_judged_in_the_order_of_their_sequence(connect: Connect) -> None:
    class Backwards(ScriptedXApp):
        def answer(self, answer: Answer) -> None:
            super().answer(replace(answer, batches=answer.batches[::-1]))

    def twice(step: Step) -> Wants:
        return [("toy-1", SetUeWeight(ue=[0], weight=weight)) for weight in (2, 3)] if step.reports else []

    world = ToyWorld()
    xapp = Backwards("weigher", connect("weigher"), twice)
    lockstep(connect("host"), xapp, world=world).run(150 * MS)
    assert world.weight("toy-1", 0) == 3


def test_an_atomic_batch_with_a_ue_that_is_not_there_touches_nobody(connect: Connect) -> None:
    def with_a_ghost(step: Step) -> Wants:
        return [("toy-1", SetUeWeight(ue=[0, 999], weight=2))] if step.reports else []

    world = ToyWorld()
    xapp = ScriptedXApp("weigher", connect("weigher"), with_a_ghost, atomic=True)
    summary = lockstep(connect("host"), xapp, world=world).run(150 * MS)
    assert summary.outcomes == {"refused/atomic": 1, "refused/no-target": 1}
    assert world.weight("toy-1", 0) == 1


def test_a_ue_that_leaves_ends_its_setting_and_silence_ends_all(connect: Connect) -> None:
    def once(step: Step) -> Wants:
        # UE 0 is there from 0 to 700 ms, UE 4 from 400 to 1100 ms.
        return [("toy-1", SetUeWeight(ue=[0, 4], weight=2))] if step.ran_time_ns == 600 * MS else []

    world = ToyWorld()
    xapp = ScriptedXApp("weigher", connect("weigher"), once, lease_ms=300)
    lockstep(connect("host"), xapp, world=world).run(1000 * MS)
    applied, left, lapsed = results_of(xapp)
    assert applied.status.tolist() == [Status.APPLIED, Status.APPLIED]
    assert (left.targets.tolist(), left.causes[1][0], left.ran_time_ns) == ([[0]], Cause.UE_LEFT, 700 * MS)
    assert (lapsed.targets.tolist(), lapsed.causes[1][0]) == ([[4]], Cause.LEASE_LAPSED)
    assert lapsed.ran_time_ns == 910 * MS
    assert world.weight("toy-1", 4) == 1


def test_who_may_only_recommend_changes_nothing(connect: Connect) -> None:
    xapp = ScriptedXApp("weigher", connect("weigher"), favour_first_ue)
    watched = Registration(rights=rights("SetUeWeight"), autonomy=Autonomy.RECOMMEND)
    summary = lockstep(connect("host"), xapp, weigher=watched).run(300 * MS)
    assert summary.outcomes == {"recommended/autonomy": 6}


# The same run on any bus


def scenario(open_one: Connect) -> RunSummary:
    """Two xApps that want the same UEs now and then, over two seconds."""

    def every_second_ue(step: Step) -> Wants:
        return [
            (r.node, SetUeWeight(ue=r.ue[::2], weight=1 + r["DRB.UEThpDl"][::2] / CELL_RATE_KBITS))
            for r in step.reports
        ]

    buses = [open_one(name) for name in ("host", "first", "second")]
    first = ScriptedXApp("first", buses[1], favour_first_ue)
    second = ScriptedXApp("second", buses[2], every_second_ue, lease_ms=150)
    return lockstep(buses[0], first, second).run(timeout_s=10)


def test_the_same_run_has_the_same_trace_and_another_has_not(connect: Connect) -> None:
    first = scenario(connect)
    assert first.trace_hash == scenario(connect).trace_hash
    xapp = ScriptedXApp("first", connect("first"), favour_first_ue)
    assert first.trace_hash != lockstep(connect("host"), xapp).run().trace_hash
    assert first.outcomes.keys() >= {"applied", "refused/conflict", "ended/ue-left"}


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_a_broker_in_between_changes_nothing(connect: Connect, kind: BrokerKind) -> None:
    in_memory = scenario(connect)
    with running_broker(kind) as broker:
        buses: list[Bus] = []

        def open_one(name: str) -> Bus:
            buses.append(open_bus(broker.url, name=name))
            return buses[-1]

        over_broker = scenario(open_one)
        for bus in buses:
            bus.close()
    assert over_broker.trace_hash == in_memory.trace_hash
    assert over_broker.outcomes == in_memory.outcomes


# What goes wrong


def test_an_xapp_that_never_appears_is_named(connect: Connect) -> None:
    with pytest.raises(LockstepError, match=r"no life sign of ghost within 0\.01 s"):
        lockstep(connect("host"), ghost=Registration(rights=rights())).run(timeout_s=0.01)


def test_a_traceback_in_an_answer_stops_the_run_at_once(connect: Connect) -> None:
    bus = connect("broken")

    def fail(step: Step) -> Wants:
        xapp.answer(Answer(xapp="broken", step=step.step, error="ZeroDivisionError: policy.py line 3"))
        return []

    xapp = ScriptedXApp("broken", bus, fail)
    with pytest.raises(LockstepError, match=r"(?s)broken failed at 0.1 s:.*policy.py line 3"):
        lockstep(connect("host"), xapp).run()
    assert len(xapp.steps) == 1


def silent_from(at_ns: int, connect: Connect) -> ScriptedXApp:
    class Silent(ScriptedXApp):
        def answer(self, answer: Answer) -> None:
            if self.steps[-1].ran_time_ns < at_ns:
                super().answer(answer)

    return Silent("silent", connect("silent"), favour_first_ue)


def test_a_missing_answer_fails_the_run_unless_told_otherwise(connect: Connect) -> None:
    xapp = silent_from(300 * MS, connect)
    with pytest.raises(LockstepError, match=r"no answer of silent to step 2 within 0.01 s"):
        lockstep(connect("host"), xapp).run(timeout_s=0.01)


def test_a_silent_xapp_can_be_dropped_and_what_it_held_lapses(connect: Connect) -> None:
    xapp = silent_from(300 * MS, connect)
    world = ToyWorld()
    summary = lockstep(connect("host"), xapp, world=world).run(650 * MS, timeout_s=0.01, on_timeout="drop")
    assert summary.dropped_xapps == ("silent",)
    assert (summary.n_timeouts, len(xapp.steps)) == (1, 3)
    assert world.weight("toy-1", 0) == 1  # set at 210 ms for three periods
    assert summary.outcomes["ended/lease-lapsed"] == 2


def test_a_run_can_go_on_without_an_answer(connect: Connect) -> None:
    xapp = silent_from(300 * MS, connect)
    summary = lockstep(connect("host"), xapp).run(500 * MS, timeout_s=0.01, on_timeout="hold")
    assert summary.dropped_xapps == ()
    assert (summary.n_timeouts, len(xapp.steps)) == (4, 6)  # 300, 400, 500 ms and the last


@pytest.mark.parametrize(
    ("alive", "start", "words"), [(False, "1", "went away at 0.1 s"), (True, "2", "was restarted at 0.1 s")]
)
def test_an_xapp_that_dies_or_restarts_in_the_middle_ends_the_run(
    connect: Connect, alive: bool, start: str, words: str
) -> None:
    class Unsteady(ScriptedXApp):
        def answer(self, answer: Answer) -> None:
            self.show(alive=alive, run=start)

    xapp = Unsteady("unsteady", connect("unsteady"), nothing)
    with pytest.raises(LockstepError, match=words):
        lockstep(connect("host"), xapp).run()


def test_a_question_of_a_namesake_and_a_late_will_do_not_end_the_run(connect: Connect) -> None:
    def stir(step: Step) -> list[tuple[str, Action]]:
        for alive, facts in ((True, {"run": "2", "asks": True}), (False, {"run": "0"})):
            presence = Presence(name="x", alive=alive, facts=facts)
            xapp.bus.publish(topics.presence("x"), encode(presence), qos=1)
        return []

    xapp = ScriptedXApp("x", connect("x"), stir)
    host = NodeHost(ToyWorld(), connect("host"), xapps={"x": Registration(rights=rights())})
    assert LockstepHost(host, poll_others=[xapp.bus.poll]).run(500 * MS).steps == 5


def test_garbage_and_answers_in_a_foreign_name_are_counted_and_change_nothing(connect: Connect) -> None:
    bus = connect("weigher")

    class Noisy(ScriptedXApp):
        def answer(self, answer: Answer) -> None:
            topic = topics.answer(self.name, "host")
            self.bus.publish(topic, b"\x00garbage", qos=1)
            self.bus.publish(topic, encode(Answer(xapp="other", step=answer.step)), qos=1)
            self.bus.publish(topic, encode(Answer(xapp=self.name, step=answer.step + 7)), qos=1)
            super().answer(answer)
            super().answer(replace(answer, batches=()))

    noisy = lockstep(connect("host"), Noisy("weigher", bus, favour_first_ue)).run(200 * MS)
    quiet = ScriptedXApp("weigher", connect("quiet"), favour_first_ue)
    bus.close()
    clean = lockstep(connect("host"), quiet).run(200 * MS)
    assert noisy.trace_hash == clean.trace_hash
    assert (noisy.n_dropped, clean.n_dropped) == (12, 0)  # four for each of two steps and the last


def test_a_batch_for_a_node_that_is_not_here_is_refused_with_near_names(connect: Connect) -> None:
    xapp = ScriptedXApp("lost", connect("lost"), lambda _: [("toy-3", SetUeWeight(ue=[0], weight=2))])
    lockstep(connect("host"), xapp).run(100 * MS)
    (result,) = results_of(xapp)
    cause, text = result.causes[result.cause[0]]
    assert cause is Cause.NO_TARGET
    assert text.startswith("no node 'toy-3' here; there is toy-")


def test_a_refusal_for_a_node_that_is_not_here_is_audited(connect: Connect) -> None:
    def wants(step: Step) -> Wants:
        return [("toy-9", SetUeWeight(ue=[1], weight=2))] if step.step == 0 else []

    host = lockstep(connect("host"), ScriptedXApp("lost", connect("lost"), wants))
    host.run(100 * MS)
    (record,) = [record for record in host.runtime.audit if record.event == "result"]
    assert (record.event, record.node, record.xapp) == ("result", "toy-9", "lost")


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (StreamRight(level="ue", every_ms=50, measurements=("DRB.UEThpDl",)), "reports every 100, 1000 ms"),
        (StreamRight(level="cell", every_ms=100, measurements=("RRC.ConnMax",)), "it has RRC.ConnMean"),
    ],
)
def test_a_stream_that_no_node_offers_is_refused_before_the_run(
    connect: Connect, stream: StreamRight, words: str
) -> None:
    with pytest.raises(NodeError, match=words):
        NodeHost(ToyWorld(), connect("host"), xapps={"x": Registration(rights=rights(streams=[stream]))})


def test_where_the_time_went_is_told_per_stage(connect: Connect) -> None:
    xapp = ScriptedXApp("weigher", connect("weigher"), favour_first_ue)
    summary = lockstep(connect("host"), xapp).run(500 * MS)
    assert set(summary.latencies_ns) == {"advance", "apply", "report", "step", "guard"}
    assert len(summary.latencies_ns["step"]) == summary.steps == 5
    assert all(np.all(passes > 0) for passes in summary.latencies_ns.values())
