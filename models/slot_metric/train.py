"""Trains `slot_metric`, the learned scheduling metric, on what it is for: satisfied users and best effort in the simulator.

    python -m models.slot_metric.train rules     # class weights of every rule, on the tuning drops; writes rules.json
    python -m models.slot_metric.train train     # CMA-ES from near the rule log; writes model.onnx and card.toml

A generation runs all candidates from one common warmed-up network per load, each in a fork of it: the same positions, fading, sessions
and packets. What was found is kept in `training.jsonl`; a run that was stopped goes on from there. The package is the
best mean of the search on the validation drops.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tomli_w

from models.slot_metric import shape
from models.slot_metric.drops import (
    FOLDER,
    KEPT,
    Drop,
    Objective,
    Plan,
    read_plan,
    under_rule,
    warmed_up,
    with_network,
)
from ran_sim.core.state import F64
from ran_sim.mac.learned import FEATURES
from ranloop.inference import Card, Feature, Output

RULES = FOLDER / "rules.json"
LOG = FOLDER / "training.jsonl"
DELAY_BOUND_5QI = ("1", "2", "3", "80")
UNITS = {"log_budget_ms": "ln(ms)", "age": "budget", "idle": "budget"}
WEIGHTS = (4.0, 8.0, 16.0, 32.0, 64.0)  # of the delay-bound classes, that rules are tried with
SHORT_BUDGET_FACTORS = (1.0, 4.0)  # on the weight of 5QI 80
SEED = 13
POPULATION = 12


class Stage(NamedTuple):
    """A part of the search; it begins at the mean that the part before has found."""

    generations: int
    spread: float  # of its first generation, in the units of the parameters
    objective: Objective


# Users first: best effort counts a tenth, and beyond a fifth more than under the rule nothing. Counted without a bound, what it gains at
# load 1.6 outweighs the users at lighter loads.
USERS_FIRST = Objective(best_effort=0.1, most=20.0, loss=0.5, users_loss=0.0, edge_loss=0.0)
STAGES = (Stage(99, 0.3, USERS_FIRST),)


def rule_overrides(name: str, weight: float = 1.0, short_budget_factor: float = 1.0) -> dict[str, object]:
    """A rule with one weight for all delay-bound classes, and a factor for the shortest budget (5QI 80)."""
    weights = dict.fromkeys(DELAY_BOUND_5QI, weight) | {"80": weight * short_budget_factor}
    return {"scheduler.name": name, "scheduler.class_weight": weights}


def log(minutes: float, **facts: object) -> None:
    shown = "  ".join(
        f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}" for key, value in facts.items()
    )
    print(f"{minutes:6.1f} CPU min  {shown}", flush=True)


# -- rules ------------------------------------------------------------------------------------------------------


def tune_rules(plan: Plan, only: Sequence[str]) -> None:
    """Each rule's class weights by halving: all points on one drop, the better half on twice as many, and so on.

    Of a rule's points the one with the most satisfied users is taken; within half a percent of the users, that with the most best effort.
    """
    known = json.loads(RULES.read_text("utf-8")) if RULES.exists() else {}
    for name in only or ("pf", "m-lwdf", "exp", "log", "edf"):
        began = time.process_time()
        points = list(itertools.product(WEIGHTS, SHORT_BUDGET_FACTORS)) if name != "edf" else [(1.0, 1.0)]
        rows: dict[tuple[float, float], list[dict[str, float]]] = {point: [] for point in points}
        n_drop = 1
        for seed in plan.tuning.each:
            for load in plan.loads:
                drop = Drop(plan.tuning.worlds[0], seed, load, plan.tuning.warmup_s, plan.tuning.measured_s)
                for point in points:
                    rows[point].append(under_rule(drop, rule_overrides(name, *point)))
            if len(rows[points[0]]) == n_drop * len(plan.loads) and seed != plan.tuning.each[-1]:
                left = max(2, (len(points) + 1) // 2)
                points = sorted(points, key=lambda point: -worth(rows[point]))[:left]
                n_drop *= 2
        best = pick(points, rows)
        minutes = (time.process_time() - began) / 60.0
        found = {key: float(np.mean([row[key] for row in rows[best]])) for key in KEPT}
        known[name] = {
            "weight": best[0], "short_budget_factor": best[1], "cpu_minutes": round(minutes, 2),
            **{key: round(value, 2) for key, value in found.items()},
        }  # fmt: skip
        RULES.write_text(json.dumps(known, indent=2) + "\n", "utf-8")
        log(minutes, rule=name, weight=best[0], short=best[1], **found)


def worth(rows: Sequence[Mapping[str, float]]) -> float:
    return float(
        np.mean([row["satisfied"] for row in rows])
        + 0.01 * np.mean([row["best_effort_mbps"] for row in rows])
    )


def pick(
    points: Sequence[tuple[float, float]], rows: Mapping[tuple[float, float], Sequence[Mapping[str, float]]]
) -> tuple[float, float]:
    satisfied = {point: float(np.mean([row["satisfied"] for row in rows[point]])) for point in points}
    users = float(np.mean([row["users"] for row in rows[points[0]]]))
    near = [point for point in points if satisfied[point] >= max(satisfied.values()) - 0.005 * users]
    return max(near, key=lambda point: np.mean([row["best_effort_mbps"] for row in rows[point]]))


def tuned(name: str) -> dict[str, object]:
    """The overrides of a tuned rule."""
    point = json.loads(RULES.read_text("utf-8"))[name]
    return rule_overrides(name, point["weight"], point["short_budget_factor"])


# -- training ---------------------------------------------------------------------------------------------------


def drops_of(plan: Plan, generation: int) -> list[Drop]:
    """The drops of a generation: one seed of one world, at each load."""
    part = plan.training
    world, seed = part.worlds[generation % len(part.worlds)], part.each[generation]
    return [Drop(world, seed, load, part.warmup_s, part.measured_s) for load in plan.loads]


def first_network(folder: Path) -> None:
    """A package of the start of the search, with the bounds left open: networks are warmed up and inputs sampled under it."""
    everything = shape.Seen(np.full(len(FEATURES), -1e6), np.full(len(FEATURES), 1e6), *_standard())
    write_package(folder, shape.network(shape.start(), everything), {}, {})


def _standard() -> tuple[F64, F64]:
    """Rough means and deviations of the inputs, for the start only."""
    mean = {"log_rate": 1.2, "log_share": -4.0, "age": 0.3, "log_age": -1.8, "log_budget_ms": 4.0, "idle": 0.2, "log_need": 0.0,
            "log_pressure": -3.0, "log_candidates": 1.0, "urgency": 0.0}  # fmt: skip
    return np.array([mean[name] for name in FEATURES]), np.ones(len(FEATURES))


def seen_inputs(plan: Plan, model: Path) -> shape.Seen:
    """The inputs that occur in the training worlds: samples every 5 ms of one drop per world and load."""
    rows = []
    for generation in range(len(plan.training.worlds)):
        for drop in drops_of(plan, generation):
            engine = warmed_up(drop, model)
            for _ in range(200):
                engine.run_until(engine.slot + 10)
                rows.append(engine.slot_features())
    return shape.Seen.of(np.concatenate(rows))


def train(plan: Plan, minutes: float) -> None:
    """CMA-ES through all stages or for so many CPU minutes, those of stopped runs included, then validation and the package."""
    from cmaes import CMA

    with tempfile.TemporaryDirectory() as scratch:
        first = Path(scratch) / "slot_metric"
        first_network(first)
        done = [json.loads(line) for line in LOG.read_text("utf-8").splitlines()] if LOG.exists() else []
        began = time.process_time()
        if not done:
            seen = seen_inputs(plan, first)
            done = [{"seen": [part.tolist() for part in seen], "cpu_s": time.process_time() - began}]
            append(done[0])
        seen = shape.Seen(*map(np.array, done[0]["seen"]))
        means, spent = [shape.start()], done[0]["cpu_s"]
        for stage in STAGES:
            search = CMA(mean=means[-1], sigma=stage.spread, population_size=POPULATION, seed=SEED)
            for _ in range(stage.generations):
                generation = len(means) - 1
                points = [search.ask() for _ in range(POPULATION)]
                if generation + 1 < len(done):  # an earlier run has been here
                    entry = done[generation + 1]
                elif spent / 60.0 > minutes:
                    break
                else:
                    entry = run_generation(plan, generation, points, seen, first, stage.objective)
                    append(entry)
                search.tell([(point, -value) for point, value in zip(points, entry["gains"], strict=True)])
                means.append(search.mean.copy())
                spent += entry["cpu_s"]
                log(
                    spent / 60.0,
                    generation=generation,
                    mean_gain=float(np.mean(entry["gains"])),
                    best=float(max(entry["gains"])),
                )
        validate(plan, means, seen, first, spent)


def run_generation(
    plan: Plan, generation: int, points: Sequence[F64], seen: shape.Seen, first: Path, objective: Objective
) -> dict[str, Any]:
    """The gain of each point, the mean over the loads of one generation's drops."""
    began = time.process_time()
    networks = [shape.network(point, seen).numbers() for point in points]
    gains = np.zeros(len(points))
    for drop in drops_of(plan, generation):
        rule = under_rule(drop, tuned("log"))
        start = warmed_up(drop, first)
        gains += [objective.gain([with_network(drop, start, network)], [rule]) for network in networks]
    return {
        "gains": (gains / len(plan.loads)).round(4).tolist(),
        "cpu_s": round(time.process_time() - began, 2),
    }


