"""The declared drops of `drops.toml`, kept apart, and what one of them says of a scheduler."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ran_sim.core.state import F64
from ran_sim.engine import Engine
from ran_sim.measure.score import score
from ran_sim.scenario import Scenario, load_scenario
from ranloop.errors import ModelError
from ranloop.toml import read_toml

FOLDER = Path(__file__).resolve().parent
KEPT = ("users", "satisfied", "best_effort_mbps", "user_p5_mbps")


class Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class World(Declared):
    """A scenario and its changes."""

    name: str = "seven-sites"
    node: str = "seven-sites"
    overrides: dict[str, object] = {}

    def scenario(self, load: float, overrides: Mapping[str, object]) -> Scenario:
        return load_scenario(self.node).with_overrides({**self.overrides, "load": load, **overrides})


class Drops(Declared):
    """One list of seeds, first and last, and the worlds that they are drawn in."""

    seeds: tuple[int, int]
    warmup_s: float = Field(gt=0)
    measured_s: float = Field(gt=0)
    worlds: tuple[World, ...] = (World(),)

    @property
    def each(self) -> range:
        return range(self.seeds[0], self.seeds[1] + 1)


class Plan(Declared):
    """All of `drops.toml`."""

    loads: tuple[float, ...]
    training: Drops
    tuning: Drops
    validation: Drops
    held_out: Drops
    held_out_worlds: Drops

    def overlaps(self) -> Iterator[str]:
        """One line for each seed list that shares a seed with another, and each held-out world that something was trained on."""
        lists = {
            name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), Drops)
        }
        for (a, one), (b, other) in itertools.combinations(lists.items(), 2):
            if shared := sorted({*one.each} & {*other.each}):
                yield f"[{a}] and [{b}] share seed {shared[0]}; want each seed in one list"
        known = [(world.node, world.overrides) for world in (*self.training.worlds, *self.tuning.worlds)]
        for world in self.held_out_worlds.worlds:
            if (world.node, world.overrides) in known:
                yield f"[held_out_worlds] {world.name!r} is trained or tuned on; want another world"


def read_plan(path: Path = FOLDER / "drops.toml") -> Plan:
    """The declared drops.

    Raises:
        ModelError: No such file, a field that does not fit, or lists that are not apart; one line.
    """
    plan = read_toml(
        path, Plan, missing=f"{path}: got no such file, want the declared drops", error_type=ModelError
    )
    if why := next(plan.overlaps(), ""):
        raise ModelError(f"{path}: {why}")
    return plan


class Drop(NamedTuple):
    """A seed of a world at a load."""

    world: World
    seed: int
    load: float
    warmup_s: float
    measured_s: float

    def engine(self, overrides: Mapping[str, object]) -> Engine:
        """The network of this drop at its first slot."""
        scenario = self.world.scenario(self.load, {"run.warmup_s": self.warmup_s, **overrides})
        return Engine(scenario, self.seed)

    def judged(self, engine: Engine) -> dict[str, float]:
        """The score of the measured time, of an engine that is not beyond its warm-up."""
        scenario = engine.scenario
        engine.run_until(scenario.slots((self.warmup_s + self.measured_s) * 1e3))
        found = score(engine)
        return {key: found[key] for key in KEPT}


def warmed_up(drop: Drop, model: Path) -> Engine:
    """The drop at the end of its warm-up, all cells under the metric of a package: what candidates fork from."""
    engine = drop.engine({"scheduler.name": "learned", "scheduler.models": [str(model)]})
    engine.run_until(engine.warmup_slot)
    return engine


def with_network(drop: Drop, start: Engine, network: F64) -> dict[str, float]:
    """What a candidate network makes of the measured time."""
    engine = start.fork()
    engine.set_slot_network(0, network)
    return drop.judged(engine)


def under_rule(drop: Drop, overrides: Mapping[str, object]) -> dict[str, float]:
    """What a scheduler of the scenario makes of it."""
    return drop.judged(drop.engine(overrides))


class Objective(NamedTuple):
    """What a candidate is worth against the tuned rule on the same drops of one load.

    Satisfied users count in percent of the users, best effort and its 5th percentile in percent of the rule's (of the logarithm).
    """

    best_effort: float  # weight of a percent of best effort
    most: float  # percent of best effort beyond which more counts nothing
    loss: float  # weight on top, of a percent less than the rule
    users_loss: float  # weight on top, of a percent of users less than under the rule
    edge_loss: float  # weight of a percent of the 5th percentile less than the rule's

    def gain(self, found: Sequence[Mapping[str, float]], rule: Sequence[Mapping[str, float]]) -> float:
        """The worth of a candidate's drops."""
        users = _mean(rule, "users")
        satisfied = 100.0 * (_mean(found, "satisfied") - _mean(rule, "satisfied")) / users
        best_effort = 100.0 * (_log_mean(found, "best_effort_mbps") - _log_mean(rule, "best_effort_mbps"))
        edge = 100.0 * (_log_mean(found, "user_p5_mbps") - _log_mean(rule, "user_p5_mbps"))
        worth = satisfied + self.users_loss * min(satisfied, 0.0)
        worth += self.best_effort * min(best_effort, self.most) + self.loss * min(best_effort, 0.0)
        return worth + self.edge_loss * min(edge, 0.0)


def _mean(rows: Sequence[Mapping[str, float]], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


def _log_mean(rows: Sequence[Mapping[str, float]], key: str) -> float:
    """ln of a mean in Mb/s, of at least 1 kb/s."""
    return math.log(max(_mean(rows, key), 1e-3))
