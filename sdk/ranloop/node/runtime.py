"""The node runtime: guards, admission, timers and counters of the RAN nodes behind one port. No bus, no clock.

A pace (`lockstep`, `live`) decides when RAN time moves; all else is here and the same in both. Methods take in what
happens: time that passes, batches, orders, xApps that come and go. They return what is to be sent at once: reports,
results, timers. `flush` then shows everything that happened to the outlets, in one order.

    moment = runtime.advance(runtime.next_event_ns())   # reports, results and timers of one instant
    results = runtime.submit(batch, sender=…)           # the guard's word on one batch
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import structlog

from ranloop.errors import NodeError, VocabularyError, WireError
from ranloop.foreign import one_line
from ranloop.guard import AuditLog, AuditRecord, Autonomy, Guard, Limits, Rights, StreamRight
from ranloop.guard.results import Verdicts
from ranloop.guard.shard import program_of
from ranloop.node.alarm_desk import AlarmDesk
from ranloop.node.changes import Changes
from ranloop.node.outlets import Event, Onlooker, Outlet, Pulse, Surroundings, emit
from ranloop.node.port import NodePort, Stream
from ranloop.node.settings_desk import SettingsDesk
from ranloop.node.streams import looked_at, merged, readable
from ranloop.node.summary import RunSummary, Tally
from ranloop.node.timers import Timers
from ranloop.vocabulary.near import near_matches
from ranloop.wire import topics
from ranloop.wire.checked import checked
from ranloop.wire.messages import (
    ActionBatch,
    Catalogue,
    Cause,
    Encoding,
    Order,
    Report,
    Result,
    Standing,
    Status,
)

__all__ = ("Moment", "NodeRuntime", "Registration")

log = structlog.get_logger(__name__)

_NS_PER_MS = 1_000_000
_NOTED_ONE_BY_ONE = 16  # dropped messages of one sender
_MOST_REASON = 300  # characters; its sender may have a part in it
_PULSE_NS = 1_000_000_000
_PULSE_PASSES = 200  # of each stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """An xApp as the operator admits it: the rights of its manifest, how far it may go, and whose settings it displaces.

    `encoding` is the form in which the host speaks to it; the xApp itself may use either.
    """

    rights: Rights
    autonomy: Autonomy = Autonomy.ACT
    priority: int = 0
    encoding: Encoding = "binary"


class Moment(NamedTuple):
    """What one instant of RAN time brought.

    Attributes:
        ran_time_ns: The instant.
        reports: Reports that left the nodes, with the columns that all xApps read together.
        results: Results of changes that took effect, and of settings that ended.
        timers: xApp -> its timers that are due.
    """

    ran_time_ns: int
    reports: Sequence[Report]
    results: Sequence[Result]
    timers: Mapping[str, Sequence[str]]


class NodeRuntime:
    """Hosts the nodes of one port, each behind its own guard.

    Args:
        port: The RAN nodes.
        audit: Where verdicts go; a log in memory if left out.
        outlets: See every event, after those who wait for it.
        limits: The operator's own, which no manifest can widen.
        run: Of this start; stands in catalogues and reports, and a batch of another run is refused. Nothing is checked
            where it is empty.
        watched: Streams that the outlets see even if no xApp reads them.
        onlooker: Sees the events, too, and more columns of the reports.

    Raises:
        NodeError: A node's name that no topic can carry, or a watched stream that no node here offers.
        LimitsError: A limit about what these nodes do not have.
    """

    def __init__(
        self,
        port: NodePort,
        *,
        audit: AuditLog | None = None,
        outlets: Sequence[Outlet] = (),
        limits: Limits | None = None,
        run: str = "",
        watched: Sequence[StreamRight] = (),
        onlooker: Onlooker | None = None,
    ) -> None:
        self.port, self.run = port, run
        self._onlooker = onlooker
        self._looks_at: Mapping[str, Collection[str]] = {} if onlooker is None else onlooker.looks_at
        self._pulse_ns = 0  # when the next is due, by `time.monotonic_ns`
        self.surroundings: Callable[[], Surroundings] = Surroundings  # a host tells of itself there
        self.audit = AuditLog() if audit is None else audit
        self.xapps: dict[str, Registration] = {}
        self.tally = Tally()
        self.outlets: Sequence[Outlet] = (self.audit, *outlets)
        self.n_dropped = 0  # messages that were not ours, not for us or not valid
        self.dropped: dict[str, int] = {}  # the same by sender: an xApp, a node, or the operator
        self.n_outside = 0  # values outside their catalogue range, which became no value
        # Per xApp, the columns of each stream in the order of its manifest.
        self.streams: dict[str, dict[Stream, tuple[str, ...]]] = {}
        self.timers = Timers(port.slot_ns)
        # xApps that flooded: not heard until the operator gives them another order to act than this one, by its id.
        self.shut_out: dict[str, str] = {}
        self._let_act: dict[str, str] = {}  # xApp -> id of the order to act that was obeyed last
        self._events: list[Event] = []
        self._told_ns = 0  # the latest RAN time that the guards were told: theirs never goes back
        self.catalogues = tuple(replace(catalogue, run=run) for catalogue in port.catalogues)
        self._watched = readable("an outlet", Rights(streams=tuple(watched)), self.catalogues)
        self._rewire()
        if limits is not None:
            limits.check(self.catalogues)
        self.guards = {catalogue.node: self._guard(catalogue, limits) for catalogue in self.catalogues}
        self._changes = Changes(port, self.guards, self.drop)
        self.settings = SettingsDesk(self.note)
        self.alarms = AlarmDesk(self.add, self.drop, run, lambda: self.now_ns)

    def _guard(self, catalogue: Catalogue, limits: Limits | None) -> Guard:
        if not topics.is_topic_level(catalogue.node) or catalogue.node == topics.ALL:
            raise NodeError(
                f"{catalogue.node!r} cannot be a node's name: use a-z, 0-9, '_' and '-', at most 64, and not {topics.ALL!r}"
            )
        return Guard(
            catalogue,
            control_delay_ns=round(catalogue.control_delay_ms * _NS_PER_MS),
            slot_ns=self.port.slot_ns,
            audit=self,
            rules=() if limits is None else (limits.at(catalogue),),
            run=self.run,
        )

    @property
    def now_ns(self) -> int:
        """RAN time, as far as the nodes and the guards have come."""
        return max(self.port.now_ns, self._told_ns)

    def add(self, event: Event) -> None:
        """Note what has happened, such as a guard's decision; outlets see it with the next `flush`."""
        self._events.append(event)

    def flush(self) -> None:
        """Show the outlets what has happened since the last call."""
        events, self._events = self._events, []
        emit((self.tally, *self.outlets), events if not self._looks_at else [*self._of_the_run(events)])
        if self._onlooker is not None:
            emit((self._onlooker,), events)
            self._turn_to(self._onlooker)

    def _turn_to(self, onlooker: Onlooker) -> None:
        """Collect from now on what the onlooker looks at, and show it how the loop does."""
        if onlooker.looks_at is not self._looks_at:
            self._looks_at = onlooker.looks_at
            self._rewire()
        now_ns = time.monotonic_ns()
        if now_ns >= self._pulse_ns:
            self._pulse_ns = now_ns + _PULSE_NS
            onlooker.take(self._pulse())

    def _pulse(self) -> Pulse:
        return Pulse(
            ran_time_ns=self.now_ns,
            took_ns=self.tally.latest_ns(_PULSE_PASSES),
            n_dropped=self.n_dropped,
            n_outside=self.n_outside,
            n_reports={node: self.tally.reports[node] for node in self.guards},
            xapps=tuple(self.xapps),
            stands=tuple(
                Standing(
                    node=node,
                    order="",
                    killed=guard.killed,
                    autonomy=guard.autonomy,
                    shut_out=dict(self.shut_out),
                )
                for node, guard in self.guards.items()
            ),
            around=self.surroundings(),
        )

    def _of_the_run(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events without the columns, and without the reports, that the onlooker alone looks at."""
        for event in events:
            if not isinstance(event, Report):
                yield event
            elif (report := self._as_read(event)) is not None:
                yield report

    def _as_read(self, report: Report) -> Report | None:
        """The report with the columns that xApps and outlets read; None if they read none of it."""
        names = self._read.get((report.node, str(report.level), report.period_ms))
        return None if names is None else report.only(tuple(name for name in report.names if name in names))

    # Admission

    def admit(self, name: str, registration: Registration, *, by: str = "") -> list[Result]:
        """Let an xApp in, or change what an admitted one may do.

        The settings that it holds by its former rights stay until their leases end; where it may not act any more, they
        end now. `by` names the operator's word in the audit log.

        Returns:
            Results of its batches that were still waiting for their slot and are refused now.

        Raises:
            NodeError: It reads a stream that no node here offers, or another shard of it decides at a node here. Nothing
                has changed then.
        """
        streams = readable(name, registration.rights, self.catalogues)
        self._keep_to_one_decider(name, registration.rights)
        rights, autonomy = registration.rights, registration.autonomy
        self._changes.note()
        results: list[Result] = []
        for guard in self.guards.values():
            guard.register(name, rights, autonomy=autonomy, priority=registration.priority)
            if autonomy is not Autonomy.ACT:
                results += guard.set_autonomy(name, autonomy, self.now_ns)
        self.xapps[name] = registration
        self.streams[name] = streams
        self._rewire()
        facts = {"autonomy": str(autonomy), "priority": registration.priority, "by": by}
        self.note("admitted", name, **facts, rights=rights.as_facts())
        return self._count(results)

    def _keep_to_one_decider(self, name: str, rights: Rights) -> None:
        """Refuse a second process of one program at a node: shards of 4 and of 3 overlap, and so does the program as a whole.

        Raises:
            NodeError: A node here would have two.
        """
        program = program_of(name, rights.node_shard)
        for other, registration in self.xapps.items():
            if other == name or program_of(other, registration.rights.node_shard) != program:
                continue
            for node in self.guards:
                if rights.reach(node) and registration.rights.reach(node):
                    raise NodeError(
                        f"{other} decides at {node} already, and {name} would, too; dismiss it first"
                    )

    def dismiss(self, name: str, *, by: str = "") -> list[Result]:
        """Send an xApp away: what waits is refused, what it holds goes back to its default at the next slot.

        Raises:
            VocabularyError: No such xApp is admitted.
        """
        if name not in self.xapps:
            raise VocabularyError("xApp", name, near_matches(name, self.xapps) or tuple(self.xapps))
        del self.xapps[name], self.streams[name]
        self._changes.note()
        self.timers.forget(name)
        self._rewire()
        self.note("dismissed", name, by=by)
        now_ns = self.now_ns
        return self._count(
            [result for guard in self.guards.values() for result in guard.dismiss(name, now_ns)]
        )

    def _rewire(self) -> None:
        self.xapps = dict(sorted(self.xapps.items()))
        self._read = merged([*self.streams.values(), self._watched])
        self.wanted = self._read
        if self._looks_at:
            self.wanted = merged([self._read, looked_at(self._looks_at, self.catalogues)])

    # Time

    def next_event_ns(self) -> int:
        """When something is due next: a report, a change, an end of a lease, a timer."""
        port = self.port
        return min(port.next_report_ns(), self._changes.next_ns(), self.timers.next_ns(port.now_ns))

    def next_change_ns(self) -> int:
        """As `Changes.soonest_ns`."""
        return self._changes.soonest_ns()

    def advance(self, now_ns: int) -> Moment:
        """Move to `now_ns`, at most the next event, and do what is due there."""
        report_ns = self.port.next_report_ns()
        started_ns = time.perf_counter_ns()
        self.port.advance(now_ns)
        moved_ns = self.tally.took("advance", started_ns)
        results = self.carry_out(now_ns)
        applied_ns = self.tally.took("apply", moved_ns)
        reports: Sequence[Report] = ()
        if now_ns >= report_ns:  # a push node's report may come late
            seen = [*self._checked(self.port.reports(self.wanted))]
            self._events += seen
            reports = seen
            if self._looks_at:
                reports = [event for event in self._of_the_run(seen) if isinstance(event, Report)]
            self.tally.took("report", applied_ns)
        return Moment(now_ns, reports, results, self.timers.due(now_ns))

    def _checked(self, reports: Sequence[Report]) -> Iterator[Report]:
        """Reports without values outside the catalogue's ranges; one that contradicts itself is left out."""
        for report in reports:
            try:
                found, n_outside = checked(report)
            except WireError as error:
                self.drop(report.node, str(error))
                continue
            if n_outside and self._looks_at:  # what an onlooker alone looks at changes no count of the run
                read = self._as_read(report)
                n_outside = 0 if read is None else checked(read)[1]
            self.n_outside += n_outside
            yield replace(found, run=self.run) if self.run else found

    def carry_out(self, now_ns: int) -> list[Result]:
        """Do what the guards say is due by now, without a report or a timer; see `Changes.carry_out`."""
        self._told_ns = now_ns
        return self._count(self._changes.carry_out(now_ns))

    def give_up(self) -> list[Result]:
        """As `Changes.give_up`."""
        return self._count(self._changes.give_up(self.now_ns))

    @property
    def waits_for_nodes(self) -> bool:
        """Whether a node was handed a change that it has not answered yet."""
        return len(self._changes) > 0

    def stop(self) -> list[Result]:
        """The host goes down: what waits is refused, and what is held is due to go back to its default."""
        now_ns = self.now_ns
        self._changes.note()
        return self._count([result for guard in self.guards.values() for result in guard.stop(now_ns)])

    # What comes in

    def submit(self, batch: ActionBatch, *, sender: str, node: str, now_ns: int) -> list[Result]:
        """Hand a batch to the guard of the node that it was sent to; see `Guard.submit`.

        A node that is not here refuses every target.

        Returns:
            The result, if every target is decided already.
        """
        self._told_ns = now_ns
        guard = self.guards.get(node)
        if guard is None:
            return self._count([self._refuse_node(batch, sender, now_ns)])
        before = guard.answered(sender, batch.id)
        result = guard.submit(batch, sender=sender, now_ns=now_ns)
        self._changes.note(node)
        if result is None:
            return []
        # A retry: its answer was lost or is late, and it does not count twice.
        return [result] if result is before else self._count([result])

    def _refuse_node(self, batch: ActionBatch, sender: str, now_ns: int) -> Result:
        near = ", ".join(near_matches(batch.node, self.guards) or tuple(self.guards)[:3])
        verdicts = Verdicts(batch)
        verdicts.decide_all(Status.REFUSED, Cause.NO_TARGET, f"no node {batch.node!r} here; there is {near}")
        result = verdicts.result(xapp=sender, node=batch.node, ran_time_ns=now_ns)
        record = AuditRecord(
            event="result",
            ran_time_ns=now_ns,
            node=batch.node,
            xapp=sender,
            run=self.run,
            batch=batch,
            result=result,
        )
        self.add(record)
        return result

    def obey(self, node: str, order: Order, now_ns: int, *, kill: bool | None) -> list[Result]:
        """Obey an operator's order to one node: the kill switch, or the autonomy of one xApp.

        Args:
            kill: Whether the node is killed now, of all that stands there; None where the order is not about that.

        Returns:
            Results of what waited for its slot and is refused now.

        Raises:
            VocabularyError: It is about an xApp that is not admitted, or a level that does not exist.
        """
        self._told_ns = now_ns
        self._changes.note()
        guard, by = self.guards[node], order.by or order.id
        results: list[Result] = []
        if order.xapp:
            if order.autonomy not in tuple(Autonomy):
                raise VocabularyError("autonomy", order.autonomy, tuple(Autonomy))
            results += guard.set_autonomy(order.xapp, Autonomy(order.autonomy), now_ns, by=by)
            if order.autonomy == Autonomy.ACT:
                if self.shut_out.get(order.xapp) != order.id:
                    self.shut_out.pop(order.xapp, None)
                self._let_act[order.xapp] = order.id
        if kill and (order.kill or not guard.killed):
            results += guard.kill(now_ns, by=by)
        elif kill is False:
            guard.revive(now_ns, by=by)
        # What takes a right away is told even where only warnings are: it stands, also for a host that starts.
        tell = log.warning if kill or order.autonomy not in ("", Autonomy.ACT) else log.info
        tell("order_obeyed", node=node, kill=kill, xapp=order.xapp, autonomy=order.autonomy, by=by)
        return self._count(results)

    def remember_shut_out(self, shut_out: Mapping[str, str]) -> None:
        """xApps that were shut out before this host was started again, as its standing says."""
        for xapp, order_id in shut_out.items():
            if self._let_act.get(xapp, order_id) == order_id:
                self.shut_out.setdefault(xapp, order_id)

    def shut(self, xapp: str, now_ns: int, **facts: object) -> list[Result]:
        """Let an xApp that floods only observe, until the operator lets it act again; `facts` go into the audit log."""
        self._told_ns = now_ns
        self._changes.note()
        self.shut_out[xapp] = self._let_act.get(xapp, "")
        self.note("shut_out", xapp, **facts)
        guards = self.guards.values()
        return self._count(
            [r for guard in guards for r in guard.set_autonomy(xapp, Autonomy.OBSERVE, now_ns)]
        )

    def standing(self, node: str, order_id: str, orders: Mapping[str, Order], refused: str) -> Standing:
        """What stands at `node`: the `orders` by place, of which `order_id` came last."""
        guard = self.guards[node]
        standing = Standing(
            node=node,
            order=order_id,
            killed=guard.killed,
            autonomy=guard.autonomy,
            orders=orders,
            shut_out=dict(self.shut_out),
            refused=refused,
        )
        self._events.append(standing)
        return standing

    def drop(self, sender: str, reason: str) -> None:
        """Count a message that cannot even be refused, and note it: of a flood from one sender ever fewer.

        A sender of garbage must fill neither a disk nor the memory that the verdicts are kept in.
        """
        self.n_dropped += 1
        so_far = self.dropped[sender] = self.dropped.get(sender, 0) + 1
        if not is_noted(so_far):
            return
        facts = {"reason": one_line(reason, _MOST_REASON), "dropped_so_far": so_far}
        self.note("dropped", sender, **facts)
        log.warning("message_dropped", sender=sender, **facts)

    def note(self, event: str, xapp: str, **facts: object) -> None:
        """Add an event of the whole host to the audit log."""
        self.add(
            AuditRecord(event=event, ran_time_ns=self.now_ns, node="", xapp=xapp, run=self.run, facts=facts)
        )

    # What goes out

    def reports_for(self, xapp: str, reports: Sequence[Report]) -> tuple[Report, ...]:
        """Of these reports, the streams and columns that `xapp` has the right to read."""
        streams = self.streams[xapp]
        return tuple(
            report.only(streams[stream])
            for report in reports
            if (stream := (report.node, str(report.level), report.period_ms)) in streams
        )

    def summary(self, **of_the_pace: Any) -> RunSummary:
        """What the run came to; a pace adds what it alone knows. An onlooker gets its last pulse."""
        if self._onlooker is not None:
            self._onlooker.take(self._pulse())
        return RunSummary(
            ran_time_ns=self.port.now_ns,
            n_reports=self.tally.n_reports,
            outcomes=dict(sorted(self.tally.outcomes.items())),
            fates=self.tally.fates.told(),
            latencies_ns=self.tally.latencies_ns(),
            n_dropped=self.n_dropped,
            n_outside=self.n_outside,
            **of_the_pace,
        )

    def _count(self, results: list[Result]) -> list[Result]:
        """Note results for the counters and the outlets."""
        self._events += results
        return results


def is_noted(so_far: int) -> bool:
    """Whether the n-th message of one kind is told: the first 16, then the 32nd, 64th, 128th …"""
    return so_far <= _NOTED_ONE_BY_ONE or not so_far & (so_far - 1)
