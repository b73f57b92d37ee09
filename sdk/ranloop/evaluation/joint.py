"""What drops say of all acting xApps on one network at once, and of each one in trouble; plain values, kept beside the page as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from ranloop.comparison import table
from ranloop.conduct import Conduct, Refusal
from ranloop.evaluate import DropResult
from ranloop.evaluation.result import Change, judged_place
from ranloop.evaluation.together import TogetherPlan
from ranloop.kpi import Kpi, by_key
from ranloop.node.mishaps import MishapKind
from ranloop.statistics import paired_difference

__all__ = (
    "PROMISED_LEASES",
    "FailSafe",
    "Figure",
    "Joint",
    "Oscillation",
    "Together",
    "Trial",
    "judge_fail_safe",
    "judge_joint",
)

TrialVerdict = Literal["safe", "undecided", "fails"]
# Within how many leases all settings are at their default. Reports that come in time and repeat themselves have to be noticed
# first. Values that could be real ones are no trouble that an xApp could notice: what they do is bounded by its ranges alone.
PROMISED_LEASES: Final[Mapping[MishapKind, int]] = {
    "killed": 1,
    "missing": 1,
    "stale": 1,
    "absurd": 1,
    "constant": 2,
}


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Figure(_Plain):
    """A KPI's means over drops, by arm, and all together less nothing with its 95 % interval."""

    kpi: str
    unit: str
    digits: int
    means: tuple[float, ...]
    difference: float
    low: float
    high: float
    reads: str


class Oscillation(_Plain):
    """Means over drops of one xApp's changes and reversals, alone and together; the difference with its 95 % interval."""

    xapp: str
    changes_alone: float
    changes_together: float
    reversals_alone: float
    reversals_together: float
    difference: float
    low: float
    high: float


class Joint(_Plain):
    """All xApps on one network.

    Attributes:
        arms: Nothing, each xApp, together.
        best: By claim, the single xApp with the best mean.
        claims: Together over these.
        pairs: (xApp that changed a setting, the one that turned it back, mean number a drop), of all together.
        refusals: Of all together, with the number of all drops.
    """

    world: str
    n: int
    measured_s: float
    arms: tuple[str, ...]
    figures: tuple[Figure, ...]
    best: tuple[str, ...]
    claims: tuple[Change, ...]
    reversal_s: float
    oscillations: tuple[Oscillation, ...]
    pairs: tuple[tuple[str, str, float], ...]
    refusals: tuple[Refusal, ...]


class Trial(_Plain):
    """One xApp in one mishap.

    Attributes:
        n_away: Settings that were not at their default when it began, mean over drops.
        lease_s: The longest lease that was asked for.
        back_s: Until all were at their default for good, in the slowest drop; infinity if one was not at the end.
        claims: Over the network in which nothing runs.
    """

    xapp: str
    mishap: MishapKind
    n_away: float
    lease_s: float
    back_s: float
    claims: tuple[Change, ...]

    @property
    def within_s(self) -> float:
        """When all settings are to be at their default; infinity where nothing is promised."""
        return self.lease_s * PROMISED_LEASES.get(self.mishap, math.inf) if self.lease_s else 0.0

    @property
    def verdict(self) -> TrialVerdict:
        """ "safe" if they are and every claim is shown, "fails" if they are not or a claim is refuted, else "undecided"."""
        shown = [change.shown for change in self.claims]
        if self.back_s > self.within_s or "no" in shown:
            return "fails"
        return "undecided" if "undecided" in shown else "safe"


class FailSafe(_Plain):
    """All xApps in all mishaps."""

    world: str
    n: int
    begins_s: float
    measured_s: float
    trials: tuple[Trial, ...]


class Together(_Plain):
    """All of it, kept beside the page as JSON."""

    joint: Joint
    fail_safe: FailSafe


