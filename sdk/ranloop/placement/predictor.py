"""The predictor of a placement: an answer of this place at once, a better one from above if it comes in time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from ranloop.errors import ModelError
from ranloop.inference import Card, Late, Model
from ranloop.placement.declaration import Placement
from ranloop.placement.memory import LastAnswers
from ranloop.placement.port import Policy, Question, Reach, Reply
from ranloop.wire.inference import Inference, Instead, Reason
from ranloop.wire.messages import F32, Report

__all__ = ("PlacedPredictor", "mmac_per_row")

_MOST_OPEN = 1024  # questions whose answer may still come


def mmac_per_row(card: Card) -> float:
    """Million multiply-accumulates of a row, as the card's metrics say under this name; 0 if they do not."""
    figure = card.metrics.get("mmac_per_row", 0.0)
    return float(figure) if isinstance(figure, int | float) and 0 <= figure < 1e9 else 0.0


@dataclass(slots=True)
class _Asked:
    """What came of the questions about one matrix, and what they cost."""

    reply: Reply | None = None
    reason: Reason = "stay"
    sent_bytes: dict[str, int] = field(default_factory=dict)
    joules: float | None = 0.0

    def add_joules(self, joules: float | None) -> None:
        self.joules = None if joules is None or self.joules is None else self.joules + joules


