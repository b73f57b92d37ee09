"""The gate of a cascade: which rows the model here answers, and which go up.

A classifier is as sure of a row as its most probable class. Rows below a threshold go up. The threshold comes from rows that
the model was not trained on (`calibration.json` in its package), by one of two rules that hold for as many rows as there are,
if the rows to come are like those:

- *offload*: the share of rows that go up is at most b in expectation. With n rows the threshold is the k-th smallest confidence,
  k = floor((n + 1) b), because a new row is below it with probability of at most k / (n + 1).
- *wrong_here*: the share of all rows that are answered here and wrong is at most a in expectation: conformal risk control
  (Angelopoulos et al., arXiv 2208.02814, theorem 1) with the loss "kept and wrong", which falls as the threshold rises.

The rows of one drop are alike, so that a calibration of few drops is worth less than its number of rows says. A share of the
confident rows therefore goes up anyway, and `Watch` counts where the better model disagrees.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ranloop.errors import PlacementError
from ranloop.inference.package import CALIBRATION_FILE, calibration_bytes
from ranloop.wire.messages import F32

__all__ = (
    "Calibration",
    "Watch",
    "confidence_of",
    "read_calibration",
    "write_calibration",
)

MEAN_RUN = 1_000  # rows that the watch looks at between two false alarms, at least, in the mean
_Bits = NDArray[np.bool_]


def confidence_of(outputs: F32) -> NDArray[np.float32]:
    """Probability of the most probable class of each row, [n_rows]; 0 where there is none."""
    return np.asarray(np.nan_to_num(outputs).max(axis=1), np.float32)


class Calibration(BaseModel):
    """Rows that a model was not trained on.

    Attributes:
        confidence: Of the model, per row.
        right: Whether it was right.
        agrees: Whether the better model says the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    confidence: tuple[float, ...] = Field(min_length=20, max_length=100_000)
    right: tuple[bool, ...]
    agrees: tuple[bool, ...]

    @model_validator(mode="after")
    def _is_of_one_length(self) -> Calibration:
        lengths = len(self.confidence), len(self.right), len(self.agrees)
        if len(set(lengths)) > 1:
            raise ValueError(f"confidence, right and agrees have {lengths} rows; want as many in each")
        return self

    def threshold_of_offload(self, share: float) -> float:
        """The threshold below which at most this share of rows is."""
        ordered = np.sort(self.confidence)
        k = math.floor((len(ordered) + 1) * share)
        return float(ordered[k - 1]) if k else 0.0

    def threshold_of_wrong_here(self, share: float) -> float:
        """The least threshold with at most this share of rows kept here and wrong; above 1 if none will do."""
        order = np.argsort(self.confidence, kind="stable")
        confidence = np.asarray(self.confidence)[order]
        wrong = ~np.asarray(self.right)[order]
        n = len(order)
        # Wrong rows that are kept if the threshold is the confidence of row i: rows i and all after it.
        kept_wrong = np.cumsum(wrong[::-1])[::-1]
        first = np.searchsorted(confidence, confidence, side="left")  # rows of one confidence stay together
        good = (kept_wrong[first] + 1) / (n + 1) <= share
        return float(confidence[good.argmax()]) if good.any() else math.nextafter(1.0, 2.0)

    def disagreement(self, threshold: float) -> float:
        """Share of the rows from the threshold on where the better model says another class, with one row more than was seen."""
        kept = np.asarray(self.confidence) >= threshold
        return float((1 + np.count_nonzero(kept & ~np.asarray(self.agrees))) / (1 + np.count_nonzero(kept)))


def read_calibration(folder: Path) -> Calibration:
    """The calibration of a model package.

    Raises:
        PlacementError: There is none, or it is wrong; one line.
        ModelError: It cannot be read, or is too large.
    """
    path, content = folder / CALIBRATION_FILE, calibration_bytes(folder)
    if content is None:
        raise PlacementError(
            f"{path}: a cascade needs one; `write_calibration` of ranloop.placement.gate makes it of held-out rows"
        )
    try:
        return Calibration.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "document"
        raise PlacementError(f"{path}: {where}: {first['msg']}") from error


def write_calibration(folder: Path, *, confidence: ArrayLike, right: ArrayLike, agrees: ArrayLike) -> None:
    """Write the calibration of a model package; each argument has an entry per held-out row.

    Raises:
        ValidationError: There are fewer than 20 rows, or the arguments have other lengths.
    """
    made = Calibration(
        confidence=tuple(round(float(value), 6) for value in np.asarray(confidence)),
        right=tuple(bool(value) for value in np.asarray(right)),
        agrees=tuple(bool(value) for value in np.asarray(agrees)),
    )
    bits = {"right": [*map(int, made.right)], "agrees": [*map(int, made.agrees)]}
    text = json.dumps({"confidence": made.confidence, **bits}, separators=(",", ":"))
    (folder / CALIBRATION_FILE).write_text(text + "\n", "utf-8")


class Watch:
    """Whether confident rows that go up anyway are still answered alike, as often as in the calibration.

    Each row is a bet against "the share of disagreement is at most p": the stake grows by 1 + k (1 - p) if the models disagree and
    shrinks by 1 - k p if not, and it is never below 1. As long as the share is at most p, an alarm comes once in `MEAN_RUN` rows
    at most, in the mean: the e-CUSUM procedure of Shin, Ramdas and Rinaldo, "E-detectors", arXiv 2203.03532.

    Args:
        share: p.

    Attributes:
        n: Rows so far.
        n_disagreeing: Rows of them where the better model says another class.
        alarm: Whether the stake has reached `MEAN_RUN`; it stays.
    """

    def __init__(self, share: float) -> None:
        self.share = min(share, 0.999)
        self.n = self.n_disagreeing = 0
        self.alarm = False
        self._stake = 1.0
        doubled = min(2 * self.share, (1 + self.share) / 2)  # the share that the bet is made for
        self._bet = (doubled - self.share) / (self.share * (1 - self.share))

    def take(self, agrees: _Bits) -> None:
        """Look at rows in their order."""
        for same in agrees.tolist():
            self.n += 1
            self.n_disagreeing += not same
            gain = 1 - self._bet * self.share if same else 1 + self._bet * (1 - self.share)
            self._stake = max(self._stake, 1.0) * gain
            self.alarm |= self._stake >= MEAN_RUN
