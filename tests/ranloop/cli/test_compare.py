"""`ranloop compare`: one line for what cannot be compared, a verdict in the exit code for what can."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from ranloop.cli import watching
from ranloop.cli.arms import TypedArm, identity, read_arm
from ranloop.errors import RanloopError
from ranloop.evaluate import Arm, DropResult, Task, run_drop
from tests.builders import APP, write_xapp
from tests.command import Command

QUICK = ("--node", "sim:one-cell", "--seeds", "1..2", "--duration-s", "0.6", "--warmup-s", "0.1")
SHORT = {"run.duration_s": 0.4, "run.warmup_s": 0.1}


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are done here: `run_tasks`, which starts processes, has its own tests."""

    def run_here(
        tasks: Sequence[Task],
        *,
        on_done: Callable[[DropResult], object],
        **_: object,
    ) -> list[DropResult]:
        results = []
        for task in tasks:
            results.append(run_drop(task))
            on_done(results[-1])
        return results

    monkeypatch.setattr("ranloop.cli.watching.run_tasks", run_here)


@pytest.fixture
def xapp(tmp_path: Path) -> Path:
    return write_xapp(tmp_path / "weigher")


# What is typed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seeds", "1..1"), "--seeds 1..1: 1 seeds; want 2 to 10000"),
        (("--seeds", "9..3"), "want 2 to 10000, the lower one first"),
        (("--seeds", "a..b"), "--seeds a..b: want 1..16 or 1,2,5"),
        (("--seeds", "1,1"), "a seed is given twice"),
        (("--seeds=-2..3",), "want seeds from 0"),
        (("--claim", "satisfied better"), 'want "KPI more"'),
        (("--claim", "satisfied at most -2% less"), "-2 is no number above 0"),
        (("--claim", "satisfied at most 2% more"), 'want "satisfied more", or a margin'),
        (("--claim", "satisfed more"), "unknown KPI 'satisfed'; did you mean satisfied"),
        (("--claim", "satisfied at most 2% of usres less"), "unknown KPI 'usres'; did you mean users"),
        (("--claim", "satisfied more") * 2, "--claim 'satisfied more': is made twice"),
        (("--set-b", "gian=3"), "weigher has no setting 'gian'; it has: gain"),
        (("--set-a", "gain=3"), "--set-a: arm A is nothing and has no xApp to take it"),
        (("--model-b", "m=here"), "weigher has no model 'm'"),
        (("--override", "lod=1"), "lod: got 1, want no such field; there is load"),
        (("--override-b", "lod=1"), "lod: got 1, want no such field; there is load"),
        (("--duration-s", "-1"), "--duration-s -1: want a number above 0"),
        (("--warmup-s", "-1"), "--warmup-s -1: want 0 or more"),
        (("--warmup-s", "3", "--duration-s", "2"), "--duration-s 2 holds the warm-up of 3 s: want more"),
        (("--warmup-s", "0.6"), "--duration-s 0.6 holds the warm-up of 0.6 s"),
        (("--override-b", "run.warmup_s=9"), "ends at 0.6 s, within its warm-up of 9 s"),
        (("--node", "sim:no-such"), "no-such"),
        (("--profile", "oia"), "no profile 'oia'; did you mean oai?"),
        (("--limits", "none.toml"), "none.toml does not exist"),
        (("--handler-delay", "-1"), "--handler-delay '-1': want milliseconds of RAN time from 0"),
        (
            ("--handler-delay", "measured"),
            "arms are compared in runs that can be repeated; want milliseconds",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line_before_anything_runs(
    ranloop: Command, xapp: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in ranloop("compare", "nothing", xapp, *QUICK, *arguments).complaint


def test_two_arms_that_are_the_same_are_refused(ranloop: Command, xapp: Path, tmp_path: Path) -> None:
    assert "are the same" in ranloop("compare", "nothing", "nothing", *QUICK).complaint
    # another folder with the same files; a setting at its default
    twin = write_xapp(tmp_path / "there" / "weigher")
    assert "are the same" in ranloop("compare", xapp, twin, *QUICK, "--set-b", "gain=1").complaint


def test_a_node_without_a_score_is_refused(ranloop: Command, xapp: Path, tmp_path: Path) -> None:
    record = tmp_path / "record"
    assert ranloop("run", xapp, "--node", "sim:one-cell", "--duration-s", "0.2", "--record", record).code == 0
    complaint = ranloop("compare", "nothing", xapp, "--node", f"replay:{record}").complaint
    assert "keeps no score; compare arms on a simulated node" in complaint


@pytest.mark.parametrize("text", ["no/such", "nothing+nothing", "no/such@HEAD"])
def test_an_arm_that_is_not_there_is_refused(ranloop: Command, text: str) -> None:
    assert ranloop("compare", "nothing", text, *QUICK).complaint


# What comes of it


def test_claims_table_and_actions_are_told_and_the_exit_code_is_the_verdict(
    ranloop: Command, xapp: Path
) -> None:
    # a weight of all UEs alike changes no user's traffic: both arms have the same delay-bound users
    outcome = ranloop("compare", "nothing", xapp, *QUICK, "--claim", "users at most 1 less", "--json")
    facts = json.loads(outcome.out)
    assert outcome.code == facts["exit_code"] == 0
    assert facts["claims"][0]["verdict"] == "no worse than the margin"
    assert facts["arms"]["A"]["outcomes"] == {}
    assert facts["arms"]["B"]["outcomes"]["applied"] > 0
    assert facts["kpis"]["users"]["reads"] == "the same"
    assert facts["kpis"]["users"]["A"] == facts["kpis"]["users"]["B"]
    plain = ranloop("compare", "nothing", xapp, *QUICK, "--claim", "users at least 1 more")
    assert plain.code == 3
    assert (
        "no such gain: users at least 1 more. B less A +0.0 [+0.0, +0.0] UE, claimed above +1.0" in plain.out
    )
    assert "B " + str(xapp) + ": targets of its actions, all drops: applied" in plain.out


def test_an_undecided_claim_exits_with_4(ranloop: Command) -> None:
    # another load in one arm: two drops differ by some amount each, and their interval is 12.7 standard errors wide
    arms = ("nothing", "nothing", "--override-b", "load=0.9")
    outcome = ranloop("compare", *arms, *QUICK, "--claim", "delivered_mbps more")
    assert outcome.code == 4
    assert "undecided: delivered_mbps more" in outcome.out


PROFILE = """
name = "small"
read_at = "1"
[[measurements]]
names = ["CQI"]
levels = ["ue"]
[[actions]]
names = ["SetUeWeight"]
"""
LIMIT = """
[[limits]]
name = "low"
action = "SetUeWeight"
parameter = "weight"
at_most = 1.5
"""


def test_both_arms_run_under_a_profile_limits_and_a_handler_delay(
    ranloop: Command, xapp: Path, tmp_path: Path
) -> None:
    (profile := tmp_path / "small.toml").write_text(PROFILE)
    (limits := tmp_path / "limits.toml").write_text(LIMIT)
    under = ("--profile", profile, "--limits", limits, "--handler-delay", "150", "--out", tmp_path / "out")
    arms = (xapp, xapp, "--set-b", "gain=0.5")
    done = json.loads(ranloop("compare", *arms, *QUICK, *under, "--json").out)
    told = done["arms"]["B"]["under"]
    assert told["profile"].startswith("small@")
    assert told["limits"].startswith("limits.toml@")
    assert told["handler_delay_ms"] == 150.0
    refused, applied = (done["arms"][letter]["outcomes"] for letter in "AB")
    # The policy's weight of 2 is beyond the limit, half of it is not. What the xApp decides on a report is valid for 200 ms.
    assert refused["refused/limit"] > 0 == refused.get("applied", 0) == applied.get("refused/limit", 0)
    assert applied["applied"] > 0
    assert (
        "small, limits limits.toml, handler_delay_ms 150.0" in (tmp_path / "out" / "report.html").read_text()
    )
    limits.write_text(LIMIT.replace("1.5", "1.0"))
    complaint = ranloop("compare", *arms, *QUICK, *under).complaint
    assert "A.under.limits" in complaint


def test_what_the_profile_lacks_or_a_limit_does_not_find_is_told_before_anything_runs(
    ranloop: Command, xapp: Path, counted: list[tuple[str, int]], tmp_path: Path
) -> None:
    outcome = ranloop("compare", "nothing", xapp, *QUICK, "--profile", "onos-ransim")
    assert (outcome.code, counted) == (2, [])
    assert "the profile onos-ransim does not have what is asked for" in outcome.err
    (limits := tmp_path / "limits.toml").write_text(LIMIT.replace("at_most", 'node = "site9"\nat_most'))
    assert "low: no node 'site9'" in ranloop("compare", "nothing", xapp, *QUICK, "--limits", limits).complaint
    assert counted == []


# Arms


def git(folder: Path, *words: str) -> None:
    identity_ = ("-c", "user.name=t", "-c", "user.email=t@t")
    subprocess.run(["git", "-C", str(folder), *identity_, *words], check=True, capture_output=True)


def test_a_revision_is_the_folder_as_it_was_with_the_models_that_it_names(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    model = repository / "models" / "m"
    model.mkdir(parents=True)
    (model / "card").write_text("old")
    xapp = write_xapp(repository / "xapps" / "weigher")
    with (xapp / "manifest.toml").open("a") as manifest:
        manifest.write('[models]\nm = "../../models/m"\n')
    git(repository, "init", "-q")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "first")
    before = identity(Arm(name="now", xapps=(xapp,)))
    (xapp / "policy.py").write_text("def weight(cqi): return cqi * 0 + 3.0\n")
    (model / "card").write_text("new")
    old = read_arm(TypedArm(letter="A", text=f"{xapp}@HEAD"), tmp_path / "scratch")
    assert identity(old) == before != identity(Arm(name="now", xapps=(xapp,)))
    assert "2.0" in (old.xapps[0] / "policy.py").read_text()
    with pytest.raises(RanloopError, match="@v9: no such revision; want FOLDER@COMMIT"):
        read_arm(TypedArm(letter="A", text=f"{xapp}@v9"), tmp_path / "other")


def test_several_xapps_of_an_arm_share_its_settings_by_name(tmp_path: Path) -> None:
    one, two = write_xapp(tmp_path / "one"), write_xapp(tmp_path / "two")
    manifest = two / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("settings.gain", "settings.pull"))
    typed = TypedArm(letter="B", text=f"{one}+{two}", settings=["pull=2", "gain=3"])
    assert read_arm(typed, tmp_path / "scratch").settings == {"one": {"gain": 3}, "two": {"pull": 2}}


# Files


LITTERING = APP.replace(
    "@app.on_report",
    """
from pathlib import Path
for place in (Path(__file__).parent, Path.cwd()):
    if (place / "litter").exists():
        raise RuntimeError("an earlier drop was here")
    (place / "litter").write_text("x")

@app.on_report""",
)


def test_files_that_an_xapp_writes_reach_no_other_drop(tmp_path: Path) -> None:
    arm = Arm(name="littering", xapps=(write_xapp(tmp_path / "littering", app=LITTERING),))
    before, here = sorted(arm.xapps[0].iterdir()), Path.cwd()
    for seed in (1, 2):
        run_drop(Task(arm=arm, seed=seed, node="sim:one-cell", overrides=SHORT))
    assert sorted(arm.xapps[0].iterdir()) == before
    assert Path.cwd() == here
    assert not (here / "litter").exists()


def test_a_failing_handler_is_shown_in_the_authors_own_file(tmp_path: Path) -> None:
    app = APP.replace("return SetUeWeight", "1 / 0; return SetUeWeight")
    folder = write_xapp(tmp_path / "broken", app=app)
    with pytest.raises(RanloopError, match="ZeroDivisionError") as caught:
        run_drop(Task(arm=Arm(name="broken", xapps=(folder,)), seed=1, node="sim:one-cell", overrides=SHORT))
    assert os.fspath(folder / "app.py") in str(caught.value)


# The folder of --out


ONE_LOAD = ("nothing", "nothing", "--override-b", "load=0.9")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, no_processes: None) -> list[tuple[str, int]]:
    """(arm, seed) of each drop that is run."""
    ran: list[tuple[str, int]] = []
    do = watching.run_tasks  # type: ignore[attr-defined]  # because it is not that module's own

    def run(tasks: Sequence[Task], **options: Any) -> list[DropResult]:
        ran.extend((task.arm.name, task.seed) for task in tasks)
        return do(tasks, **options)

    monkeypatch.setattr(watching, "run_tasks", run)
    return ran