class PlacedPredictor:
    """Edge-first with fallback: see `Placement`.

    Args:
        here: The model of this place.
        better: Card of the model that the tiers above compute.
        placement: The author's declaration.
        reach: The way to the tiers.
        policy: Chooses a tier for each question.

    Attributes:
        told: Where the answers came from; the caller empties it.
        answered_by: Tag of the model that answered last.
        n_unused: Answers from above that were of no use: of another shape, or not finite.
    """

    def __init__(self, here: Model, better: Card, placement: Placement, reach: Reach, policy: Policy) -> None:
        self.better = better
        self.told: list[Inference] = []
        self.n_unused = 0
        self._placement, self._reach, self._policy = placement, reach, policy
        self._here, self._here_tag = here.predictor, Model.tag_of(here.card)
        self._mmac_here, self._mmac_above = mmac_per_row(here.card), mmac_per_row(better)
        self._above_tag = Model.tag_of(better)
        self.answered_by = self._here_tag
        self._last = LastAnswers()
        self._open: dict[int, Report] = {}  # questions that nobody waits for any more
        self._about: tuple[Report, F32 | None] | None = None

    @contextmanager
    def about(self, report: Report, matrix_above: F32 | None) -> Iterator[None]:
        """The report that `predict` is called about, and the better model's matrix if it is another one."""
        self._about = report, matrix_above
        try:
            yield
        finally:
            self._about = None

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        """Outputs for each row, see `Predictor`.

        Without a report (`about`) the model of this place answers alone.

        Raises:
            ModelError: Neither it nor a tier above has an answer, and it is its error.
        """
        if self._about is None:
            return self._here.predict(matrix, asked_ns, deadline_ns)
        report, above = self._about
        self._take_late_answers()
        begun_ns = self._reach.now_ns(asked_ns)
        try:
            outputs = self._here.predict(matrix, asked_ns, deadline_ns)
            failure = None
        except ModelError as error:
            outputs, failure = Late(asked_ns=asked_ns, deadline_ns=deadline_ns), error
        question = Question(
            model=self._above_tag,
            matrix=matrix if above is None else above,
            n_outputs=len(self.better.outputs),
            node=report.node,
            level=report.level,
            asked_ns=asked_ns,
            mmac=self._mmac_above * len(matrix),
        )
        until_ns = min(deadline_ns, asked_ns + self._placement.wait_ns)
        asked = self._ask(question, report, until_ns)
        own = self._reach.tiers[self._reach.tiers.here].cost(0, self._mmac_here * len(matrix))
        asked.add_joules(own.joules)
        instead: Instead = ""
        rests_on_ns = asked_ns
        if asked.reply is not None and asked.reply.outputs is not None:
            outputs = asked.reply.outputs
            self._last.keep(report, outputs)
            self.answered_by = self._above_tag
        else:
            self.answered_by = self._here_tag
            outputs, instead, rests_on_ns = self._instead(report, outputs, len(matrix))
        self.told.append(
            Inference(
                model=self.answered_by,
                tier=asked.reply.tier if asked.reply and not instead else self._reach.tiers.here,
                reason=asked.reason,
                instead=instead,
                asked_ns=rests_on_ns,
                waited_ns=self._reach.now_ns(asked_ns) - begun_ns,
                rows=len(matrix),
                rows_above=0 if instead else len(matrix),
                sent_bytes=asked.sent_bytes,
                joules=asked.joules,
            )
        )
        if isinstance(outputs, Late) and failure is not None and instead != "hold":
            raise failure
        return outputs

    def _ask(self, question: Question, report: Report, until_ns: int) -> _Asked:
        """Put the question to one tier after the other, until one answers or the time is over."""
        asked, tiers = _Asked(), self._reach.tiers
        allowed = [tier for tier in self._placement.ask if tiers.may_see(tier, question.sensitivity)]
        candidates = [tier for tier in allowed if self._reach.is_there(tier)]
        asked.reason = "away" if allowed else "private"
        while candidates:
            now_ns = self._reach.now_ns(question.asked_ns)
            if now_ns >= until_ns:
                asked.reason = "late" if asked.reason == "away" else asked.reason
                break
            choice = self._policy.choose(question, candidates, now_ns, until_ns - now_ns)
            if not choice.tier:
                asked.reason = choice.reason if asked.reason == "away" else asked.reason
                break
            number = self._reach.send(choice.tier, question, until_ns)
            kind = question.sensitivity
            asked.sent_bytes[kind] = asked.sent_bytes.get(kind, 0) + question.n_bytes
            asked.add_joules(tiers[choice.tier].cost(question.n_bytes, question.mmac).joules)
            if choice.is_trial:
                self._leave_open(number, report)
                asked.reason = choice.reason
                break
            reply = self._reach.wait(number, until_ns)
            if reply is None:
                self._policy.learn(choice.tier, self._reach.now_ns(question.asked_ns), None)
                self._leave_open(number, report)
                asked.reason = "late"
                break
            fault = self._fault(reply, len(question.matrix))
            self._policy.learn(choice.tier, now_ns + reply.took_ns, None if fault else reply.took_ns)
            if not fault:
                asked.reply, asked.reason = reply, "better"
                break
            asked.reason = fault
            candidates.remove(choice.tier)
        return asked

    def _fault(self, reply: Reply, n_rows: int) -> Reason | None:
        """Why an answer is of no use."""
        if reply.outputs is None:
            return "busy" if reply.fault == "busy" else "failed"
        if reply.outputs.shape != (n_rows, len(self.better.outputs)) or not np.isfinite(reply.outputs).all():
            self.n_unused += 1
            return "failed"
        return None

    def _leave_open(self, number: int, report: Report) -> None:
        if len(self._open) >= _MOST_OPEN:
            del self._open[next(iter(self._open))]
        self._open[number] = report

    def _take_late_answers(self) -> None:
        """Answers that nobody waited for: the last known ones, and a sign that their tier is in health if they were quick."""
        for reply in self._reach.arrived():
            report = self._open.pop(reply.number, None)
            if report is None or self._fault(reply, len(report)):
                continue
            assert reply.outputs is not None  # `_fault` has looked
            self._last.keep(report, reply.outputs)
            if reply.took_ns <= self._placement.wait_ns:
                self._policy.learn(reply.tier, report.ran_time_ns + reply.took_ns, reply.took_ns)

    def _instead(self, report: Report, outputs: F32 | Late, n_rows: int) -> tuple[F32 | Late, Instead, int]:
        """What stands in for a better answer, by which rule, and the time of the report that it rests on."""
        nothing = np.full((n_rows, len(self.better.outputs)), np.nan, np.float32)
        match self._placement.on_miss:
            case "hold":
                return nothing, "hold", report.ran_time_ns
            case "last":
                rule = nothing if isinstance(outputs, Late) else outputs
                oldest_ns = report.ran_time_ns - round(self._placement.keep_ms * 1e6)
                filled, rests_on_ns = self._last.fill(report, rule, not_before_ns=oldest_ns)
                if rests_on_ns is not None:
                    return filled, "last", rests_on_ns
        return outputs, "rule", report.ran_time_ns
