"""What `qos_scheduler` gains, measured: tuned on training drops, judged on held-out ones, drop by drop.

    python xapps/qos_scheduler/gain.py tune        # both sides, on training drops; writes tuned.json
    python xapps/qos_scheduler/gain.py evaluate    # held-out drops; writes gain.json, the tables and the picture

Arms: proportional fair with static per-5QI weights (a sweep, its best point is the tuned baseline), the xApp with its
model, the same triage with the same settings as a rule without a model, and two schedulers that see every queue in every slot as ceilings.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ranloop.evaluate import Arm, DropResult, Task, run_tasks
from ranloop.statistics import paired_difference

FOLDER = Path(__file__).resolve().parent
NODE = "sim:seven-sites"
LOADS = (0.4, 1.0, 1.6)  # light, busy, beyond what the carrier can serve
TRAINING_SEEDS = range(1000, 1004)
HELD_OUT_SEEDS = range(1, 13)
WARMUP_S = 2.0
DELAY_BOUND_5QI = (1, 2, 3, 80)
STATIC_WEIGHTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
SWEEP = (1.0, 4.0, 16.0, 64.0)  # of them, those that the evaluation shows
SHORT_BUDGET_FACTORS = (1.0, 4.0)  # 5QI 80 (8 ms on the radio) above the others
XAPP_GRID = {"cap": (0.5, 0.75, 1.0, 1.5), "rest_weight": (0.2, 1.0), "give_up_miss_rate": (0.05, 0.1, 0.3)}


def static_arm(weight: float, short_budget_factor: float = 1.0) -> Arm:
    """Proportional fair with one weight for all delay-bound classes, more for the shortest budget."""
    overrides = {"scheduler.class_weight": class_weight(weight, short_budget_factor)}
    return Arm(name=f"static {weight:g}/{weight * short_budget_factor:g}", overrides=overrides)


def class_weight(weight: float, short_budget_factor: float = 1.0) -> dict[str, float]:
    return {str(five_qi): weight for five_qi in DELAY_BOUND_5QI} | {"80": weight * short_budget_factor}


def xapp_arm(predictor: str, **settings: float) -> Arm:
    """The xApp over class weights of 1: what it wants, it says per UE."""
    return Arm(
        name=" ".join([f"xApp ({predictor})", *(f"{name}={value:g}" for name, value in settings.items())]),
        overrides=static_arm(1.0).overrides,
        xapps=(FOLDER,),
        settings={"qos_scheduler": {"predictor": predictor, **settings}},
    )


def run(
    arms: Sequence[Arm], seeds: Iterable[int], measured_s: float, processes: int | None
) -> dict[tuple[str, float], list[DropResult]]:
    """All arms on all drops at all loads: (arm, load) -> results in the order of the seeds."""
    seeds = list(seeds)
    keys = [(arm, load) for load in LOADS for arm in arms]
    tasks = [
        Task(
            arm=arm,
            seed=seed,
            node=NODE,
            overrides={"load": load, "run.duration_s": WARMUP_S + measured_s, "run.warmup_s": WARMUP_S},
        )
        for arm, load in keys
        for seed in seeds
    ]
    done = itertools.count(1)
    results = run_tasks(
        tasks,
        processes=processes,
        on_done=lambda _: print(f"\r{next(done)}/{len(tasks)} runs", end="", file=sys.stderr, flush=True),
    )
    print(file=sys.stderr)
    n = len(seeds)
    return {(arm.name, load): results[i * n : (i + 1) * n] for i, (arm, load) in enumerate(keys)}


def column(results: Sequence[DropResult], key: str) -> list[float]:
    return [result.score[key] for result in results]


def mean_over_loads(found: Mapping[tuple[str, float], list[DropResult]], arm: str, key: str) -> float:
    return float(np.mean([column(found[arm, load], key) for load in LOADS]))


def tune(measured_s: float, processes: int | None) -> None:
    """Grid search on the training drops: the most satisfied users; within half a user of that, the most best effort."""
    chosen: dict[str, Any] = {
        "training_seeds": [TRAINING_SEEDS.start, TRAINING_SEEDS.stop - 1],
        "loads": LOADS,
    }
    statics = {static_arm(w, f).name: (w, f) for w in STATIC_WEIGHTS for f in SHORT_BUDGET_FACTORS}
    best = pick([static_arm(*pair) for pair in statics.values()], measured_s, processes)
    chosen["static"] = dict(zip(("weight", "short_budget_factor"), statics[best], strict=True))
    chosen["static"]["class_weight"] = class_weight(*statics[best])
    grid = [dict(zip(XAPP_GRID, point, strict=True)) for point in itertools.product(*XAPP_GRID.values())]
    by_name = {xapp_arm("model", **point).name: point for point in grid}
    chosen["xapp"] = by_name[pick([xapp_arm("model", **point) for point in grid], measured_s, processes)]
    (FOLDER / "tuned.json").write_text(json.dumps(chosen, indent=2) + "\n", "utf-8")
    print(json.dumps(chosen, indent=2))


def pick(arms: Sequence[Arm], measured_s: float, processes: int | None) -> str:
    found = run(arms, TRAINING_SEEDS, measured_s, processes)
    points = {
        arm.name: (
            mean_over_loads(found, arm.name, "satisfied"),
            mean_over_loads(found, arm.name, "best_effort_mbps"),
        )
        for arm in arms
    }
    most = max(satisfied for satisfied, _ in points.values())
    for name, (satisfied, mbps) in sorted(points.items(), key=lambda item: -item[1][0]):
        print(f"{name:60s} satisfied {satisfied:6.2f}  best effort {mbps:6.1f} Mb/s")
    near = {name: mbps for name, (satisfied, mbps) in points.items() if satisfied >= most - 0.5}
    best = max(near, key=lambda name: near[name])
    print(f"-> {best}\n")
    return best


def tuned_arms() -> list[Arm]:
    """The arms of the evaluation: the static sweep, the tuned points, the ceilings."""
    tuned = json.loads((FOLDER / "tuned.json").read_text("utf-8"))
    static = tuned["static"]
    weights = sorted({*SWEEP, static["weight"]})
    sweep = [static_arm(weight, static["short_budget_factor"]) for weight in weights]
    xapps = [xapp_arm(predictor, **tuned["xapp"]) for predictor in ("model", "rule")]
    ceilings = [Arm(name=name, overrides={"scheduler": name}) for name in ("m-lwdf", "edf")]
    return [*sweep, *xapps, *ceilings]


def baseline_name() -> str:
    static = json.loads((FOLDER / "tuned.json").read_text("utf-8"))["static"]
    return static_arm(static["weight"], static["short_budget_factor"]).name


def evaluate(measured_s: float, processes: int | None) -> None:
    """Held-out drops: every arm, and its paired difference to the tuned baseline with a 95 % interval over drops."""
    arms, baseline = tuned_arms(), baseline_name()
    found = run(arms, HELD_OUT_SEEDS, measured_s, processes)
    rows = []
    for load, arm in itertools.product(LOADS, arms):
        row: dict[str, Any] = {"load": load, "arm": arm.name, "tuned_baseline": arm.name == baseline}
        for key in ("users", "satisfied", "best_effort_mbps", "prb_use_pct"):
            row[key] = [round(value, 3) for value in column(found[arm.name, load], key)]
        for key in ("satisfied", "best_effort_mbps"):
            difference = paired_difference(
                column(found[arm.name, load], key), column(found[baseline, load], key)
            )
            row[f"{key}_difference"] = [
                round(x, 3) for x in (difference.mean, difference.low, difference.high)
            ]
        rows.append(row)
    seeds = [HELD_OUT_SEEDS.start, HELD_OUT_SEEDS.stop - 1]
    evidence = {
        "node": NODE,
        "held_out_seeds": seeds,
        "measured_s": measured_s,
        "baseline": baseline,
        "rows": rows,
    }
    (FOLDER / "gain.json").write_text(json.dumps(evidence) + "\n", "utf-8")
    show(evidence)
    draw(evidence)


def show(evidence: Mapping[str, Any]) -> None:
    """The table of the README."""
    print(
        "| load | arm | users | satisfied | best effort Mb/s | Δ satisfied [95 %] | Δ best effort Mb/s [95 %] |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in evidence["rows"]:
        name = f"**{row['arm']}** (tuned baseline)" if row["tuned_baseline"] else row["arm"]
        means = [float(np.mean(row[key])) for key in ("users", "satisfied", "best_effort_mbps")]
        cells = [f"{means[0]:.1f}", f"{means[1]:.1f}", f"{means[2]:.1f}"]
        for key in ("satisfied", "best_effort_mbps"):
            mean, low, high = row[f"{key}_difference"]
            cells.append("" if row["tuned_baseline"] else f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]")
        print(f"| {row['load']:g} | {name} | " + " | ".join(cells) + " |")


def draw(evidence: Mapping[str, Any]) -> None:
    """The Pareto picture: satisfied users against best-effort throughput, mean over drops, one panel a load."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(LOADS), figsize=(13, 4.2), layout="constrained")
    for panel, load in zip(panels, LOADS, strict=True):
        rows = [row for row in evidence["rows"] if row["load"] == load]
        points = {row["arm"]: (np.mean(row["best_effort_mbps"]), np.mean(row["satisfied"])) for row in rows}
        sweep = [point for name, point in points.items() if name.startswith("static")]
        panel.plot(*zip(*sweep, strict=True), "o-", color="0.5", label="PF, static class weights 1 … 64")
        for name, point in points.items():
            if name == evidence["baseline"]:
                panel.plot(*point, "o", color="black", markersize=9, label="tuned baseline")
            elif not name.startswith("static"):
                panel.plot(
                    *point,
                    {"x": "*", "m": "^", "e": "v"}[name[0]],
                    markersize=11,
                    label=name.split(") ")[0].rstrip(")") + (")" if "(" in name else ""),
                )
        panel.set(
            title=f"load {load:g}", xlabel="best effort, Mb/s (whole network)", ylabel="satisfied users"
        )
        panel.grid(alpha=0.3)
    panels[-1].legend(fontsize=8)
    figure.suptitle(f"seven-sites, mean over {len(rows[0]['users'])} held-out drops")
    figure.savefig(FOLDER / "gain.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("tune", "evaluate", "show"))
    parser.add_argument("--measured-s", type=float, default=10.0, help="measured seconds per drop")
    parser.add_argument("--processes", type=int, default=None)
    arguments = parser.parse_args()
    if arguments.what == "tune":
        tune(arguments.measured_s, arguments.processes)
    elif arguments.what == "evaluate":
        evaluate(arguments.measured_s, arguments.processes)
    else:
        show(json.loads((FOLDER / "gain.json").read_text("utf-8")))


if __name__ == "__main__":
    main()
