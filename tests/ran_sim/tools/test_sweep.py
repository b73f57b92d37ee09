"""A sweep: the same rows on any number of processes, nothing lost when it is killed, nothing mixed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ran_sim.engine import Engine
from ran_sim.engine.provenance import platform_provenance, scenario_hash
from ran_sim.measure.score import score
from ran_sim.scenario import ScenarioError, load_scenario
from ran_sim.tools import sweep as sweeps
from ran_sim.tools import sweep_tables
from ran_sim.tools.cli import main
from ran_sim.tools.cli_values import UsageError, parse_seeds, parse_values
from ran_sim.tools.sweep import Record, Run, SweepError, Where

BASE = load_scenario("one-cell").with_overrides({"duration_s": 0.4, "warmup_s": 0.1})
SETTINGS: dict[str, list[Any]] = {"load": [0.5, 1.0], "scheduler": ["pf", "rr"]}


def do(tmp_path: Path, runs: list[Run], name: str = "a", **options: Any) -> Path:
    """Sweep into `name`.parquet."""
    path = tmp_path / f"{name}.parquet"
    records = sweeps.sweep(BASE, runs, path.with_suffix(".runs"), **options)
    sweep_tables.write_results(path, records, BASE)
    return path


def test_a_row_is_the_score_of_its_run(tmp_path: Path) -> None:
    runs = sweeps.plan(BASE, [1, 2], SETTINGS)
    assert [(run.seed, *run.settings.values()) for run in runs] == [
        (1, 0.5, "pf"), (2, 0.5, "pf"), (1, 0.5, "rr"), (2, 0.5, "rr"), (1, 1.0, "pf"), (2, 1.0, "pf"), (1, 1.0, "rr"), (2, 1.0, "rr")
    ]  # fmt: skip
    rows = pq.read_table(do(tmp_path, runs)).to_pylist()
    assert len(rows) == 8
    scenario = BASE.with_overrides({"load": 1.0, "scheduler": "rr"})
    engine = Engine(scenario, seed=2)
    engine.run_until(800)
    expected = {k: None if np.isnan(v) else v for k, v in score(engine).items()}
    assert rows[-1] == {
        "seed": 2, "load": 1.0, "scheduler": "rr", "scenario_hash": scenario_hash(scenario), **expected
    }  # fmt: skip


def test_the_file_says_where_it_came_from(tmp_path: Path) -> None:
    metadata = pq.read_schema(do(tmp_path, sweeps.plan(BASE, [1], {}))).metadata
    origin = json.loads(metadata[b"ran_sim"])
    assert origin == {**platform_provenance(), "scenario": "one-cell", "base_hash": scenario_hash(BASE)}
    assert type(BASE).model_validate_json(metadata[b"ran_sim.scenario"]) == BASE


def test_two_processes_give_the_bits_of_one(tmp_path: Path) -> None:
    runs = sweeps.plan(BASE, [1, 2, 3], {"load": [0.5, 1.0]})
    one = do(tmp_path, runs, "one", per_session=True)
    two = do(tmp_path, runs, "two", per_session=True, where=Where(jobs=2))
    assert one.read_bytes() == two.read_bytes()
    for file in one.with_suffix(".runs").iterdir():
        assert file.read_bytes() == (two.with_suffix(".runs") / file.name).read_bytes()


def test_sessions_of_all_runs_are_one_table(tmp_path: Path) -> None:
    runs, folder, path = sweeps.plan(BASE, [1, 2], {"load": [1.0]}), tmp_path / "runs", tmp_path / "s.parquet"
    records = sweeps.sweep(BASE, runs, folder, per_session=True)
    sweep_tables.write_sessions(path, records, runs, folder, BASE)
    table = pq.read_table(path)
    engine = Engine(BASE, seed=2)
    engine.run_until(800)
    expected = engine.sessions()
    of_two = table.filter(np.array(table["seed"]) == 2)
    assert table.column_names[:3] == ["seed", "load", "ue_id"]
    for name in expected.dtype.names or ():
        assert np.array_equal(np.array(of_two[name]), expected[name])


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    told: list[tuple[int, bool]] = []

    def on_done(record: sweeps.Record, known: bool) -> None:
        told.append((record.seed, known))

    folder = tmp_path / "runs"
    sweeps.sweep(BASE, sweeps.plan(BASE, [2], {}), folder)
    records = sweeps.sweep(BASE, sweeps.plan(BASE, [1, 2, 3], {}), folder, on_done=on_done)
    assert told == [(2, True), (1, False), (3, False)]
    assert [record.seed for record in records] == [1, 2, 3]
    told.clear()
    sweeps.sweep(BASE, sweeps.plan(BASE, [2], {}), folder, per_session=True, on_done=on_done)
    assert told == [(2, False)]  # its sessions had not been kept


def test_what_was_done_before_an_error_is_collected(tmp_path: Path) -> None:
    collected: list[int] = []
    runs = sweeps.plan(BASE, [1, 2], {})
    (tmp_path / "own.py").write_text("")
    bad = BASE.with_overrides({"scheduler.metric": f"{tmp_path}/own.py:metric"})
    with pytest.raises(SweepError, match="got no 'metric' in it"):
        sweeps.sweep(
            BASE,
            [*runs, Run(seed=1, settings={}, scenario=bad)],
            tmp_path,
            collect=lambda records: collected.append(len(records)),
        )
    assert collected == [2]


# -- killed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_sweep_begins_nothing_more_and_collects_what_is_done(
    tmp_path: Path, jobs: int
) -> None:
    runs = sweeps.plan(BASE, range(60), {})
    collected: list[Record] = []

    def interrupt(_record: Record, _known: bool) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweeps.sweep(
            BASE, runs, tmp_path, where=Where(jobs=jobs), on_done=interrupt, collect=collected.extend
        )
    kept = {path.stem for path in tmp_path.glob("*-*.json")}
    assert 1 <= len(kept) < 60  # besides what was done, what was under way
    assert {f"{record.scenario_hash}-{record.seed:010d}" for record in collected} == kept


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_sweep_that_is_killed_leaves_whole_runs_and_goes_on_from_them(tmp_path: Path, jobs: int) -> None:
    path, folder = tmp_path / "a.parquet", tmp_path / "a.runs"
    command = [sys.executable, "-m", "ran_sim", "sweep", "one-cell", "--seeds", "1..200", "--jobs", str(jobs)]
    settings = ["--override", "duration_s=0.4", "--override", "warmup_s=0.1", "--out", str(path)]
    with subprocess.Popen([*command, *settings], stderr=subprocess.PIPE, start_new_session=True) as process:
        deadline = time.monotonic() + 300
        while len(list(folder.glob("*-*.json"))) < 3:
            assert time.monotonic() < deadline
            with pytest.raises(subprocess.TimeoutExpired):  # it is still at work
                process.wait(0.01)
        process.kill()
        process.communicate(timeout=300)  # to the end of standard error: the workers end with their parent
    kept = sorted(file.name for file in folder.glob("*-*.json"))
    assert 3 <= len(kept) < 200
    stamps = {name: (folder / name).stat().st_mtime_ns for name in kept}
    # Seeds 1 to 5 of the same scenario: those that were done are taken as they are.
    base = load_scenario("one-cell")
    runs = sweeps.plan(base, list(range(1, 6)), {"duration_s": [0.4], "warmup_s": [0.1]})
    resumed = sweeps.sweep(base, runs, folder)
    assert not list(folder.glob("*.part"))
    assert all((folder / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    assert resumed == sweeps.sweep(base, runs, tmp_path / "unbroken")


# -- never mixed --------------------------------------------------------------------------------------------------


def test_runs_of_another_scenario_or_version_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = sweeps.plan(BASE, [1], {})
    sweeps.sweep(BASE, runs, tmp_path)
    other = BASE.with_overrides({"load": 0.7})
    with pytest.raises(SweepError, match="holds runs of another scenario; choose another place"):
        sweeps.sweep(other, sweeps.plan(other, [1], {}), tmp_path)
    now = platform_provenance()
    monkeypatch.setattr(sweeps, "platform_provenance", lambda: {**now, "numba": "0.1"})
    with pytest.raises(SweepError, match="holds runs of another numba"):
        sweeps.sweep(BASE, runs, tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is none of a sweep"),
        (b'{"seed": 1}', "is none of a sweep"),
        (b"[" * 100_000, "is none of a sweep"),
        (b" " * (1 << 20) + b"1", "longer than 1 MiB"),
    ],
)
@pytest.mark.parametrize("which", ["sweep.json", "run"])
def test_a_file_that_is_no_run_is_refused(tmp_path: Path, content: bytes, words: str, which: str) -> None:
    runs = sweeps.plan(BASE, [1], {})
    sweeps.sweep(BASE, runs, tmp_path)
    path = tmp_path / (f"{runs[0].name}.json" if which == "run" else which)
    path.write_bytes(content)
    with pytest.raises(SweepError, match=words) as caught:
        sweeps.sweep(BASE, runs, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_run_under_another_name_is_refused(tmp_path: Path) -> None:
    one, two = sweeps.plan(BASE, [1, 2], {})
    sweeps.sweep(BASE, [one], tmp_path)
    (tmp_path / f"{one.name}.json").rename(tmp_path / f"{two.name}.json")
    with pytest.raises(SweepError, match="of another run than its name says"):
        sweeps.sweep(BASE, [two], tmp_path)


def test_sessions_that_are_none_are_refused(tmp_path: Path) -> None:
    runs = sweeps.plan(BASE, [1], {})
    records = sweeps.sweep(BASE, runs, tmp_path, per_session=True)
    (tmp_path / f"{runs[0].name}.npy").write_bytes(b"\x80\x04N.")
    with pytest.raises(SweepError, match="holds no sessions; remove it"):
        sweep_tables.write_sessions(tmp_path / "s.parquet", records, runs, tmp_path, BASE)


@pytest.fixture
def plugged(tmp_path: Path) -> Path:
    """A scenario with a metric, a path loss and a recording beside it."""
    (tmp_path / "own.py").write_text(
        "def metric(*terms):\n    return terms[0]\n\n\ndef loss(*terms):\n    return 100.0\n"
    )
    (tmp_path / "packets.csv").write_text("time_ms,bytes\n0,100\n10,200\n")
    (tmp_path / "mine.toml").write_text("""
