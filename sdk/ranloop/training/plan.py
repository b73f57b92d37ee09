"""The plan of a training, `plan.toml`: what is searched with, and the drops that train, choose and judge, kept apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ranloop.arm import Arm
from ranloop.errors import TrainingError
from ranloop.evaluate import Task
from ranloop.toml import read_toml

__all__ = ("PLAN_FILE", "Drop", "Drops", "Plan", "Search", "World", "read_plan")

PLAN_FILE: Final = "plan.toml"


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class World(_Declared):
    """A simulated node and its changes."""

    name: str = Field(min_length=1)
    node: str = "sim:seven-sites"
    overrides: dict[str, object] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A seed of a world at a load."""

    world: World
    seed: int
    load: float
    warmup_s: float
    measured_s: float

    @property
    def overrides(self) -> dict[str, object]:
        """The scenario fields of its world, its load and its times."""
        times = {"run.warmup_s": self.warmup_s, "run.duration_s": self.warmup_s + self.measured_s}
        return {**self.world.overrides, "load": self.load, **times}

    def task(self, arm: Arm) -> Task:
        """An arm on this drop."""
        return Task(arm=arm, seed=self.seed, node=self.world.node, overrides=self.overrides)


class Drops(_Declared):
    """One list of seeds, first and last, and the worlds that they are drawn in."""

    seeds: tuple[int, int]
    warmup_s: float = Field(gt=0)
    measured_s: float = Field(gt=0)
    worlds: tuple[World, ...] = Field(min_length=1)

    @field_validator("seeds")
    @classmethod
    def _first_is_not_beyond_the_last(cls, seeds: tuple[int, int]) -> tuple[int, int]:
        if not 0 <= seeds[0] <= seeds[1]:
            raise ValueError("want the first and the last seed, 0 and up")
        return seeds

    @property
    def each(self) -> range:
        """All seeds."""
        return range(self.seeds[0], self.seeds[1] + 1)

    def of_round(self, number: int, loads: tuple[float, ...]) -> list[Drop]:
        """One seed of one world at each load: seeds and worlds follow each other from round to round, and begin anew."""
        return [
            self.drop(self.worlds[number % len(self.worlds)], self.each[number % len(self.each)], load)
            for load in loads
        ]

    def all(self, loads: tuple[float, ...]) -> list[Drop]:
        """Every seed of every world at every load."""
        return [self.drop(*where) for where in itertools.product(self.worlds, self.each, loads)]

    def drop(self, world: World, seed: int, load: float) -> Drop:
        """One of them."""
        return Drop(world=world, seed=seed, load=load, warmup_s=self.warmup_s, measured_s=self.measured_s)


class Search(_Declared):
    """What is searched with, the same for rules and models.

    Attributes:
        reference: The contender that the others are weighed against, once it is tuned itself.
        rollouts: Of each contender: runs of one point on one drop. Validation comes on top.
        seed: Of the random numbers of the search.
        population: Points of a generation of CMA-ES; default 4 + 3 ln(number of parameters).
        spread: Of the first generation, in `Parameter.scale` each.
    """

    reference: str
    rollouts: int = Field(gt=0)
    seed: int = Field(default=1, ge=0)
    population: int | None = Field(default=None, ge=4)
    spread: float = Field(default=0.3, gt=0)


class Plan(_Declared):
    """All of a plan file.

    Attributes:
        training: Searched on: each round of a search has a seed and a world of its own, at all loads.
        validation: Chosen on, among what a search has come through.
        held_out: Judged on: worlds that are known, in drops that nothing above has seen.
        held_out_worlds: Judged on: worlds that nothing above has seen.
    """

    loads: tuple[float, ...] = Field(default=(1.0,), min_length=1)
    search: Search
    training: Drops
    validation: Drops
    held_out: Drops
    held_out_worlds: Drops

    def parts(self) -> Mapping[str, Drops]:
        """The lists of drops by name."""
        return {
            name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), Drops)
        }

    def overlaps(self) -> Iterator[str]:
        """One line for each list that shares a seed with another, and each held-out world that something was trained on."""
        for (a, one), (b, other) in itertools.combinations(self.parts().items(), 2):
            if shared := sorted({*one.each} & {*other.each}):
                yield f"[{a}] and [{b}] share seed {shared[0]}; want each seed in one list"
        known = {name: part.worlds for name, part in self.parts().items() if name != "held_out_worlds"}
        for world in self.held_out_worlds.worlds:
            for name, worlds in known.items():
                if (world.node, world.overrides) in [(other.node, other.overrides) for other in worlds]:
                    yield f"[held_out_worlds] {world.name!r} is in [{name}] too; want another world"


def read_plan(folder: Path) -> Plan:
    """The plan of a folder.

    Raises:
        TrainingError: No such file, a field that does not fit, or lists that are not apart; one line.
    """
    path = folder / PLAN_FILE
    missing = f"{folder} has no {PLAN_FILE}; want the search and the drops that train, choose and judge"
    plan = read_toml(path, Plan, missing=missing, error_type=TrainingError)
    if why := next(plan.overlaps(), ""):
        raise TrainingError(f"{path}: {why}")
    return plan
