"""Forecasts of several experts mixed into one, by weights that the experts' own errors set: regret matching with late truth.

The regret r of an expert in one round is sign(m - y) (m - x), of the mixture's forecast m, the expert's x and the truth y: how much
nearer to the truth the mixture would have come by going towards the expert. Weights are proportional to the positive parts of the
summed regrets R (Hart and Mas-Colell 2000, Econometrica 68). Nothing is to be tuned, and a change of the unit changes no weight.

A forecast for h seconds ahead is weighted by the regrets of all forecasts whose truth has come, so by those made h seconds ago or
earlier. Under this delay the algorithm is DORM with q = 2 and no hint (Flaspohler et al., Online Learning with Optimism and Delay,
ICML 2021, arXiv:2106.06885). Its regret bound, for every sequence of truths and experts whatsoever:

    sum |m - y|  <=  min over fixed mixtures of sum |mixture - y|  +  sqrt((2 h - 1) sum |r|^2),      |r|^2 = sum over experts of r^2

Proof. Absolute errors are convex, so the regret to any fixed mixture is at most the largest R. In one round the square of |R+|
grows by at most 2 <R+, r> + |r|^2. Weights are proportional to R+ as it was h - 1 truths before, and <weights, r> = 0; what R+ has
moved since costs at most the sum of 2 |r'| |r| <= |r'|^2 + |r|^2 over those truths. Each |r|^2 is so counted 2 h - 1 times.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


class Mixture:
    """Weights of experts for forecasts of one horizon.

    Args:
        n_experts: Number of experts, each of which gives a forecast in every round.
    """

    def __init__(self, n_experts: int) -> None:
        self._regrets = np.zeros(n_experts)

    @property
    def weights(self) -> F64:
        """The weight of each expert, shape [n_experts], summing to 1; equal where no expert has been better than the mixture."""
        positive = np.maximum(self._regrets, 0.0)
        total = positive.sum()
        return positive / total if total > 0 else np.full(len(positive), 1 / len(positive))

    def mix(self, experts: F64) -> tuple[float, float]:
        """The mixture's forecast, and the mean distance of the experts' forecasts from it, both by weight.

        Args:
            experts: Shape [n_experts].
        """
        weights = self.weights
        mixed = float(weights @ experts)
        return mixed, float(weights @ np.abs(experts - mixed))

    def learn(self, experts: F64, mixed: float, truth: float) -> None:
        """Take in the truth about a forecast, once for each forecast and in the order in which the forecasts were made."""
        if mixed > truth:
            self._regrets += mixed - experts
        elif mixed < truth:
            self._regrets += experts - mixed
