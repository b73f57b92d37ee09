"""`ranloop demo`: a closed loop on the simulator, and its gain over a tuned baseline."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ranloop.bundled import bundled
from ranloop.cli.dashboard import PageWanted
from ranloop.cli.demo_page import shown_pair
from ranloop.cli.watching import watch
from ranloop.errors import NodeError
from ranloop.evaluate import Arm, DropResult, Task, look_at, run_drop
from ranloop.judgement import MARGIN_PCT, Judgement
from ranloop.kpi import Kpi, by_key
from ranloop.statistics import Difference, Shown, paired_difference
from ranloop.training import tuned_arm

__all__ = ("run_demo",)

NODE = "sim:seven-sites"
LOAD = 1.0
JUDGED_SEEDS = range(4501, 4525)  # the drops of the xApp's README; nothing was tuned or trained on them
WARMUP_S = 2.0
XAPP = Path("xapps/qos_scheduler")
BENEATH = {"scheduler.name": "log"}  # the rule of the slots below the xApp
STAGES = {
    "advance": "simulate up to the next event",
    "report": "build the reports",
    "step": "publish, policy, answer",
    "guard": "judge the actions",
    "apply": "apply due changes",
}


FIGURES = ("satisfied", "users", "best_effort_mbps", "prb_use_pct")
TALLY = ("satisfied", "best_effort_mbps")


def run_demo(*, drops: int, duration_s: float, json_output: bool, dashboard: PageWanted | None = None) -> int:
    """Run the paired experiment and print it; with a page, after one drop that is shown there.

    Raises:
        NodeError: This installation carries no bundled xApps.
    """
    started = time.monotonic()
    folder = find_xapp()
    baseline, xapp = arms(folder)
    console = Console(stderr=json_output)
    overrides = {"load": LOAD, "run.duration_s": WARMUP_S + duration_s, "run.warmup_s": WARMUP_S}
    tasks = [
        Task(arm=arm, seed=seed, node=NODE, overrides=overrides)
        for seed in range(JUDGED_SEEDS.start, JUDGED_SEEDS.start + drops)
        for arm in (baseline, xapp)
    ]
    console.print(
        f"Seven sites, 21 cells, 210 UE rows, load {LOAD:g}. {drops} held-out drops of {duration_s:g} s (after {WARMUP_S:g} s of "
        f"warm-up), each run twice in lockstep: with tuned static class weights, and with the xApp behind its guard. "
        f"A gain needs both, by 95 % intervals: best effort gets more, and fewer satisfied users, if at all, by less than "
        f"{MARGIN_PCT:g} % of the users judged."
    )
    first = Task(
        arm=xapp, seed=0, node=NODE, overrides={**overrides, "run.duration_s": 0.3, "run.warmup_s": 0.0}
    )
    run_drop(first)
    kpis = by_key(look_at(first).kpis)
    with ExitStack() as stack:
        pair = (
            shown_pair(
                dashboard, folder, (baseline, xapp), node=NODE, seed=JUDGED_SEEDS.start, overrides=overrides
            )
            if dashboard
            else None
        )
        stay = stack.enter_context(pair) if pair else None
        results = watch(tasks, console, [kpis[key] for key in TALLY])
        pairs = (_of(results, baseline), _of(results, xapp))
        if json_output:
            print(json.dumps(_facts(*pairs, wall_s=time.monotonic() - started), indent=2), flush=True)
        else:
            _show(console, baseline, xapp, *pairs, [kpis[key] for key in FIGURES])
            console.print(f"{time.monotonic() - started:.0f} s in all")
        if stay:
            stay()
    return 0


def find_xapp() -> Path:
    """The folder of the bundled xApp."""
    found = bundled(str(XAPP))
    if found is None:
        raise NodeError(
            f"the demo runs {XAPP}, which an SDK alone does not carry; install ranloop from its wheel or a checkout"
        )
    return found


def arms(folder: Path) -> tuple[Arm, Arm]:
    """The tuned baseline, as `ranloop train` left it, and the xApp with its settings above the rule LOG."""
    baseline = replace(tuned_arm(folder, "static"), name="tuned baseline")
    return baseline, Arm(name="qos_scheduler", overrides=BENEATH, xapps=(folder,))


def _of(results: Sequence[DropResult], arm: Arm) -> list[DropResult]:
    return [result for result in results if result.arm == arm.name]


def _show(
    console: Console,
    baseline: Arm,
    xapp: Arm,
    old: Sequence[DropResult],
    new: Sequence[DropResult],
    kpis: Sequence[Kpi],
) -> None:
    table = Table(title="mean over drops; difference per drop, 95 % interval over drops")
    for heading in ("", baseline.name, xapp.name, "difference"):
        table.add_column(heading, justify="left" if not heading else "right")
    for kpi in kpis:
        difference = _difference(kpi.key, old, new)
        table.add_row(
            f"{kpi.label}, {kpi.unit}",
            f"{np.mean(_scores(kpi.key, old)):.{kpi.digits}f}",
            f"{np.mean(_scores(kpi.key, new)):.{kpi.digits}f}",
            f"{difference:+.{kpi.digits}f}",
        )
    console.print(table)
    console.print(str(judgement := judge(old, new)))
    if judgement.gain is Shown.UNDECIDED and len(new) < len(JUDGED_SEEDS):
        console.print(
            f"The drops that {XAPP}/README.md judges are {len(JUDGED_SEEDS)}: ranloop demo --drops {len(JUDGED_SEEDS)} runs them all."
        )
    console.print(_outcomes_table(new))
    console.print(_latency_table(new))


def judge(old: Sequence[DropResult], new: Sequence[DropResult]) -> Judgement:
    """The xApp against the baseline, on the same drops in the same order."""
    keys = ("users", "satisfied", "best_effort_mbps")
    return Judgement.of({key: _scores(key, old) for key in keys}, {key: _scores(key, new) for key in keys})


def _outcomes_table(results: Sequence[DropResult]) -> Table:
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.outcomes)
    table = Table(title="outcomes of the xApp's actions (targets, all drops)", box=None)
    table.add_column("outcome / cause")
    table.add_column("targets", justify="right")
    for name, count in total.most_common():
        table.add_row(name, f"{count:,}")
    return table


def _latency_table(results: Sequence[DropResult]) -> Table:
    table = Table(title="where the time went, per step of the loop (7 nodes)", box=None)
    for heading in ("stage", "what", "p50 µs", "p99 µs"):
        table.add_column(heading, justify="right" if "µs" in heading else "left")
    for stage, p50, p99 in _latencies_us(results):
        table.add_row(stage, STAGES.get(stage, ""), f"{p50:,.0f}", f"{p99:,.0f}")
    return table


def _latencies_us(results: Sequence[DropResult]) -> list[tuple[str, float, float]]:
    rows = []
    for stage in STAGES:
        passes = [result.latencies_ns[stage] for result in results if stage in result.latencies_ns]
        if passes:
            p50, p99 = np.percentile(np.concatenate(passes), (50, 99)) / 1e3
            rows.append((stage, float(p50), float(p99)))
    return rows


def _scores(key: str, results: Sequence[DropResult]) -> list[float]:
    return [result.score[key] for result in results]


def _difference(key: str, old: Sequence[DropResult], new: Sequence[DropResult]) -> Difference:
    return paired_difference(_scores(key, new), _scores(key, old))


def _facts(old: Sequence[DropResult], new: Sequence[DropResult], *, wall_s: float) -> dict[str, Any]:
    differences = {key: _difference(key, old, new) for key in FIGURES}
    judgement = judge(old, new)
    return {
        "drops": [result.seed for result in new],
        "figures": {
            key: {
                "baseline": _scores(key, old),
                "xapp": _scores(key, new),
                "difference": d.mean,
                "low": d.low,
                "high": d.high,
            }
            for key, d in differences.items()
        },
        "gain": judgement.gain.name.lower(),
        "margin_users": judgement.margin,
        "verdict": str(judgement),
        "outcomes": dict(sum((Counter(result.outcomes) for result in new), Counter())),
        "latency_us": {stage: {"p50": p50, "p99": p99} for stage, p50, p99 in _latencies_us(new)},
        "wall_s": round(wall_s, 1),
    }
