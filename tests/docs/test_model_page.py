"""The page about the model names modules that exist, and its example is the file on disk, which runs."""

from __future__ import annotations

import re
from pathlib import Path

from ran_sim.engine import Engine
from ran_sim.scenario import load_scenario

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "model.md").read_text("utf-8")
RULES = ROOT / "docs" / "examples" / "plugins" / "rules.py"


def test_every_module_that_the_table_names_exists() -> None:
    names = {
        name
        for cell in re.findall(r"^\| [^|(]+\(([^)|]+)\) \|", PAGE, re.MULTILINE)
        for name in re.findall(r"`([\w/]+)`", cell)
    }
    assert len(names) > 15
    assert {name for name in names if not (ROOT / "ran_sim" / f"{name}.py").is_file()} == set()


def test_the_page_shows_its_example_as_it_is_on_disk() -> None:
    assert re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) == [RULES.read_text("utf-8")]


def test_the_example_schedules_a_cell_and_not_as_proportional_fair_does() -> None:
    scenario = load_scenario("one-cell").with_overrides({"load": 2.0, "warmup_s": 0.0})
    engines = [Engine(scenario, 1, metric=f"{RULES}:max_weight"), Engine(scenario, 1)]
    for engine in engines:
        engine.run_until(2000)
    own, fair = (engine.sessions()["delivered_bytes"] for engine in engines)
    assert own.sum() > 0
    assert (own != fair).any()