name = "mine"
layout = { sites = 1, sectors = 1, path_loss = "own.py:loss" }
radio = { k_interferers = 0 }
scheduler = { metric = "own.py:metric" }
traffic = [{ name = "recorded", five_qi = 9, model = "trace", ues = 2, trace = "packets.csv" }]
""")
    return tmp_path / "mine.toml"


def test_the_hash_of_a_run_is_also_that_of_what_its_files_hold(plugged: Path) -> None:
    scenario = load_scenario(plugged)
    folder = plugged.parent
    assert scenario.files == {
        "layout.path_loss": folder / "own.py",
        "scheduler.metric": folder / "own.py",
        "traffic.recorded.trace": folder / "packets.csv",
    }
    seen = {Run(seed=1, settings={}, scenario=scenario).name}
    (folder / "packets.csv").write_text("time_ms,bytes\n0,100\n10,300\n")
    seen.add(Run(seed=1, settings={}, scenario=scenario).name)
    (folder / "own.py").write_text("def metric(*terms):\n    return 2.0\n")
    seen.add(Run(seed=1, settings={}, scenario=scenario).name)
    assert len(seen) == 3
    (folder / "own.py").unlink()
    with pytest.raises(ScenarioError, match=r"layout.path_loss: got no readable file .*own.py"):
        scenario_hash(scenario)


def kept(folder: Path, run: Run, settings: dict[str, Any]) -> None:
    """Leave in `folder` what a sweep leaves of a run, made up."""
    record = sweeps.Record(
        seed=run.seed, settings=settings, scenario_hash=run.scenario_hash, score={"delivered_mbps": 1.0}
    )
    (folder / f"{run.name}.json").write_text(record.model_dump_json())


def test_a_plan_with_more_settings_takes_over_the_runs_it_shares(tmp_path: Path) -> None:
    runs = sweeps.plan(BASE, [1], {"load": [1.0], "scheduler": ["pf", "rr"]})
    for run in runs:
        kept(tmp_path, run, {"load": 1.0} if run.settings["scheduler"] == "pf" else dict(run.settings))
    records = sweeps.sweep(BASE, runs, tmp_path)
    sweep_tables.write_results(tmp_path / "a.parquet", records, BASE)
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [(row["load"], row["scheduler"]) for row in rows] == [(1.0, "pf"), (1.0, "rr")]


def test_one_sweep_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    runs = sweeps.plan(BASE, [1], {})
    kept(tmp_path, runs[0], {})
    with sweeps._locked(tmp_path, None), pytest.raises(SweepError, match="a sweep is under way in it"):
        sweeps.sweep(BASE, runs, tmp_path)
    assert len(sweeps.sweep(BASE, runs, tmp_path)) == 1


# -- what is asked for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seeds", "settings", "words"),
    [
        ([], {}, "0 runs: want 1 to 100000"),
        (range(1000), {"load": [i / 1000 for i in range(1, 1001)]}, "1000000 runs"),
        ([-1, 2], {}, "seed -1 is negative"),
        ([2**62], {}, r"seed 4611686018427387904: want less than 2\^62"),
        ([1, 1], {}, "the same run twice"),
        ([1], {"load": [0.5, 0.5]}, "the same run twice"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(seeds: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SweepError, match=words):
        sweeps.plan(BASE, seeds, settings)
    with pytest.raises(ScenarioError, match="lod: got 1, want no such field"):
        sweeps.plan(BASE, [1], {"lod": [1]})


def test_columns_have_one_type(tmp_path: Path) -> None:
    runs = sweeps.plan(BASE, [1], {"load": [1, 0.5], "scheduler.metric": [None]})
    rows = pq.read_table(do(tmp_path, runs)).to_pylist()
    assert [row["load"] for row in rows] == [1.0, 0.5]
    assert [row["scheduler.metric"] for row in rows] == ["null", "null"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.5,1", [0.5, 1]),
        ("pf,m-lwdf", ["pf", "m-lwdf"]),
        ("pf,2", ["pf", 2]),
        ("[3,30],[50]", [[3, 30], [50]]),
        ("true", [True]),
    ],
)
def test_values_are_read_as_they_are_written(text: str, values: list[Any]) -> None:
    assert parse_values("x", text) == values


@pytest.mark.parametrize("text", ["", ",", "pf,", "1,,2"])
def test_empty_values_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="want values with commas between them"):
        parse_values("x", text)


def test_seeds_are_a_range_or_a_list() -> None:
    assert parse_seeds("2..5") == [2, 3, 4, 5]
    assert parse_seeds("7") == [7]
    assert parse_seeds("3,1") == [3, 1]
    for text in ("", "a", "1..", "5..2", "1.5", "0..100000000000", "1...3"):
        with pytest.raises(UsageError, match="--seeds"):
            parse_seeds(text)


# -- as a command -------------------------------------------------------------------------------------------------


@pytest.fixture
def ran_sim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `ran_sim sweep`, gives standard output, or standard error where it fails."""
    monkeypatch.setattr("ran_sim.engine.first_use.compiled_before", lambda: True)

    def run(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["ran_sim", "sweep", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        seen = capsys.readouterr()
        assert exit_.value.code in (0, 2)
        return seen.err if exit_.value.code else seen.out

    return run


SHORT = ("--override", "duration_s=0.3", "--override", "warmup_s=0.1", "--jobs", 1)


def test_the_command_writes_one_table_and_says_the_means(ran_sim: Callable[..., str], tmp_path: Path) -> None:
    arguments = (
        "one-cell",
        "--seeds",
        "1..2",
        "--override",
        "scheduler=pf,rr",
        *SHORT,
        "--out",
        tmp_path,
        "--per-session",
    )
    out = ran_sim(*arguments)
    table = pq.read_table(tmp_path / "results.parquet")
    assert (table.num_rows, table.column_names[:4]) == (4, ["seed", "scheduler", "duration_s", "warmup_s"])
    mean = np.mean(np.array(table["delivered_mbps"])[:2])
    row = next(line for line in out.splitlines() if line.startswith("scheduler=pf"))
    assert f"{mean:.2f}" in row
    assert pq.read_table(tmp_path / "results.sessions.parquet").num_rows > 4 * 20
    assert json.loads(ran_sim(*arguments, "--json"))["runs"] == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("two-cells",), "two-cells: got no scenario"),
        (("one-cell", "--seeds", "b"), "--seeds b: want 0..31 or 1,2,5"),
        (("one-cell", "--seeds=-2..1"), "seed -2 is negative"),
        (("one-cell", "--override", "load"), "--override 'load': want FIELD=VALUE"),
        (("one-cell", "--override", "load="), "want values with commas"),
        (("one-cell", "--override", "lod=1,2"), "lod: got 1, want no such field"),
        (
            ("one-cell", "--override", "duration_s=2,5"),
            "{'duration_s': 2}: ends at 2 s, within its warm-up of 2 s, before anything counts; want run.duration_s above",
        ),
    ],
)
def test_a_wrong_sweep_is_one_line(
    ran_sim: Callable[..., str], tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    error = ran_sim(*arguments, "--out", tmp_path / "x")
    assert words in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_place_that_cannot_be_written_is_told(ran_sim: Callable[..., str]) -> None:
    assert "/dev/null: cannot be written" in ran_sim("one-cell", *SHORT, "--out", "/dev/null/x.parquet")


def test_without_pyarrow_it_says_how_to_get_it(
    ran_sim: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert (
        ran_sim("one-cell", "--out", tmp_path)
        == "error: Parquet files need pyarrow: pip install 'ranloop[sweep]'\n"
    )
