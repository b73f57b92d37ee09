"""The `ran_sim` command, run in this process as a user would type it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ran_sim.calibration import report
from ran_sim.calibration.check import Check, Plot, Section, Series, near
from ran_sim.calibration.example_run import _sinr_db
from ran_sim.engine import Engine
from ran_sim.engine.link_powers import serving_sinr
from ran_sim.engine.saved import SavedStateError
from ran_sim.measure.score import score
from ran_sim.scenario import Scenario, load_scenario
from ran_sim.scenario.toml_text import to_toml
from ran_sim.tools.cli import main
from tests.command import Command


@pytest.fixture
def ran_sim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`ran_sim("run", "one-cell")`."""
    monkeypatch.setattr("ran_sim.engine.first_use.compiled_before", lambda: True)
    return Command("ran_sim", main, monkeypatch, capsys)


# -- run ----------------------------------------------------------------------------------------------------------


def test_run_prints_the_score_of_the_run(ran_sim: Command) -> None:
    told = json.loads(
        ran_sim("run", "one-cell", "--seed", 3, "--duration-s", 1, "--override", "warmup_s=0.5", "--json").out
    )
    engine = Engine(load_scenario("one-cell").with_overrides({"warmup_s": 0.5}), seed=3)
    engine.run_until(2000)
    assert told["score"] == {k: None if np.isnan(v) else v for k, v in score(engine).items()}
    assert told["provenance"] == engine.provenance()
    assert told["ran_time_s"] == 1.0


def test_a_run_that_is_saved_and_continued_is_one_run(ran_sim: Command, tmp_path: Path) -> None:
    whole = ran_sim("run", "one-cell", "--duration-s", 3, "--json").out
    ran_sim("run", "one-cell", "--duration-s", 1, "--save", tmp_path / "state")
    assert ran_sim("run", tmp_path / "state", "--continue", "--duration-s", 3, "--json").out == whole


def test_run_without_json_is_a_table_for_people(ran_sim: Command) -> None:
    out = ran_sim("run", "one-cell", "--duration-s", 0.002, "--override", "warmup_s=0.001").out
    assert [line.split()[0] for line in out.splitlines()][:3] == ["ran", "wall", "users"]
    assert re.search("^satisfied_pct +none$", out, re.MULTILINE)  # in its first 2 ms no packet has an outcome


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("two-cells",), "two-cells: got no scenario, want a .toml file or one of"),
        (("no.toml",), "no.toml: got no readable file"),
        (("one-cell", "--seed", -1), "one-cell: seed -1 is negative"),
        (("one-cell", "--duration-s", "nan"), "--duration-s nan: want a number above 0"),
        (("one-cell", "--duration-s", "1e300"), "--duration-s 1e+300: want a number above 0, at most 1e+07"),
        (("one-cell", "--seed", 2**62), "one-cell: seed 4611686018427387904: want less than 2^62"),
        (("one-cell", "--duration-s", 0), "--duration-s 0: want a number above 0"),
        (("one-cell", "--set", "load=1"), "--set load=1: a scenario field is given by --override load=1"),
        (("one-cell", "--override", "load"), "--override 'load': want FIELD=VALUE"),
        (("one-cell", "--override", "lod=1"), "lod: got 1, want no such field"),
        (("one-cell", "--override", "load=1", "--override", "load=2"), "--override load: is given twice"),
        (("one-cell", "--override", "load=" + "[" * 100_000), "load: got "),
        (
            ("one-cell", "--override", "radio.cqi_delay_ms=20"),
            "want radio.cqi_delay_ms at most radio.cqi_period_ms, 10,",
        ),
        (("nothing", "--continue"), "nothing: cannot be read"),
        (("x", "--continue", "--override", "load=1"), "leave one of --continue and --override out"),
        (("one-cell", "--save", "no/where"), "--save no/where: cannot be written (No such file"),
        (("one-cell", "--save", "/"), "--save /: cannot be written (Is a directory)"),
        (
            ("x", "--continue", "--seed", 3),
            "keeps its scenario and seed; leave one of --continue and --seed out",
        ),
        (
            ("one-cell", "--duration-s", 2),
            "one-cell: ends at 2 s, within its warm-up of 2 s, before anything counts",
        ),
        (
            ("one-cell", "--override", "warmup_s=60"),
            "ends at 60 s, within its warm-up of 60 s, before anything counts",
        ),
    ],
)
def test_a_wrong_run_is_one_line(ran_sim: Command, arguments: tuple[object, ...], words: str) -> None:
    assert words in ran_sim("run", *arguments).complaint


