"""The table of a comparison: every KPI of two arms on the same drops, with the 95 % interval of the mean difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranloop.kpi import Kpi
from ranloop.statistics import Difference, Pairs

__all__ = ("Row", "table")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One KPI.

    Attributes:
        kpi: Its meaning.
        old: Mean of the first arm over the drops that count; NaN if there is none.
        new: Of the second arm.
        difference: Second less first; None with fewer than two drops that count.
        n: The drops that count: those with a value in both arms.
    """

    kpi: Kpi
    old: float
    new: float
    difference: Difference | None
    n: int

    @property
    def reading(self) -> str:
        """The 95 % interval in a word, of this KPI alone."""
        if self.difference is None:
            return "no value"
        if self.difference.low == self.difference.high == 0.0:
            return "the same"
        if self.difference.low > 0.0:
            return "higher"
        return "lower" if self.difference.high < 0.0 else "not decided"

    @property
    def effect(self) -> str:
        """ "better" or "worse" where the reading says so, else ""."""
        if self.kpi.better == "neither" or self.reading not in ("higher", "lower"):
            return ""
        return "better" if self.reading == self.kpi.better else "worse"


def table(
    kpis: Sequence[Kpi], old: Sequence[Mapping[str, float]], new: Sequence[Mapping[str, float]]
) -> list[Row]:
    """A row per KPI, of two arms' scores in the same order of drops."""
    return [_row(kpi, old, new) for kpi in kpis]


def _row(kpi: Kpi, old: Sequence[Mapping[str, float]], new: Sequence[Mapping[str, float]]) -> Row:
    both = [(a[kpi.key], b[kpi.key]) for a, b in zip(old, new, strict=True)]
    pairs = np.array([pair for pair in both if not math.isnan(sum(pair))]).reshape(-1, 2)
    n = len(pairs)
    means = pairs.mean(axis=0) if n else np.full(2, np.nan)
    return Row(
        kpi=kpi,
        old=float(means[0]),
        new=float(means[1]),
        difference=Pairs.of(pairs[:, 1].tolist(), pairs[:, 0].tolist()).interval() if n > 1 else None,
        n=n,
    )
