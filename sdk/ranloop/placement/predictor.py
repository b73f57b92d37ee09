"""The predictor of a placement: an answer of this place at once, a better one from above if it comes in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ranloop.errors import ModelError
from ranloop.inference import Card, Late, Model
from ranloop.placement.asker import Asked, Asker, Rows
from ranloop.placement.declaration import Placement
from ranloop.placement.gate import confidence_of
from ranloop.placement.memory import LastAnswers
from ranloop.placement.port import Policy, Question, Reach
from ranloop.placement.privacy import of_cut
from ranloop.placement.sieve import AllRows, Sieve
from ranloop.placement.split import Split
from ranloop.vocabulary import Level
from ranloop.wire.inference import Inference, Instead, Sensitivity
from ranloop.wire.messages import F32, Report

__all__ = ("PlacedPredictor", "mmac_per_row")


def mmac_per_row(card: Card) -> float:
    """Million multiply-accumulates of a row, as the card's metrics say under this name; 0 if they do not."""
    figure = card.metrics.get("mmac_per_row", 0.0)
    return float(figure) if isinstance(figure, int | float) and 0 <= figure < 1e9 else 0.0


class PlacedPredictor:
    """See `Placement` for what it does.

    Args:
        here: The model of this place.
        better: Card of the model that the tiers above compute.
        placement: The author's declaration.
        reach: The way to the tiers.
        policy: Chooses a tier for each question.
        sieve: Chooses the rows that go up.
        split: The better model, if its first part is computed here.

    Attributes:
        told: Where the answers came from; the caller empties it.
        answered_by: Tag of the model that answered last.
        matrix_above: What the better model was asked in the last call; None unless it answered all rows of it.
        elsewhere_ns: Wall-clock time for which the last call asked the tiers.
    """

    def __init__(
        self,
        here: Model,
        better: Card,
        placement: Placement,
        reach: Reach,
        policy: Policy,
        sieve: Sieve | None = None,
        split: Split | None = None,
    ) -> None:
        self.better = better
        self.told: list[Inference] = []
        self.sieve = sieve or AllRows()
        self._placement, self._reach = placement, reach
        self._asker = Asker(placement, reach, policy)
        self._here, self._here_tag = here.predictor, Model.tag_of(here.card)
        self._classifies = here.card.output == "probabilities"
        self._mmac_here, self._mmac_above = mmac_per_row(here.card), mmac_per_row(better)
        self._above_tag = Model.tag_of(better)
        self._split = split
        self._known_sensitivity: dict[Level, Sensitivity] = {}
        if split is not None:
            self._above_tag, self._mmac_above = split.tag, split.cut.mmac_tail
        self.elsewhere_ns = 0
        self.forget()
        self._last = LastAnswers()
        self._about: tuple[Report, F32 | None] | None = None

    def forget(self) -> None:
        """From now on, and until a tier answers, it is the model of this place that answers."""
        self.answered_by = self._here_tag
        self.matrix_above: F32 | None = None

    @contextmanager
    def about(self, report: Report, matrix_above: F32 | None) -> Iterator[None]:
        """The report that `predict` is called about, and the better model's matrix if it is another one."""
        self._about = report, matrix_above
        try:
            yield
        finally:
            self._about = None

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        """Outputs for each row, see `Predictor`; late if no row has any.

        Without a report (`about`) the model of this place answers alone.

        Raises:
            ModelError: Neither it nor a tier above has an answer, and it is its error.
        """
        self.elsewhere_ns = 0
        self.forget()
        if self._about is None:
            return self._here.predict(matrix, asked_ns, deadline_ns)
        report, above = self._about
        for late in self._asker.late_answers():
            self._last.keep(late.report, late.rows, late.outputs)
        begun_ns = self._reach.now_ns(asked_ns)
        try:
            own, failure = self._here.predict(matrix, asked_ns, deadline_ns), None
        except ModelError as error:
            own, failure = Late(asked_ns=asked_ns, deadline_ns=deadline_ns), error
        if isinstance(own, Late):
            own = np.full((len(matrix), len(self.better.outputs)), np.nan, np.float32)
            rows, audited = np.arange(len(matrix)), np.zeros(0, np.intp)
        else:
            rows, audited = self.sieve.rows(own, report)
        asked = Asked("stay")
        up = np.concatenate((rows, audited))
        if len(up):
            began_ns = time.perf_counter_ns()
            matrix_above = matrix if above is None else above
            asked = self._ask(report, matrix_above, up, deadline_ns)
            self.elsewhere_ns = time.perf_counter_ns() - began_ns
            if asked.outputs is not None and len(up) == len(matrix):
                self.matrix_above = matrix_above
        cost = self._reach.tiers[self._reach.tiers.here].cost(0, self._mmac_here * len(matrix))
        asked.add_joules(cost.joules)
        instead: Instead = ""
        outputs, rests_on_ns = own, asked_ns
        if asked.outputs is not None:
            outputs = own.copy()
            outputs[up] = asked.outputs
            self._last.keep(report, up, asked.outputs)
            self.sieve.learn(own[audited], asked.outputs[len(rows) :])
        elif len(rows):
            outputs, instead, rests_on_ns = self._instead(report, own, rows)
        waited_ns = self._reach.now_ns(asked_ns) - begun_ns if len(up) else 0
        self._tell(asked, outputs, up, instead, rests_on_ns, waited_ns)
        if not np.isnan(outputs).all():
            return outputs
        if failure is not None:
            raise failure
        return Late(asked_ns=asked_ns, deadline_ns=deadline_ns)

    def _ask(self, report: Report, matrix: F32, up: Rows, deadline_ns: int) -> Asked:
        whole = len(up) == len(matrix)
        question = Question(
            model=self._above_tag,
            matrix=matrix if whole and self.sieve.keeps_order else np.ascontiguousarray(matrix[up]),
            n_outputs=len(self.better.outputs),
            node=report.node,
            level=report.level,
            asked_ns=report.ran_time_ns,
            sensitivity=self._sensitivity(report.level),
            mmac=self._mmac_above * len(up),
            head=None if self._split is None else self._split.head,
        )
        until_ns = min(deadline_ns, report.ran_time_ns + self._placement.wait_ns)
        return self._asker.ask(question, report, up, until_ns)

    def _sensitivity(self, level: Level) -> Sensitivity:
        """Of a question about rows of this level."""
        if level not in self._known_sensitivity:
            sends_input = self._split is None or self._split.cut.sends_input
            self._known_sensitivity[level] = of_cut(self.better, level, sends_input=sends_input)
        return self._known_sensitivity[level]

    def _instead(self, report: Report, own: F32, rows: Rows) -> tuple[F32, Instead, int]:
        """What stands in for better answers of `rows`, by which rule, and the time of the report that it rests on."""
        match self._placement.on_miss:
            case "hold":
                held = own.copy()
                held[rows] = np.nan
                return held, "hold", report.ran_time_ns
            case "last":
                oldest_ns = report.ran_time_ns - round(self._placement.keep_ms * 1e6)
                filled, rests_on_ns = self._last.fill(report, rows, own, not_before_ns=oldest_ns)
                if rests_on_ns is not None:
                    return filled, "last", rests_on_ns
        return own, "rule", report.ran_time_ns

    def _tell(
        self, asked: Asked, outputs: F32, up: Rows, instead: Instead, rests_on_ns: int, waited_ns: int
    ) -> None:
        is_better = asked.outputs is not None
        self.answered_by = self._above_tag if is_better or instead == "last" else self._here_tag
        known = confidence_of(outputs)[~np.isnan(outputs).any(axis=1)] if self._classifies else ()
        self.told.append(
            Inference(
                model=self.answered_by,
                tier=asked.tier if is_better else self._reach.tiers.here,
                reason=asked.reason,
                instead=instead,
                asked_ns=rests_on_ns,
                waited_ns=waited_ns,
                rows=len(outputs),
                rows_above=len(up) if is_better else 0,
                sent_bytes=asked.sent_bytes,
                joules=asked.joules,
                confidence=min(float(np.min(known)), 1.0) if len(known) else None,
            )
        )
