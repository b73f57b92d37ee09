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


def test_the_faults_of_the_page_do_what_it_says_of_them() -> None:
    table = load("faults").main(duration_s=1)
    well = table["none"]
    assert table["sleeping cell"]["RRU.PrbTotDl"] == 0.0
    assert table["sleeping cell"]["L1M.DL-SS-RSRP"] == well["L1M.DL-SS-RSRP"]
    loss_db = well["L1M.DL-SS-RSRP"] - table["power loss, 6 dB"]["L1M.DL-SS-RSRP"]
    assert math.isclose(loss_db, 6.0, abs_tol=1e-3)
    interfered = table["interference, 10 dBm"]
    assert interfered["L1M.DL-SS-RSRP"] == well["L1M.DL-SS-RSRP"]
    assert interfered["L1M.DL-SS-SINR"] < well["L1M.DL-SS-SINR"]
    late = table["backhaul delay, 25 ms"]
    assert late["X.DRB.BudgetMissRateDl"] > well["X.DRB.BudgetMissRateDl"]
    stuck = table["PRB counter stuck"]
    assert {name for name in well if stuck[name] != well[name]} <= {"RRU.PrbTotDl"}
