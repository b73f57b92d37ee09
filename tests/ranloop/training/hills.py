"""A folder to train whose scores are closed forms: hills with a known top, and noise that all points of a drop share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PLAN = """
loads = [1.0, 2.0]

[search]
reference = "line"
rollouts = 480
seed = 3

[training]
seeds = [1, 9]
warmup_s = 1.0
measured_s = 2.0
worlds = [{ name = "a", node = "sim:one-cell" }, { name = "b", node = "sim:one-cell", overrides = { x = 1 } }]

[validation]
seeds = [11, 14]
warmup_s = 1.0
measured_s = 2.0
worlds = [{ name = "a", node = "sim:one-cell" }]

[held_out]
seeds = [21, 24]
warmup_s = 1.0
measured_s = 2.0
worlds = [{ name = "a", node = "sim:one-cell" }]

[held_out_worlds]
seeds = [31, 34]
warmup_s = 1.0
measured_s = 2.0
worlds = [{ name = "c", node = "sim:one-cell", overrides = { x = 2 } }]
"""
# The score is the load times the closeness to a best point, and noise of the drop that all points share. `SEEN` lists the drops.
TRAIN = """
from __future__ import annotations
import json
import math
from dataclasses import dataclass
from pathlib import Path
from ranloop.training import Contender, Parameter, write_card

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Hill(Contender):
    best: dict[str, float]

    def prepare(self, plan):
        return {"half": 0.5}

    def score(self, points, drop, prepared):
        with (HERE / "seen.jsonl").open("a") as file:
            file.write(json.dumps([self.name, len(points), drop.world.name, drop.seed, drop.load]) + "\\n")
        noise = (drop.seed * 7919 % 13) / 13
        far = [sum((math.log(p[k]) - math.log(b)) ** 2 for k, b in self.best.items()) for p in points]
        return [{"height": drop.load * (noise - 2 * prepared["half"] * d)} for d in far]


X = Parameter(name="x", low=0.1, high=100.0, start=1.0, log=True, values=(0.1, 1.0, 10.0, 100.0))
Y = Parameter(name="y", low=0.5, high=4.0, start=1.0, values=(0.5, 1.0, 2.0, 4.0))
CONTENDERS = (
    Hill(name="line", kind="rule", space=(X,), method="grid", best={"x": 9.0}),
    Hill(name="cloud", kind="model", space=(X, Y), best={"x": 30.0, "y": 2.0}),
    Hill(name="dice", kind="rule", space=(X, Y), method="random", best={"x": 30.0, "y": 2.0}),
)
KEPT = ("height",)


def worth(found, reference):
    return sum(row["height"] for row in found) / len(found) - sum(row["height"] for row in reference) / len(reference)


def keep(outcome):
    write_card(outcome, "cloud")
"""


def made(folder: Path, plan: str = PLAN, code: str = TRAIN) -> Path:
    """The folder, with these files."""
    folder.mkdir()
    (folder / "plan.toml").write_text(plan)
    (folder / "train.py").write_text(code)
    return folder


def seen(folder: Path) -> list[list[Any]]:
    """What its contenders were asked: name, number of points, world, seed, load."""
    return [json.loads(line) for line in (folder / "seen.jsonl").read_text().splitlines()]
