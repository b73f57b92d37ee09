"""The page about training: its plan is the start of one that ships, and its train.py loads."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from ranloop.training.folder import load_trainee

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text("utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_its_plan_is_the_start_of_that_of_qos_scheduler() -> None:
    shown = tomllib.loads(block("toml"))
    plan = tomllib.loads((ROOT / "xapps" / "qos_scheduler" / "plan.toml").read_text("utf-8"))
    worlds = shown["training"].pop("worlds")
    assert worlds == plan["training"].pop("worlds")[: len(worlds)]
    assert shown == {name: plan[name] for name in shown}


def test_its_train_file_loads(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(block("python"))
    trainee = load_trainee(tmp_path)
    assert [each.name for each in trainee.contenders] == ["static", "mine"]
