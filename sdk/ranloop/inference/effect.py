"""A KPI of the targets for which a candidate answers, against that of the others, while both run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ranloop.claims import Claim
from ranloop.statistics import LEVEL, Shown, welch_difference
from ranloop.wire.messages import Report

__all__ = ("KpiEffect",)

FIRST_LOOK: Final = 100  # reports; each further look comes after twice as many
LEAST_VALUES, LEAST_SIDE = 10, 5  # of a target that counts; targets of a side
MOST_TARGETS: Final = 10_000  # those that come later don't count


class KpiEffect:
    """Holds a claim about a KPI against two sides of a network, drawn by a hash of their targets.

    Each target is one value, its mean so far, however many reports it was in: reports of one target are alike. Since the sides were
    drawn, they differ by chance and by the candidate only, and Welch's interval says how much is chance. The first look comes
    after 100 reports, the next after 200, 400 and so on, the k-th at a level of 5 % / 2^k: a claim that holds is refuted by any
    of the looks with a chance of at most 5 %.

    The two sides share cells. What a candidate takes from the others of a cell counts as its gain, and twice: `ranloop compare`
    has worlds in which nobody else pays.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self._n_reports, self._next_look, self._tail = 0, FIRST_LOOK, (1 - LEVEL) / 2
        self._sums: dict[
            tuple[str, int], list[float]
        ] = {}  # of a target: whether the candidate's, sum, number

    def take(self, report: Report, ids: NDArray[np.int32], mine: NDArray[np.bool_]) -> str:
        """Count a report.

        Args:
            report: What the model read.
            ids: Target of each row.
            mine: Whether the candidate answers for it.

        Returns:
            Why the candidate has to go; "" if nothing speaks against it.
        """
        kpi = self.claim.kpi
        if kpi not in report:
            return f"nobody can tell about {kpi}: the reports that its model reads have {', '.join(report.names)}"
        for target, side, value in zip(ids.tolist(), mine.tolist(), report[kpi].tolist(), strict=True):
            key = report.node, target
            if math.isfinite(value) and (key in self._sums or len(self._sums) < MOST_TARGETS):
                sums = self._sums.setdefault(key, [side, 0.0, 0])
                sums[1] += value
                sums[2] += 1
        self._n_reports += 1
        if self._n_reports < self._next_look:
            return ""
        self._next_look *= 2
        self._tail /= 2
        return self._refuted()

    def _refuted(self) -> str:
        its, others = (self._means(side) for side in (True, False))
        if min(len(its), len(others)) < LEAST_SIDE:
            return ""
        difference = welch_difference(its, others, self._tail)
        if self.claim.shown(difference, self.claim.bound(float(np.mean(others)))) is not Shown.NO:
            return ""
        return (
            f"not {self.claim.text!r}: {np.mean(its):.4g} on its {len(its)} targets, {np.mean(others):.4g} on the other "
            f"{len(others)}, a difference of {difference:+.3g}"
        )

    def _means(self, side: bool) -> Sequence[float]:
        return [total / n for its, total, n in self._sums.values() if its == side and n >= LEAST_VALUES]
