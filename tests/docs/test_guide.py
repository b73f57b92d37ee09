"""The guide and the tutorial: their code is files that run, their commands exist, and the tutorial's print what it shows."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import typer

from ranloop.cli import main
from ranloop.cli.app import app as command_line
from ranloop.guard.remedies import REMEDIES
from ranloop.notebook import simulate
from ranloop.testing import VirtualRan
from ranloop.wire.messages import Cause
from tests.command import Command, Outcome

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "examples" / "guide"
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("guide", "tutorial")}
FILES = [path for path in FOLDER.rglob("*") if path.suffix in (".py", ".toml")]
TESTS = [
    pytest.param(path, name, id=f"{path.stem}-{name}")
    for path in FILES
    if path.stem.startswith("test_")
    for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
]
_NOT_HERE = ("ranloop broker", "ranloop host", "ranloop top", "ranloop compare")  # on a bus, or slow
_XAPPS = sorted(path.parent.name for path in FILES if path.name == "app.py")


def blocks(page: str, *languages: str) -> list[str]:
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def steps(page: str) -> list[tuple[str, list[str]]]:
    """Each command (an indented line) with the lines that the page says it prints, if it shows any."""
    found: list[tuple[str, list[str]]] = []
    fence = ""
    for line in page.splitlines():
        if line.startswith("```"):
            fence = "" if fence else line.removeprefix("```")
        elif not fence and line.startswith("    "):
            found.append((line.strip(), []))
        elif fence == "text" and found and line != "…":
            found[-1][1].append(line)
    return found


# The code


@pytest.mark.parametrize("page", PAGES)
def test_every_piece_of_code_is_part_of_a_file(page: str) -> None:
    files = [path.read_text("utf-8") for path in FILES]
    pieces = blocks(PAGES[page], "python", "toml")
    assert pieces
    for piece in pieces:
        assert any(piece in text for text in files), f"no file of docs/examples/guide has\n{piece}"


def test_every_example_is_on_a_page() -> None:
    pieces = [piece for page in PAGES.values() for piece in blocks(page, "python", "toml")]
    for example in FOLDER.iterdir():
        files = [path for path in FILES if path == example or example in path.parents]
        assert any(piece in path.read_text("utf-8") for piece in pieces for path in files), example


@pytest.mark.parametrize(("path", "name"), TESTS)
def test_the_tests_of_the_examples_pass(path: Path, name: str) -> None:
    test = runpy.run_path(str(path))[name]
    with ExitStack() as stack:

        def ran(folder: Path, **settings: Any) -> VirtualRan:
            return stack.enter_context(VirtualRan(folder, **settings))

        test(**({"ran": ran} if "ran" in test.__annotations__ else {}))


@pytest.mark.parametrize("xapp", _XAPPS)
def test_the_examples_run_on_the_simulator(xapp: str) -> None:
    run = simulate("one-cell", xapps=[FOLDER / xapp], duration_s=1.1, watch=[])
    found = run.summaries[xapp]
    assert {
        "calls_first": run.outcomes.get("applied", 0) > 0,
        "caretaker": found.get("most_helped", 0) > 0 and run.outcomes.get("applied", 0) > 0,
        "rate_watch": found.get("slow", 0) > 0,
        "neighbours": found == {"busy": {"site0/0": 0}, "quiet": []},  # the only cell has none
    }[xapp]


def test_a_cell_with_room_is_found_by_the_name_that_ues_hear_it_under() -> None:
    run = simulate("one-cell", xapps=[FOLDER / "neighbours"], duration_s=0.4, watch=[], load=0.1)
    assert run.summaries["neighbours"]["quiet"] == ["site0/0"]


def test_the_training_rows_have_a_label_half_a_second_later() -> None:
    made = runpy.run_path(str(FOLDER / "training_rows.py"))
    rows, ues = made["rows"], made["ues"].set_index(["ran_time_ns", "ue"])["DRB.UEThpDl"]
    assert len(rows) > 50
    for row in rows.itertuples(index=False):
        assert row[-1] == ues[row[0] + 500_000_000, row[1]]


# The words


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_exists(page: str) -> None:
    known = typer.main.get_command(command_line).commands  # type: ignore[attr-defined]  # because an app of several commands is a group
    spoken = [command for command, _ in steps(PAGES[page]) if command.startswith("ranloop")]
    spoken += re.findall(r"`(ranloop [^`]+)`", PAGES[page])
    assert len(spoken) > 5
    for line in spoken:
        _, name, *words = shlex.split(line)
        options = {
            flag for parameter in known[name].params for flag in (*parameter.opts, *parameter.secondary_opts)
        }
        assert {word for word in words if word.startswith("--")} <= options, line


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    titles = {
        name: {
            re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
            for title in re.findall(r"^#+ (.*)", text, re.MULTILINE)
        }
        for name, text in ((path.name, path.read_text("utf-8")) for path in (ROOT / "docs").glob("*.md"))
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        place, _, title = target.partition("#")
        assert (ROOT / "docs" / place).exists(), target
        assert not title or title in titles[place], target


def test_the_causes_that_the_guide_explains_are_there_and_have_a_remedy() -> None:
    (table,) = re.findall(r"^\| cause \|.*\n\|[-|]*\n((?:\|.*\n)*)", PAGES["guide"], re.MULTILINE)
    named = [name for row in table.splitlines() for name in re.findall(r"`([a-z-]+)`", row.split("|")[1])]
    assert len(named) == len(set(named)) > 8
    assert set(named) <= {*map(str, Cause), "at-end"}
    assert set(named) <= {*map(str, REMEDIES)}


# The tutorial's commands


def _missing(shown: list[str], outcome: Outcome) -> list[str]:
    """Lines that were not printed. Numbers hang on the processor and widths on them, so neither counts."""
    said = {_masked(line) for line in (outcome.out + outcome.err).splitlines()}
    return [line for line in shown if _masked(line) not in said]


def _masked(line: str) -> str:
    return " ".join(re.sub(r"\d[\d,.:T+-]*", "0", line).split())


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the tutorial can write, with what it copies."""
    shutil.copytree(FOLDER, tmp_path / "docs" / "examples" / "guide")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _typed(command: str, run: Callable[..., Outcome], checkout: Path) -> Outcome | None:
    """What a command prints; None where the test does it in another way, or not."""
    program, *words = shlex.split(command)
    if program == "cp":
        for path in (checkout / words[0]).parent.iterdir():
            if path.is_file():
                shutil.copy(path, checkout / words[1])
    return run(*words) if program == "ranloop" else None


def test_the_tutorial_does_what_it_shows(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Command("ranloop", main, monkeypatch, capsys)
    n_shown = 0
    for command, shown in steps(PAGES["tutorial"]):
        if command.startswith(_NOT_HERE) or command == "ranloop run calls_first":
            continue
        outcome = _typed(command, run, checkout)
        if outcome is None:
            assert not shown
            continue
        assert _missing(shown, outcome) == [], command
        n_shown += len(shown)
        is_refused = ("--limits" in command and "--set" not in command) or "--profile" in command
        assert outcome.code == int(is_refused), outcome
    assert n_shown > 40


@pytest.mark.slow
def test_the_tutorials_comparison_finds_what_it_shows(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FOLDER / "calls_first", checkout / "calls_first")
    ((command, shown),) = [step for step in steps(PAGES["tutorial"]) if step[0].startswith("ranloop compare")]
    outcome = Command("ranloop", main, monkeypatch, capsys)(*shlex.split(command)[1:])
    assert outcome.code == 0
    assert _missing(shown, outcome) == []
