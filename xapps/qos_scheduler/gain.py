"""The gain of `qos_scheduler`, measured: judged on held-out drops, drop by drop, against what `ranloop train` has tuned.

    python xapps/qos_scheduler/gain.py evaluate    # held-out drops; writes gain.json, drops.md, the picture; prints as `show`
    python xapps/qos_scheduler/gain.py show        # the verdicts and the table of the README, from gain.json
    python xapps/qos_scheduler/gain.py parts       # for how long the users of a drop are seen

Arms: the best of three rules of the slot scheduler with the best static per-5QI weights, which is the tuned baseline; proportional fair
with its best weights; and the xApp above LOG and above proportional fair. The rules see every queue in every slot.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ran_sim.measure.score import SATISFIED_SHARE
from ranloop.embedded import run_embedded
from ranloop.evaluate import Arm, DropResult, Task, look_at, run_tasks
from ranloop.evaluation import Result, judged_place
from ranloop.judgement import AS_MANY_SATISFIED, MARGIN_PCT, MORE_BEST_EFFORT, Judgement
from ranloop.node import open_world
from ranloop.statistics import paired_difference
from ranloop.training import Arms, Training, tuned_arm
from ranloop_work import WorkError

FOLDER = Path(__file__).resolve().parent
GAIN = FOLDER / "gain.json"
TRAINING = Training(FOLDER)
PLAN, STATIC = TRAINING.plan, cast("Arms", TRAINING.trainee.contender("static"))
LOADS = PLAN.loads
NODE = PLAN.held_out.worlds[0].node
WARMUP_S = PLAN.held_out.warmup_s
HELD_OUT_SEEDS = PLAN.held_out.each
XAPP = "xApp on LOG"
COMMAND = "python xapps/qos_scheduler/gain.py evaluate"
KEPT = ("users", "satisfied", "best_effort_mbps", "user_p5_mbps")
RULES: Sequence[str] = ("pf", "m-lwdf", "log")  # as in train.py


Evidence = Mapping[str, Any]  # what gain.json keeps
Column = NDArray[Any]


def run(
    arms: Sequence[Arm], seeds: Sequence[int], measured_s: float, workers: Mapping[str, Any]
) -> dict[tuple[str, float], list[DropResult]]:
    """All arms on all drops at all loads: (arm, load) -> results in the order of the seeds."""
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
        **workers,
        on_done=lambda _: print(f"\r{next(done)}/{len(tasks)} runs", end="", file=sys.stderr, flush=True),
    )
    print(file=sys.stderr)
    n = len(seeds)
    return {(arm.name, load): results[i * n : (i + 1) * n] for i, (arm, load) in enumerate(keys)}


def column(results: Sequence[DropResult], key: str) -> list[float]:
    return [result.score[key] for result in results]


def named(only: Sequence[str], possible: Sequence[str]) -> Sequence[str]:
    """Those of `possible` that are called `only`; all where none is."""
    if unknown := sorted({*only} - {*possible}):
        sys.exit(f"gain.py: --only {unknown[0]!r}: want one of {', '.join(possible)}")
    return only or possible


def judged_arms() -> list[Arm]:
    """The arms of the evaluation, each once."""
    rules = {arm.name: arm for arm in (static("pf", 16.0, 1.0), baseline())}
    xapps = [
        Arm(name=name, overrides=static(rule, 1.0, 1.0).overrides, xapps=(FOLDER,))
        for name, rule in (("xApp on PF", "pf"), (XAPP, "log"))
    ]
    return [*rules.values(), *xapps]


def static(rule: str, weight: float, short_budget_factor: float) -> Arm:
    """A point of the contender `static`."""
    point = {"rule": RULES.index(rule), "weight": weight, "short_budget_factor": short_budget_factor}
    return STATIC.arm(point)


def baseline() -> Arm:
    """The rule and the static class weights that training has found."""
    return tuned_arm(FOLDER, "static")


def evaluate(measured_s: float, workers: Mapping[str, Any], only: Sequence[str]) -> None:
    """Run all arms, or the arms called `only`, on the held-out drops; keep each drop's figures and show the verdicts."""
    setting = {
        "node": NODE,
        "held_out_seeds": [HELD_OUT_SEEDS.start, HELD_OUT_SEEDS.stop - 1],
        "warmup_s": WARMUP_S,
        "measured_s": measured_s,
        "margin_pct": MARGIN_PCT,
        "baseline": baseline().name,
    }
    arms = judged_arms()
    names = named(only, [arm.name for arm in arms])
    found = run([arm for arm in arms if arm.name in names], HELD_OUT_SEEDS, measured_s, workers)
    fresh = {
        (load, arm): {key: [round(value, 3) for value in column(results, key)] for key in KEPT}
        for (arm, load), results in found.items()
    }
    known = (kept_rows(setting) if only else {}) | fresh
    keys = [(load, arm.name) for load in LOADS for arm in arms if (load, arm.name) in known]
    evidence = setting | {"rows": [{"load": load, "arm": arm} | known[load, arm] for load, arm in keys]}
    GAIN.write_text(json.dumps(evidence) + "\n", "utf-8")
    show(evidence)


