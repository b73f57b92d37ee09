"""What a reader of the bus can see: who is there, what stands, what is held, how quickly it goes. It publishes nothing."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ranloop.bus import Bus, is_question
from ranloop.errors import WireError
from ranloop.guard import AuditRecord
from ranloop.guard.fates import Fates
from ranloop.node.outlets import Event
from ranloop.vocabulary import ACTIONS, Kind
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
from ranloop.wire.messages import ActionBatch, Catalogue, Presence, Report, Result, Standing, Status

__all__ = ("BusView", "XAppView")

K = TypeVar("K")
V = TypeVar("V")

_KEPT = 4096  # participants, reports and actions that are remembered: anybody may publish more
_DELAYS_KEPT = 1000


def _kept() -> deque[float]:
    return deque(maxlen=_DELAYS_KEPT)


@dataclass(slots=True)
class XAppView:
    """One xApp, as its messages show it.

    Attributes:
        fates: What became of its targets since we look.
        held: (node, action) -> targets that it holds, of those whose results we have heard.
        n_batches: Action batches since we look.
        decides_s: From a report to the action that rests on it, as both came by here.
        answered_s: From an action to its result.
    """

    fates: Fates = field(default_factory=Fates)
    held: defaultdict[tuple[str, str], set[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(set))
    n_batches: int = 0
    decides_s: deque[float] = field(default_factory=_kept)
    answered_s: deque[float] = field(default_factory=_kept)


class BusView:
    """Follows a bus from now on; what is retained comes at once.

    Args:
        bus: Polled by its owner.
        traffic: Whether to follow reports and actions, too.
        clock: Seconds, monotonic.
        on_seen: Called with what the host of a node would show its outlets, and with catalogues.

    Attributes:
        signs: Name -> last life sign of each participant.
        reports: Node -> its newest report.
        n_reports: Node -> reports since we look.
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
        self.signs: dict[str, Presence] = {}
        self.catalogues: dict[str, Catalogue] = {}
        self.standings: dict[str, Standing] = {}
        self.xapps: dict[str, XAppView] = {}
        self.reports: dict[str, Report] = {}
        self.n_reports: Counter[str] = Counter()
        self.n_unreadable = 0
        self.on_answer: Callable[[Presence], object] = lambda sign: None
        self._clock = clock
        self._on_seen = on_seen
        self._batches: dict[str, ActionBatch] = {}  # by id, whose result is to come; for `on_seen` alone
        self._came_s: dict[tuple[str, int], float] = {}  # (node, number of a report) -> when
        self._asked_s: dict[str, float] = {}  # batch id -> when
        for topic, handler in (
            (topics.presence("+"), self._on_presence),
            (topics.catalogue("+"), self._on_catalogue),
            (topics.standing("+"), self._on_standing),
        ):
            bus.subscribe(topic, self._checked(handler), qos=1, latest=True)
        bus.subscribe(topics.result("+", "+"), self._checked(self._on_result), keep=_KEPT)
        if traffic:
            bus.subscribe(topics.report("+", "+", "+"), self._checked(self._on_report), latest=4)
            bus.subscribe(topics.act("+", "+"), self._checked(self._on_action), keep=_KEPT)
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

    def host_of(self, node: str) -> str:
        """The living host whose life sign names `node`; "" if there is none."""
        for name, sign in self.hosts.items():
            nodes = sign.facts.get("nodes")
            if isinstance(nodes, list) and node in nodes:
                return name
        return ""

    def is_alive(self, xapp: str) -> bool:
        """Whether the last life sign of `xapp` says so."""
        return xapp in self.signs and self.signs[xapp].alive

    def of(self, xapp: str) -> XAppView:
        """What is known of `xapp`."""
        if xapp not in self.xapps and len(self.xapps) >= _KEPT:
            return XAppView()
        return self.xapps.setdefault(xapp, XAppView())

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
        elif sign.name in self.signs or len(self.signs) < _KEPT:
            self.signs[sign.name] = sign

    def _on_catalogue(self, topic: str, payload: bytes) -> None:
        catalogue = decode_catalogue(payload)
        if topic == topics.catalogue(catalogue.node):
            self.catalogues[catalogue.node] = catalogue
            self._show(catalogue)

    def _on_standing(self, topic: str, payload: bytes) -> None:
        standing = decode_standing(payload)
        if topic == topics.standing(standing.node):
            self.standings[standing.node] = standing
            self._show(standing)

    def _on_report(self, _topic: str, payload: bytes) -> None:
        report = decode_report(payload)
        self.reports[report.node] = report
        self.n_reports[report.node] += 1
        self._came_s.pop((report.node, report.seq), None)
        self._came_s[report.node, report.seq] = self._clock()
        _trim(self._came_s)
        self._show(report)

    def _on_action(self, _topic: str, payload: bytes) -> None:
        batch, now_s = decode_action_batch(payload), self._clock()
        xapp = self.of(batch.xapp)
        xapp.n_batches += 1
        with suppress(KeyError):
            xapp.decides_s.append(now_s - self._came_s[batch.node, batch.report_seq])
        self._asked_s[batch.id] = now_s
        _trim(self._asked_s)
        if self._on_seen:
            self._batches[batch.id] = batch
            _trim(self._batches)

    def _on_result(self, topic: str, payload: bytes) -> None:
        result = decode_result(payload)
        if topic != topics.result(result.xapp, result.node):
            raise WireError(f"a result of {result.node} for {result.xapp} came on {topic}")
        xapp = self.of(result.xapp)
        xapp.fates.take(result)
        with suppress(KeyError):
            xapp.answered_s.append(self._clock() - self._asked_s.pop(result.id))
        if result.action in ACTIONS and ACTIONS[result.action].spec.kind is Kind.SETTING:
            held = xapp.held[result.node, result.action]
            held |= _targets(result, Status.APPLIED)
            held -= _targets(result, Status.ENDED)
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


def _targets(result: Result, status: Status) -> set[tuple[int, ...]]:
    return set(map(tuple, result.targets[np.flatnonzero(result.status == status)].tolist()))


def _trim(remembered: dict[K, V]) -> None:
    """Forget the oldest entry of a dictionary that is full."""
    if len(remembered) > _KEPT:
        del remembered[next(iter(remembered))]
