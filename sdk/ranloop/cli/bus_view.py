"""What a reader of the bus can see: who is there, what stands, what is held, how quickly it goes. It publishes nothing.

Names come from whoever publishes. Of each kind the last `KEPT` are remembered; reports keep their node, its host and what
stands there known, and actions and results their xApp.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from ranloop.bus import Bus, is_question
from ranloop.errors import WireError
from ranloop.guard import AuditRecord
from ranloop.node.outlets import Event
from ranloop.page.roster import KEPT, Roster
from ranloop.recent import Recent
from ranloop.wire import topics
from ranloop.wire.codec import (
    decode_action_batch,
    decode_alarms,
    decode_catalogue,
    decode_presence,
    decode_report,
    decode_result,
    decode_standing,
)
from ranloop.wire.messages import ActionBatch, Catalogue, Presence, Standing

__all__ = ("BusView", "names_in")

_MOST_NAME = 64  # characters, as in a topic


class BusView:
    """Follows a bus from now on; what is retained comes at once.

    Args:
        bus: Polled by its owner.
        traffic: Whether to follow reports and actions, too.
        clock: Seconds, monotonic.
        on_seen: Called with what the host of a node would show its outlets, and with catalogues.

    Attributes:
        signs: Name -> last life sign of each participant.
        roster: What nodes and xApps do since we look.
        n_unreadable: Messages that are none of ours.
        on_answer: Told of each answer of a participant to a question, such as `health_question`.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        traffic: bool,
        clock: Callable[[], float] = time.monotonic,
        on_seen: Callable[[Catalogue | Event], object] | None = None,
    ) -> None:
        self.signs: Recent[str, Presence] = Recent(KEPT)
        self.catalogues: Recent[str, Catalogue] = Recent(KEPT)
        self.standings: Recent[str, Standing] = Recent(KEPT)
        self.roster = Roster()
        self._hosted_by: Recent[str, str] = Recent(KEPT)  # node -> host that names it
        self.n_unreadable = 0
        self.on_answer: Callable[[Presence], object] = lambda sign: None
        self._clock = clock
        self._on_seen = on_seen
        self._batches: Recent[str, ActionBatch] = Recent(KEPT)  # whose result is to come; for `on_seen` alone
        self._came_s: Recent[tuple[str, int], float] = Recent(KEPT)  # (node, number of a report) -> when
        self._asked_s: Recent[str, float] = Recent(KEPT)  # batch id -> when
        for topic, handler in (
            (topics.presence("+"), self._on_presence),
            (topics.catalogue("+"), self._on_catalogue),
            (topics.standing("+"), self._on_standing),
        ):
            bus.subscribe(topic, self._checked(handler), qos=1, latest=True)
        bus.subscribe(topics.result("+", "+"), self._checked(self._on_result), keep=KEPT)
        if traffic:
            bus.subscribe(topics.report("+", "+", "+"), self._checked(self._on_report), latest=4)
            bus.subscribe(topics.act("+", "+"), self._checked(self._on_action), keep=KEPT)
        if on_seen:
            bus.subscribe(topics.alarms("+"), self._checked(self._on_alarms), qos=1, latest=True)

    @property
    def hosts(self) -> dict[str, Presence]:
        """Name -> life sign of each living host."""
        return {
            name: sign
            for name, sign in self.signs.items()
            if sign.alive and sign.facts.get("kind") == "node-host"
        }

    @property
    def n_forgotten(self) -> int:
        """Participants, and what is known of them, that went because too many names were heard."""
        kinds = (self.signs, self.catalogues, self.standings, self.roster)
        return sum(kind.n_forgotten for kind in kinds)

    def host_of(self, node: str) -> str:
        """The living host whose life sign names `node`; "" if there is none."""
        name = self._hosted_by.get(node, "")
        return name if self.is_alive(name) else ""

    def is_alive(self, name: str) -> bool:
        """Whether the last life sign of a participant says so."""
        return name in self.signs and self.signs[name].alive

    def _checked(self, handler: Callable[[str, bytes], None]) -> Callable[[str, bytes], None]:
        def run(topic: str, payload: bytes) -> None:
            try:
                if payload:
                    handler(topic, payload)
            except WireError:
                self.n_unreadable += 1

        return run

    def _on_presence(self, topic: str, payload: bytes) -> None:
        sign = decode_presence(payload)
        if topic != topics.presence(sign.name) or is_question(sign):
            return
        if "answers" in sign.facts:
            self.on_answer(sign)
            return
        self.signs[sign.name] = sign
        if sign.alive and sign.facts.get("kind") == "node-host":
            for node in names_in(sign, "nodes"):
                if not self.host_of(node):  # a living host keeps its nodes, whoever else claims them
                    self._hosted_by[node] = sign.name

    def _on_catalogue(self, topic: str, payload: bytes) -> None:
        catalogue = decode_catalogue(payload)
        if topic == topics.catalogue(catalogue.node):
            self.catalogues[catalogue.node] = catalogue
            self.roster.meet(catalogue.node)
            self._show(catalogue)

    def _on_standing(self, topic: str, payload: bytes) -> None:
        standing = decode_standing(payload)
        if topic == topics.standing(standing.node):
            self.standings[standing.node] = standing
            self.roster.take(standing)
            self._show(standing)

    def _on_report(self, _topic: str, payload: bytes) -> None:
        report = decode_report(payload)
        self.roster.take(report)
        for known in (self.catalogues, self.standings, self._hosted_by):
            known.touch(report.node)
        self.signs.touch(self._hosted_by.get(report.node, ""))
        self._came_s[report.node, report.seq] = self._clock()
        self._show(report)

    def _on_action(self, _topic: str, payload: bytes) -> None:
        batch, now_s = decode_action_batch(payload), self._clock()
        self.signs.touch(batch.xapp)
        xapp = self.roster.ask(batch)
        with suppress(KeyError):
            xapp.decides_s.append(now_s - self._came_s[batch.node, batch.report_seq])
        self._asked_s[batch.id] = now_s
        if self._on_seen:
            self._batches[batch.id] = batch

    def _on_result(self, topic: str, payload: bytes) -> None:
        result = decode_result(payload)
        if topic != topics.result(result.xapp, result.node):
            raise WireError(f"a result of {result.node} for {result.xapp} came on {topic}")
        self.signs.touch(result.xapp)
        self.roster.take(result)
        with suppress(KeyError):
            answered_s = self._clock() - self._asked_s.pop(result.id)
            self.roster.xapp(result.xapp).answered_s.append(answered_s)
        if self._on_seen:
            batch = self._batches.pop(result.id, None)
            self._show(result)
            self._show(
                AuditRecord(
                    event="result" if batch else "ended",
                    ran_time_ns=result.ran_time_ns,
                    node=result.node,
                    xapp=result.xapp,
                    batch=batch,
                    result=result,
                )
            )

    def _on_alarms(self, topic: str, payload: bytes) -> None:
        alarms = decode_alarms(payload)
        if topic == topics.alarms(alarms.xapp):
            self._show(alarms)

    def _show(self, seen: Catalogue | Event) -> None:
        if self._on_seen:
            self._on_seen(seen)


def names_in(sign: Presence, fact: str) -> list[str]:
    """The names that a life sign lists, at most `KEPT` of them."""
    listed = sign.facts.get(fact)
    return [str(one)[:_MOST_NAME] for one in listed[:KEPT]] if isinstance(listed, list) else []
