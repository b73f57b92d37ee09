"""Judges two claims together by paired differences: best effort gets more, and as many users are satisfied.

"As many" needs a margin that is stated before the drops are run. A difference that is not found proves nothing, because few
or noisy drops never show one. The claim holds if the 95 % interval of best effort lies above 0 and the interval of
satisfied users lies above minus the margin. It is refuted if one of the two intervals lies below its bound. Otherwise it is
not decided, and the sentence says so. Both must hold, so neither interval is wider than that of one claim alone. Several
loads are not corrected for: each judged load is a claim of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ranloop.claims import parse_claim
from ranloop.statistics import Difference, Shown, paired_difference

__all__ = ("AS_MANY_SATISFIED", "MARGIN_PCT", "MORE_BEST_EFFORT", "Judgement")

# This is a choice, not a figure of a standard. An operator would not act on two users of a hundred, and one step of the tuned
# class weights (4 to 16) moves more. The margin must stand before the drops that it judges are run.
MARGIN_PCT: Final = 2.0  # of the delay-bound users that are judged
MORE_BEST_EFFORT: Final = parse_claim("best_effort_mbps more")
AS_MANY_SATISFIED: Final = parse_claim(f"satisfied at most {MARGIN_PCT:g}% of users less")

_HEADS = {Shown.YES: "Gain", Shown.UNDECIDED: "No gain shown", Shown.NO: "No gain"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One arm against its baseline on the same drops.

    Attributes:
        satisfied: Satisfied users, new less old, per drop.
        best_effort: Best-effort throughput in Mb/s, new less old, per drop.
        users: Delay-bound users that are judged in a drop, mean.
        best_effort_mbps: Of the baseline, mean over drops.
    """

    satisfied: Difference
    best_effort: Difference
    users: float
    best_effort_mbps: float

    @classmethod
    def of(cls, old: Mapping[str, Sequence[float]], new: Mapping[str, Sequence[float]]) -> Judgement:
        """Of two arms' scores, name -> one value per drop, in the same order of drops.

        Raises:
            ValueError: Fewer than two drops, or not the same number of them.
        """
        return cls(
            satisfied=_difference(AS_MANY_SATISFIED.kpi, new, old),
            best_effort=_difference(MORE_BEST_EFFORT.kpi, new, old),
            users=float(np.mean(old[AS_MANY_SATISFIED.percent_of])),
            best_effort_mbps=float(np.mean(old[MORE_BEST_EFFORT.kpi])),
        )

    @property
    def margin(self) -> float:
        """The number of fewer satisfied users that still counts as "as many"."""
        return -AS_MANY_SATISFIED.bound(self.users) if self.users else 0.0

    @property
    def as_many_satisfied(self) -> Shown:
        """Whether satisfied users are fewer by less than the margin."""
        return AS_MANY_SATISFIED.shown(self.satisfied, AS_MANY_SATISFIED.bound(self.users))

    @property
    def more_best_effort(self) -> Shown:
        """Whether best effort gets more."""
        return MORE_BEST_EFFORT.shown(self.best_effort, 0.0)

    @property
    def gain(self) -> Shown:
        """Whether both hold."""
        return min(self.as_many_satisfied, self.more_best_effort)

    def __str__(self) -> str:
        return f"{_HEADS[self.gain]}: {self._of_best_effort()}; {self._of_users()}."

    def _of_best_effort(self) -> str:
        words = {
            Shown.YES: "best effort gets more",
            Shown.UNDECIDED: f"whether best effort gets more is not decided by {self.best_effort.n} drops",
            Shown.NO: "best effort gets no more",
        }
        scale, unit = (100 / self.best_effort_mbps, "%") if self.best_effort_mbps else (1.0, "Mb/s")
        return f"{words[self.more_best_effort]}, {self.best_effort.scaled(scale):+.0f} {unit}"

    def _of_users(self) -> str:
        if not self.users:
            return "no delay-bound user was there to be judged"
        change, by_drops = self.satisfied, f"is not decided by {self.satisfied.n} drops"
        if change.high < 0:
            words = {
                Shown.YES: "fewer users are satisfied, but by less than the margin",
                Shown.UNDECIDED: f"fewer users are satisfied, and whether by less than the margin {by_drops}",
                Shown.NO: "fewer users are satisfied",
            }
        else:
            words = {
                Shown.YES: "more users are satisfied" if change.low > 0 else "as many users are satisfied",
                Shown.UNDECIDED: f"whether as many users are satisfied {by_drops}",
            }
        return f"{words[self.as_many_satisfied]}, {change:+.1f}, margin {self.margin:.1f}"


def _difference(
    key: str, new: Mapping[str, Sequence[float]], old: Mapping[str, Sequence[float]]
) -> Difference:
    return paired_difference(new[key], old[key])
