"""Judges `triage_metric` on the held-out drops: the xApp on it, beside the xApp on LOG and the tuned static class weights.

    python -m models.triage_metric.evaluate run      # what is missing in held_out.jsonl; --arm and --part limit it
    python -m models.triage_metric.evaluate show     # the tables of README.md, from held_out.jsonl

Each line of `held_out.jsonl` is one arm on one drop. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

from models.slot_metric.evaluate import PARTS, WORLDS_LOADS, page, run, show, task
from models.triage_metric.train import FOLDER, XAPP, above, triage
from ranloop.evaluate import Arm, Task
from ranloop.inference import load_card
from ranloop.training import Drop, Plan, read_plan, tuned_arm

RESULTS, README = FOLDER / "held_out.jsonl", FOLDER / "README.md"
STATIC, ON_LOG, ON_METRIC = "static class weights", "triage on log", "triage on its metric"
RETUNED = "triage on log, settings of the metric"
PAIRS = ((ON_METRIC, ON_LOG), (ON_METRIC, STATIC), (ON_LOG, STATIC), (ON_METRIC, RETUNED))


def arms() -> list[Arm]:
    """The best static class weights, the triage above LOG, and the triage above the metric with the settings that go with it."""
    ours = replace(above(FOLDER, load_card(FOLDER).training["parameters"]), name=ON_METRIC)
    on_log = triage({})
    return [
        replace(tuned_arm(XAPP, "static"), name=STATIC),
        on_log,
        replace(on_log, name=RETUNED, settings=ours.settings),
        ours,
    ]


def fitted(arm: Arm, drop: Drop) -> Arm:
    """The arm as an operator would set it up in the world of a drop: the xApp knows the length of a slot."""
    if not arm.xapps:
        return arm
    scs_khz = cast("int", drop.world.overrides.get("carrier.scs_khz", 30))
    settings = {**arm.settings.get(XAPP.name, {}), "slot_ms": 15.0 / scs_khz}
    return replace(arm, settings={XAPP.name: settings})


def tasks_of(plan: Plan, parts: Iterable[str], names: Sequence[str]) -> list[Task]:
    """The known world at each load, then the held-out worlds; all arms of a drop after each other."""
    chosen = [arm for arm in arms() if not names or arm.name in names]
    return [
        task(fitted(arm, drop), drop, part)
        for part in parts
        for drop in plan.parts()[part].all(plan.loads if part == "held_out" else WORLDS_LOADS)
        for arm in chosen
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "show"))
    parser.add_argument("--arm", action="append", default=[], choices=[arm.name for arm in arms()])
    parser.add_argument("--part", action="append", default=[], choices=PARTS)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    plan = read_plan(FOLDER)
    if arguments.what == "show":
        show("\n".join(page(plan, RESULTS, [arm.name for arm in arms()], PAIRS)), README)
    else:
        run(tasks_of(plan, arguments.part or PARTS, arguments.arm), RESULTS, arguments.processes)


if __name__ == "__main__":
    main()
