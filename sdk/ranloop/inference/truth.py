"""A model's error, where the truth becomes known later."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ("Errors",)

KEPT = 256  # notes that the recent error is of


class Errors:
    """Mean absolute errors of a model's outputs: of all that became known, and of the last `KEPT` notes.

    Attributes:
        n: Values that became known.
        sum: Of their absolute errors.
    """

    def __init__(self) -> None:
        self.n, self.sum = 0, 0.0
        self._recent: deque[tuple[int, float]] = deque(maxlen=KEPT)

    def note(self, predicted: ArrayLike, truth: ArrayLike) -> None:
        """Compare outputs with what came true; NaN on either side is left out.

        Raises:
            ValueError: The two have different shapes.
        """
        said, true = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
        if said.shape != true.shape:
            raise ValueError(
                f"predicted has shape {list(said.shape)}, truth {list(true.shape)}: want the same"
            )
        off: NDArray[np.float64] = np.abs(said - true)
        known = off[np.isfinite(off)]
        if known.size:
            self._recent.append((known.size, float(known.sum())))
            self.n += known.size
            self.sum += float(known.sum())

    @property
    def recent(self) -> float:
        """Mean absolute error of the last `KEPT` notes; NaN if there was none."""
        n = sum(size for size, _ in self._recent)
        return sum(part for _, part in self._recent) / n if n else float("nan")

    @property
    def overall(self) -> float:
        """Mean absolute error of all; NaN if there was none."""
        return self.sum / self.n if self.n else float("nan")
