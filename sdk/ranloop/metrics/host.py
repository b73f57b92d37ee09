"""The metrics of a node host: what its runtime, its pace and its outlets count anyway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ranloop.guard import Autonomy
from ranloop.guard.fates import Fates
from ranloop.metrics.metric import Metric, Reading, one
from ranloop.node import LiveHost, LockstepHost, NodeHost, Recorder
from ranloop.node.operator_line import OPERATOR
from ranloop.node.outlets import Aside
from ranloop.node.runtime import NodeRuntime

__all__ = ("HostSource", "of_fates")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSource:
    """A host, with the pace that moves its time, and its recorder if it has one."""

    metrics: ClassVar[tuple[Metric[Any], ...]]

    pace: LiveHost | LockstepHost
    recorder: Recorder | None = None

    @property
    def host(self) -> NodeHost:
        return self.pace.host

    @property
    def runtime(self) -> NodeRuntime:
        return self.pace.runtime

    def not_ready(self) -> str:
        """As `NodeHost.not_ready`."""
        return self.host.not_ready()


def of_fates(fates: Fates) -> Iterator[Reading]:
    """Targets by xApp, action, status and cause."""
    for told in fates.told():
        yield (told.xapp, told.action, told.status.name.lower(), str(told.cause)), told.n_targets


def _live(value: Callable[[LiveHost], float]) -> Callable[[HostSource], Iterable[Reading]]:
    """A value that a live pace alone has."""
    return lambda source: [((), value(source.pace))] if isinstance(source.pace, LiveHost) else []


def _asides(value: Callable[[Aside], float]) -> Callable[[HostSource], Iterable[Reading]]:
    """A value of each outlet that has a thread of its own."""

    def read(source: HostSource) -> Iterator[Reading]:
        values: dict[str, float] = {}
        for outlet in source.runtime.outlets:
            if isinstance(outlet, Aside):
                values[outlet.of] = values.get(outlet.of, 0) + value(outlet)
        for of, sum_ in values.items():
            yield (of,), sum_

    return read


def _alarms(source: HostSource) -> Iterable[Reading]:
    lists = source.runtime.alarms.active
    counts = Counter((xapp, str(alarm.severity)) for xapp, of in lists.items() for alarm in of.active)
    return counts.items()


HostSource.metrics = (
    Metric(
        name="ranloop_host_ran_time_seconds",
        kind="gauge",
        meaning="RAN time since the host was started",
        read=one(lambda source: source.runtime.now_ns / 1e9),
    ),
    Metric(
        name="ranloop_host_lag_seconds",
        kind="gauge",
        meaning="How far the next event is overdue; live hosts only",
        read=_live(lambda pace: pace.lag_ns / 1e9),
    ),
    Metric(
        name="ranloop_host_worst_lag_seconds",
        kind="gauge",
        meaning="The longest that an event was overdue since the start; live hosts only",
        read=_live(lambda pace: pace.worst_lag_ns / 1e9),
    ),
    Metric(
        name="ranloop_host_given_up_seconds_total",
        kind="counter",
        meaning="Time by which RAN time was set back behind the clock, because the nodes were slower; live hosts only",
        read=_live(lambda pace: pace.given_up_ns / 1e9),
    ),
    Metric(
        name="ranloop_host_stage_seconds",
        kind="histogram",
        labels=("stage",),
        meaning="How long a pass of a stage took: advance (the nodes), apply (changes that were due), report (building "
        "reports), guard (judging a batch), in lockstep step (from the reports to the last answer)",
        read=lambda source: [((stage,), took) for stage, took in source.runtime.tally.stages.items()],
    ),
    Metric(
        name="ranloop_host_reports_total",
        kind="counter",
        labels=("node",),
        meaning="Reports that left the node",
        read=lambda source: [((node,), source.runtime.tally.reports[node]) for node in source.runtime.guards],
    ),
    Metric(
        name="ranloop_host_targets_total",
        kind="counter",
        labels=("xapp", "action", "status", "cause"),
        meaning="Targets of actions by what became of them",
        read=lambda source: of_fates(source.runtime.tally.fates),
    ),
    Metric(
        name="ranloop_host_messages_dropped_total",
        kind="counter",
        labels=("sender",),
        meaning="Messages of an xApp, a node or the operator that could not be used, and not even be refused",
        read=lambda source: [
            ((sender,), source.runtime.dropped.get(sender, 0))
            for sender in dict.fromkeys((OPERATOR, *source.runtime.xapps, *source.runtime.dropped))
        ],
    ),
    Metric(
        name="ranloop_host_messages_unsent_total",
        kind="counter",
        meaning="Messages without a JSON form, where that is read",
        read=one(lambda source: source.host.n_unsent),
    ),
    Metric(
        name="ranloop_host_values_outside_total",
        kind="counter",
        meaning="Measured values outside the range of the vocabulary, which became no value",
        read=one(lambda source: source.runtime.n_outside),
    ),
    Metric(
        name="ranloop_host_answers_missed_total",
        kind="counter",
        meaning="Answers of xApps that did not come in time; lockstep only",
        read=lambda source: [((), source.pace.n_timeouts)] if isinstance(source.pace, LockstepHost) else [],
    ),
    Metric(
        name="ranloop_host_node_killed",
        kind="gauge",
        labels=("node",),
        meaning="Whether the kill switch is on: 1 or 0",
        read=lambda source: [((node,), guard.killed) for node, guard in source.runtime.guards.items()],
    ),
    Metric(
        name="ranloop_host_xapp_acts",
        kind="gauge",
        labels=("node", "xapp"),
        meaning="Whether the xApp may act at the node: 1 if its autonomy is act, else 0",
        read=lambda source: [
            ((node, xapp), level == Autonomy.ACT)
            for node, guard in source.runtime.guards.items()
            for xapp, level in guard.autonomy.items()
        ],
    ),
    Metric(
        name="ranloop_host_xapp_alive",
        kind="gauge",
        labels=("xapp",),
        meaning="Whether the admitted xApp shows a life sign: 1 or 0",
        read=lambda source: [((xapp,), xapp in source.host.others) for xapp in source.runtime.xapps],
    ),
    Metric(
        name="ranloop_host_xapp_shut_out",
        kind="gauge",
        labels=("xapp",),
        meaning="Whether the admitted xApp is not heard any more because it flooded the host: 1 or 0",
        read=lambda source: [((xapp,), xapp in source.runtime.shut_out) for xapp in source.runtime.xapps],
    ),
    Metric(
        name="ranloop_host_alarms",
        kind="gauge",
        labels=("xapp", "severity"),
        meaning="Alarms of the xApp that are active",
        read=_alarms,
    ),
    Metric(
        name="ranloop_host_outlet_events_waiting",
        kind="gauge",
        labels=("outlet",),
        meaning="Events that wait for an outlet, such as the audit log or the recorder; live hosts only",
        read=_asides(len),
    ),
    Metric(
        name="ranloop_host_outlet_waiting_bytes",
        kind="gauge",
        labels=("outlet",),
        meaning="Memory of the events that wait for an outlet; live hosts only",
        read=_asides(lambda aside: aside.waiting_bytes),
    ),
    Metric(
        name="ranloop_host_outlet_events_dropped_total",
        kind="counter",
        labels=("outlet",),
        meaning="Events that an outlet was too slow for; live hosts only",
        read=_asides(lambda aside: aside.n_dropped),
    ),
    Metric(
        name="ranloop_host_audit_records_lost_total",
        kind="counter",
        meaning="Records that the file of the audit log does not have, such as on a full disk",
        read=one(lambda source: source.runtime.audit.n_not_written),
    ),
    Metric(
        name="ranloop_host_reports_unrecorded_total",
        kind="counter",
        meaning="Reports that the recording does not have; where there is one",
        read=lambda source: [((), source.recorder.n_lost)] if source.recorder else [],
    ),
)
