"""What the page on comparisons shows is what runs: its KPIs are those that are declared, its claims are read as it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from typer.main import get_command

from ran_sim.engine.engine import TrafficClass
from ran_sim.measure.figures import figures
from ranloop.claims import parse_claim
from ranloop.cli.app import app as command_line
from ranloop.cli.compare_outcome import EXIT_CODES
from ranloop.statistics import Shown

PAGE = (Path(__file__).parents[2] / "docs" / "compare.md").read_text("utf-8")
ANY_CLASS = TrafficClass(
    name="CLASS",
    five_qi=1,
    slice="SLICE",
    model="streaming",
    delay_bound=True,
    budget_ms=80.0,
    promised_mbps=1.0,
    weight=1.0,
)


def test_the_page_lists_every_kpi_as_it_is_declared() -> None:
    listed = PAGE.partition("## The KPIs")[2]
    rows = []
    for figure in figures([ANY_CLASS]):
        better = "" if figure.better == "neither" else figure.better
        text = re.sub(r" Of the (class CLASS, 5QI 1|slice SLICE)\.$", "", figure.definition)
        rows.append(f"| `{figure.key}` | {figure.unit} | {better} | {text} |")
    assert [line for line in listed.splitlines() if line.startswith("| `")] == rows


def test_every_claim_of_the_page_is_one() -> None:
    claims = re.findall(r'^\| `"(.+?)"`', PAGE, re.MULTILINE)
    assert len(claims) == 6
    for text in (*claims, *re.findall(r'--claim "(.+?)"', PAGE)):
        parse_claim(text)


def test_every_command_and_option_of_the_page_exists() -> None:
    command = get_command(command_line).commands["compare"]  # type: ignore[attr-defined]  # because a group is typed as a command
    known = {option for parameter in command.params for option in parameter.opts}
    lines = re.findall(r"^    ranloop compare (.*)$", PAGE.replace("\\\n", ""), re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        assert {word for word in shlex.split(line, comments=True) if word.startswith("--")} <= known
    assert set(re.findall(r"`(--[a-z][a-z-]+)`", PAGE)) <= known


def test_the_exit_codes_are_those_of_the_page() -> None:
    assert {Shown.YES: 0, Shown.NO: 3, Shown.UNDECIDED: 4} == EXIT_CODES
    assert "| harm | the whole interval lies on the other side of the bound, and of 0 | 3 if" in PAGE
    assert "| undecided | the bound lies inside the interval | 4 if" in PAGE
