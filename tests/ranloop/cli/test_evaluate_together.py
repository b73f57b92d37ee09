"""`ranloop evaluate together`: all acting xApps on one network and each one in trouble, judged, kept, and written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ranloop.evaluate import DropResult, Task, run_drop
from ranloop.node.mishaps import KINDS
from tests.builders import write_xapp
from tests.command import Command

DROPS = 'seeds = [{}, {}]\nwarmup_s = 0.4\nmeasured_s = 0.8\nworlds = [{{ name = "one cell", node = "sim:one-cell" }}]\n'
TOGETHER = (
    """
xapps = ["high", "low"]
claims = ["users at most 1 less", "best_effort_mbps at most 90% less"]
costs = ["outage_pct"]
reversal_s = 1.0
[settings.low]
gain = 0.3
[joint]
"""
    + DROPS.format(21, 22)
    + '[fail_safe]\nclaims = ["users at most 1 less"]\n'
    + DROPS.format(31, 32)
)
APP = """
from ranloop import Report, SetUeWeight, XApp

app = XApp()
stuck = app.stuck(after=2)


@app.on_report("CQI", level="ue", every_ms=100)
def weigh(report: Report) -> SetUeWeight | None:
    known = report["CQI"] >= 0
    return None if stuck(report) else SetUeWeight(ue=report.ue[known], weight=2.0 * app.settings["gain"])
"""
SEES_NO_TROUBLE = APP.replace("stuck(report)", "False").replace('report["CQI"] >= 0', "report.ue >= 0")
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
    """A folder of two xApps that want different weights of the same UEs, in a working folder with `docs`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    folder = tmp_path / "xapps"
    write_xapp(folder / "high", app=APP)
    write_xapp(folder / "low", app=SEES_NO_TROUBLE)
    (folder / "together.toml").write_text(TOGETHER)
    return folder


def test_each_alone_and_all_together_meet_the_same_drops_and_the_page_has_what_came_of_it(
    ranloop: Command, xapps: Path
) -> None:
    outcome = ranloop("evaluate", "together", "--json")
    assert outcome.code == 0, outcome.err
    arms = ["A nothing", "B high", "C low", "D together"]
    assert sorted(RAN[:8]) == sorted((arm, seed) for arm in arms for seed in (21, 22))
    assert len(RAN[8:]) == 2 * (1 + 2 * len(KINDS))
    found = json.loads(outcome.out)
    joint = found["joint"]
    assert joint["arms"] == ["nothing", "high", "low", "together"]
    assert [change["word"] for change in joint["claims"]] == ["no worse than the margin"] * 2
    # "high" asks first, and holds what "low" wants as well.
    (conflict,) = [one for one in joint["refusals"] if one["because_of"]]
    assert (conflict["xapp"], conflict["cause"], conflict["because_of"]) == ("low", "conflict", "high"), (
        joint["refusals"]
    )
    page = Path("docs/together.md").read_text()
    assert f"| low | SetUeWeight | conflict | high | {conflict['n']:,} | held by high" in page
    # Of one xApp that notices trouble, and of one that believes all:
    in_time = {
        (one["xapp"], one["mishap"]): one["back_s"] <= one["lease_s"] for one in found["fail_safe"]["trials"]
    }
    assert [kind for kind in KINDS if not in_time["low", kind]] == ["constant", "absurd", "extreme"]
    assert [kind for kind in KINDS if not in_time["high", kind]] == ["constant", "extreme"]
    assert "Where it fails: low, constant: not back in time; low, absurd: not back in time." in page

    # The same call goes on where an earlier one ended.
    Path("runs/together/fail-safe/drops/E-32.json").unlink()
    RAN.clear()
    told = ranloop("evaluate", "together").out
    assert RAN == [("E high, constant", 32)]
    assert Path("docs/together.md").read_text() == page
    assert "together: users at most 1 less: no worse than the margin" in told
    assert (
        "high, of 6 mishaps: safe in 6, undecided in 0, fails in 0\nlow, of 6 mishaps: safe in 4, undecided in 0, fails in 2"
        in told
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"high", "low"', '"high"', "xapps: Tuple should have at least 2 items"),
        ('"high", "low"', '"high", "high"', "high stands there twice"),
        ('"high", "low"', '"high", "wol"', "xapps/wol"),
        ("gain = 0.3", "gian = 0.3", "low has no setting 'gian'"),
        ("[settings.low]", "[settings.other]", "settings of other, which is not among the xApps"),
        ('"outage_pct"', '"outage"', "this world has no KPI 'outage'"),
        ('["users at most 1 less", ', '["users better", ', 'want "KPI more"'),
        ("reversal_s = 1.0", "reversal_s = 0.0", "reversal_s: Input should be greater than 0"),
        ("seeds = [21, 22]", "seeds = [21, 21]", "one world, and 2 seeds or more"),
        ("[joint]", "[jiont]", "jiont: no such key (did you mean joint?)"),
    ],
)
def test_what_cannot_be_run_is_one_line_before_anything_runs(
    ranloop: Command, xapps: Path, old: str, new: str, words: str
) -> None:
    path = xapps / "together.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert words in ranloop("evaluate", "together").complaint
    assert RAN == []


def test_an_xapp_that_only_reads_has_no_place_there(ranloop: Command, xapps: Path) -> None:
    manifest = xapps / "low" / "manifest.toml"
    text = manifest.read_text()
    actions = text[text.index("[[actions]]") : text.index("[settings.gain]")]
    manifest.write_text(text.replace(actions, ""))
    assert "low acts on nothing; leave it out" in ranloop("evaluate", "together").complaint


def test_seeds_on_which_an_xapp_was_tuned_are_refused(ranloop: Command, xapps: Path) -> None:
    parts = (("training", 22), ("validation", 41), ("held_out", 51))
    world = 'worlds = [{ name = "one cell", node = "sim:one-cell" }]\n'
    (xapps / "low" / "plan.toml").write_text(
        '[search]\nreference = "none"\nrollouts = 1\n'
        + "".join(
            f"[{part}]\nseeds = [{seed}, {seed}]\nwarmup_s = 0.1\nmeasured_s = 0.3\n{world}"
            for part, seed in parts
        )
        + "[held_out_worlds]\nseeds = [61, 61]\nwarmup_s = 0.1\nmeasured_s = 0.3\n"
        + 'worlds = [{ name = "far", node = "sim:one-cell", overrides = { "layout.isd_m" = 900.0 } }]\n'
    )
    assert (
        "low was tuned on seed 22; want seeds that it has not seen"
        in ranloop("evaluate", "together").complaint
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--folder", "docs"), "there is no docs/together.toml; want the xApps that act"),
        (("--page", "no/such/page.md"), "no/such is no folder"),
    ],
)
def test_what_is_typed_wrong_is_one_line(
    ranloop: Command, xapps: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in ranloop("evaluate", "together", *arguments).complaint
