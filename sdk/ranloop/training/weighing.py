"""What points of a contender are worth: their scores against the reference's on the same drops."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ranloop.errors import TrainingError
from ranloop.training.contender import Contender, Point, Score
from ranloop.training.crew import Crew, answered
from ranloop.training.folder import Trainee, of_the_author
from ranloop.training.plan import Drop

__all__ = ("Weighed", "Weighing", "mean_worth")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What points are worth on drops.

    Attributes:
        worth: Of each point.
        scores: World and load -> drop by drop, the scores of all points.
        cpu_s: Of all, the reference's runs included.
    """

    worth: list[float]
    scores: Mapping[str, list[Sequence[Score]]]
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """Weighs points of a contender against one point of the reference.

    Attributes:
        prepared: What `Contender.prepare` of the contender and of the reference found.
    """

    trainee: Trainee
    crew: Crew
    contender: Contender
    reference: Contender
    beside: Point
    prepared: tuple[Mapping[str, Any], Mapping[str, Any]]

    def weigh(self, points: Sequence[Point], drops: Sequence[Drop]) -> Weighed:
        """Run all points, and the reference, on all drops.

        Raises:
            TrainingError: A score lacks a KPI that is kept, or the author's code fails.
        """
        asked = (
            self.crew.ask(self.contender.name, points, drops, self.prepared[0]),
            self.crew.ask(self.reference.name, [self.beside], drops, self.prepared[1]),
        )
        found, beside = (answered(each) for each in asked)
        if lacking := [key for key in self.trainee.kept if key not in found[0].scores[0]]:
            raise TrainingError(
                f"{self.trainee.folder.name}: KEPT has {lacking[0]!r}, which is no KPI of the scores"
            )
        where = [f"{drop.world.name}, load {drop.load:g}" for drop in drops]
        ours = _grouped(where, [each.scores for each in found])
        theirs = _grouped(where, [each.scores[0] for each in beside])
        by_point = [{at: [row[i] for row in rows] for at, rows in ours.items()} for i in range(len(points))]
        return Weighed(
            worth=[mean_worth(self.trainee, each, theirs) for each in by_point],
            scores=ours,
            cpu_s=sum(each.cpu_s for each in (*found, *beside)),
        )


def mean_worth(
    trainee: Trainee, ours: Mapping[str, Sequence[Score]], theirs: Mapping[str, Sequence[Score]]
) -> float:
    """The mean of the worth over worlds and loads.

    Raises:
        TrainingError: It is no finite number, which no search can follow.
    """
    with of_the_author(trainee.folder, "worth()"):
        worth = {where: float(trainee.worth(ours[where], theirs[where])) for where in ours}
    if wild := [where for where, value in worth.items() if not math.isfinite(value)]:
        raise TrainingError(
            f"worth() of {trainee.folder.name} is {worth[wild[0]]} at {wild[0]}; want a finite number"
        )
    return float(np.mean(list(worth.values())))


def _grouped(keys: Sequence[str], rows: Sequence[T]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = {}
    for key, row in zip(keys, rows, strict=True):
        groups.setdefault(key, []).append(row)
    return groups