def kept_rows(setting: Evidence) -> dict[tuple[float, str], Any]:
    """(load, arm) -> its figures, of an earlier evaluation with the same setting."""
    evidence = json.loads(GAIN.read_text("utf-8")) if GAIN.exists() else {}
    if any(evidence.get(name) != value for name, value in setting.items()):
        return {}
    return {(row["load"], row["arm"]): {key: row[key] for key in KEPT} for row in evidence["rows"]}


def show(evidence: Evidence) -> None:
    """Print the verdicts and the table, write the page of drops, the picture, and what `ranloop evaluate` reads."""
    print("\n".join(report(evidence)))
    (FOLDER / "result.json").write_text(result(evidence).model_dump_json(indent=1) + "\n", "utf-8")
    (FOLDER / "drops.md").write_text("\n".join(page_of_drops(evidence)) + "\n", "utf-8")
    draw(evidence)


def result(evidence: Evidence) -> Result:
    """What `ranloop evaluate` shows: the xApp beside the tuned baseline, at each load."""
    kpis = [kpi for kpi in look_at(Task(arm=baseline(), seed=0, node=NODE)).kpis if kpi.key in KEPT]
    places = []
    for load in LOADS:
        rows = of_load(evidence, load)
        arms = [
            [
                dict(zip(KEPT, drop, strict=True))
                for drop in zip(*(rows[name][key] for key in KEPT), strict=True)
            ]
            for name in (evidence["baseline"], XAPP)
        ]
        claims = (MORE_BEST_EFFORT, AS_MANY_SATISFIED)
        costs = [kpi for kpi in kpis if kpi.key == "user_p5_mbps"]
        places.append(judged_place("held_out", f"seven-sites, load {load:g}", claims, costs, kpis, arms))
    return Result(
        xapp=FOLDER.name,
        kind="xApp",
        rule=f"static class weights, {evidence['baseline']}",
        ours=XAPP,
        measured_by=COMMAND,
        places=tuple(places),
    )


def report(evidence: Evidence) -> list[str]:
    """The lines of the README."""
    return [*verdicts(evidence), "", *table(evidence)]


def of_load(evidence: Evidence, load: float) -> dict[str, Any]:
    """Arm -> its row at this load."""
    return {row["arm"]: row for row in evidence["rows"] if row["load"] == load}


def verdicts(evidence: Evidence) -> list[str]:
    """A line a load: the xApp against the tuned baseline."""
    lines = []
    for load in LOADS:
        rows = of_load(evidence, load)
        judgement = Judgement.of(rows[evidence["baseline"]], rows[XAPP])
        lines.append(f"- Load {load:g}. {judgement}")
    return lines


