"""A model: its card, the features that the card asks for, and the predictor that computes it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import structlog
from numpy.typing import ArrayLike, NDArray

from ranloop.durations import Durations
from ranloop.errors import ModelError
from ranloop.inference.card import Card
from ranloop.inference.evidence import Call, evidence
from ranloop.inference.features import FeatureBinder
from ranloop.inference.ladder import LastAnswers, Rung, fill
from ranloop.inference.predictor import Late, Predictor
from ranloop.inference.rollout import Trial
from ranloop.inference.truth import Errors
from ranloop.inference.watch import DRIFTED, Watch
from ranloop.vocabulary import Action
from ranloop.wire.asked import Asked
from ranloop.wire.messages import F32, FOR_EVER_NS, Report

__all__ = ("Model", "share_features")

log = structlog.get_logger(__name__)

OVER_IN_A_ROW = 3  # calls over budget after which a model rests
RESTS = 10  # calls


class Model:
    """Callable on reports; one per xApp instance, because its features remember their history.

    Attributes:
        card: Its inputs and outputs.
        features: Builds the matrix of a report.
        predictor: Where the model is computed; may be put in place of another before the first report.
        took: How long the calls took that were answered, by the wall clock.
        n_late: Number of answers that were not there by their deadline.
        n_failed: Number of calls that raised.
        used: Whether there was an answer since `begin`; for the audit log.
        instead: Rungs that stood in for an answer since `begin`.
        watch: Its inputs beside those of training; None if the card has no ranges.
        error: Of its outputs, as far as the truth became known.
        budget_ns: Wall-clock time that a call may take; None: any. See `n_over`.
        rests: Whether a model that is too slow rests, see `n_over`: only in real time, as a run in lockstep is to be the same again.
        off: Whether an operator has terminated it: it is not asked, and the rungs answer.
        trial: A candidate beside it.
        n_over: Number of calls that took longer than the budget. Nothing can cut a call short, so its answer is used, as it is there.
            After `OVER_IN_A_ROW` of them in a row the model rests for `RESTS` calls, in which the rungs answer at once.
        n_rested: Number of calls in which it rested.
        rungs: What stands in for an answer that does not come, see `put_ladder`.
    """

    def __init__(self, card: Card, predictor: Predictor) -> None:
        self.card = card
        self.features = FeatureBinder(card)
        self.predictor = predictor
        self.took = Durations()
        self.n_late = self.n_failed = 0
        self.used = False
        self.watch = Watch(card) if any(feature.seen for feature in card.features) else None
        self.error = Errors()
        self.instead: set[str] = set()
        self.budget_ns: int | None = None
        self.rungs: Mapping[str, Rung] = {}
        self.rests = self.off = False
        self.trial: Trial | None = None
        self.n_over = self.n_rested = self._over_in_a_row = self._resting = 0
        self._last: LastAnswers | None = None
        self._n_rows, self._rows_instead = 0, Counter[str]()
        self._call: tuple[Report | None, F32, F32] | None = None  # as in `Call`, which takes longer to make
        low = np.array([output.low for output in card.outputs], np.float32)
        high = np.array([output.high for output in card.outputs], np.float32)
        self._bounded = bool(np.isfinite(low).any() or np.isfinite(high).any())
        self._n_outputs = len(card.outputs)
        # A single output is a column of its own, and a number is compared faster than an array of one.
        self._low: F32 | np.float32 = low if self._n_outputs > 1 else low[0]
        self._high: F32 | np.float32 = high if self._n_outputs > 1 else high[0]

    def put_ladder(self, rungs: Mapping[str, Rung]) -> None:
        """Let these stand in for an answer that does not come, in their order; a call that fails is then one without an answer.

        Args:
            rungs: Name -> rung.
        """
        self.rungs = dict(rungs)
        self._last = next((rung for rung in rungs.values() if isinstance(rung, LastAnswers)), None)

    @property
    def rows_by(self) -> dict[str, int]:
        """Rows by what answered them: "model", the rungs, "none"."""
        return {name: n for name, n in {"model": self._n_rows, **self._rows_instead}.items() if n}

    @property
    def elsewhere_ns(self) -> int:
        """Wall-clock time of the last call that went to other machines; it is no part of the budget."""
        return 0

    @property
    def tag(self) -> str:
        """`name@` and the first 12 hex digits of the file's hash, as the audit log names it."""
        return self.tag_of(self.card)

    @staticmethod
    def tag_of(card: Card) -> str:
        """The tag of the model on a card."""
        return f"{card.name}@{card.sha256[:12]}"

    def __call__(self, report: Report, extra: Mapping[str, ArrayLike] | None = None) -> F32:
        """Outputs for each row of a report: shape [n_rows] for one output column, else [n_rows, n_outputs].

        Where the predictor has no answer within the report's period, the rungs answer; NaN, as for a measurement without a
        value, where none has.

        Raises:
            ModelError: The report or `extra` lacks something that the card asks for.
        """
        answer = self.ask(report, extra)
        if isinstance(answer, Late):
            outputs = self._no_value(len(report))
            filled = fill(outputs, self.rungs, report, extra)
            self._rows_instead.update(filled)
            self.instead.update(name for name, n in filled.items() if n and name != "none")
            if self.instead:
                self._call = report, self.features.matrix(report, extra), outputs
            return outputs
        self._n_rows += len(answer)
        if self._last is not None:
            self._last.keep(report, answer)
        return answer

    def ask(
        self, report: Report, extra: Mapping[str, ArrayLike] | None = None, *, within_ms: int | None = None
    ) -> F32 | Late:
        """As a call, but a late answer is said to be one.

        Args:
            report: Any of the streams that carry the card's measurements.
            extra: Values of the card's named features.
            within_ms: RAN time after the report in which the answer is of use; default: one report period.
        """
        if self.trial is not None and not self.trial.rolled_back:
            answer = self.trial.ask(self, report, extra, within_ms)
            if self._call is not None and not isinstance(answer, Late):
                self._call = *self._call[:2], answer
            return answer
        return self.ask_itself(report, extra, within_ms)

    def ask_itself(
        self, report: Report, extra: Mapping[str, ArrayLike] | None, within_ms: int | None
    ) -> F32 | Late:
        """As `ask`, whatever candidate there is."""
        matrix = self.features.matrix(report, extra)
        patience_ns = (report.period_ms if within_ms is None else within_ms) * 1_000_000
        answer = self._answer(matrix, report.ran_time_ns, report.ran_time_ns + patience_ns)
        if not isinstance(answer, Late):
            self._call = report, matrix, answer
        return answer

    def predict(self, matrix: F32) -> F32:
        """Outputs for a ready matrix in the card's column order, however late.

        A candidate is asked only where it has taken over and has the same features: a ready matrix has no targets.
        """
        if self.trial is not None and self.trial.takes(self.card):
            return self.trial.candidate.predict(matrix)
        answer = self._answer(matrix, 0, FOR_EVER_NS)
        if isinstance(answer, Late):
            return self._no_value(len(matrix))
        self._call = None, matrix, answer
        return answer

    def _answer(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        n = len(matrix)
        if not n:
            return self._no_value(0)
        if matrix.dtype != np.float32 or not matrix.flags.c_contiguous:
            matrix = np.ascontiguousarray(matrix, np.float32)
        if self.off:
            return Late(asked_ns=asked_ns, deadline_ns=deadline_ns)
        if self._resting:
            self._resting -= 1
            self.n_rested += 1
            return Late(asked_ns=asked_ns, deadline_ns=deadline_ns)
        began_ns = time.perf_counter_ns()
        try:
            out = self.predictor.predict(matrix, asked_ns, deadline_ns)
        except ModelError as error:
            self.n_failed += 1
            if not self.rungs:
                raise
            if self.n_failed == 1:
                log.warning("model_failed", model=self.tag, reason=str(error))
            return Late(asked_ns=asked_ns, deadline_ns=deadline_ns)
        if isinstance(out, Late):
            if not self.n_late:
                log.warning("model_late", model=self.tag, deadline_s=out.deadline_ns / 1e9)
            self.n_late += 1
            return out
        if out.shape != (n, self._n_outputs):
            self.n_failed += 1
            raise ModelError(
                f"model {self.card.name} answers {n} rows with {list(out.shape)}: want {[n, self._n_outputs]}"
            )
        took_ns = time.perf_counter_ns() - began_ns
        self.took.add(took_ns)
        if self.budget_ns is not None:
            self._hold_to_budget(took_ns - self.elsewhere_ns, self.budget_ns)
        self.used = True
        if self.watch is not None:
            self.watch.take(matrix)
        if self._n_outputs == 1:
            out = out[:, 0]
        if self._bounded:
            out = np.minimum(np.maximum(out, self._low), self._high)  # half the time of np.clip
        return out

    def _hold_to_budget(self, took_ns: int, budget_ns: int) -> None:
        if took_ns <= budget_ns:
            self._over_in_a_row = 0
            return
        self.n_over += 1
        self._over_in_a_row += 1
        if self.rests and self._over_in_a_row >= OVER_IN_A_ROW:
            self._over_in_a_row, self._resting = 0, RESTS
            if not self.n_rested:
                log.warning(
                    "model_rests",
                    model=self.tag,
                    took_ms=took_ns / 1e6,
                    budget_ms=budget_ns / 1e6,
                    calls=RESTS,
                )

    def told(self) -> dict[str, Any]:
        """What was asked of it and what came of that, for a run's summary; counts of 0 are left out."""
        counts = {
            "late": self.n_late,
            "failed": self.n_failed,
            "over_budget": self.n_over,
            "rested": self.n_rested,
        }
        facts: dict[str, Any] = {"version": self.card.version, "model": self.tag, "calls": self.took.n}
        facts |= {name: count for name, count in counts.items() if count}
        facts["rows"] = self.rows_by
        if self.watch is not None and self.watch.n_values:
            facts["inputs"] = inputs = self.watch.told()
            facts["drifted"] = [name for name, told in inputs.items() if told.get("psi", 0.0) > DRIFTED]
        if self.trial is not None:
            facts["candidate"] = self.trial.told()
        if self.error.n:
            facts["error"] = {"n": self.error.n, "mean": self.error.overall, "recent": self.error.recent}
        return facts

    def begin(self) -> None:
        """Forget the calls so far: an action that comes from now on rests on later ones."""
        self.used, self._call = False, None
        self.instead.clear()
        if self.trial is not None:
            self.trial.candidate.begin()

    def asked(self, action: Action, of_interest: NDArray[np.intp]) -> list[Asked]:
        """What it was asked and said about targets of an action since `begin`; nothing if it was not called. See `evidence`."""
        beside = [] if self.trial is None else self.trial.asked(action, of_interest)
        if self._call is None or not len(self._call[1]):
            return beside
        return [self.evidence(Call(*self._call), action, of_interest), *beside]

    def evidence(self, call: Call, action: Action, of_interest: NDArray[np.intp]) -> Asked:
        """What it was asked and said in a call, under the last of its own tags."""
        return evidence(self.own_tags()[-1], self.card, call, self.watch, action, of_interest)

    def tags(self) -> list[str]:
        """What had a part in the answers since `begin`: its tag, its tag with each rung, and that of a candidate with its stage."""
        return [*self.own_tags(), *(() if self.trial is None else self.trial.tags())]

    def own_tags(self) -> list[str]:
        """As `tags`, without a candidate's."""
        rungs = [f"{self.tag}:{name}" for name in sorted(self.instead)]
        return [self.tag, *rungs] if self.used else rungs

    def _no_value(self, n: int) -> F32:
        return np.full((n,) if self._n_outputs == 1 else (n, self._n_outputs), np.nan, np.float32)


def share_features(models: Iterable[Model]) -> None:
    """Let the models of one xApp that want the same features build them once for each report."""
    built: dict[tuple[object, ...], FeatureBinder] = {}
    for model in models:
        card = model.card
        model.features = built.setdefault((card.features, card.period_ms, card.steps), model.features)
