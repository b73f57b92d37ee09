"""What the simulator's page shows is what runs: its examples are files, its commands exist, its claims hold."""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path
from types import ModuleType

from typer.main import get_command

from ran_sim.tools.cli import app as command_line

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "simulator.md").read_text("utf-8")
EXAMPLES = sorted((ROOT / "docs" / "examples" / "simulator").glob("*.py"))


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        name, ROOT / "docs" / "examples" / "simulator" / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_its_examples_as_they_are_on_disk() -> None:
    shown = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert sorted(shown) == sorted(path.read_text("utf-8") for path in EXAMPLES)


def test_every_command_and_option_of_the_page_exists() -> None:
    verbs = get_command(command_line).commands  # type: ignore[attr-defined]  # because a group is typed as a command
    lines = re.findall(r"^    ran_sim (\w+)(.*)$", PAGE, re.MULTILINE)
    assert {verb for verb, _ in lines} >= {"run", "scenario", "sweep"}
    for verb, rest in lines:
        known = {option for parameter in verbs[verb].params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= known


def test_pushing_ues_out_of_a_cell_does_something() -> None:
    difference = load("one_action").main(duration_s=0.5)
    assert any(value != 0.0 for value in difference.values() if not math.isnan(value))


def test_an_episode_ends_with_a_score() -> None:
    assert load("episode").main("one-cell", duration_s=2.5)["delivered_mbps"] > 0
