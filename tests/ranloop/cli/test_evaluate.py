"""`ranloop evaluate`: what xApps claim, judged on held-out drops, kept, and written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import nan
from pathlib import Path

import pytest

from ranloop.evaluate import DropResult, Task, run_drop
from ranloop.evaluation import Result
from ranloop.evaluation.page import page
from ranloop.evaluation.result import Change, Place
from tests.builders import write_xapp
from tests.command import Command

ROOT = Path(__file__).parents[3]

DROPS = "seeds = [{}, {}]\nwarmup_s = 0.1\nmeasured_s = 0.3\n"
PLAN = (
    '[search]\nreference = "none"\nrollouts = 1\n'
    + "".join(
        f'[{part}]\n{DROPS.format(first, first + 1)}worlds = [{{ name = "one cell", node = "sim:one-cell" }}]\n'
        for part, first in (("training", 1), ("validation", 11), ("held_out", 21))
    )
    + f"[held_out_worlds]\n{DROPS.format(31, 32)}worlds = [\n"
    '  { name = "15 kHz", node = "sim:one-cell", overrides = { "carrier.scs_khz" = 15 } },\n'
    '  { name = "far", node = "sim:one-cell", overrides = { "layout.isd_m" = 900.0 } },\n]\n'
)
CLAIMS = """
claims = ["users at most 1 less", "best_effort_mbps at most 90% less"]
costs = ["energy_kwh"]
[rule]
name = "weights of 1"
[ours]
name = "weights of 2"
kind = "model"
settings = { gain = 2.0 }
[nothing]
name = "no xApp"
xapp = false
"""
APP = """
from ranloop import Report, SetUeWeight, XApp

app = XApp()


@app.on_report("CQI", level="ue", every_ms=100)
def weigh(report: Report) -> SetUeWeight:
    return SetUeWeight(ue=report.ue, weight=app.settings["gain"])
"""
RAN: list[tuple[str, int]] = []  # arm and seed of each drop that was run


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drops are run here: `run_tasks`, which starts processes, has its own tests."""
    RAN.clear()

    def run_here(
        tasks: Sequence[Task], *, on_done: Callable[[DropResult], object], **_: object
    ) -> list[DropResult]:
        results = []
        for task in tasks:
            RAN.append((task.arm.name, task.seed))
            results.append(run_drop(task))
            on_done(results[-1])
        return results

    monkeypatch.setattr("ranloop.cli.watching.run_tasks", run_here)


@pytest.fixture
def xapps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of xApps of which one claims something, in a working folder with `docs`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    folder = write_xapp(tmp_path / "xapps" / "weigher", app=APP)
    (folder / "claims.toml").write_text(CLAIMS)
    (folder / "plan.toml").write_text(PLAN)
    write_xapp(tmp_path / "xapps" / "silent")
    return folder.parent


def test_each_arm_meets_the_same_held_out_drops_and_the_page_has_what_came_of_it(
    ranloop: Command, xapps: Path
) -> None:
    outcome = ranloop("evaluate", "xapps", "--json")
    assert outcome.code == 0
    arms = ("A weights of 1", "B weights of 2", "C no xApp")
    assert sorted(RAN) == sorted((arm, seed) for arm in arms for seed in (21, 22, 31, 32, 31, 32))
    found = json.loads(outcome.out)["weigher"]
    assert found["verdict"] == "model wins"  # no claim of it could fail
    assert [(place["name"], place["n"]) for place in found["places"]] == [
        ("one cell", 2), ("15 kHz", 2), ("far", 2), ("all of these", 4),
    ]  # fmt: skip
    users, _best_effort = found["places"][0]["claims"]
    assert (users["what"], users["word"], users["difference"]) == (
        "users at most 1 less",
        "no worse than the margin",
        0.0,
    )
    assert users["nothing"] == users["rule"] == users["ours"] > 0
    energy, actions, step = found["places"][0]["costs"]
    assert energy["unit"] == "kWh"
    assert (actions["nothing"], actions["rule"]) == (0.0, actions["ours"])
    assert step["nothing"] == 0.0 < step["ours"]
    page = Path("docs/xapps.md").read_text()
    assert (
        "| [weigher](#weigher) | **model wins** | weights of 1 | weights of 2 | users at most 1 less, one cell: +0.0 [+0.0, +0.0] UE"
        in page
    )
    assert "| one cell, 2 drops | users at most 1 less | no worse than the margin |" in page
    assert "Where it fails: in none of these places." in page


def test_the_same_call_goes_on_where_an_earlier_one_ended(ranloop: Command, xapps: Path) -> None:
    first = ranloop("evaluate", "xapps", "weigher", "--json").out
    next(Path("runs/evaluate/weigher").rglob("B-32.json")).unlink()  # as if it had been stopped before
    RAN.clear()
    second = ranloop("evaluate", "xapps", "weigher", "--json").out
    assert RAN == [("B weights of 2", 32)]
    without_times = [json.loads(said)["weigher"] for said in (first, second)]
    for found in without_times:
        for place in found["places"]:
            place["costs"].pop()  # of what it takes to decide, this machine says something else each time
    assert without_times[0] == without_times[1]


