"""`ranloop gain`: xApps against nothing, on the same drops of a simulated network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ranloop.cli.run import deal
from ranloop.cli.values import parse_pairs
from ranloop.evaluate import Arm, DropResult, Task, run_tasks
from ranloop.statistics import paired_difference
from ranloop.xapp.manifest import load_manifest

__all__ = ("show_gain",)


def show_gain(
    folders: Sequence[Path],
    node: str,
    *,
    drops: int,
    first_seed: int,
    duration_s: float,
    settings: Sequence[str],
    overrides: Sequence[str],
    json_output: bool,
) -> int:
    """Print each figure of the score: without the xApps, and the difference that they make, with its 95 % interval."""
    manifests = [load_manifest(folder) for folder in folders]
    given = deal(manifests, parse_pairs("--set", settings), lambda manifest: manifest.settings)
    for manifest in manifests:
        manifest.effective_settings(given[manifest.name])  # a wrong one is told of before anything runs
    arms = (Arm(name="nothing"), Arm(name="xapps", xapps=tuple(folders), settings=given))
    fields = {**parse_pairs("--override", overrides), "run.duration_s": duration_s}
    seeds = range(first_seed, first_seed + drops)
    done = run_tasks(
        [Task(arm=arm, seed=seed, node=node, overrides=fields) for seed in seeds for arm in arms]
    )
    scores = {arm.name: [result.score for result in done if result.arm == arm.name] for arm in arms}
    figures = _figures(scores["nothing"], scores["xapps"])
    outcomes = _sum(done)
    if json_output:
        print(json.dumps({"drops": drops, "figures": figures, "targets": outcomes}, indent=2))
        return 0
    print(
        f"{drops} drops of {duration_s:g} s, seeds {seeds[0]} to {seeds[-1]}; means over drops, 95 % intervals"
    )
    print(f"{'':30} {'nothing':>10}   xApp less nothing")
    for name, of in figures.items():
        print(f"{name:30} {of['nothing']:10.4g}   {of['mean']:+.4g} [{of['low']:+.4g}, {of['high']:+.4g}]")
    print("targets: " + (", ".join(f"{count} {fate}" for fate, count in outcomes.items()) or "none"))
    return 0


def _figures(
    old: Sequence[Mapping[str, float]], new: Sequence[Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Figure -> mean without the xApps, and the paired difference; figures with no value in a drop are left out."""
    figures = {}
    for name in old[0]:
        before, after = ([score.get(name, np.nan) for score in scores] for scores in (old, new))
        if np.isfinite([*before, *after]).all():
            difference = paired_difference(after, before)
            figures[name] = {
                "nothing": float(np.mean(before)),
                "mean": difference.mean,
                "low": difference.low,
                "high": difference.high,
            }
    return figures


def _sum(results: Sequence[DropResult]) -> dict[str, int]:
    outcomes: dict[str, int] = {}
    for result in results:
        for fate, count in result.outcomes.items():
            outcomes[fate] = outcomes.get(fate, 0) + count
    return outcomes