def append(entry: Mapping[str, Any]) -> None:
    with LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def validate(plan: Plan, means: Sequence[F64], seen: shape.Seen, first: Path, spent_s: float) -> None:
    """Write the package of that mean among the last ones that gains most on the validation drops."""
    began = time.process_time()
    part = plan.validation
    candidates = sorted({0, *range(len(means) - 1, len(means) // 2, -max(1, len(means) // 10))})
    rows: dict[Any, list[dict[str, float]]] = {}
    for load in plan.loads:
        for seed in part.each:
            drop = Drop(part.worlds[0], seed, load, part.warmup_s, part.measured_s)
            rows.setdefault(("log", load), []).append(under_rule(drop, tuned("log")))
            start = warmed_up(drop, first)
            for i in candidates:
                rows.setdefault((i, load), []).append(
                    with_network(drop, start, shape.network(means[i], seen).numbers())
                )
    gains = {
        i: float(np.mean([USERS_FIRST.gain(rows[i, load], rows["log", load]) for load in plan.loads]))
        for i in candidates
    }
    best = max(gains, key=lambda i: gains[i])
    minutes = (spent_s + time.process_time() - began) / 60.0
    for i in candidates:
        log(minutes, after_generations=i, gain=gains[i])
        for load in plan.loads:
            for key in KEPT[1:]:
                ours, theirs = ([row[key] for row in rows[who, load]] for who in (i, "log"))
                print(f"   load {load:g} {key}: {np.mean(ours):.2f}, log {np.mean(theirs):.2f}")
    figures = {}
    for load in plan.loads:
        for name, key in ((best, "learned"), ("log", "log")):
            for kept in KEPT:
                figures[f"{kept} {key} load {load:g}"] = round(
                    float(np.mean([row[kept] for row in rows[name, load]])), 2
                )
    training = {
        "command": "python -m models.slot_metric.train train",
        "method": f"CMA-ES, population {POPULATION}, seed {SEED}, {len(means) - 1} generations, the mean after {best}",
        "objective": f"against the tuned rule log: {[stage.objective for stage in STAGES]}",
        "seeds": list(plan.training.seeds),
        "validation_seeds": list(plan.validation.seeds),
        "worlds": sorted({world.name for world in plan.training.worlds}),
        "loads": list(plan.loads),
        "cpu_minutes": round(minutes, 1),
        "low": seen.low.round(3).tolist(),
        "high": seen.high.round(3).tolist(),
        "parameters": means[best].round(4).tolist(),
    }
    write_package(FOLDER, shape.network(means[best], seen), training, figures)
    log(minutes, written=str(FOLDER.name), mean_after=best, gain=gains[best])


def write_package(
    folder: Path, network: shape.Network, training: Mapping[str, Any], metrics: Mapping[str, Any]
) -> None:
    """`model.onnx` and `card.toml`."""
    folder.mkdir(exist_ok=True)
    content = shape.onnx_file(network)
    card = Card(
        name="slot_metric",
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("rules", "train"))
    parser.add_argument("--only", action="append", default=[], help="tune this rule")
    parser.add_argument(
        "--minutes", type=float, default=13.0, help="CPU minutes after which no generation begins"
    )
    arguments = parser.parse_args()
    plan = read_plan()
    if arguments.what == "rules":
        tune_rules(plan, arguments.only)
    else:
        train(plan, arguments.minutes)


if __name__ == "__main__":
    main()