def test_a_claim_that_is_refuted_as_a_loss_is_harm_and_is_told_where(ranloop: Command, xapps: Path) -> None:
    claims = CLAIMS.replace('"best_effort_mbps at most 90% less"', '"prb_use_pct at most 0.0001 less"')
    claims = claims.replace("settings = { gain = 2.0 }", 'xapp = false\noverrides = { "load" = 0.001 }')
    (xapps / "weigher" / "claims.toml").write_text(claims.replace('"users at most 1 less", ', ""))
    found = json.loads(ranloop("evaluate", "xapps", "--json").out)["weigher"]
    assert found["verdict"] == "harm", found["places"]
    assert (
        "Where it fails: all of these: prb_use_pct at most 0.0001 less (harm, "
        in Path("docs/xapps.md").read_text()
    )


def test_an_xapp_that_judges_itself_brings_its_result(ranloop: Command, xapps: Path) -> None:
    (xapps / "weigher" / "claims.toml").write_text('measured_by = "python it.py"\n')
    outcome = ranloop("evaluate", "xapps")
    assert "weigher: is not measured yet; `python it.py` writes" in outcome.err
    result = {"xapp": "weigher", "kind": "model", "rule": "r", "ours": "o", "measured_by": "python it.py"}
    (xapps / "weigher" / "result.json").write_text(json.dumps({**result, "places": []}))
    assert "weigher: rule suffices" in ranloop("evaluate", "xapps").out
    assert not RAN


def test_the_page_of_this_repository_has_the_results_beside_the_xapps() -> None:
    shown = json.loads((ROOT / "docs/xapps.json").read_text())
    files = sorted((ROOT / "xapps").glob("*/result.json"))
    assert {path.parent.name: json.loads(path.read_text()) for path in files}.items() <= shown.items()
    results = [Result.model_validate(shown[name]) for name in sorted(shown)]
    assert (ROOT / "docs/xapps.md").read_text() == page(results, "ranloop evaluate xapps")


def test_the_page_has_no_interval_that_nobody_knows_and_no_unit_where_there_is_none() -> None:
    alarms = Change(what="alarms", unit="", digits=1, rule=2.0, ours=1.0, difference=-1.0, low=nan, high=nan)
    delay = Change(what="delay", unit="s", digits=0, rule=0.0, ours=3.0, difference=3.0, low=1.0, high=5.0)
    place = Place(part="held_out", name="here", n=2, claims=(delay,), costs=(alarms, delay))
    result = Result(xapp="x", kind="rule", rule="r", ours="o", measured_by="m", places=(place,))
    told = page([result], "command").splitlines()
    assert "| here | alarms | 2.0 | 1.0 | -1.0, -50.0 % |" in told
    assert "| here | delay, s | 0 | 3 | +3 [+1, +5] s |" in told


def test_results_of_xapps_that_are_not_named_stay_on_the_page(ranloop: Command, xapps: Path) -> None:
    other = Result(xapp="other", kind="model", rule="r", ours="o", measured_by="x", places=())
    Path("docs/xapps.json").write_text(json.dumps({"other": other.model_dump()}))
    assert "other: rule suffices" in ranloop("evaluate", "xapps", "weigher").out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"users at most 1 less"', '"users better"', 'want "KPI more"'),
        (
            '"users at most 1 less"',
            '"usres more"',
            "unknown KPI in xapps/weigher/claims.toml 'usres'; did you mean users",
        ),
        ('costs = ["energy_kwh"]', 'costs = ["energy"]', "unknown KPI in xapps/weigher/claims.toml 'energy'"),
        ("gain = 2.0", "gian = 2.0", "gian"),
        ('name = "weights of 1"', 'name = "r"\ncontender = "one"', "weigher has no train.py"),
        (
            "gain = 2.0 }",
            'gain = 2.0 }\ncontender = "one"',
            "a contender alone, or xapp, settings and overrides",
        ),
        ("[ours]", "[theirs]", "theirs"),
        (
            "xapp = false",
            "xapp = false\nsettings = { gain = 1.0 }",
            "no settings without the xApp, which alone takes them",
        ),
        (
            "claims =",
            'measured_by = "me"\nclaims =',
            "either claims, [rule] and [ours], or measured_by alone",
        ),
    ],
)
def test_claims_that_cannot_be_judged_are_one_line_before_anything_runs(
    ranloop: Command, xapps: Path, old: str, new: str, words: str
) -> None:
    path = xapps / "weigher" / "claims.toml"
    path.write_text(path.read_text().replace(old, new))
    outcome = ranloop("evaluate", "xapps")
    assert (outcome.code, RAN) == (2, [])
    assert words in outcome.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("xapps", "wiegher"), "unknown xApp with claims 'wiegher'; did you mean weigher?"),
        (
            ("xapps", "--folder", "docs"),
            "docs: no folder in it has a claims.toml; want a folder of xApps that claim something",
        ),
        (("xapps", "--page", "no/such/page.md"), "no/such is no folder"),
    ],
)
def test_what_is_typed_wrong_is_one_line(
    ranloop: Command, xapps: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in ranloop("evaluate", *arguments).complaint


def test_held_out_drops_that_something_was_trained_on_are_refused(ranloop: Command, xapps: Path) -> None:
    (xapps / "weigher" / "plan.toml").write_text(PLAN.replace("[21, 22]", "[2, 3]"))
    assert "[training] and [held_out] share seed 2" in ranloop("evaluate", "xapps").complaint
