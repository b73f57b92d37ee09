"""A model: its card, the features that the card asks for, and the predictor that computes it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import numpy as np
import structlog
from numpy.typing import ArrayLike

from ranloop.durations import Durations
from ranloop.errors import ModelError
from ranloop.inference.card import Card
from ranloop.inference.features import FeatureBinder
from ranloop.inference.predictor import Late, Predictor
from ranloop.wire.messages import F32, FOR_EVER_NS, Report

__all__ = ("Model", "share_features")

log = structlog.get_logger(__name__)


class Model:
    """Callable on reports; one per xApp instance, because its features remember their history.

    Attributes:
        card: Its inputs and outputs.
        features: Builds the matrix of a report.
        predictor: Where the model is computed; may be put in place of another before the first report.
        took: How long the calls took that were answered, by the wall clock.
        n_late: Number of answers that were not there by their deadline.
        n_failed: Number of calls that raised.
        used: Whether there was an answer since this was last set to False; for the audit log.
    """

    def __init__(self, card: Card, predictor: Predictor) -> None:
        self.card = card
        self.features = FeatureBinder(card)
        self.predictor = predictor
        self.took = Durations()
        self.n_late = self.n_failed = 0
        self.used = False
        low = np.array([output.low for output in card.outputs], np.float32)
        high = np.array([output.high for output in card.outputs], np.float32)
        self._bounded = bool(np.isfinite(low).any() or np.isfinite(high).any())
        self._n_outputs = len(card.outputs)
        # A single output is a column of its own, and a number is compared faster than an array of one.
        self._low: F32 | np.float32 = low if self._n_outputs > 1 else low[0]
        self._high: F32 | np.float32 = high if self._n_outputs > 1 else high[0]

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

        NaN, as for a measurement without a value, where the predictor has no answer within the report's period.

        Raises:
            ModelError: The report or `extra` lacks something that the card asks for.
        """
        answer = self.ask(report, extra)
        return self._no_value(len(report)) if isinstance(answer, Late) else answer

    def ask(
        self, report: Report, extra: Mapping[str, ArrayLike] | None = None, *, within_ms: int | None = None
    ) -> F32 | Late:
        """As a call, but a late answer is said to be one.

        Args:
            report: Any of the streams that carry the card's measurements.
            extra: Values of the card's named features.
            within_ms: RAN time after the report in which the answer is of use; default: one report period.
        """
        matrix = self.features.matrix(report, extra)
        patience_ns = (report.period_ms if within_ms is None else within_ms) * 1_000_000
        return self._answer(matrix, report.ran_time_ns, report.ran_time_ns + patience_ns)

    def predict(self, matrix: F32) -> F32:
        """Outputs for a ready matrix in the card's column order, however late."""
        answer = self._answer(matrix, 0, FOR_EVER_NS)
        return self._no_value(len(matrix)) if isinstance(answer, Late) else answer

    def _answer(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        n = len(matrix)
        if not n:
            return self._no_value(0)
        if matrix.dtype != np.float32 or not matrix.flags.c_contiguous:
            matrix = np.ascontiguousarray(matrix, np.float32)
        began_ns = time.perf_counter_ns()
        try:
            out = self.predictor.predict(matrix, asked_ns, deadline_ns)
        except ModelError:
            self.n_failed += 1
            raise
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
        self.took.add(time.perf_counter_ns() - began_ns)
        self.used = True
        if self._n_outputs == 1:
            out = out[:, 0]
        if self._bounded:
            out = np.minimum(np.maximum(out, self._low), self._high)  # half the time of np.clip
        return out

    def _no_value(self, n: int) -> F32:
        return np.full((n,) if self._n_outputs == 1 else (n, self._n_outputs), np.nan, np.float32)


def share_features(models: Iterable[Model]) -> None:
    """Let the models of one xApp that want the same features build them once for each report."""
    built: dict[tuple[object, ...], FeatureBinder] = {}
    for model in models:
        card = model.card
        model.features = built.setdefault((card.features, card.period_ms, card.steps), model.features)
