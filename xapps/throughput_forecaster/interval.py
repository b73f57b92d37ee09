"""Intervals that hold the truth as often as they are meant to, whatever the truth does: adaptive conformal inference.

Gibbs and Candes, Adaptive Conformal Inference Under Distribution Shift, NeurIPS 2021, arXiv:2106.00170. The half-width is a quantile
of the scores of recent forecasts; the quantile's level moves by `STEP` after each forecast, down where the interval missed, up where it
held the truth. The score is the error less `SPREADS` times the spread of the experts, so that an interval is as wide as the experts
disagree, and narrow where they agree.

The share of misses among the first T truths is at most `MISS_SHARE` + (`MISS_SHARE` / `STEP` + h) / T for forecasts h seconds ahead. For
the level cannot fall below -`STEP` h: an interval at a level below 0 is unbounded, and of those made before, h at most are still open.
The paper's Proposition 4.1 is this with h = 1, and says the like of too few misses: they are at least `MISS_SHARE` less
((1 - `MISS_SHARE`) / `STEP` + h) / T, where the truth does not equal the forecast itself.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

MISS_SHARE = 0.1  # intervals of 90 %
STEP = 0.02
SPREADS = 2.0
N_SCORES = 300  # five minutes of forecasts


class Interval(NamedTuple):
    """A range that the throughput is expected in, kbit/s; `high` is infinite where too little is known."""

    low: float
    high: float


class AdaptiveInterval:
    """The intervals of one horizon."""

    def __init__(self) -> None:
        self._level = MISS_SHARE
        self._scores = np.full(N_SCORES, math.inf)  # a ring; what is not there yet is above any quantile
        self._n = 0

    def around(self, kbps: float, spread_kbps: float) -> Interval:
        """The interval around a forecast, not below zero."""
        half = max(0.0, SPREADS * spread_kbps + self._quantile())
        return Interval(max(0.0, kbps - half) if half < math.inf else 0.0, kbps + half)

    def learn(self, kbps: float, spread_kbps: float, interval: Interval, truth_kbps: float) -> None:
        """Take in the truth about a forecast and the interval that was given for it."""
        self._scores[self._n % N_SCORES] = abs(truth_kbps - kbps) - SPREADS * spread_kbps
        self._n += 1
        missed = not interval.low <= truth_kbps <= interval.high
        self._level += STEP * (MISS_SHARE - missed)

    def _quantile(self) -> float:
        """The smallest score that at least 1 - level of the scores do not exceed, one more than there are counted."""
        n = min(self._n, N_SCORES)
        rank = math.ceil((1 - self._level) * (n + 1))  # from 1
        if rank > n:
            return math.inf
        return float(np.partition(self._scores, rank - 1)[rank - 1]) if rank > 0 else -math.inf
