"""Claims about one arm against another, stated before the drops are run, and the verdict of paired differences on each.

    best_effort_mbps more                 the mean difference is above 0
    best_effort_mbps at least 5% more     … above 5 % of the first arm's mean
    satisfied at most 2% of users less    … above minus 2 % of the first arm's mean of another KPI, `users`
    delay_ms.gaming at most 1 more        … below 1, in the KPI's unit
    energy_kwh less                       … below 0

"At most … less" states a margin: a loss that would not matter. It is needed because a difference that is not found proves
nothing: few or noisy drops never show one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from ranloop.errors import RanloopError
from ranloop.kpi import Kpi
from ranloop.statistics import LEVEL, Difference, Pairs, Shown, holm_levels, pairs_needed

__all__ = ("Claim", "ClaimError", "Verdict", "judge", "parse_claim")

Scores = Sequence[Mapping[str, float]]  # of one arm, one per drop

_CLAIM: Final = re.compile(
    r"(?P<kpi>\S+)"
    r"(?:\s+at\s+(?P<limit>most|least)\s+(?P<amount>[^\s%]+)\s*(?P<percent>%(?:\s+of\s+(?P<of>\S+))?)?)?"
    r"\s+(?P<way>more|less)"
)
FORMS: Final = '"KPI more", "KPI less", "KPI at least 5% more" or, with a margin that would not matter, "KPI at most 2% less"'


class ClaimError(RanloopError):
    """A claim that cannot be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A bound on the mean difference of one KPI, second arm less first.

    Attributes:
        kpi: Key of the score.
        sign: 1 if the difference is to lie above the bound, -1 if below.
        amount: The bound in the direction of `sign`: 0, or above 0 ("at least"), or below 0 ("at most": a margin).
        percent_of: "" if `amount` is in the KPI's unit, else the key of which it is a percentage, by the first arm's mean.
        text: As it was stated.
    """

    kpi: str
    sign: Literal[1, -1]
    amount: float = 0.0
    percent_of: str = ""
    text: str

    @property
    def is_margin(self) -> bool:
        """Whether it allows a loss."""
        return self.amount < 0

    def bound(self, mean: float) -> float:
        """The bound in the KPI's unit, times `sign`, where `mean` is the first arm's of `percent_of`; NaN if there is none.

        A percentage of nothing is no margin.
        """
        if not self.percent_of:
            return self.amount
        return self.amount / 100 * abs(mean) if mean else math.nan

    def shown(self, difference: Difference, bound: float) -> Shown:
        """The verdict of an interval; undecided if there is no number."""
        if math.isnan(bound) or math.isnan(difference.mean):
            return Shown.UNDECIDED
        return difference.scaled(self.sign).above(bound)


def parse_claim(text: str) -> Claim:
    """A claim as the module's page spells it.

    Raises:
        ClaimError: It is spelled otherwise, or an amount is no number above 0.
    """
    found = _CLAIM.fullmatch(text.strip())
    if found is None:
        raise ClaimError(f"claim {text!r}: want {FORMS}")
    more, amount = found["way"] == "more", 0.0
    if found["amount"] is not None:
        try:
            amount = float(found["amount"])
        except ValueError:
            amount = math.nan
        if not 0 < amount < math.inf:
            raise ClaimError(
                f"claim {text!r}: {found['amount']} is no number above 0; the word {found['way']!r} tells the direction"
            )
    margin = found["limit"] == "most"
    return Claim(
        kpi=found["kpi"],
        sign=1 if more != margin else -1,
        amount=-amount if margin else amount,
        percent_of=(found["of"] or found["kpi"]) if found["percent"] else "",
        text=" ".join(text.split()),
    )


def check_direction(claim: Claim, kpi: Kpi) -> None:
    """Refuse a claim of what is worse.

    Raises:
        ClaimError: The KPI is better the other way.
    """
    if kpi.better == "neither" or (kpi.better == "higher") == (claim.sign > 0):
        return
    more, less = ("more", "less") if kpi.better == "higher" else ("less", "more")
    raise ClaimError(
        f'claim "{claim.text}": {kpi.better} {claim.kpi} is better, so this claims a loss; want "{claim.kpi} {more}", or a '
        f'margin: "{claim.kpi} at most 2% {less}"'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on one claim.

    Attributes:
        claim: The claim.
        shown: Whether it holds.
        difference: Second arm less first, with the interval that the verdict rests on.
        bound: What the difference is compared with, in the KPI's unit; NaN if there is none.
        tails: The chances to lie below and above the interval; each from its own step of Holm's procedure.
        seeds: Where undecided, the seeds that would decide; None if no number can be given.
        missing: Drops without a value in one of the arms; with one or more nothing is decided.
    """

    claim: Claim
    shown: Shown
    difference: Difference
    bound: float
    tails: tuple[float, float]
    seeds: int | None
    missing: int = 0

    @property
    def word(self) -> str:
        """The verdict in a word or a few."""
        if self.shown is Shown.UNDECIDED:
            return "undecided"
        if self.shown is Shown.YES:
            return "no worse than the margin" if self.claim.is_margin else "gain"
        return "harm" if self.difference.scaled(self.claim.sign).high < 0 else "no such gain"


def judge(claims: Sequence[Claim], old: Scores, new: Scores) -> list[Verdict]:
    """The verdicts on claims that are all made of the same drops, in their order.

    Each claim has two hypotheses that could be wrongly rejected: that it is false, and that it is true. Holm's procedure
    is done once over the first of all claims and once over the second, each at (1 - LEVEL) / 2. So the chance that one
    or more of the claims is wrongly shown or wrongly refuted is at most 5 %. With one claim this is its 95 % interval.

    Raises:
        ValueError: Fewer than two drops, or not the same number of them.
    """
    pairs = [_pairs(claim.kpi, old, new) for claim in claims]
    bounds = [claim.bound(_mean(claim.percent_of, old)) for claim in claims]
    towards = [pair if claim.sign > 0 else pair.turned() for claim, pair in zip(claims, pairs, strict=True)]
    alpha = (1 - LEVEL) / 2
    for_it = holm_levels([p.tail_below(b) for p, b in zip(towards, bounds, strict=True)], alpha)
    against = holm_levels([p.turned().tail_below(-b) for p, b in zip(towards, bounds, strict=True)], alpha)
    verdicts = []
    for claim, pair, bound, yes, no in zip(claims, pairs, bounds, for_it, against, strict=True):
        tails = (yes, no) if claim.sign > 0 else (no, yes)
        difference = pair.interval(*tails)
        shown = claim.shown(difference, bound)
        undecided = shown is Shown.UNDECIDED
        distance = claim.sign * pair.mean - bound
        verdicts.append(
            Verdict(
                claim=claim,
                shown=shown,
                difference=difference,
                bound=claim.sign * bound + 0.0,  # no minus zero
                tails=tails,
                seeds=pairs_needed(distance, pair.sd, yes if distance > 0 else no) if undecided else None,
                missing=_missing(claim.kpi, old, new),
            )
        )
    return verdicts


def _pairs(key: str, old: Scores, new: Scores) -> Pairs:
    return Pairs.of([score[key] for score in new], [score[key] for score in old])


def _mean(key: str, scores: Scores) -> float:
    return float(np.mean([score[key] for score in scores])) if key else 0.0


def _missing(key: str, old: Scores, new: Scores) -> int:
    return sum(math.isnan(a[key] - b[key]) for a, b in zip(old, new, strict=True))
