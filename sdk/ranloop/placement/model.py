"""A model with a placement: the xApp calls it as any other, and each answer knows where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranloop.inference import FeatureBinder, Late, Model
from ranloop.inference.evidence import Call, evidence
from ranloop.placement.predictor import PlacedPredictor
from ranloop.vocabulary import Action
from ranloop.wire.asked import Asked
from ranloop.wire.inference import Inference
from ranloop.wire.messages import F32, Report

__all__ = ("PlacedModel",)


class PlacedModel(Model):
    """A model of this place whose answers may come from a better one, which tiers above compute.

    Args:
        here: The model of this place.
        placed: Finds the answers.
    """

    def __init__(self, here: Model, placed: PlacedPredictor) -> None:
        super().__init__(here.card, placed)
        self._placed = placed
        self._broken_promise = ""
        mine, above = here.card, placed.better
        shared = (mine.features, mine.steps) == (above.features, above.steps)
        self._features_above = None if shared else FeatureBinder(above)

    @property
    def tag(self) -> str:
        """The tag of the model that answered last."""
        return self._placed.answered_by

    @property
    def elsewhere_ns(self) -> int:
        """See `Model`; `wait_ms` bounds it."""
        return self._placed.elsewhere_ns

    def ask(
        self, report: Report, extra: Mapping[str, ArrayLike] | None = None, *, within_ms: int | None = None
    ) -> F32 | Late:
        """See `Model.ask`."""
        above = None if self._features_above is None else self._features_above.matrix(report, extra)
        with self._placed.about(report, above):
            return super().ask(report, extra, within_ms=within_ms)

    def begin(self) -> None:
        """See `Model.begin`."""
        super().begin()
        self._placed.forget()

    def evidence(self, call: Call, action: Action, of_interest: NDArray[np.intp]) -> Asked:
        """See `Model.evidence`. An answer from above is told with the card and the inputs of the better model.

        Where it is so only for some rows, or an earlier answer stands in, no one card and no inputs are those of all rows: they are
        left out.
        """
        if self.tag == self.tag_of(self.card):
            return super().evidence(call, action, of_interest)
        tag, matrix = self.own_tags()[-1], self._placed.matrix_above
        if matrix is not None:
            above = call._replace(matrix=matrix)
            return evidence(tag, self._placed.better, above, None, action, of_interest)
        told = evidence(tag, self.card, call, None, action, of_interest)
        return replace(told, version="", features=(), inputs=())

    @property
    def broken_promise(self) -> str:
        """In words, that the rows that stay here are no longer like those of the calibration; "" as long as they are.

        The words stay as they were at first: an alarm is not news again with each report.
        """
        watch = self._placed.sieve.watch
        if watch is not None and watch.alarm and not self._broken_promise:
            self._broken_promise = (
                f"of {watch.n} confident rows {watch.n_disagreeing} were answered otherwise by {self._placed.better.name}; "
                f"the calibration expects {watch.share:.1%}: calibrate {self.card.name} anew"
            )
        return self._broken_promise

    def take_told(self) -> tuple[Inference, ...]:
        """Where the answers came from since the last call."""
        told, self._placed.told = tuple(self._placed.told), []
        return told
