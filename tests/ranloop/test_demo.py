"""The demo judges its drops as the xApp's evidence is judged, on drops that nothing was tuned on."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from ranloop.cli import demo
from ranloop.evaluate import Arm, DropResult, Task, look_at
from ranloop.kpi import Kpi, by_key
from ranloop.statistics import Shown
from xapps.qos_scheduler import gain


def drops(satisfied: list[float], best_effort_mbps: list[float]) -> list[DropResult]:
    return [
        DropResult(
            arm="any",
            seed=seed,
            score={"users": 100.0, "satisfied": happy, "best_effort_mbps": mbps, "prb_use_pct": 90.0},
            outcomes={},
            latencies_ns={},
            xapps={},
            wall_s=1.0,
        )
        for seed, (happy, mbps) in enumerate(zip(satisfied, best_effort_mbps, strict=True))
    ]


OLD = drops([60.0, 70.0, 65.0], [200.0, 220.0, 180.0])
BETTER = drops([60.0, 71.0, 66.0], [240.0, 250.0, 215.0])


@pytest.mark.parametrize(
    ("new", "shown"),
    [
        (BETTER, Shown.YES),
        (drops([50.0, 75.0, 65.0], [240.0, 250.0, 215.0]), Shown.UNDECIDED),
        (OLD, Shown.NO),
    ],
)
def test_the_verdict_is_the_new_arm_less_the_old_one(new: list[DropResult], shown: Shown) -> None:
    assert demo.judge(OLD, new).gain is shown


def test_json_says_the_verdict_and_the_margin_that_it_rests_on() -> None:
    facts = demo._facts(OLD, BETTER, wall_s=1.0)
    assert (facts["gain"], facts["margin_users"]) == ("yes", 2.0)
    assert facts["verdict"] == str(demo.judge(OLD, BETTER))


def test_what_it_shows_is_declared_by_the_world() -> None:
    known = by_key(look_at(Task(arm=Arm(name="any"), seed=1, node=demo.NODE)).kpis)
    assert known.keys() >= {*demo.FIGURES, *demo.TALLY}
    assert known["satisfied"].label == "satisfied users (>= 99 % of packets in budget)"


def test_its_drops_are_those_that_the_xapp_is_judged_on() -> None:
    assert gain.HELD_OUT_SEEDS == demo.JUDGED_SEEDS
    assert (demo.NODE, demo.WARMUP_S) == (gain.NODE, gain.WARMUP_S)
    assert demo.LOAD in gain.LOADS
    (_, xapp), judged = demo.arms(gain.FOLDER), {arm.name: arm for arm in gain.judged_arms()}
    assert judged[gain.XAPP].overrides.items() >= xapp.overrides.items()


@pytest.mark.parametrize(("drops_run", "hint"), [(3, True), (24, False)])
def test_where_too_few_drops_decide_nothing_it_says_how_many_there_are(drops_run: int, hint: bool) -> None:
    console = Console(file=StringIO(), width=200)
    old = drops([60.0] * drops_run, [200.0] * drops_run)
    new = drops([40.0 + 40.0 * (i % 2) for i in range(drops_run)], [240.0] * drops_run)
    arms = (Arm(name="tuned baseline"), Arm(name="xApp"))
    satisfied = Kpi(key="satisfied", label="satisfied users", unit="UE", better="higher", definition="")
    demo._show(console, *arms, old, new, [satisfied])
    said = console.file.getvalue()  # type: ignore[attr-defined]  # because a console's file may be any stream
    assert "No gain shown: " in said
    assert re.search(r"satisfied users, UE +│ +60\.0", said)
    assert ("ranloop demo --drops 24 runs them all" in said) is hint
