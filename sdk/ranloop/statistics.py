"""Paired comparisons over drops: the mean difference and its 95 % confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

__all__ = ("Difference", "Shown", "paired_difference")

# Student's t, 97.5 % quantile, for 1 to 30 degrees of freedom; the tests hold it against SciPy's.
_T_975 = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)  # fmt: skip


class Shown(IntEnum):
    """The verdict of an interval on a claim, from worse to better: false, undecided, true."""

    NO = 0
    UNDECIDED = 1
    YES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Mean of (new - old) over pairs, with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int

    def above(self, bound: float) -> Shown:
        """Whether the interval shows a mean above `bound`."""
        if self.low > bound:
            return Shown.YES
        return Shown.NO if self.high <= bound else Shown.UNDECIDED

    def scaled(self, factor: float) -> Difference:
        """The difference in another unit; `factor` is above 0."""
        return Difference(mean=factor * self.mean, low=factor * self.low, high=factor * self.high, n=self.n)

    def __format__(self, spec: str) -> str:
        """Mean and interval, each number formatted by `spec`: `-0.7 [-3.2, +1.8]`."""
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def paired_difference(new: Sequence[float], old: Sequence[float]) -> Difference:
    """Student's interval for the mean of paired differences; one pair per drop, never per UE.

    UEs of one drop share cells, interference and a scheduler, so they are not independent. Drops are.

    Raises:
        ValueError: There are fewer than two pairs, or the lists have different lengths.
    """
    if len(new) != len(old) or len(new) < 2:
        raise ValueError(f"want at least two pairs, got {len(new)} and {len(old)} values")
    differences = np.asarray(new, np.float64) - np.asarray(old, np.float64)
    n = len(differences)
    mean = float(differences.mean())
    quantile = _T_975[n - 2] if n - 1 <= len(_T_975) else 1.96 + 2.5 / (n - 1)
    half = quantile * float(differences.std(ddof=1)) / n**0.5
    return Difference(mean=mean, low=mean - half, high=mean + half, n=n)
