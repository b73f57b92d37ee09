"""What the README shows is what runs: its xApp is a file of this repository, its commands exist, its sizes are true."""

from __future__ import annotations

import ast
import re
from contextlib import closing
from pathlib import Path

import pytest
from typer.main import get_command

from ranloop.cli.app import app as command_line
from ranloop.embedded import run_embedded
from ranloop.node import open_world
from ranloop.testing import XAppHarness, make_report

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
EXAMPLE = ROOT / "docs" / "examples" / "keep_in_budget"
NAN = float("nan")


def blocks(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank line, no comment, no docstring."""
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            docstrings |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and at not in docstrings
        for at, line in lines
    )


def test_the_readme_shows_the_whole_example_as_it_is_on_disk() -> None:
    assert (EXAMPLE / "app.py").read_text("utf-8") in blocks(README, "python")
    assert (EXAMPLE / "manifest.toml").read_text("utf-8") in blocks(README, "toml")


def test_every_block_of_the_readme_is_a_file_of_the_repository() -> None:
    files = {
        path.read_text("utf-8")
        for suffix in ("py", "toml")
        for path in ROOT.glob(f"docs/examples/*/*.{suffix}")
    }
    files |= {
        path.read_text("utf-8") for suffix in ("py", "toml") for path in ROOT.glob(f"xapps/*/*.{suffix}")
    }
    for block in (*blocks(README, "python"), *blocks(README, "toml")):
        assert block in files, f"no file of the repository is\n{block}"


def test_every_command_that_the_readme_names_exists() -> None:
    known = set(get_command(command_line).commands)  # type: ignore[attr-defined]  # because a group is typed as a command
    named = set(re.findall(r"`ranloop ([a-z]+)", README)) | set(
        re.findall(r"^    ranloop ([a-z]+)", README, re.MULTILINE)
    )
    assert named
    assert named <= known


def test_every_link_of_the_readme_leads_somewhere() -> None:
    targets = {
        target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target
    }
    assert targets
    assert [target for target in sorted(targets) if target and not (ROOT / target).exists()] == []


def test_an_xapp_is_a_few_lines() -> None:
    assert code_lines(ROOT / "xapps" / "kpm_monitor" / "app.py") <= 15
    assert code_lines(EXAMPLE / "app.py") <= 15
    assert len((ROOT / "xapps" / "qos_scheduler" / "app.py").read_text("utf-8").splitlines()) <= 40


# The example works as its text says


def test_the_example_boosts_the_flows_that_are_in_time_only() -> None:
    report = make_report(
        {"X.DRB.BudgetMissRateDl": [0.0, 0.125, 0.25, 1.0, NAN]},
        level="qos_flow",
        ids={"ue": [5, 6, 7, 8, 9]},
    )
    (action,) = XAppHarness(EXAMPLE, boost=4.0, miss_rate=0.125).send(report)
    assert action.targets().ravel().tolist() == [5, 6]  # 6 misses no more than it may, 9 is best effort
    assert action.parameters().ravel().tolist() == [4.0, 4.0]


def test_the_example_says_nothing_where_all_are_late() -> None:
    assert (
        XAppHarness(EXAMPLE).send(make_report({"X.DRB.BudgetMissRateDl": [0.5, NAN]}, level="qos_flow")) == []
    )


def test_the_example_runs_on_the_simulator_and_what_it_does_not_renew_ends() -> None:
    with closing(open_world("sim:one-cell")) as world:
        outcomes = run_embedded(world, [EXAMPLE], until_ns=3_000_000_000).summary.outcomes
    assert outcomes["applied"] > 0
    assert outcomes["ended/lease-lapsed"] > 0
    assert not [name for name in outcomes if name.startswith("refused")]


@pytest.mark.parametrize("count", ["docstring", "comment", "blank"])
def test_what_is_no_code_does_not_count(tmp_path: Path, count: str) -> None:
    extra = {"docstring": '"""Two\nlines."""\n', "comment": "# one\n", "blank": "\n\n"}[count]
    (path := tmp_path / "a.py").write_text(extra + "x = 1\ny = 2\n")
    assert code_lines(path) == 2