def test_a_second_call_runs_only_the_drops_that_are_not_there(
    ranloop: Command, counted: list[tuple[str, int]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = json.loads(ranloop("compare", *ONE_LOAD, *QUICK, "--out", out, "--json").out)
    assert len(counted) == 4
    (out / "drops" / "B-2.json").unlink()  # as if the first call had been killed before its last drop
    again = json.loads(ranloop("compare", *ONE_LOAD, *QUICK, "--out", out, "--json").out)
    assert counted[4:] == [("B nothing", 2)]
    assert again["kpis"] == first["kpis"]
    more = json.loads(ranloop("compare", *ONE_LOAD, *QUICK, "--seeds", "2..3", "--out", out, "--json").out)
    assert counted[5:] == [("A nothing", 3), ("B nothing", 3)]
    assert (more["seeds"], more["runs"]) == ([2, 3], 2)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (("--set-b", "gain=2"), "B.xapps.weigher.settings.gain"),
        (("--override", "load=0.5"), "A.world.scenario_hash"),
        (("--duration-s", "0.7"), "A.world.scenario_hash"),
    ],
)
def test_drops_of_other_arms_are_refused(
    ranloop: Command, xapp: Path, tmp_path: Path, change: tuple[str, ...], place: str
) -> None:
    out = tmp_path / "out"
    assert ranloop("compare", "nothing", xapp, *QUICK, "--out", out).code == 0
    complaint = ranloop("compare", "nothing", xapp, *QUICK, *change, "--out", out).complaint
    assert f"holds drops of other arms, {place}" in complaint
    assert "choose another folder or remove it" in complaint


