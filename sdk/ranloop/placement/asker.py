"""Asks the tiers about rows: one after the other, until one answers or the time is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from ranloop.errors import ModelError
from ranloop.placement.declaration import Placement
from ranloop.placement.port import Policy, Question, Reach, Reply
from ranloop.placement.privacy import Border
from ranloop.wire.inference import Reason
from ranloop.wire.messages import F32, Report

__all__ = ("Asked", "Asker", "Late", "Rows")

log = structlog.get_logger(__name__)

Rows = NDArray[np.intp]
_MOST_OPEN = 1024  # questions whose answer may still come


@dataclass(slots=True)
class Asked:
    """What came of the questions about some rows, and what they cost.

    Attributes:
        outputs: Of a tier above, [n_rows, n_outputs]; None if there are none in time.
        tier: Where they come from.
        joules: Modelled; None if a tier has no figures.
    """

    reason: Reason
    outputs: F32 | None = None
    tier: str = ""
    sent_bytes: dict[str, int] = field(default_factory=dict)
    joules: float | None = 0.0

    def add_joules(self, joules: float | None) -> None:
        self.joules = None if joules is None or self.joules is None else self.joules + joules


class Late(NamedTuple):
    """An answer that nobody waited for."""

    report: Report
    rows: Rows
    outputs: F32


class Asker:
    """The questions of one model.

    Args:
        placement: The author's declaration.
        reach: The way to the tiers.
        policy: Chooses a tier for each question.

    Attributes:
        n_unused: Answers that were of no use: of another shape, or not finite.
    """

    def __init__(self, placement: Placement, reach: Reach, policy: Policy) -> None:
        self.n_unused = 0
        self._placement, self._reach, self._policy = placement, reach, policy
        self._border = Border(reach.tiers)
        self._open: dict[int, tuple[Report, Rows, int]] = {}  # questions that nobody waits for any more

    def ask(self, question: Question, report: Report, rows: Rows, until_ns: int) -> Asked:
        """Ask about `rows` of a report; the matrix of the question has them alone."""
        allowed = [tier for tier in self._placement.ask if self._border.lets_out(tier, question.sensitivity)]
        candidates = [tier for tier in allowed if self._reach.is_there(tier)]
        asked = Asked("away" if allowed else "private")
        try:
            self._ask(question, report, rows, until_ns, candidates, asked)
        except ModelError as error:  # of the head
            log.warning("head_failed", model=question.model, reason=str(error))
            asked.reason = "failed"
        return asked

    def _ask(
        self,
        question: Question,
        report: Report,
        rows: Rows,
        until_ns: int,
        candidates: list[str],
        asked: Asked,
    ) -> None:
        """Ask `candidates`, and write into `asked` what came of it."""
        while candidates:
            now_ns = self._reach.now_ns(question.asked_ns)
            if now_ns >= until_ns:
                asked.reason = "late" if asked.reason == "away" else asked.reason
                break
            choice = self._policy.choose(question, candidates, now_ns, until_ns - now_ns)
            if choice.trial:
                number = self._send(choice.trial, question, until_ns, asked)
                self._leave_open(number, report, rows, question.n_outputs)
            if not choice.tier:
                asked.reason = choice.reason if asked.reason == "away" else asked.reason
                break
            number = self._send(choice.tier, question, until_ns, asked)
            reply = self._reach.wait(number, until_ns)
            if reply is None:
                self._policy.learn(choice.tier, self._reach.now_ns(question.asked_ns), None)
                self._leave_open(number, report, rows, question.n_outputs)
                asked.reason = "late"
                break
            fault = self._fault(reply, (len(rows), question.n_outputs))
            self._policy.learn(choice.tier, now_ns + reply.took_ns, None if fault else reply.took_ns)
            if not fault:
                asked.reason, asked.outputs, asked.tier = "better", reply.outputs, reply.tier
                break
            asked.reason = fault
            candidates.remove(choice.tier)

    def late_answers(self) -> Iterator[Late]:
        """Answers that have come meanwhile. One that was quick enough says that its tier is in health."""
        for reply in self._reach.arrived(self._open.keys()):
            report, rows, n_outputs = self._open.pop(reply.number, (None, None, 0))
            if report is None or rows is None or self._fault(reply, (len(rows), n_outputs)):
                continue
            if reply.took_ns <= self._placement.wait_ns:
                self._policy.learn(reply.tier, report.ran_time_ns + reply.took_ns, reply.took_ns)
            assert reply.outputs is not None  # `_fault` has looked
            yield Late(report, rows, reply.outputs)

    def _send(self, tier: str, question: Question, until_ns: int, asked: Asked) -> int:
        if question.head is not None and not asked.sent_bytes:  # the first question of these rows
            _ = question.sent  # computed before the clock of the tier runs
            mmac = question.head.mmac_per_row * len(question.matrix)
            asked.add_joules(self._reach.tiers[self._reach.tiers.here].cost(0, mmac).joules)
            self._reach.work(mmac)
        kind = question.sensitivity
        asked.sent_bytes[kind] = asked.sent_bytes.get(kind, 0) + question.n_bytes
        asked.add_joules(self._reach.tiers[tier].cost(question.n_bytes, question.mmac).joules)
        return self._reach.send(tier, question, until_ns)

    def _fault(self, reply: Reply, shape: tuple[int, int]) -> Reason | None:
        """Why an answer is of no use."""
        if reply.outputs is None:
            return "busy" if reply.fault == "busy" else "failed"
        if reply.outputs.shape != shape or not np.isfinite(reply.outputs).all():
            self.n_unused += 1
            return "failed"
        return None

    def _leave_open(self, number: int, report: Report, rows: Rows, n_outputs: int) -> None:
        if len(self._open) >= _MOST_OPEN:
            del self._open[next(iter(self._open))]
        self._open[number] = report, rows, n_outputs
