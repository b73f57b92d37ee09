"""What `ranloop train models/slot_metric` tunes: the rules of the slot scheduler, and the learned metric, against each other.

The points of the learned metric on a drop run in forks of one warmed-up network: the same positions, fading, sessions and packets.
The package is the best mean of the search on the validation drops.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ran_sim.core.state import F64
from ran_sim.engine import Engine
from ran_sim.mac.learned import FEATURES
from ran_sim.measure.score import score
from ran_sim.scenario import load_scenario
from ranloop.evaluate import Arm
from ranloop.inference import Card, Feature, Output
from ranloop.training import (
    Arms,
    Contender,
    Drop,
    Outcome,
    Parameter,
    Plan,
    Point,
    Score,
    UsersFirst,
)

from . import shape

FOLDER = Path(__file__).resolve().parent
RULES = ("pf", "m-lwdf", "exp", "log", "edf")
DELAY_BOUND_5QI = ("1", "2", "3", "80")
UNITS = {"log_budget_ms": "ln(ms)", "age": "budget", "idle": "budget"}
KEPT = ("users", "satisfied", "best_effort_mbps", "user_p5_mbps")
SAMPLES, SAMPLE_EVERY_SLOTS = 200, 10  # of the inputs, per drop

# Users first: best effort counts a tenth, and beyond a fifth more than under the rule nothing. Counted without a bound, what it gains at
# load 1.6 outweighs the users at lighter loads.
worth = UsersFirst(best_effort=0.1, most=20.0, loss=0.5)


# -- rules ------------------------------------------------------------------------------------------------------


def rule(point: Point) -> Arm:
    """A rule with one weight for all delay-bound classes, and a factor for the shortest budget (5QI 80)."""
    name, weight = RULES[round(point["rule"])], point["weight"]
    weights = dict.fromkeys(DELAY_BOUND_5QI, weight) | {"80": weight * point["short_budget_factor"]}
    return Arm(name=name, overrides={"scheduler.name": name, "scheduler.class_weight": weights})


# -- the learned metric -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Learned(Contender):
    """The seventeen parameters of `shape`."""

    def prepare(self, plan: Plan) -> Mapping[str, Any]:
        """The inputs that occur in the training worlds: samples every few slots of one drop per world and load."""
        rows = []
        for number in range(len(plan.training.worlds)):
            for drop in plan.training.of_round(number, plan.loads):
                engine = warmed_up(drop)
                for _ in range(SAMPLES):
                    engine.run_until(engine.slot + SAMPLE_EVERY_SLOTS)
                    rows.append(engine.slot_features())
        return {"seen": [part.tolist() for part in shape.Seen.of(np.concatenate(rows))]}

    def score(self, points: Sequence[Point], drop: Drop, prepared: Mapping[str, Any]) -> list[Score]:
        """What the networks make of the measured time, all from the same warm-up."""
        start, scores = warmed_up(drop), list[Score]()
        for point in points:
            engine = start.fork()
            engine.set_slot_network(0, network(point, prepared).numbers())
            engine.run_until(engine.scenario.slots((drop.warmup_s + drop.measured_s) * 1e3))
            scores.append(score(engine))
        return scores


def network(point: Point, prepared: Mapping[str, Any]) -> shape.Network:
    """The network of a point of the search."""
    return shape.network(np.array(list(point.values())), shape.Seen(*map(np.array, prepared["seen"])))


def warmed_up(drop: Drop) -> Engine:
    """The drop at the end of its warm-up, all cells under the metric that the search begins with, its bounds left open."""
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch)
        everything = shape.Seen(np.full(len(FEATURES), -1e6), np.full(len(FEATURES), 1e6), *_standard())
        write_package(package, shape.network(shape.start(), everything), {}, {})
        scheduler = {"scheduler.name": "learned", "scheduler.models": [str(package)]}
        scenario = load_scenario(drop.world.node.removeprefix("sim:")).with_overrides(
            {**drop.overrides, **scheduler}
        )
        engine = Engine(scenario, drop.seed)
    engine.run_until(engine.warmup_slot)
    return engine


def _standard() -> tuple[F64, F64]:
    """Rough means and deviations of the inputs, for the start only."""
    mean = {"log_rate": 1.2, "log_share": -4.0, "age": 0.3, "log_age": -1.8, "log_budget_ms": 4.0, "idle": 0.2, "log_need": 0.0,
            "log_pressure": -3.0, "log_candidates": 1.0, "urgency": 0.0}  # fmt: skip
    return np.array([mean[name] for name in FEATURES]), np.ones(len(FEATURES))


# -- what is tuned, and what becomes of it ------------------------------------------------------------------------

CONTENDERS = (
    Arms(
        name="rule",
        kind="rule",
        method="grid",
        space=(
            Parameter(name="rule", low=0.0, high=4.0, start=3.0, values=(0.0, 1.0, 2.0, 3.0, 4.0)),
            Parameter(
                name="weight", low=1.0, high=256.0, start=32.0, log=True, values=(4.0, 8.0, 16.0, 32.0, 64.0)
            ),
            Parameter(name="short_budget_factor", low=1.0, high=8.0, start=1.0, log=True, values=(1.0, 4.0)),
        ),
        arm=rule,
    ),
    Learned(
        name="learned",
        kind="model",
        space=tuple(
            Parameter(name=name, low=-30.0, high=30.0, start=float(value), scale=1.0)
            for name, value in zip(shape.PARAMETERS, shape.start(), strict=True)
        ),
    ),
)


def keep(outcome: Outcome) -> None:
    """Write the package of the learned metric, with what training has seen on its card."""
    learned = outcome.winners["learned"]
    found = network(learned.point, learned.prepared)
    facts = {"low": found.low.round(3).tolist(), "high": found.high.round(3).tolist(), "worth": str(worth)}
    write_package(FOLDER, found, outcome.training("learned") | facts, outcome.metrics("learned"))


def write_package(
    folder: Path,
    network: shape.Network,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any],
    *,
    name: str = FOLDER.name,
) -> None:
    """`model.onnx` and `card.toml`."""
    import tomli_w

    content = shape.onnx_file(network)
    card = Card(
        name=name,
        version="0.1.0",
        summary="ln of the factor on a delay-bound flow's proportional fair metric in a slot.",
        sha256=hashlib.sha256(content).hexdigest(),
        period_ms=1,  # stands for a slot: a card has whole milliseconds
        features=tuple(Feature(name=name, unit=UNITS.get(name, "1")) for name in FEATURES),
        outputs=(
            Output(name="log_factor", unit="1", low=-shape.MOST_LOG_FACTOR, high=shape.MOST_LOG_FACTOR),
        ),
        training=dict(training),
        metrics=dict(metrics),
    )
    (folder / card.file).write_bytes(content)
    (folder / "card.toml").write_text(tomli_w.dumps(card.model_dump(exclude_defaults=True)), "utf-8")