def test_drops_of_changed_files_are_refused(ranloop: Command, xapp: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert ranloop("compare", "nothing", xapp, *QUICK, "--out", out).code == 0
    (xapp / "policy.py").write_text("def weight(cqi): return cqi * 0 + 3.0\n")
    complaint = ranloop("compare", "nothing", xapp, *QUICK, "--out", out).complaint
    assert "B.xapps.weigher.files differs" in complaint


@pytest.mark.parametrize(("file", "text"), [("comparison.json", "{"), ("drops/A-1.json", "{}")])
def test_a_damaged_file_of_the_folder_is_one_line(
    ranloop: Command, tmp_path: Path, file: str, text: str
) -> None:
    out = tmp_path / "out"
    assert ranloop("compare", *ONE_LOAD, *QUICK, "--out", out).code == 0
    (out / file).write_text(text)
    assert str(out) in ranloop("compare", *ONE_LOAD, *QUICK, "--out", out).complaint


def test_without_pyarrow_the_line_that_installs_it_is_told_before_anything_runs(
    ranloop: Command, monkeypatch: pytest.MonkeyPatch, counted: list[tuple[str, int]], tmp_path: Path
) -> None:
    monkeypatch.setattr("ranloop.cli.compare.find_spec", lambda _: None)
    complaint = ranloop("compare", *ONE_LOAD, *QUICK, "--out", tmp_path / "out").complaint
    assert "pip install 'ranloop[record]'" in complaint
    assert counted == []


def test_the_parquet_file_has_a_row_per_arm_and_seed_with_all_that_it_depends_on(
    ranloop: Command, xapp: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    facts = json.loads(ranloop("compare", "nothing", xapp, *QUICK, "--out", out, "--json").out)
    table = pq.read_table(out / "results.parquet")
    rows = table.to_pylist()
    assert [(row["arm"], row["seed"]) for row in rows] == [("A", 1), ("A", 2), ("B", 1), ("B", 2)]
    for key, kpi in facts["kpis"].items():
        assert [row[key] for row in rows] == kpi["A"] + kpi["B"]
    assert json.loads(rows[2]["xapps"])["weigher"]["settings"] == {"gain": 1.0}
    assert json.loads(rows[2]["outcomes"])["applied"] > 0
    assert rows[0]["scenario_hash"] == facts["arms"]["A"]["world"]["scenario_hash"]
    assert rows[0]["ranloop_code"] == facts["arms"]["A"]["versions"]["ranloop_code"]
    assert json.loads(table.schema.metadata[b"ranloop.kpis"])["users"][1] == "UE"


def test_the_page_stands_alone_and_shows_what_was_found(ranloop: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    claim = "best_effort_mbps more"
    plain = ranloop("compare", *ONE_LOAD, *QUICK, "--out", out, "--claim", claim).out
    text = (out / "report.html").read_text()
    assert html.escape(next(line for line in plain.splitlines() if claim in line)) in text
    assert not re.search(r"<script|<link|<img|src=|url\(|https?:", text)  # nothing from elsewhere
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    for picture in pictures:
        ElementTree.fromstring(picture)
    drops = [picture for picture in pictures if "<circle" in picture]
    assert drops
    assert all(picture.count("<circle") == 4 for picture in drops)  # two arms on two drops
    assert "RAN time, s" in text


# Shards


def test_shards_are_judged_together_as_the_whole_comparison_is(
    ranloop: Command, xapp: Path, tmp_path: Path
) -> None:
    pair = ("compare", "nothing", xapp, "--node", "sim:one-cell", "--seeds", "1..3", *QUICK[4:])
    whole, parts = ("--out", tmp_path / "whole"), ("--out", tmp_path / "parts")
    assert ranloop(*pair, *whole).code == 0
    assert "--merge needs --out" in ranloop(*pair, "--merge").complaint
    assert "--shard needs --out" in ranloop(*pair, "--shard", "1/2").complaint
    assert "leave one of them out" in ranloop(*pair, *parts, "--shard", "1/2", "--merge").complaint
    told = ranloop(*pair, *parts, "--shard", "2/2")  # seed 2
    assert "shard 2/2: 2 runs are in" in told.out
    merged = ranloop(*pair, *parts, "--merge")
    assert (merged.code, merged.err.count("\n")) == (2, 1)
    assert "2 of 3 drops are missing (shard 1/2); run them first" in merged.err
    assert "shards of 2, which overlap" in ranloop(*pair, *parts, "--shard", "1/3").err
    assert not (tmp_path / "parts" / "results.parquet").exists()
    told = ranloop(*pair, *parts, "--shard", "1/2", "--json")
    assert json.loads(told.out) == {"shard": "1/2", "runs": 4, "out": str(tmp_path / "parts")}
    assert "--merge runs nothing" in ranloop(*pair, *parts, "--merge", "--on", "tcp://127.0.0.1:1").complaint
    assert ranloop(*pair, *parts, "--merge").code == 0
    tables = [
        pq.read_table(tmp_path / name / "results.parquet").drop(["wall_s"]) for name in ("whole", "parts")
    ]
    assert tables[0].equals(tables[1])
