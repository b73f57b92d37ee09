"""`ranloop new`: each template is an xApp that passes its own tests, is sound, runs where it says, and does no harm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from ranloop.cli.new import TEMPLATES
from ranloop.embedded import run_embedded
from ranloop.evaluate import Arm, Task, run_tasks
from ranloop.node import open_world
from ranloop.statistics import Difference, paired_difference
from ranloop.xapp.manifest import load_manifest
from tests.command import Command
from tests.docs.test_readme import code_lines

FILES = {"README.md", "app.py", "manifest.toml", "policy.py", "test_my_app.py"}


@pytest.fixture
def made(ranloop: Command, tmp_path: Path) -> Mapping[str, Path]:
    """Template -> the folder that was made of it."""
    folders = {name: tmp_path / f"my-{name}" for name in TEMPLATES}
    for name, folder in folders.items():
        assert ranloop("new", folder, "--template", name).code == 0
    return folders


def test_what_it_made_passes_its_own_tests_side_by_side(made: Mapping[str, Path], tmp_path: Path) -> None:
    """As an author runs them: from outside this repository, in pytest's own import mode, all in one run."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]
    done = subprocess.run(
        [*command, *map(str, made.values())], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_what_it_made_has_its_name_and_is_sound(ranloop: Command, made: Mapping[str, Path]) -> None:
    for name, folder in made.items():
        assert load_manifest(folder).name == f"my-{name}"
        assert ranloop("check", folder).out.endswith("ok\n")
        texts = [path.read_text() for path in folder.rglob("*") if path.suffix in (".py", ".md", ".toml")]
        assert not [text for text in texts if "my_xapp" in text]
        assert any(f"ranloop run my-{name} --node {TEMPLATES[name]}" in text for text in texts)


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_it_runs_on_its_node_and_nothing_is_refused_as_wrong(
    ranloop: Command, tmp_path: Path, template: str
) -> None:
    said = json.loads(ranloop("new", tmp_path / "my_app", "--template", template, "--json").out)
    assert {Path(path).name for path in said["files"]} >= FILES
    with closing(open_world(said["node"])) as world:
        outcomes = run_embedded(world, [tmp_path / "my_app"], until_ns=1_100_000_000).summary.outcomes
    wrong = {"refused/range", "refused/not-permitted", "refused/invariant", "refused/not-supported"}
    assert not wrong & set(outcomes)
    if template in ("loop", "model", "slice"):  # the others may have nothing to do in their first second
        assert outcomes["applied"] > 0


def test_a_policy_needs_numpy_alone(made: Mapping[str, Path]) -> None:
    for folder in made.values():
        lines = (folder / "policy.py").read_text().splitlines()
        imports = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
        assert imports <= {"collections", "typing", "numpy"}


def test_the_code_is_short(made: Mapping[str, Path]) -> None:
    lines = {name: code_lines(folder / "app.py") for name, folder in made.items()}
    assert lines["monitor"] <= 12
    assert max(lines.values()) <= 30


def test_it_needs_no_simulator_no_broker_and_no_model_runtime(tmp_path: Path) -> None:
    code = "import sys, ranloop_start; sys.argv = ['ranloop', 'new', 'mine']\ntry: ranloop_start.ranloop()\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert (tmp_path / "mine" / "app.py").is_file()
    assert not loaded & {"numba", "ran_sim", "paho", "onnxruntime", "sklearn"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mine", "--template", "stearing"), "unknown template 'stearing'; did you mean steering?"),
        (
            ("mine", "--template", "x"),
            "unknown template 'x'; did you mean monitor or loop or model or steering or slice or energy?",
        ),
        (
            ("9lives",),
            "an xApp cannot be called '9lives': want a lower-case letter, then letters, digits, '_' and '-', at most 64",
        ),
        (("Mine",), "an xApp cannot be called 'Mine'"),
        (("a b",), "an xApp cannot be called 'a b'"),
        ((".",), "an xApp cannot be called ''"),
        (("there",), "there is there already; choose another name, or remove it first"),
        (("file/mine",), "file/mine cannot be written: Not a directory"),
    ],
)
def test_a_wrong_one_is_one_line(
    ranloop: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    assert ranloop("new", *arguments).complaint.startswith(words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]


# What the READMEs of the templates say that they gain

FLAT_DAY = {"load_profile.points": [[0.0, 1.0]]}


def gain(folder: Path, overrides: Mapping[str, object], figures: tuple[str, ...]) -> dict[str, Difference]:
    """Differences that the xApp makes over doing nothing, on four held-out drops."""
    arms = (Arm(name="nothing"), Arm(name="xapp", xapps=(folder,)))
    node = TEMPLATES[folder.name.removeprefix("my-")]
    tasks = [Task(arm=arm, seed=seed, node=node, overrides=overrides) for seed in range(7101, 7105) for arm in arms]  # fmt: skip
    results = run_tasks(tasks)
    scores = {arm.name: [r.score for r in results if r.arm == arm.name] for arm in arms}
    return {
        name: paired_difference([s[name] for s in scores["xapp"]], [s[name] for s in scores["nothing"]])
        for name in figures
    }


@pytest.mark.slow
@pytest.mark.parametrize("template", ["loop", "model"])
def test_the_loops_satisfy_more_users(made: Mapping[str, Path], template: str) -> None:
    found = gain(made[template], {"duration_s": 12.0}, ("satisfied", "best_effort_mbps"))
    assert found["satisfied"].low > 0
    assert found["best_effort_mbps"].high < 0  # what it costs: the README says so


@pytest.mark.slow
def test_steering_moves_load_to_where_room_is(made: Mapping[str, Path]) -> None:
    found = gain(made["steering"], {"duration_s": 20.0, "load": 1.4, **FLAT_DAY}, ("satisfied", "best_effort_mbps"))  # fmt: skip
    assert found["best_effort_mbps"].mean > 0
    assert found["satisfied"].high > 0


@pytest.mark.slow
def test_sleep_saves_energy_and_nobody_delay_bound_pays_for_it(made: Mapping[str, Path]) -> None:
    found = gain(
        made["energy"],
        {"duration_s": 20.0, "load_profile.points": [[0.0, 0.15]]},
        ("satisfied", "energy_kwh"),
    )
    assert found["energy_kwh"].high < 0
    assert found["satisfied"].high > 0


@pytest.mark.slow
def test_a_raised_guarantee_serves_the_late_slice(made: Mapping[str, Path]) -> None:
    figure = "satisfied_pct.cloud-gaming"
    found = gain(made["slice"], {"duration_s": 20.0, "load": 1.4, **FLAT_DAY}, ("satisfied", figure))
    assert found[figure].mean > 0
    assert found["satisfied"].high > 0
