"""What the lockstep and the live host share: the guards of a world's nodes, and who may read which stream.

It moves no time of its own: its owner advances the world, then asks here for what has come due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog

from ranloop.bus import Bus, LifeSign
from ranloop.errors import NodeError
from ranloop.guard import AuditLog, AuditRecord, Autonomy, Change, Guard, Rights, StreamRight
from ranloop.guard.results import Verdicts
from ranloop.node.world import World
from ranloop.vocabulary.near import near_matches
from ranloop.wire import topics
from ranloop.wire.codec import encode, encode_json
from ranloop.wire.messages import (
    F32,
    ActionBatch,
    Catalogue,
    Cause,
    Encoding,
    Message,
    Report,
    Result,
    Status,
)

log = structlog.get_logger(__name__)

Stream = tuple[str, str, int]  # (node, level, granularity period in ms)
_NS_PER_MS = 1_000_000
_NOTED_ONE_BY_ONE = 16  # dropped messages of one sender, or unsent ones on one topic
_MORTAL = ("ue", "cell")  # id columns that a world can say of whether they live at a node


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """An xApp as the operator lets it in: the rights of its manifest, how far it may go, and whom it displaces.

    `encoding` is how it is spoken to; it may speak either way itself.
    """

    rights: Rights
    autonomy: Autonomy = Autonomy.ACT
    priority: int = 0
    encoding: Encoding = "binary"


class NodeHost:
    """Hosts the nodes of one world, each behind its own guard.

    Args:
        world: The RAN nodes.
        bus: Where catalogues and the life sign go.
        name: Of this host; one level of a topic.
        xapps: Name -> registration. Nobody else is heard, and nothing that none of them reads is collected.
        audit: Where verdicts go; a log in memory if left out.
        run: Of this start, as in the will of the bus; a new one if left out.

    Raises:
        NodeError: An xApp reads a stream that no node of this world offers.
        NameTakenError: A living host has this name or one of the nodes.
    """

    def __init__(
        self,
        world: World,
        bus: Bus,
        *,
        name: str = "host",
        xapps: Mapping[str, Registration],
        audit: AuditLog | None = None,
        run: str = "",
    ) -> None:
        self.world, self.bus, self.name = world, bus, name
        self.xapps = dict(sorted(xapps.items()))
        self.audit = AuditLog() if audit is None else audit
        self.n_dropped = 0  # messages that were not ours, not for us or not valid
        self._dropped: dict[str, int] = {}  # the same by sender
        self.n_unsent = 0  # messages that have no JSON form, where that is read
        self._unsent: dict[str, int] = {}  # the same by topic
        self.guards: dict[str, Guard] = {}
        # Per xApp, the columns of each stream in the order of its manifest.
        self.streams: dict[str, dict[Stream, tuple[str, ...]]] = {}
        for catalogue in world.catalogues:
            if not topics.is_topic_level(catalogue.node):
                raise NodeError(
                    f"{catalogue.node!r} cannot be a node's name: use a-z, 0-9, '_' and '-', at most 64"
                )
            self.guards[catalogue.node] = self._guard(catalogue)
        for xapp, registration in self.xapps.items():
            self.streams[xapp] = _readable(xapp, registration.rights, world.catalogues)
        self._wanted = _merged(self.streams.values())
        in_json = _merged(self.streams[name] for name, xapp in self.xapps.items() if xapp.encoding == "json")
        self._wanted_in_json = {stream: tuple(sorted(names)) for stream, names in in_json.items()}
        facts = {"kind": "node-host", "nodes": list(self.guards), "xapps": list(self.xapps)}
        self._sign = LifeSign(bus, name, facts, run=run, untrusted=self.xapps)
        self._sign.claim()

    def _guard(self, catalogue: Catalogue) -> Guard:
        delay_ns = round(catalogue.control_delay_ms * _NS_PER_MS)
        guard = Guard(catalogue, control_delay_ns=delay_ns, slot_ns=self.world.slot_ns, audit=self.audit)
        for xapp, registration in self.xapps.items():
            guard.register(
                xapp,
                registration.rights,
                autonomy=registration.autonomy,
                priority=registration.priority,
            )
        return guard

    def announce(self, *, alive: bool) -> None:
        """Publish the life sign and, when alive, the catalogues; all retained; again after a reconnection."""
        if not alive:
            self._sign.withdraw()
            return
        for catalogue in self.world.catalogues:
            self.bus.publish(topics.catalogue(catalogue.node), encode(catalogue), qos=1, retain=True)
        self._sign.show()

    def publish_reports(self, reports: Sequence[Report]) -> None:
        """Send reports to whoever reads their streams: first all in binary, then what is also read in JSON.

        A report without a JSON form costs those who read it in JSON that one report, and nobody else anything.
        """
        for report in reports:
            topic = topics.report(report.node, report.level, report.period_ms)
            self.bus.publish(topic, encode(report), qos=0)
        for report in reports if self._wanted_in_json else ():
            names = self._wanted_in_json.get((report.node, str(report.level), report.period_ms))
            if names is not None:
                topic = topics.report_json(report.node, report.level, report.period_ms)
                try:
                    payload = _in_json(select(report, names))
                except NodeError as error:
                    self._leave_out(topic, error)
                else:
                    self.bus.publish(topic, payload, qos=0)

    def publish_result(self, result: Result) -> None:
        """Send a result to its xApp, if it can be said in the form in which that is spoken to."""
        topic = topics.result(result.xapp, result.node)
        try:
            payload = self.encode_for(result.xapp, result)
        except NodeError as error:
            self._leave_out(topic, error)
        else:
            self.bus.publish(topic, payload, qos=1)

    def _leave_out(self, topic: str, error: NodeError) -> None:
        """Count a message that could not be sent, and note it: of those on one topic ever fewer."""
        self.n_unsent += 1
        so_far = self._unsent[topic] = self._unsent.get(topic, 0) + 1
        if _is_noted(so_far):
            log.warning("message_not_sent", topic=topic, reason=str(error), not_sent_so_far=so_far)

    def encode_for(self, xapp: str, message: Message) -> bytes:
        """A message in the form in which `xapp` is spoken to.

        Raises:
            NodeError: It has no JSON form, and the xApp reads that.
        """
        return _in_json(message) if self.xapps[xapp].encoding == "json" else encode(message)

    def next_event_ns(self) -> int | None:
        """When a guard next has something for its node."""
        times = [time for guard in self.guards.values() if (time := guard.next_event_ns()) is not None]
        return min(times, default=None)

    def submit(self, batch: ActionBatch, *, sender: str, now_ns: int) -> Result | None:
        """Hand a batch to the guard of its node; see `Guard.submit`. A node that is not here refuses every target."""
        guard = self.guards.get(batch.node)
        if guard is not None:
            return guard.submit(batch, sender=sender, now_ns=now_ns)
        near = ", ".join(near_matches(batch.node, self.guards) or tuple(self.guards)[:3])
        verdicts = Verdicts(batch)
        verdicts.decide_all(Status.REFUSED, Cause.NO_TARGET, f"no node {batch.node!r} here; there is {near}")
        result = verdicts.result(xapp=sender, node=batch.node, ran_time_ns=now_ns)
        self.audit.add(
            AuditRecord(
                event="result", ran_time_ns=now_ns, node=batch.node, xapp=sender, batch=batch, result=result
            )
        )
        return result

    def drop(self, sender: str, now_ns: int, reason: str) -> None:
        """Count a message that cannot even be refused, and note it: of a flood from one sender ever fewer.

        Who sends garbage must fill neither a disk nor the memory that the verdicts are kept in.
        """
        self.n_dropped += 1
        so_far = self._dropped[sender] = self._dropped.get(sender, 0) + 1
        if not _is_noted(so_far):
            return
        facts = {"reason": reason, "dropped_so_far": so_far}
        self.audit.add(AuditRecord(event="dropped", ran_time_ns=now_ns, node="", xapp=sender, facts=facts))
        log.warning("message_dropped", sender=sender, **facts)

    def carry_out(self, now_ns: int) -> list[Result]:
        """Forget UEs that left, then do what the guards say is due, node by node."""
        results: list[Result] = []
        for node, guard in self.guards.items():
            for column in _MORTAL:
                ids = guard.held_targets(column)
                if len(ids):
                    gone = ids[self.world.hosts(node, column, ids.astype(np.float32)) == 0]
                    results += guard.forget_targets(column, gone, now_ns) if len(gone) else []
            for change in guard.due(now_ns):
                results += guard.settle(change, self._apply(node, change), now_ns)
        return results

    def _apply(self, node: str, change: Change) -> F32:
        action = change.action
        nothing: F32 = np.full((len(action), len(action.spec.parameters)), np.nan, np.float32)
        if not len(action):
            return nothing
        if change.atomic:
            for column, ids in zip(action.spec.targets, action.targets().T, strict=True):
                if column in _MORTAL and not self.world.hosts(node, column, ids.astype(np.float32)).all():
                    return nothing
        return self.world.apply(node, action)

    def wanted(self) -> Mapping[Stream, frozenset[str]]:
        """What the xApps read together: stream -> merged measurement names."""
        return self._wanted

    def reports_for(self, xapp: str, reports: Sequence[Report]) -> tuple[Report, ...]:
        """Of these reports, the streams and columns that `xapp` has the right to read."""
        streams = self.streams[xapp]
        return tuple(
            select(report, streams[stream])
            for report in reports
            if (stream := (report.node, str(report.level), report.period_ms)) in streams
        )


def _is_noted(so_far: int) -> bool:
    return so_far <= _NOTED_ONE_BY_ONE or not so_far & (so_far - 1)  # then the 32nd, 64th, 128th …


def _in_json(message: Message) -> bytes:
    try:
        return encode_json(message)
    except ValueError as error:
        raise NodeError(f"a {type(message).__name__.lower()} has no JSON form: {error}") from error


def select(report: Report, names: tuple[str, ...]) -> Report:
    """The same report with only these measurement columns, in this order."""
    if report.names == names:
        return report
    n_ids = len(report.ids)
    columns = [*range(n_ids), *(n_ids + report.names.index(name) for name in names)]
    return replace(report, names=names, block=np.ascontiguousarray(report.block[:, columns]))


def _merged(streams_of_xapps: Iterable[Mapping[Stream, tuple[str, ...]]]) -> dict[Stream, frozenset[str]]:
    merged: dict[Stream, set[str]] = {}
    for streams in streams_of_xapps:
        for stream, names in streams.items():
            merged.setdefault(stream, set()).update(names)
    return {stream: frozenset(names) for stream, names in sorted(merged.items())}


def _readable(xapp: str, rights: Rights, catalogues: Sequence[Catalogue]) -> dict[Stream, tuple[str, ...]]:
    """The streams of an xApp at every node that offers all of it; each must be offered by one node at least."""
    streams: dict[Stream, tuple[str, ...]] = {}
    for right in rights.streams:
        offers = [c for c in catalogues if not _lacking(c, right)]
        if not offers:
            lacks = _lacking(catalogues[0], right) if catalogues else "there is no node"
            raise NodeError(f"{xapp} reads {right.level} reports every {right.every_ms} ms, but {lacks}")
        for catalogue in offers:
            stream = (catalogue.node, str(right.level), right.every_ms)
            before = streams.get(stream, ())
            streams[stream] = before + tuple(name for name in right.measurements if name not in before)
    return streams


def _lacking(catalogue: Catalogue, right: StreamRight) -> str:
    """What `catalogue` lacks of a stream, in words; "" if nothing."""
    offered = catalogue.measurements.get(right.level, ())
    if right.every_ms not in catalogue.periods_ms:
        periods = ", ".join(map(str, catalogue.periods_ms))
        return f"{catalogue.node} reports every {periods} ms"
    for name in right.measurements:
        if name not in offered:
            near = near_matches(name, offered) or offered[:3]
            return f"{catalogue.node} does not measure {name} per {right.level}; it has {', '.join(near) or 'nothing'}"
    return ""
