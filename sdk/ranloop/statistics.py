"""Paired comparisons over drops: mean differences, Student's intervals, Holm's levels for several claims, seeds needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

import numpy as np

__all__ = (
    "LEVEL",
    "Difference",
    "Pairs",
    "Shown",
    "holm_levels",
    "paired_difference",
    "pairs_needed",
    "t_quantile",
    "welch_difference",
)

LEVEL: Final = 0.95  # of an interval, and of all claims of one comparison together
MOST_PAIRS: Final = 10_000  # more than anybody runs


class Shown(IntEnum):
    """The verdict of an interval on a claim, from worse to better: false, undecided, true."""

    NO = 0
    UNDECIDED = 1
    YES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Mean of (new - old) over pairs, with its interval."""

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
        """The difference in another unit; a negative `factor` turns it round."""
        low, high = sorted((factor * self.low, factor * self.high))
        return Difference(mean=factor * self.mean, low=low, high=high, n=self.n)

    def __format__(self, spec: str) -> str:
        """Mean and interval, each number formatted by `spec`: `-0.7 [-3.2, +1.8]`."""
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Paired differences (new - old) in short: one pair per drop, never per UE.

    UEs of one drop share cells, interference and a scheduler, so they are not independent. Drops are.
    """

    mean: float
    sd: float  # with n - 1
    n: int

    @classmethod
    def of(cls, new: Sequence[float], old: Sequence[float]) -> Pairs:
        """Of two arms' values, in the same order of drops.

        Raises:
            ValueError: There are fewer than two pairs, or the lists have different lengths.
        """
        if len(new) != len(old) or len(new) < 2:
            raise ValueError(f"want at least two pairs, got {len(new)} and {len(old)} values")
        differences = np.asarray(new, np.float64) - np.asarray(old, np.float64)
        return cls(mean=float(differences.mean()), sd=float(differences.std(ddof=1)), n=len(differences))

    def turned(self) -> Pairs:
        """Old less new."""
        return Pairs(mean=-self.mean, sd=self.sd, n=self.n)

    def interval(self, low_tail: float = (1 - LEVEL) / 2, high_tail: float = (1 - LEVEL) / 2) -> Difference:
        """Student's interval for the mean; the two tails are the chances to lie beyond either end."""
        error = self.sd / self.n**0.5
        return Difference(
            mean=self.mean,
            low=self.mean - t_quantile(low_tail, self.n - 1) * error,
            high=self.mean + t_quantile(high_tail, self.n - 1) * error,
            n=self.n,
        )

    def tail_below(self, bound: float) -> float:
        """One-sided p: the chance of a mean at least this high if the true one is `bound`; 1 if it is no number."""
        if not self.mean > bound:
            return 1.0
        if not self.sd > 0:
            return 0.0
        return (1.0 - _inside((self.mean - bound) / (self.sd / self.n**0.5), self.n - 1)) / 2


def paired_difference(new: Sequence[float], old: Sequence[float]) -> Difference:
    """The 95 % interval of `Pairs.of(new, old)`.

    Raises:
        ValueError: There are fewer than two pairs, or the lists have different lengths.
    """
    return Pairs.of(new, old).interval()


def welch_difference(new: Sequence[float], old: Sequence[float], tail: float = (1 - LEVEL) / 2) -> Difference:
    """Welch's interval for the difference of two means, of values that are no pairs and spread differently.

    The degrees of freedom are those of Welch (1947, Biometrika 34) and Satterthwaite, rounded down.

    Args:
        new: Two or more.
        old: Two or more.
        tail: The chance to lie beyond either end.
    """
    a, b = (np.asarray(values, np.float64) for values in (new, old))
    of_a, of_b = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)  # squared errors of the means
    mean, n = float(a.mean() - b.mean()), min(len(a), len(b))
    if not of_a + of_b > 0:
        return Difference(mean=mean, low=mean, high=mean, n=n)
    df = (of_a + of_b) ** 2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    reach = t_quantile(tail, max(int(df), 1)) * float(of_a + of_b) ** 0.5
    return Difference(mean=mean, low=mean - reach, high=mean + reach, n=n)


def holm_levels(p: Sequence[float], alpha: float) -> list[float]:
    """The level at which Holm's step-down procedure tests each hypothesis; it rejects those with p at most that.

    The smallest of m values of p is tested at alpha / m, the next one at alpha / (m - 1) and so on. The first that is not
    rejected ends the procedure, and the level at which it was tested stands for all that follow. The chance of one or more
    wrong rejections is at most `alpha`, however the hypotheses depend on each other (Holm 1979, Scand. J. Statist. 6).
    """
    levels = [0.0] * len(p)
    level, ended = alpha, False
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        level = level if ended else alpha / (len(p) - rank)
        levels[i] = level
        ended = ended or p[i] > level
    return levels


def pairs_needed(distance: float, sd: float, tail: float, power: float = 0.8) -> int | None:
    """The number of pairs that would decide, with a chance of `power`, if mean and spread stay as they were seen.

    The smallest n with (t(tail, n - 1) + t(1 - power, n - 1)) * sd / sqrt(n) <= |distance|.

    Args:
        distance: Of the mean from the bound.
        sd: Of the differences.
        tail: One-sided level of the test.

    Returns:
        None if more than `MOST_PAIRS` are needed, or if an argument is no number.
    """

    def enough(n: int) -> bool:
        reach = t_quantile(tail, n - 1) + t_quantile(1 - power, n - 1)
        return bool(reach * sd / n**0.5 <= abs(distance))

    low, high = 1, 2  # one pair has no spread
    while not enough(high):
        if high >= MOST_PAIRS:
            return None
        low, high = high, min(2 * high, MOST_PAIRS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@lru_cache(maxsize=4096)
def t_quantile(tail: float, df: int) -> float:
    """The value that Student's t with `df` degrees of freedom exceeds with the probability `tail`, in (0, 0.5]."""
    if not (0.0 < tail <= 0.5 and df >= 1):
        raise ValueError(f"tail {tail:g} with {df} degrees of freedom: want (0, 0.5] and at least 1")
    low, high = 0.0, 1.0
    while (1.0 - _inside(high, df)) / 2 > tail:
        high *= 2.0
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if (1.0 - _inside(middle, df)) / 2 > tail else (low, middle)
    return (low + high) / 2


def _inside(t: float, df: int) -> float:
    """P(|T| <= t) of Student's t for whole degrees of freedom, Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / df**0.5)
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = df % 2
    k = np.arange(1 + odd, df + 1, 2)  # (df - 1) / 2 terms if df is odd, else df / 2
    terms = np.cumprod(np.concatenate([[cosine if odd else 1.0], cosine**2 * k[:-1] / (k[:-1] + 1)]))
    total = float(terms.sum()) if len(k) else 0.0
    return 2.0 / math.pi * (angle + sine * total) if odd else sine * total
