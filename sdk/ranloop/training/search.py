"""Searches over the points of a contender, as generators: they ask for the worth of points on drops, and return finalists.

CMA-ES is that of the package `cmaes` (Hansen, The CMA Evolution Strategy: A Tutorial, arXiv:1604.00772). A grid and random points
are compared by sequential halving (Karnin, Koren, Somekh, ICML 2013; Jamieson, Talwalkar, AISTATS 2016): the rollouts are
shared out equally among log2(n) stages, each stage shares its part among the points that are left and keeps the better half.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Sequence
from typing import Final, NamedTuple

import numpy as np

from ranloop.errors import MissingExtraError, TrainingError
from ranloop.training.contender import F64, Contender
from ranloop.training.plan import Drop, Plan

__all__ = ("Finalist", "Round", "Searching", "search")

FINALISTS: Final = 5  # beside the start


class Round(NamedTuple):
    """Points that are to be weighed on drops."""

    points: Sequence[F64]  # coordinates, [n_parameter] each
    drops: Sequence[Drop]


class Finalist(NamedTuple):
    """A point that validation chooses from, and where in the search it stood."""

    coordinates: F64
    origin: str


Searching = Generator[Round, Sequence[float], list[Finalist]]


def search(contender: Contender, plan: Plan) -> Searching:
    """The search of a contender with the plan's budget.

    Raises:
        TrainingError: The budget is too small for it.
        MissingExtraError: CMA-ES is not installed.
    """
    if contender.method == "cma-es":
        return _cma_es(contender, plan)
    if contender.method == "grid":
        return _halving(contender, _grid(contender), plan)
    return _halving(contender, _random(contender, plan), plan)


def _cma_es(contender: Contender, plan: Plan) -> Searching:
    try:
        from cmaes import CMA
    except ModuleNotFoundError as error:
        raise MissingExtraError("CMA-ES", "train") from error
    population = plan.search.population or 4 + math.floor(3 * math.log(len(contender.space)))
    generations = plan.search.rollouts // (population * len(plan.loads))
    if not generations:
        raise _too_few(contender, plan, population * len(plan.loads), f"a generation of {population} points")
    bounds = np.array([sorted(map(p.coordinate, (p.low, p.high))) for p in contender.space])
    cma = CMA(
        mean=contender.coordinates(contender.start),
        sigma=plan.search.spread,
        bounds=bounds,
        seed=plan.search.seed,
        population_size=population,
    )
    means = [cma.mean.copy()]
    for generation in range(generations):
        points = [cma.ask() for _ in range(population)]
        worth = yield Round(points, plan.training.of_round(generation, plan.loads))
        cma.tell([(point, -value) for point, value in zip(points, worth, strict=True)])
        means.append(cma.mean.copy())
    # The mean of a late generation is steadier than its best point, which was lucky on one drop.
    late = range(len(means) - 1, len(means) // 2, -max(1, len(means) // (2 * FINALISTS)))
    return [Finalist(means[i], f"the mean after {i}") for i in sorted({0, *late})]


def _halving(contender: Contender, points: Sequence[F64], plan: Plan) -> Searching:
    start = contender.coordinates(contender.start)
    if all(np.array_equal(point, start) for point in points):
        return [Finalist(start, "the start")]  # nothing to choose from
    stages = max(1, math.ceil(math.log2(len(points))))
    share = plan.search.rollouts // stages
    if share < len(points) * len(plan.loads):
        raise _too_few(contender, plan, stages * len(points) * len(plan.loads), f"{len(points)} points")
    left, worth, rounds = list(range(len(points))), np.zeros((0, len(points))), itertools.count()
    for stage in range(stages):
        if stage:
            left = [int(i) for i in _best(worth, left)[: max(2, math.ceil(len(left) / 2))]]
        for number in itertools.islice(rounds, share // (len(left) * len(plan.loads))):
            found = yield Round([points[i] for i in left], plan.training.of_round(number, plan.loads))
            row = np.full((1, len(points)), np.nan)
            row[0, left] = found
            worth = np.concatenate((worth, row))
    finalists = [
        Finalist(points[i], f"point {i + 1} of {len(points)}") for i in _best(worth, left)[:FINALISTS]
    ]
    return [Finalist(start, "the start"), *finalists]


def _best(worth: F64, left: Sequence[int]) -> Sequence[int]:
    """Points by their mean worth over all rounds so far, the best first; the earlier of equal ones."""
    return [left[i] for i in np.argsort(-worth[:, left].mean(axis=0), kind="stable")]


def _grid(contender: Contender) -> list[F64]:
    if lacking := [each.name for each in contender.space if not each.values]:
        raise TrainingError(
            f"contender {contender.name}: parameter {lacking[0]} has no values; a grid wants them"
        )
    axes = [[each.coordinate(value) for value in each.values] for each in contender.space]
    return [np.array(point) for point in itertools.product(*axes)]


def _random(contender: Contender, plan: Plan) -> list[F64]:
    """As many points as leave each a first round."""
    n = 2
    while (n + 1) * math.ceil(math.log2(n + 1)) * len(plan.loads) <= plan.search.rollouts:
        n += 1
    rng = np.random.default_rng(plan.search.seed)
    low, high = np.array([sorted(map(p.coordinate, (p.low, p.high))) for p in contender.space]).T
    return list(rng.uniform(low, high, (n, len(low))))


def _too_few(contender: Contender, plan: Plan, want: int, what: str) -> TrainingError:
    return TrainingError(
        f"contender {contender.name}: {plan.search.rollouts} rollouts are too few for {what} at {len(plan.loads)} loads; want {want} or more"
    )
