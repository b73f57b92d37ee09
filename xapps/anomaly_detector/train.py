"""What `ranloop train xapps/anomaly_detector` tunes: two rules and the weighted sums, with the same budget.

A detector acts on nothing, so its drops are simulated once and all points look at the recordings. A point is scored on all drops of the list
that the drop in question is in: its limits are those that the list's fault-free hours allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from ranloop.training import Contender, Drop, Outcome, Parameter, Point, Score, read_plan, write_card

from .detectors import TUNED
from .drops import LASTS_S, is_quiet
from .judging import Found, Part, find, limits, minutes, part, scores
from .signs import KINDS, NAMES, OF_KIND

FOLDER = Path(__file__).resolve().parent
KEPT = tuple(f"{what} {kind}" for kind in KINDS for what in ("recall", "delay_s"))
USUAL = (8.0, 0.8, 8.0, 5.0, 6.0, 0.5, 0.7, 3.0, 2.0, 6.0, 1.0)  # where the search of thresholds begins
LEAST = (0.7, 0.1, 2.0, 1.0, 2.0, 0.05, 0.1, 0.3, 0.3, 0.5, 0.1)  # likewise, of the CUSUM

THRESHOLDS = tuple(
    Parameter(name=f"scale_{name}", low=at / 10, high=at * 10, start=at, log=True)
    for name, at in zip(NAMES, USUAL, strict=True)
) + tuple(Parameter(name=f"seconds_{kind}", low=0.5, high=8.5, start=2.0) for kind in KINDS)
CUSUM = (
    Parameter(name="past_s", low=5.0, high=300.0, start=60.0, log=True),
    *(
        Parameter(name=f"least_{name}", low=at / 10, high=at * 10, start=at, log=True)
        for name, at in zip(NAMES, LEAST, strict=True)
    ),
    *(Parameter(name=f"slack_{kind}", low=0.2, high=8.0, start=2.0, log=True) for kind in KINDS),
)
WEIGHTS = tuple(
    Parameter(name=f"{kind}.{name}", low=-1.0, high=1.0, start=0.5 * (i in own))
    for kind, own in zip(KINDS, OF_KIND, strict=True)
    for i, name in enumerate(NAMES)
) + tuple(Parameter(name=f"gain_{kind}", low=0.05, high=1.0, start=0.5, log=True) for kind in KINDS)


class Watching(Contender):
    """A detector."""

    def score(self, points: Sequence[Point], drop: Drop, prepared: Mapping[str, Any]) -> list[Score]:
        plan = read_plan(FOLDER)
        of = next(name for name, drops in plan.parts().items() if drop.seed in drops.each)
        return [_score(self.name, of, tuple(point.items())) for point in points]


@cache
def _score(name: str, of: str, point: tuple[tuple[str, float], ...]) -> Score:
    drops = part(of)
    found = found_at(name, dict(point), drops, limits_of(name, dict(point), drops)[0])
    score = {}
    for kind in KINDS:
        delay_s = np.array([each.delay_s for each in found if each.fault.kind == kind])
        score[f"recall {kind}"] = float(np.mean(~np.isnan(delay_s)))
        score[f"delay_s {kind}"] = float(np.mean(np.nan_to_num(delay_s, nan=LASTS_S)))
    return score


def limits_of(name: str, point: Point, drops: Part) -> tuple[Any, Any]:
    """Limits and tails in the fault-free hours of a list."""
    return limits(minutes(scores(name, point, drops.quiet)), drops.cell_days)


def found_at(name: str, point: Point, drops: Part, limit: Any) -> list[Found]:
    """What is found of the faults of a list."""
    watched = zip(drops.faulty, scores(name, point, drops.faulty), strict=True)
    return [each for drop, of_drop in watched for each in find(drop, of_drop, limit)]


CONTENDERS = (
    Watching(name="thresholds", kind="rule", space=THRESHOLDS),
    Watching(name="cusum", kind="rule", space=CUSUM),
    Watching(name="weights", kind="model", space=WEIGHTS),
)


def worth(found: Sequence[Score], reference: Sequence[Score]) -> float:
    """Percent of the faults that are found more, the mean over the kinds; half of a fault is lost by an alarm as late as its end."""
    return _promptness(found) - _promptness(reference)


def _promptness(scores: Sequence[Score]) -> float:
    values = [
        score[f"recall {kind}"] - 0.5 * (score[f"delay_s {kind}"] - LASTS_S * (1 - score[f"recall {kind}"])) / LASTS_S
        for score in scores
        for kind in KINDS
    ]  # fmt: skip
    return 100.0 * float(np.mean(values))


def keep(outcome: Outcome) -> None:
    """Write what is tuned, with the limits and tails of the validation's fault-free hours, and the card of the best."""
    drops = part("validation")
    tuned = {}
    for name, winner in outcome.winners.items():
        limit, tail = limits_of(name, winner.point, drops)
        found = dict(winner.point)
        for kind, at, more in zip(KINDS, limit.tolist(), tail.tolist(), strict=True):
            found |= {f"limit_{kind}": at, f"tail_{kind}": more}
        tuned[name] = {key: float(f"{value:.4g}") for key, value in found.items()}
    TUNED.write_text(tomli_w.dumps(tuned), "utf-8")
    better = max(outcome.winners.values(), key=lambda winner: (winner.worth, winner.kind == "rule"))
    write_card(of_faults(outcome), better.name)


def of_faults(outcome: Outcome) -> Outcome:
    """Without the figures of worlds in which nothing is wrong: there is nothing to find there."""
    plan = outcome.plan
    told = {
        f"{drop.world.name}, load {drop.load:g}"
        for drop in plan.validation.all(plan.loads)
        if not is_quiet(drop)
    }
    winners = {
        name: replace(
            winner, figures={where: winner.figures[where] for where in winner.figures if where in told}
        )
        for name, winner in outcome.winners.items()
    }
    return replace(outcome, winners=winners)
