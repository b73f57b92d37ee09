"""Judges `slot_metric` on the held-out drops, beside the tuned rules and with the xApp qos_scheduler above both.

    python -m models.slot_metric.evaluate run      # what is missing in held_out.jsonl; --arm and --part limit it
    python -m models.slot_metric.evaluate show     # the tables of README.md, from held_out.jsonl
    python -m models.slot_metric.evaluate above    # settings of qos_scheduler above log and above the model, on training drops

Each line of `held_out.jsonl` is one arm on one drop. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.slot_metric.train import FOLDER, KEPT, rule
from ranloop.evaluate import Arm, DropResult, Task, run_drop, run_tasks
from ranloop.judgement import MARGIN_PCT
from ranloop.statistics import Difference, paired_difference
from ranloop.training import Drop, Plan, read_plan, tuned_arm

RESULTS = FOLDER / "held_out.jsonl"
ABOVE = FOLDER / "above.json"
README = FOLDER / "README.md"
XAPP = FOLDER.parents[1] / "xapps" / "qos_scheduler"
LEARNED: Mapping[str, object] = {"scheduler.name": "learned", "scheduler.models": [str(FOLDER)]}
PF = rule(
    {"rule": 0, "weight": 16.0, "short_budget_factor": 1.0}
)  # the usual scheduler, with the best weight of the same grid
BENEATH = ("pf", "log", "learned")  # schedulers below the xApp
PARTS = ("held_out", "held_out_worlds")
WORLDS_LOADS = (1.0,)  # of the held-out worlds
GRID = {"boost": (2.0, 8.0, 64.0), "rest_weight": (0.2, 1.0)}


def beneath(name: str) -> Mapping[str, object]:
    """The scheduler below the xApp, which sets weights itself: class weights of 1."""
    return LEARNED if name == "learned" else {"scheduler.name": name}


def triage(name: str, **settings: float) -> Arm:
    """The triage of qos_scheduler above a scheduler."""
    return Arm(
        name=f"triage on {name}",
        overrides=beneath(name),
        xapps=(XAPP,),
        settings={"qos_scheduler": settings},
    )


def arms() -> list[Arm]:
    """The arms of the evaluation: proportional fair and the best tuned rule first."""
    above = json.loads(ABOVE.read_text("utf-8")) if ABOVE.exists() else {}
    return [
        PF,
        tuned_arm(FOLDER, "rule"),
        *(triage(name, **above.get(name, {})) for name in ("pf", "log")),
        Arm(name="learned", overrides=LEARNED),
        triage("learned", **above.get("learned", {})),
    ]


def task(arm: Arm, drop: Drop, part: str) -> Task:
    return drop.task(replace(arm, name=json.dumps([part, drop.world.name, drop.load, arm.name])))


def run(tasks: Sequence[Task], results: Path, processes: int) -> None:
    """Run the tasks that `results` has no line of, and append theirs."""
    known = {
        (json.dumps([row["part"], row["world"], row["load"], row["arm"]]), row["seed"])
        for row in lines(results)
    }
    left = [each for each in tasks if (each.arm.name, each.seed) not in known]
    done, began = itertools.count(1), time.monotonic()

    def keep(result: DropResult) -> None:
        part, world, load, arm = json.loads(result.arm)
        row = {"part": part, "world": world, "load": load, "arm": arm, "seed": result.seed}
        row |= {key: round(result.score[key], 3) for key in KEPT}
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{next(done)}/{len(left)}  {time.monotonic() - began:.0f} s  {result.arm} {result.seed}",
            flush=True,
        )

    if processes > 1:
        run_tasks(left, processes=processes, on_done=keep)
    for each in left if processes == 1 else ():
        keep(run_drop(each))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def tasks_of(plan: Plan, parts: Iterable[str], names: Sequence[str]) -> list[Task]:
    """By load and seed, so that what is there early has all arms of the first drops."""
    chosen = [arm for arm in arms() if not names or arm.name in names]
    return [
        task(arm, drop, part)
        for part in parts
        for drop in plan.parts()[part].all(plan.loads if part == "held_out" else WORLDS_LOADS)
        for arm in chosen
    ]


def tune_above(plan: Plan, only: Sequence[str], processes: int, seeds: int) -> None:
    """Settings of the triage above each scheduler: most satisfied users; within half a percent of them, most best effort."""
    chosen = json.loads(ABOVE.read_text("utf-8")) if ABOVE.exists() else {}
    points = [dict(zip(GRID, point, strict=True)) for point in itertools.product(*GRID.values())]
    for name in only or BENEATH:
        results = FOLDER / f"above-{name}.jsonl"
        tasks = []
        for number, point in enumerate(points):
            arm = replace(triage(name, **point), name=str(number))
            tasks += [
                task(arm, drop, "training")
                for place in range(seeds)
                for drop in plan.training.of_round(place, plan.loads)
            ]
        run(tasks, results, processes)
        means = {
            i: {
                key: float(np.mean([row[key] for row in lines(results) if row["arm"] == str(i)]))
                for key in KEPT
            }
            for i in range(len(points))
        }
        most = max(found["satisfied"] for found in means.values())
        near = [i for i, found in means.items() if found["satisfied"] >= most - 0.005 * found["users"]]
        best = max(near, key=lambda i: means[i]["best_effort_mbps"])
        for i, found in means.items():
            print(name, points[i], {key: round(value, 2) for key, value in found.items()})
        chosen[name] = points[best]
        results.unlink()
        ABOVE.write_text(json.dumps(chosen, indent=2) + "\n", "utf-8")
        print(f"{name}: {points[best]}")


# -- the page -----------------------------------------------------------------------------------------------------


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Arm -> key -> values by seed, of the seeds that all arms have."""
    seeds = set.intersection(
        *({row["seed"] for row in rows if row["arm"] == arm} for arm in {row["arm"] for row in rows})
    )
    by_arm: dict[str, dict[str, list[float]]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        if row["seed"] in seeds:
            for key in KEPT:
                by_arm.setdefault(row["arm"], {}).setdefault(key, []).append(row[key])
    return by_arm


def percent(new: Sequence[float], old: Sequence[float]) -> Difference:
    """Paired difference in percent of the old mean."""
    scale = 100.0 / float(np.mean(old))
    return paired_difference([scale * value for value in new], [scale * value for value in old])


def table(by_arm: Mapping[str, Mapping[str, Sequence[float]]], order: Sequence[str]) -> list[str]:
    found = [
        "| arm | users | satisfied | best effort Mb/s | its 5th percentile Mb/s | on the front |",
        "|---|---|---|---|---|---|",
    ]
    means = {arm: [float(np.mean(by_arm[arm][key])) for key in KEPT] for arm in order if arm in by_arm}
    for arm, (users, satisfied, best_effort, edge) in means.items():
        beaten = any(
            o[1] >= satisfied and o[2] >= best_effort and o != [users, satisfied, best_effort, edge]
            for o in means.values()
        )
        found.append(
            f"| {arm} | {users:.1f} | {satisfied:.2f} | {best_effort:.1f} | {edge:.2f} | {'' if beaten else 'yes'} |"
        )
    return found


def differences(
    by_arm: Mapping[str, Mapping[str, Sequence[float]]], pairs: Sequence[tuple[str, str]]
) -> list[str]:
    found = [
        "| A less B | satisfied [95 %] | best effort % [95 %] | its 5th percentile % [95 %] | |",
        "|---|---|---|---|---|",
    ]
    for new, old in pairs:
        if new in by_arm and old in by_arm:
            a, b = by_arm[new], by_arm[old]
            margin = MARGIN_PCT / 100.0 * float(np.mean(b["users"]))
            satisfied = paired_difference(a["satisfied"], b["satisfied"])
            best_effort, edge = (percent(a[key], b[key]) for key in ("best_effort_mbps", "user_p5_mbps"))
            found.append(
                f"| {new} less {old} | {satisfied:+.2f} | {best_effort:+.1f} | {edge:+.1f} | {verdict(satisfied, best_effort, margin)} |"
            )
    return found


def verdict(satisfied: Difference, best_effort: Difference, margin: float) -> str:
    """By the two intervals: what is more, what is less, and whether users are as many, fewer by less than `margin`."""
    if satisfied.low > 0.0:
        users = "more users"
    elif satisfied.high < 0.0:
        users = "fewer users"
    else:
        users = "as many users" if satisfied.low > -margin else "users not decided"
    if best_effort.low > 0.0:
        return f"{users}, more best effort"
    return f"{users}, {'less best effort' if best_effort.high < 0.0 else 'best effort not decided'}"


Pairs = Sequence[tuple[str, str]]


def page(plan: Plan, results: Path, order: Sequence[str], pairs: Pairs) -> list[str]:
    """Per load and per held-out world: the arms in this order, and the differences that were asked for."""
    cases = [("held_out", plan.held_out.worlds[0].name, load) for load in plan.loads]
    cases += [
        ("held_out_worlds", world.name, load)
        for world in plan.held_out_worlds.worlds
        for load in WORLDS_LOADS
    ]
    rows, found = lines(results), list[str]()
    for part, world, load in cases:
        chosen = [row for row in rows if (row["part"], row["world"], row["load"]) == (part, world, load)]
        if not chosen:
            continue
        by_arm = columns(chosen)
        drops = len(next(iter(by_arm.values()))["users"])
        found += [f"### {world}, load {load:g}, {drops} drops", ""]
        found += [*table(by_arm, order), "", *differences(by_arm, pairs), ""]
    return found[:-1]


def show(text: str, readme: Path) -> None:
    """Print the tables, and put them into the page."""
    print(text)
    head, _, rest = readme.read_text("utf-8").partition("<!-- gain -->")
    _, _, tail = rest.partition("<!-- /gain -->")
    readme.write_text(f"{head}<!-- gain -->\n{text}\n<!-- /gain -->{tail}", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "show", "above"))
    parser.add_argument("--arm", action="append", default=[])
    parser.add_argument("--part", action="append", default=[], choices=PARTS)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3, help="training drops for `above`")
    arguments = parser.parse_args()
    plan = read_plan(FOLDER)
    if arguments.what == "show":
        pairs = [
            ("learned", tuned_arm(FOLDER, "rule").name),
            ("learned", "triage on log"),
            ("triage on learned", "triage on log"),
        ]
        show("\n".join(page(plan, RESULTS, [arm.name for arm in arms()], pairs)), README)
    elif arguments.what == "above":
        tune_above(plan, arguments.arm, arguments.processes, arguments.seeds)
    else:
        run(tasks_of(plan, arguments.part or PARTS, arguments.arm), RESULTS, arguments.processes)


if __name__ == "__main__":
    main()
