"""A node runtime on a bus: what it announces, which orders it hears, and in which form it speaks to each xApp.

Time is not moved here: a pace (`lockstep`, `live`) advances the runtime, and takes the xApps' answers or actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from pydantic import ValidationError

from ranloop.bus import AsideBus, Bus, LifeSign, Subscription
from ranloop.errors import NodeError
from ranloop.foreign import one_line
from ranloop.guard import AuditLog, Limits, Rights, StreamRight
from ranloop.node.operator_line import OperatorLine
from ranloop.node.outlets import Onlooker, Outlet, Surroundings
from ranloop.node.port import NodePort, Stream
from ranloop.node.runtime import NodeRuntime, Registration, is_noted
from ranloop.node.streams import merged
from ranloop.node.timers import LEAST_MS, MAX_TIMERS, is_period
from ranloop.wire import topics
from ranloop.wire.codec import (
    encode,
    encode_json,
)
from ranloop.wire.messages import Encoding, Message, Presence, Report, Result, Step

__all__ = ("NodeHost", "encode_as")

log = structlog.get_logger(__name__)

_MOST_DIFFERENCES = 500  # characters about one manifest, in the life sign


class NodeHost:
    """Hosts the nodes of one port on a bus.

    Args:
        port: The RAN nodes.
        bus: Polled by the pace.
        name: Of this host; one level of a topic.
        xapps: Name -> registration. Nobody else is heard, and nothing that none of them reads is collected, but for `watched`.
        audit: Where verdicts go; a log in memory if left out.
        outlets: See every event, after the bus.
        limits: The operator's own, which no manifest can widen.
        run: Of this start, as in the will of the bus. A batch of another run is refused; where it is empty, none is.
        watched: Streams that the outlets see even if no xApp reads them.
        onlooker: As in `NodeRuntime`.
        operator_bus: A connection for the operator's word alone, so that no flood of others delays it; closed with the
            host. `bus` serves, if left out.

    Raises:
        NodeError: An xApp reads a stream that no node of this port offers.
        NameTakenError: A living host has this name or one of the nodes.
    """

    def __init__(
        self,
        port: NodePort,
        bus: Bus,
        *,
        name: str = "host",
        xapps: Mapping[str, Registration],
        audit: AuditLog | None = None,
        outlets: Sequence[Outlet] = (),
        limits: Limits | None = None,
        run: str = "",
        watched: Sequence[StreamRight] = (),
        onlooker: Onlooker | None = None,
        operator_bus: Bus | None = None,
    ) -> None:
        self.bus, self.name = bus, name
        self.runtime = NodeRuntime(
            port,
            audit=audit,
            outlets=outlets,
            limits=limits,
            run=run,
            watched=watched,
            onlooker=onlooker,
        )
        self.n_unsent = 0  # messages that have no JSON form, where that is read
        self._unsent: dict[str, int] = {}  # the same by topic
        self._n_steps = 0
        self._reconnects = bus.stats.reconnects
        self._differs: dict[str, str] = {}  # xApp -> where its manifest is not the one that was admitted
        self._encodings: dict[str, Encoding] = {}  # of every xApp that was ever admitted
        for xapp, registration in sorted(xapps.items()):
            self.runtime.admit(xapp, registration)
        self._wanted_in_json: Mapping[Stream, tuple[str, ...]] = {}
        self._learn_forms()
        self._sign = LifeSign(bus, name, self._facts(), run=run, untrusted=self.runtime.xapps)
        self._sign.claim()
        # A pace says what becomes of results that an order brings, and who is told of life signs and changes.
        self.deliver: Callable[[Sequence[Result]], None] = lambda results: None
        self.now_ns: Callable[[], int] = lambda: self.runtime.port.now_ns
        self.on_change: Callable[[], None] = lambda: None
        self.on_presence: Callable[[Presence], None] = lambda presence: None
        self.on_settings: Callable[[str], None] = lambda xapp: None
        self._alarms: dict[str, Subscription] = {}  # xApp -> where its alarms are heard
        self._greeted: set[str] = set()  # xApps whose life sign has been looked at
        self._announced = False
        self.operator = OperatorLine(
            self.runtime,
            name,
            deliver=lambda results: self.deliver(results),
            now_ns=lambda: self.now_ns(),
            on_change=self._change,
        )
        self.operator.on_settings = lambda xapp: self.on_settings(xapp)
        self.operator.publish = lambda topic, payload: bus.publish(topic, payload, qos=1, retain=True)
        self._line = None if operator_bus is None else AsideBus(operator_bus, wake=bus.wake)
        self.operator.listen(bus if self._line is None else self._line)
        self._sign.on_other = self._on_sign
        self.runtime.surroundings = self._surroundings
        self._greet()

    def poll(self, timeout_s: float) -> int:
        """Serve the operator, then poll the bus; how many handlers ran."""
        n_orders = self._line.serve() if self._line else 0
        return n_orders + self.bus.poll(0.0 if n_orders else timeout_s)

    def _change(self) -> None:
        """xApps came or went, or one may be heard again."""
        self._learn_forms()
        self.on_change()  # first: who reads in the life sign that it is admitted is listened to
        self._differs = {xapp: text for xapp, text in self._differs.items() if xapp in self.runtime.xapps}
        for xapp in self.runtime.xapps.keys() & self._sign.others.keys():
            self._compare(self._sign.others[xapp])
        self._show()
        self._greet()

    def _show(self) -> None:
        self._sign.change(self._facts(), self.runtime.xapps)
        if self._announced:
            self._sign.show()

    def _facts(self) -> dict[str, object]:
        facts = {"kind": "node-host", "nodes": list(self.runtime.guards), "xapps": list(self.runtime.xapps)}
        return facts | ({"differs": dict(self._differs)} if self._differs else {})

    def _learn_forms(self) -> None:
        """Which streams are read in JSON, and which of their columns."""
        streams, xapps = self.runtime.streams, self.runtime.xapps
        self._encodings |= {name: xapp.encoding for name, xapp in xapps.items()}
        in_json = merged(streams[name] for name, xapp in xapps.items() if xapp.encoding == "json")
        self._wanted_in_json = {stream: tuple(sorted(names)) for stream, names in in_json.items()}

    # What goes out

    def announce(self, *, alive: bool) -> None:
        """Publish the life sign and, when alive, catalogues and standings; all retained."""
        if not alive:
            self._announced = False
            self._sign.withdraw()
            if self._line:
                self._line.close()
            return
        for catalogue in self.runtime.catalogues:
            self.bus.publish(topics.catalogue(catalogue.node), encode(catalogue), qos=1, retain=True)
        self.operator.say_what_stands()
        self._announced = True
        self._sign.show()

    def not_ready(self) -> str:
        """Why nobody can use the nodes now, in words; "" if they can be used. Any thread may ask."""
        if not self.bus.connected:
            return "the broker is away"
        if self._line and not self._line.connected:
            return "the broker is away on the operator's connection"
        return "" if self._announced else "the nodes are not announced"

    def stay_known(self) -> None:
        """Announce again after a reconnection: a broker that was restarted has forgotten what was retained."""
        if self.bus.stats.reconnects != self._reconnects:
            self._reconnects = self.bus.stats.reconnects
            self.announce(alive=True)

    def publish_reports(self, reports: Sequence[Report]) -> None:
        """Send reports to the readers of their streams: first all in binary, then what is also read in JSON.

        A report without a JSON form costs its readers in JSON that one report, and nobody else anything.
        """
        for report in reports:
            self.bus.publish(
                topics.report(report.node, report.level, report.period_ms), encode(report), qos=0
            )
        for report in reports if self._wanted_in_json else ():
            names = self._wanted_in_json.get((report.node, str(report.level), report.period_ms))
            if names is not None:
                topic = topics.report_json(report.node, report.level, report.period_ms)
                self._publish(topic, report.only(names), "json", qos=0)

    def publish_results(self, results: Sequence[Result]) -> None:
        """Send each result to its xApp, also to one that was dismissed."""
        for result in results:
            if result.xapp in self._encodings:
                topic = topics.result(result.xapp, result.node)
                self._publish(topic, result, self._encodings[result.xapp], qos=1)

    def _surroundings(self) -> Surroundings:
        alive = frozenset(self.runtime.xapps) & self.others.keys()
        return Surroundings(
            host=self.name, connected=self.bus.connected, stats=replace(self.bus.stats), alive=alive
        )

    @property
    def others(self) -> Mapping[str, Presence]:
        """Name -> life sign of each participant that lives."""
        return self._sign.others

    def encoding_of(self, xapp: str) -> Encoding:
        """The form in which the host speaks to an xApp that is, or was, admitted."""
        return self._encodings[xapp]

    def publish_timers(self, timers: Mapping[str, Sequence[str]], ran_time_ns: int) -> None:
        """Tell each xApp which of its timers are due, in a step message."""
        for xapp, names in timers.items():
            self._publish_step(xapp, ran_time_ns, timers=tuple(names))

    def publish_settings(self, xapp: str) -> None:
        """Hand an xApp that lives the operator's settings that it has not got yet, in a step of their own."""
        if xapp in self.runtime.xapps and (settings := self.runtime.settings.due(xapp)) is not None:
            self._publish_step(xapp, self.now_ns(), settings=settings)

    def _publish_step(self, xapp: str, ran_time_ns: int, **due: Any) -> None:
        step = Step(host=self.name, step=self._n_steps, ran_time_ns=ran_time_ns, **due)
        self._publish(topics.step(self.name, xapp), step, self.runtime.xapps[xapp].encoding, qos=1)
        self._n_steps += 1

    def _publish(self, topic: str, message: Message, encoding: Encoding, *, qos: int) -> None:
        """Send a message in one form; one that cannot be said in it is counted, and of those ever fewer are noted."""
        try:
            self.bus.publish(topic, encode_as(message, encoding), qos=qos)
        except NodeError as error:
            self.n_unsent += 1
            so_far = self._unsent[topic] = self._unsent.get(topic, 0) + 1
            if is_noted(so_far):
                log.warning("message_not_sent", topic=topic, reason=str(error), not_sent_so_far=so_far)

    # What comes in

    def _on_alarms(self, topic: str, payload: bytes) -> None:
        self.runtime.alarms.hear(topics.levels(topic)[1], payload, self.now_ns())

    def _greet(self) -> None:
        """Hear the alarms of the admitted xApps, and look at the life signs of those that showed them before."""
        for xapp in self._alarms.keys() - self.runtime.xapps.keys():
            self._alarms.pop(xapp).cancel()
            self.runtime.alarms.hear(xapp, b"", self.now_ns())  # one that is dismissed has none any more
        for xapp in self.runtime.xapps.keys() - self._alarms.keys():
            self._alarms[xapp] = self.bus.subscribe(topics.alarms(xapp), self._on_alarms, qos=1, latest=True)
        self._greeted &= self.runtime.xapps.keys()
        for xapp in self.runtime.xapps.keys() - self._greeted:
            if xapp in self._sign.others:
                self._on_sign(self._sign.others[xapp])

    def _on_sign(self, presence: Presence) -> None:
        """Learn from an xApp's life sign which timers it has."""
        xapp, timers = presence.name, presence.facts.get("timers", {}) if presence.alive else {}
        if xapp not in self.runtime.xapps:
            return
        self._greeted.add(xapp)
        self.runtime.settings.meet(presence)
        self.on_settings(xapp)
        if self._compare(presence):
            self._show()
        self.on_presence(presence)
        if (
            not isinstance(timers, dict)
            or len(timers) > MAX_TIMERS
            or not all(map(is_period, timers.values()))
        ):
            reason = f"want at most {MAX_TIMERS} timers as {{name: period in ms}}, of {LEAST_MS} ms or more"
            self.runtime.drop(xapp, f"{xapp} announces the timers {one_line(repr(timers))}; {reason}")
            return
        self.runtime.timers.set(xapp, timers)

    def _compare(self, presence: Presence) -> bool:
        """Hold an xApp's manifest against the admitted one; whether there is news for its life sign and ours."""
        xapp, said = presence.name, presence.facts.get("rights")
        if said is None or not presence.alive:
            return False
        try:
            found = self.runtime.xapps[xapp].rights.differences(Rights.model_validate(said))
        except ValidationError as error:
            found = [f"the manifest that it announces is none: {error.errors(include_url=False)[0]['msg']}"]
        former, text = self._differs.pop(xapp, ""), one_line("; ".join(found), _MOST_DIFFERENCES)
        if text:
            self._differs[xapp] = text
        if text and text != former:
            log.warning(
                "manifest_differs",
                xapp=xapp,
                differs=text,
                advice=f"with the xApp's own: ranloop admit FOLDER --host {self.name}",
            )
        return text != former


def encode_as(message: Message, encoding: Encoding) -> bytes:
    """A message in one of its forms.

    Raises:
        NodeError: It has no JSON form.
    """
    if encoding == "binary":
        return encode(message)
    try:
        return encode_json(message)
    except ValueError as error:
        raise NodeError(f"a {type(message).__name__.lower()} has no JSON form: {error}") from error
