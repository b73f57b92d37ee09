"""`ranloop new`: each template is an xApp that passes its own tests, is sound, runs where it says, and does no harm."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from ranloop.cli.new import TEMPLATES, make_xapp
from ranloop.embedded import run_embedded
from ranloop.node import open_world
from ranloop.wire.messages import Status
from ranloop.xapp.manifest import load_manifest
from tests.command import Command
from tests.docs.test_readme import code_lines

ROOT = Path(__file__).parents[3]
FILES = {"README.md", "app.py", "manifest.toml", "policy.py", "test_my_app.py"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Template -> the folder that was made of it."""
    here = tmp_path_factory.mktemp("made")
    folders = {name: here / f"my-{name}" for name in TEMPLATES}
    for name, folder in folders.items():
        assert make_xapp(folder, name, json_output=False) == 0
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
def test_it_tells_a_machine_what_it_made(ranloop: Command, tmp_path: Path, template: str) -> None:
    said = json.loads(ranloop("new", tmp_path / "my_app", "--template", template, "--json").out)
    assert {Path(path).name for path in said["files"]} >= FILES
    assert (said["xapp"], said["template"], said["node"]) == ("my_app", template, TEMPLATES[template])


# The three of the city act on different things, so one run of it is theirs together.
@pytest.mark.parametrize("side_by_side", ["monitor", "loop", "model", "energy slice steering"])
def test_it_runs_on_its_node_and_nothing_is_refused_as_wrong(
    made: Mapping[str, Path], side_by_side: str
) -> None:
    templates = side_by_side.split()
    (node,) = {TEMPLATES[name] for name in templates}
    longest_ms = max(stream.every_ms for name in templates for stream in load_manifest(made[name]).streams)
    with closing(open_world(node)) as world:
        summary = run_embedded(
            world, [made[name] for name in templates], until_ns=(longest_ms + 200) * 1_000_000
        ).summary
    wrong = {"refused/range", "refused/not-permitted", "refused/invariant", "refused/not-supported"}
    assert not wrong & set(summary.outcomes)
    applied = {fate.xapp for fate in summary.fates if fate.status is Status.APPLIED}
    assert applied >= {f"my-{name}" for name in templates} & {"my-loop", "my-model", "my-slice"}
    # The others may have nothing to do in their first second.


def test_its_image_is_built_by_the_one_recipe(
    ranloop: Command, made: Mapping[str, Path], tmp_path: Path
) -> None:
    """No template has a Dockerfile of its own, which would drift: `ranloop package` fills in arguments, and nothing else."""
    recipe = (ROOT / "docker" / "sdk.Dockerfile").read_text("utf-8")
    for name, folder in made.items():
        assert not list(folder.glob("*ocker*"))
        assert ranloop("package", folder, "--out", tmp_path / name).code == 0
        built = (tmp_path / name / "Dockerfile").read_text("utf-8")
        assert re.sub(r'^(ARG \w+)="[^"]*"$', r"\1", built, flags=re.MULTILINE) == recipe
        assert f'ARG NAME="my-{name}"\n' in built
        assert (tmp_path / name / "app" / f"my-{name}" / "app.py").is_file()


def test_a_policy_needs_numpy_alone(made: Mapping[str, Path]) -> None:
    for folder in made.values():
        lines = (folder / "policy.py").read_text().splitlines()
        imports = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
        assert imports <= {"collections", "typing", "numpy"}


def test_the_code_is_short(made: Mapping[str, Path]) -> None:
    lines = {name: code_lines(folder / "app.py") for name, folder in made.items()}
    assert lines["monitor"] <= 12
    assert lines["steering"] <= 12  # ten, and two imports
    assert max(lines.values()) <= 30  # the one with a model is among them


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

GAINING = sorted(TEMPLATES.keys() - {"monitor"})


def readme_of(folder: Path) -> tuple[list[str], list[str]]:
    """The arguments of the comparison that a README shows, and the verdicts that it printed: each up to its claim's end."""
    text = (folder / "README.md").read_text("utf-8")
    (command,) = re.findall(r"^    ranloop (compare .*)$", text.replace("\\\n", ""), re.MULTILINE)
    return shlex.split(command), verdicts(text)


def verdicts(text: str) -> list[str]:
    return re.findall(r"^ *(\S.*: .+ (?:more|less))\. B less A ", text, re.MULTILINE)


@pytest.mark.parametrize("template", GAINING)
def test_the_readme_has_a_verdict_on_each_claim_of_its_command(
    made: Mapping[str, Path], template: str
) -> None:
    arguments, told = readme_of(made[template])
    claims = [claim for option, claim in pairwise(arguments) if option == "--claim"]
    assert [verdict.partition(": ")[2] for verdict in told] == claims
    assert claims
    assert arguments[:5] == ["compare", "nothing", f"my-{template}", "--node", TEMPLATES[template]]


@pytest.mark.slow
@pytest.mark.parametrize("template", GAINING)
def test_the_comparison_of_the_readme_ends_with_its_verdicts(
    ranloop: Command, made: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    arguments, told = readme_of(made[template])
    monkeypatch.chdir(made[template].parent)
    done = ranloop(*arguments)
    assert done.code in (0, 4), done.err  # nothing is refuted
    assert verdicts(done.out) == told