def judge_joint(plan: TogetherPlan, kpis: Sequence[Kpi], results: Sequence[Sequence[DropResult]]) -> Joint:
    """What the drops say of all together; results by arm, in the order of `plan.joint_arms`."""
    known = by_key(kpis)
    scores = [[result.score for result in of_arm] for of_arm in results]
    nothing, *alone, together = scores
    best = [
        max(range(len(alone)), key=lambda i: claim.sign * _mean(alone[i], claim.kpi)) for claim in plan.claims
    ]
    # Each KPI that is claimed as the best single xApp has it; what percentages are of, as the first one has it.
    of_the_best = [
        {
            **alone[0][drop],
            **{claim.kpi: alone[i][drop][claim.kpi] for claim, i in zip(plan.claims, best, strict=True)},
        }
        for drop in range(len(nothing))
    ]
    place = judged_place("held_out", "", plan.claims, (), kpis, [of_the_best, together, nothing])
    chosen = [known[key] for key in dict.fromkeys([*(claim.kpi for claim in plan.claims), *plan.costs])]
    rows = table(chosen, nothing, together)
    conducts = [[_conduct(result) for result in of_arm] for of_arm in results]
    n = len(nothing)
    pairs: dict[tuple[str, str], int] = {}
    refusals: dict[tuple[str, str, str, str], Refusal] = {}
    for conduct in conducts[-1]:
        for first, second, number in conduct.reversals:
            pairs[first, second] = pairs.get((first, second), 0) + number
        for one in conduct.refusals:
            key = one.xapp, one.action, one.cause, one.because_of
            before = refusals.get(key)
            refusals[key] = replace(before, n=before.n + one.n) if before else one
    return Joint(
        world=plan.joint.worlds[0].name,
        n=n,
        measured_s=plan.joint.measured_s,
        arms=tuple(arm.name[2:] for arm in plan.joint_arms),
        figures=tuple(
            Figure(
                kpi=row.kpi.label,
                unit=row.kpi.unit,
                digits=row.kpi.digits,
                means=tuple(_mean(of_arm, row.kpi.key) for of_arm in scores),
                difference=row.difference.mean if row.difference else math.nan,
                low=row.difference.low if row.difference else math.nan,
                high=row.difference.high if row.difference else math.nan,
                reads=": ".join(filter(None, (row.reading, row.effect))),
            )
            for row in rows
        ),
        best=tuple(plan.xapps[i] for i in best),
        claims=place.claims,
        reversal_s=plan.reversal_s,
        oscillations=tuple(
            _oscillation(name, of_it, conducts[-1])
            for name, of_it in zip(plan.xapps, conducts[1:-1], strict=True)
        ),
        pairs=tuple((*pair, number / n) for pair, number in sorted(pairs.items())),
        refusals=tuple(refusals[key] for key in sorted(refusals)),
    )


def judge_fail_safe(
    plan: TogetherPlan, kpis: Sequence[Kpi], results: Sequence[Sequence[DropResult]]
) -> FailSafe:
    """What the drops say of each xApp in trouble; results by arm, in the order of `plan.trial_arms`."""
    nothing = [result.score for result in results[0]]

    def trial(xapp: str, mishap: MishapKind, of_arm: Sequence[DropResult]) -> Trial:
        conducts = [_conduct(result) for result in of_arm]
        scores = [nothing, [result.score for result in of_arm]]
        place = judged_place("held_out", "", plan.fail_safe_claims, (), kpis, scores)
        return Trial(
            xapp=xapp,
            mishap=mishap,
            n_away=sum(conduct.n_away for conduct in conducts) / len(conducts),
            lease_s=max(conduct.lease_s for conduct in conducts),
            back_s=max(conduct.back_s for conduct in conducts),
            claims=place.claims,
        )

    return FailSafe(
        world=plan.fail_safe.worlds[0].name,
        n=len(nothing),
        begins_s=plan.fail_safe.warmup_s,
        measured_s=plan.fail_safe.measured_s,
        trials=tuple(trial(*which, of_arm) for which, of_arm in zip(plan.trials, results[1:], strict=True)),
    )


def _conduct(result: DropResult) -> Conduct:
    if result.conduct is None:
        raise ValueError(f"drop {result.seed} of {result.arm} was run without `Task.observe`")
    return result.conduct


def _oscillation(xapp: str, alone: Sequence[Conduct], together: Sequence[Conduct]) -> Oscillation:
    """Reversals of an xApp are those by which it turned back a setting, its own or another's."""
    changes = [[conduct.changes.get(xapp, 0) for conduct in arm] for arm in (alone, together)]
    reversals = [
        [float(sum(n for _, second, n in conduct.reversals if second == xapp)) for conduct in arm]
        for arm in (alone, together)
    ]
    difference = paired_difference(reversals[1], reversals[0])
    return Oscillation(
        xapp=xapp,
        changes_alone=float(np.mean(changes[0])),
        changes_together=float(np.mean(changes[1])),
        reversals_alone=float(np.mean(reversals[0])),
        reversals_together=float(np.mean(reversals[1])),
        difference=difference.mean,
        low=difference.low,
        high=difference.high,
    )


def _mean(scores: Sequence[Mapping[str, float]], key: str) -> float:
    """Over the drops that have a value; NaN if none has."""
    values = [score[key] for score in scores if not math.isnan(score[key])]
    return float(np.mean(values)) if values else math.nan