def table(evidence: Evidence) -> list[str]:
    """The table of the README: means over drops, paired differences to the tuned baseline, drops on the Pareto front."""
    lines = [
        "| load | arm | users | satisfied | best effort Mb/s | its 5th percentile | Δ satisfied [95 %] | Δ best effort Mb/s [95 %] | on the front |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for load in LOADS:
        rows = of_load(evidence, load)
        old, fronts = rows[evidence["baseline"]], fronts_of(rows)
        for name, row in rows.items():
            tuned = row is old
            cells = [f"{np.mean(row[key]):.1f}" for key in ("users", "satisfied", "best_effort_mbps")]
            cells.append(f"{np.mean(row['user_p5_mbps']):.2f}")
            for key in ("satisfied", "best_effort_mbps"):
                cells.append("" if tuned else f"{paired_difference(row[key], old[key]):+.1f}")
            cells.append(f"{sum(name in front for front in fronts)} of {len(fronts)}")
            arm = f"**{name}** (tuned baseline)" if tuned else name
            lines.append(f"| {load:g} | {arm} | " + " | ".join(cells) + " |")
    return lines


def fronts_of(rows: Mapping[str, Any]) -> list[set[str]]:
    """The arms on each drop's Pareto front."""
    columns = [zip(row["satisfied"], row["best_effort_mbps"], strict=True) for row in rows.values()]
    return [front(dict(zip(rows, points, strict=True))) for points in zip(*columns, strict=True)]


def front(points: Mapping[str, tuple[float, float]]) -> set[str]:
    """Those that no other has at least as much of both and more of one of."""

    def beaten(mine: tuple[float, float]) -> bool:
        return any(other != mine and other[0] >= mine[0] and other[1] >= mine[1] for other in points.values())

    return {name for name, mine in points.items() if not beaten(mine)}


def page_of_drops(evidence: Evidence) -> list[str]:
    """A page with every held-out drop; arms on its Pareto front are bold."""
    first, last = evidence["held_out_seeds"]
    lines = [
        "# Drop by drop",
        "",
        "Satisfied users / best effort in Mb/s per held-out drop and arm; bold is on the drop's Pareto front: no other arm has at",
        f"least as much of both and more of one. Written by `gain.py show`; the tuned baseline is {evidence['baseline']}.",
    ]
    for load in LOADS:
        rows = of_load(evidence, load)
        lines += ["", f"## Load {load:g}", "", "| drop | users | " + " | ".join(rows) + " |"]
        lines.append("|---" * (len(rows) + 2) + "|")
        users = rows[evidence["baseline"]]["users"]
        for i, (seed, on_front) in enumerate(zip(range(first, last + 1), fronts_of(rows), strict=True)):
            cells = [f"{row['satisfied'][i]:.0f} / {row['best_effort_mbps'][i]:.0f}" for row in rows.values()]
            cells = [
                f"**{cell}**" if name in on_front else cell for name, cell in zip(rows, cells, strict=True)
            ]
            lines.append(f"| {seed} | {users[i]:.0f} | " + " | ".join(cells) + " |")
    return lines


def draw(evidence: Evidence) -> None:
    """Satisfied users against best effort: above the means over drops, below each drop less its tuned baseline."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, len(LOADS), figsize=(13, 8), layout="constrained")
    for load, above, below in zip(LOADS, *panels, strict=True):
        rows = of_load(evidence, load)
        draw_means(above, rows, evidence["baseline"])
        draw_drops(below, rows, evidence["baseline"])
        above.set(
            title=f"load {load:g}", xlabel="best effort, Mb/s (whole network)", ylabel="satisfied users"
        )
        below.set(xlabel="Δ best effort, Mb/s", ylabel="Δ satisfied users")
    panels[0, -1].legend(fontsize=8)
    panels[1, 0].legend(fontsize=8)
    drops = len(evidence["rows"][0]["users"])
    figure.suptitle(
        f"seven-sites, {drops} held-out drops: means, and each drop's difference to the tuned baseline"
    )
    figure.savefig(FOLDER / "gain.png", dpi=110)


def look(name: str) -> dict[str, str]:
    """How an arm is drawn, the same in every panel."""
    marker, color = {XAPP: ("*", "C0"), "xApp on PF": ("*", "C1")}.get(name, ("o", "0.5"))
    return {"marker": marker, "color": color, "linestyle": "none"}


def draw_means(panel: Any, rows: Mapping[str, Any], baseline: str) -> None:
    for name, row in rows.items():
        point = np.mean(row["best_effort_mbps"]), np.mean(row["satisfied"])
        if name == baseline:
            panel.plot(*point, "o", color="black", markersize=9, label=f"{name}, tuned baseline")
        else:
            panel.plot(*point, markersize=11, label=name, **look(name))
    panel.grid(alpha=0.3)


def draw_drops(panel: Any, rows: Mapping[str, Any], baseline: str) -> None:
    old = rows[baseline]
    for name, row in rows.items():
        if name != baseline:
            points = [np.subtract(row[key], old[key]) for key in ("best_effort_mbps", "satisfied")]
            panel.plot(*points, markersize=6, alpha=0.7, **look(name))
    panel.axhline(0, color="black", linewidth=0.8)
    panel.axvline(0, color="black", linewidth=0.8)
    margin = MARGIN_PCT / 100 * float(np.mean(old["users"]))
    panel.axhline(-margin, color="black", linewidth=0.8, linestyle="--", label="margin")
    panel.grid(alpha=0.3)


def parts(measured_s: float) -> None:
    """The time for which users are seen, and the satisfied share of them: the tuned baseline on the validation drops."""
    print(
        "| load | users | seen s, median | seen throughout | satisfied of these | seen < 2 s | satisfied of these |"
    )
    print("|---|---|---|---|---|---|---|")
    for load in LOADS:
        found = [users_of_drop(load, seed, measured_s) for seed in PLAN.validation.each]
        seen_s, happy = (np.concatenate(column) for column in zip(*found, strict=True))
        cells = [f"{len(seen_s)}", f"{np.median(seen_s):.1f}"]
        for group in (seen_s >= measured_s - 0.1, seen_s < 2.0):  # 0.1: sessions begin and end at radio ticks
            cells += [f"{100 * group.mean():.0f} %", f"{100 * happy[group].mean():.0f} %"]
        print(f"| {load:g} | " + " | ".join(cells) + " |")


def users_of_drop(load: float, seed: int, measured_s: float) -> tuple[Column, Column]:
    """Seconds that each judged user is seen after the warm-up, and whether it is satisfied."""
    run_fields = {"run.duration_s": WARMUP_S + measured_s, "run.warmup_s": WARMUP_S}
    world = open_world(NODE, seed=seed, overrides={"load": load, **run_fields, **baseline().overrides})
    run_embedded(world, ())
    engine = world.engine  # type: ignore[attr-defined]  # because only the simulator's worlds have one
    sessions = engine.sessions()
    outcomes = sum(sessions[name] for name in ("packets_in_budget", "packets_late", "packets_dropped"))
    judged = np.array([c.delay_bound for c in engine.classes])[sessions["traffic_class"]] & (outcomes > 0)
    seen_slots = sessions["end_slot"] - np.maximum(sessions["start_slot"], engine.warmup_slot)
    happy = sessions["packets_in_budget"] >= SATISFIED_SHARE * outcomes
    return (seen_slots * engine.slot_ns / 1e9)[judged], happy[judged]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("evaluate", "show", "parts"))
    parser.add_argument("--measured-s", type=float, default=10.0, help="measured seconds per drop")
    parser.add_argument("--processes", type=int, default=None)
    parser.add_argument(
        "--on", metavar="tcp://HOST:PORT", help="a dask scheduler, whose workers run the drops"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="evaluate this arm; the others stay as they are",
    )
    arguments = parser.parse_args()
    workers = {"processes": arguments.processes, "on": arguments.on}
    try:
        carry_out(arguments.what, arguments.measured_s, workers, arguments.only)
    except WorkError as error:
        sys.exit(f"gain.py: {error}")


def carry_out(what: str, measured_s: float, workers: Mapping[str, Any], only: Sequence[str]) -> None:
    if what == "evaluate":
        evaluate(measured_s, workers, only)
    elif what == "parts":
        parts(measured_s)
    else:
        show(json.loads(GAIN.read_text("utf-8")))


if __name__ == "__main__":
    main()