def test_a_continued_run_cannot_end_before_its_saved_time(ran_sim: Command, tmp_path: Path) -> None:
    ran_sim("run", "one-cell", "--duration-s", 0.1, "--save", tmp_path / "state")
    again = ran_sim("run", tmp_path / "state", "--continue", "--duration-s", 0.05)
    assert again.complaint == "--duration-s 0.05: the run is at 0.1 s already"


def test_a_state_that_cannot_be_kept_in_the_end_loses_no_score(
    ran_sim: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(engine: Engine, path: Path) -> None:
        raise SavedStateError(f"{path}: cannot be written (No space left on device)")

    monkeypatch.setattr(Engine, "save", full)
    monkeypatch.setattr("ran_sim.tools.cli.SAVE_EVERY_S", 0.0)
    done = ran_sim("run", "one-cell", "--duration-s", 0.1, "--save", tmp_path / "state")
    assert done.code == 2
    assert "satisfied_pct" in done.out
    assert done.err.splitlines()[-1].startswith("error: ")
    assert set(done.err.splitlines()[:-1]) == {
        f"warning: {tmp_path / 'state'}: cannot be written (No space left on device)"
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_tells_its_score_and_goes_on_from_there(
    ran_sim: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    run_until = Engine.run_until

    def interrupted(engine: Engine, slot: int) -> None:
        run_until(engine, slot)
        if engine.slot == 1000:
            signal.raise_signal(number)

    whole = ran_sim("run", "one-cell", "--duration-s", 3, "--json").out
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Engine, "run_until", interrupted)
    done = ran_sim("run", "one-cell", "--duration-s", 3, "--save", tmp_path / "state", "--json")
    assert done.code == 130
    assert json.loads(done.out)["ran_time_s"] == 0.5
    assert done.err == f"interrupted at 0.5 of 3 s; ran_sim run {tmp_path / 'state'} --continue goes on\n"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert ran_sim("run", tmp_path / "state", "--continue", "--duration-s", 3, "--json").out == whole


def test_the_state_of_a_long_run_is_kept_on_the_way(
    ran_sim: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = []
    monkeypatch.setattr(Engine, "save", lambda engine, path: kept.append(engine.slot))
    monkeypatch.setattr("ran_sim.tools.cli.SAVE_EVERY_S", 0.0)
    ran_sim("run", "one-cell", "--duration-s", 0.1, "--save", tmp_path / "state")
    assert kept == [100, 200, 200]  # every radio tick of 50 ms, and at the end


@pytest.mark.parametrize("command", ["run", "sweep", "calibrate"])
def test_without_numba_it_says_how_to_get_it(
    ran_sim: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.chdir(tmp_path)
    arguments = {"run": ["one-cell"], "sweep": ["one-cell", "--out", "x"], "calibrate": []}[command]
    assert ran_sim(command, *arguments).complaint == "runs need numba: pip install 'ranloop[sim]'"


def test_a_process_without_numba_ends_in_one_line_and_still_reads_scenarios(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise ModuleNotFoundError(\"No module named 'numba'\", name='numba')")
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['numba'] = None\n")
    paths = os.pathsep.join([str(tmp_path), *sys.path])

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": paths}
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment
        )

    assert (
        python("-m", "ran_sim", "run", "one-cell").stderr
        == "error: runs need numba: pip install 'ranloop[sim]'\n"
    )
    assert python("-m", "ran_sim", "scenario", "one-cell").returncode == 0
    last = python("-c", "import ran_sim.engine").stderr.splitlines()[-1]
    assert last == "ModuleNotFoundError: ran_sim needs numba: pip install 'ranloop[sim]'"


# -- scenario -----------------------------------------------------------------------------------------------------


def test_scenario_lists_what_ships(ran_sim: Command) -> None:
    assert {"one-cell", "seven-sites"} <= set(ran_sim("scenario").out.split())
    assert {"one-cell", "seven-sites"} <= set(json.loads(ran_sim("scenario", "--json").out))


@pytest.mark.parametrize("name", ["one-cell", "seven-sites"])
def test_a_printed_scenario_is_the_scenario(ran_sim: Command, tmp_path: Path, name: str) -> None:
    changed = ("--override", 'scheduler.class_weight={"2": 3.0}', "--override", "load=0.25")
    (path := tmp_path / "printed.toml").write_text(ran_sim("scenario", name, *changed).out)
    expected = load_scenario(name).with_overrides({"scheduler.class_weight": {2: 3.0}, "load": 0.25})
    assert load_scenario(path) == expected
    assert Scenario.model_validate_json(ran_sim("scenario", name, *changed, "--json").out) == expected


def test_text_with_quotes_survives() -> None:
    scenario = load_scenario("one-cell")
    odd = scenario.model_copy(update={"name": 'a "b" \\ ü\n'})
    assert tomllib.loads(to_toml(odd))["name"] == odd.name


# -- calibrate ----------------------------------------------------------------------------------------------------

FITS = near("mean gain", 1.01, 1.0, unit="dB", within=0.1, source="closed form a|b")
FAILS = replace(FITS, what="tail", measured=float("nan"))
CURVE = Plot(
    name="gain-cdf",
    title="Gain",
    x_label="gain, dB",
    y_label="share",
    series=(
        Series(name="published", x=np.arange(3.0), y=np.zeros(3), upper=np.ones(3)),
        Series(name="here", x=np.arange(3.0), y=np.full(3, 0.5)),
        Series(name="drops", x=np.arange(3.0), y=np.full(3, 0.4), style="points"),
    ),
)


def section(*checks: Check) -> Section:
    return Section(title="Large scale", checks=checks, plots=(CURVE,), left_out=("Trees.",))


@pytest.fixture
def subjects(monkeypatch: pytest.MonkeyPatch) -> dict[str, Section]:
    """Two made-up subjects in place of the real ones."""
    found = {"large_scale": section(FITS), "link": section(FITS, FAILS)}
    monkeypatch.setattr(report, "subjects", lambda: tuple(found))
    monkeypatch.setattr(report, "run_subject", lambda name, quick, seed: found[name])
    return found


def test_calibrate_says_no_where_a_figure_is_outside_its_range(ran_sim: Command, subjects: object) -> None:
    good, all_ = ran_sim("calibrate", "--only", "large_scale"), ran_sim("calibrate")
    assert (good.code, all_.code) == (0, 1)
    assert "1 of 1 figures lie within their range." in good.out
    assert "2 of 3 figures lie within their range; outside: tail." in all_.out
    row = next(line for line in good.out.splitlines() if "mean gain" in line)
    assert row.split()[2:] == ["1.01", "1", "0.9", "…", "1.1", "dB", "yes", "closed", "form", "a|b"]


def test_calibrate_as_json_holds_every_figure(ran_sim: Command, subjects: object) -> None:
    told = json.loads(ran_sim("calibrate", "--json").out)
    assert {"numpy", "cpu", "code"} <= set(told["provenance"])
    tail = told["subjects"]["link"]["checks"][1]
    assert (tail["what"], tail["measured"], tail["wanted"], tail["passes"]) == ("tail", None, 1.0, False)
    assert told["subjects"]["large_scale"]["left_out"] == ["Trees."]


def test_calibrate_draws_with_the_seed_that_is_asked_for(
    ran_sim: Command, subjects: dict[str, Section], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    def run_subject(name: str, *, quick: bool, seed: int) -> Section:
        seeds.append(seed)
        return subjects[name]

    monkeypatch.setattr(report, "run_subject", run_subject)
    ran_sim("calibrate", "--seed", 7, "--only", "link")
    ran_sim("calibrate", "--only", "link")
    assert seeds == [7, 1]


@pytest.mark.parametrize("option", ["--out", "--write"])
def test_the_report_is_a_page_with_pictures(
    ran_sim: Command, subjects: object, tmp_path: Path, option: str
) -> None:
    target = tmp_path / "new" if option == "--out" else tmp_path / "calibration.md"
    assert ran_sim("calibrate", option, target).code == 1
    page = target / "report.md" if option == "--out" else target
    pictures = target if option == "--out" else tmp_path / "calibration"
    text = page.read_text("utf-8")
    assert "| mean gain | 1.01 | 1 | 0.9 … 1.1 | dB | yes | closed form a\\|b |" in text
    assert "| tail | none | 1 | 0.9 … 1.1 | dB | **no** |" in text
    assert "- Trees." in text
    for name in ("large-scale-gain-cdf.png", "link-gain-cdf.png"):
        assert (pictures / name).read_bytes().startswith(b"\x89PNG")
        link = f"]({'' if option == '--out' else 'calibration/'}{name})"
        assert link in text


def test_the_same_figures_give_the_same_files(subjects: dict[str, Section], tmp_path: Path) -> None:
    for name in ("a", "b"):
        report.write_report(subjects, tmp_path / name / "report.md", tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", "weather"), "--only weather: want one of large_scale, link"),
        (("--write", "page.txt"), "--write page.txt: want a file that ends in .md"),
        (("--out", "/dev/null/x"), "/dev/null/x: cannot be written"),
    ],
)
def test_a_wrong_calibrate_is_one_line(
    ran_sim: Command, subjects: dict[str, Section], arguments: tuple[str, ...], words: str
) -> None:
    subjects.clear() if "/dev" in words else None
    subjects.update({"large_scale": Section(title="x", checks=()), "link": Section(title="y", checks=())})
    assert ran_sim("calibrate", *arguments).complaint.startswith(words)


def test_pictures_without_matplotlib_are_told_how_to_get_it(
    ran_sim: Command, subjects: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert ran_sim("calibrate", "--out", tmp_path).complaint == (
        "pictures need matplotlib: pip install 'ranloop[plot]'"
    )


def test_every_module_with_a_run_is_a_subject() -> None:
    found = report.subjects()
    assert "example_run" in found
    assert not {"check", "report"} & set(found)


def test_the_sinr_that_the_example_run_shows_is_the_one_that_links_are_monitored_by() -> None:
    engine = Engine(load_scenario("seven-sites"), seed=1)
    engine.run_until(200)
    connected = np.flatnonzero(engine.ues.connected).tolist()
    monitored = [serving_sinr(u, engine.cells, engine.links) for u in connected]
    assert _sinr_db(engine) == pytest.approx(10.0 * np.log10(monitored), abs=1e-4)


def test_the_example_run_shows_what_it_says() -> None:
    found = report.run_subject("example_run", quick=True)
    series = ["throughput", "prb-use", "delay", "users", "handovers"]
    assert [plot.name for plot in found.plots] == [
        *series,
        "sinr-cdf",
        "user-throughput-cdf",
        "in-budget-cdf",
    ]
    use_pct = found.plots[1].series[0].y
    assert (use_pct >= 0).all()
    assert (use_pct <= 100).all()
    assert use_pct.max() > 50
    assert found.plots[0].series[0].x.tolist() == pytest.approx(np.arange(1, 41) / 10)
    for plot in found.plots[len(series) :]:
        for curve in plot.series:
            assert (np.diff(curve.x) >= 0).all()
            assert curve.y == pytest.approx(np.arange(1, len(curve.x) + 1) / len(curve.x))
    names = [[curve.name for curve in plot.series] for plot in found.plots]
    assert names[6] == [cls.name for cls in load_scenario("seven-sites").traffic]
    assert names[7] == names[6][1:]  # best effort has no budget
