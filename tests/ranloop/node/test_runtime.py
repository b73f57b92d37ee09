"""The node runtime, driven by hand: no bus, no clock, no pace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ranloop.node import NodeRuntime, Registration
from ranloop.node.outlets import Event
from ranloop.node.port import Stream
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.messages import ActionBatch, Cause, Report, Result, Status
from tests.ranloop.node.scripted import MS, rights

READER = Registration(rights=rights("SetUeWeight"))


def batch(*, node: str = "toy-1", id: str = "b") -> ActionBatch:
    action = SetUeWeight(ue=[0], weight=3)
    return ActionBatch(id=id, xapp="x", node=node, seq=1, action=action, valid_until_ns=500 * MS)


def runtime_of(world: ToyWorld, **options: object) -> NodeRuntime:
    runtime = NodeRuntime(world, **options)  # type: ignore[arg-type]
    runtime.admit("x", READER)
    return runtime


class Wrong(ToyWorld):
    """Its first UE has an impossible throughput, and the UE report of toy-2 has one UE in two rows."""

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        reports = []
        for report in super().reports(wanted):
            block = report.block.copy()
            block[0, -1] = -1.0
            if report.node == "toy-2":
                block[1, 0] = block[0, 0]
            reports.append(replace(report, block=block))
        return reports


def test_a_value_out_of_range_is_no_value_and_a_report_that_contradicts_itself_is_left_out() -> None:
    runtime = runtime_of(Wrong())
    (report,) = runtime.advance(100 * MS).reports
    throughput = report["DRB.UEThpDl"]
    assert report.node == "toy-1"
    assert np.isnan(throughput[0])
    assert np.isfinite(throughput[1:]).all()
    assert (runtime.n_outside, runtime.n_dropped) == (1, 1)


LOOKED_AT = {"ue": ("X.UE.Weight",), "cell": ("RRC.ConnMean",)}


class Looks:
    """An onlooker at one more column, and at a stream that nobody reads."""

    @property
    def looks_at(self) -> Mapping[str, tuple[str, ...]]:
        return LOOKED_AT

    def take(self, event: Event) -> None:
        pass


class AllWrong(ToyWorld):
    """Every measurement of the first row of each report is impossible."""

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        reports = []
        for report in super().reports(wanted):
            block = report.block.copy()
            block[0, len(report.ids) :] = -1e30
            reports.append(replace(report, block=block))
        return reports


def test_what_an_onlooker_alone_looks_at_counts_as_no_value_out_of_range() -> None:
    alone, watched = runtime_of(AllWrong()), runtime_of(AllWrong(), onlooker=Looks())
    for runtime in (alone, watched):
        runtime.advance(100 * MS)
    assert len(watched.wanted) > len(alone.wanted)
    assert (alone.n_outside, watched.n_outside) == (
        2,
        2,
    )  # one UE of each node, in the one column that is read


def test_reports_carry_the_hosts_run() -> None:
    assert {report.run for report in runtime_of(ToyWorld(), run="seven").advance(100 * MS).reports} == {
        "seven"
    }


def test_dropped_messages_of_one_sender_are_noted_less_and_less_often() -> None:
    runtime = runtime_of(ToyWorld())
    for _ in range(130):
        runtime.drop("noisy", "no JSON")
    runtime.drop("other", "no JSON")
    runtime.flush()
    noted = [r.facts["dropped_so_far"] for r in runtime.audit if r.event == "dropped" and r.xapp == "noisy"]
    assert noted == [*range(1, 17), 32, 64, 128]
    assert runtime.summary().n_dropped == 131


def test_a_batch_for_a_node_that_is_not_here_is_refused_with_near_names() -> None:
    (result,) = runtime_of(ToyWorld()).submit(batch(node="toy-3"), sender="x", node="toy-3", now_ns=0)
    assert Status(result.status[0]) is Status.REFUSED
    cause, text = result.causes[int(result.cause[0])]
    assert cause is Cause.NO_TARGET
    assert text.startswith("no node 'toy-3' here; there is toy-")


def test_a_retry_gets_the_same_answer_and_counts_once() -> None:
    runtime = runtime_of(ToyWorld())
    assert runtime.submit(batch(), sender="x", node="toy-1", now_ns=0) == []
    (result,) = runtime.advance(10 * MS).results
    assert runtime.submit(batch(), sender="x", node="toy-1", now_ns=10 * MS) == [result]
    runtime.flush()
    assert runtime.summary().outcomes == {"applied": 1}


def test_outlets_see_events_in_order_and_each_once() -> None:
    seen: list[Event] = []

    class Watcher:
        def take(self, event: Event) -> None:
            seen.append(event)

    runtime = runtime_of(ToyWorld(), outlets=[Watcher()])
    runtime.submit(batch(), sender="x", node="toy-1", now_ns=0)
    for now_ns in (10 * MS, 100 * MS):
        runtime.advance(now_ns)
    runtime.flush()
    runtime.flush()
    public = [type(event) for event in seen if isinstance(event, Report | Result)]
    assert public == [Result, Report, Report]  # at 10 ms; at 100 ms from toy-1 and toy-2


def test_the_next_event_is_a_report_a_change_or_a_timer() -> None:
    runtime = runtime_of(ToyWorld())
    assert runtime.next_event_ns() == 100 * MS  # the report
    runtime.submit(batch(), sender="x", node="toy-1", now_ns=0)
    assert runtime.next_event_ns() == 10 * MS  # the change, after the control delay
