"""Budget and ladder of a placed model: waiting for a tier is no part of the budget, and a missing answer is a late one."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from ranloop.errors import ModelError
from ranloop.inference.predictor import Late
from ranloop.placement import Reply, VirtualTiers
from ranloop.testing import make_report
from ranloop.wire.messages import F32
from tests.ranloop.placement.places import Loop, down, tiers, write_placed


class Slow(VirtualTiers):
    """Tiers that take 20 ms of the wall clock as well, as live ones do."""

    def wait(self, number: int, until_ns: int) -> Reply | None:
        time.sleep(0.02)
        return super().wait(number, until_ns)


class Broken:
    """A model of this place that cannot be computed."""

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        raise ModelError("broken")


def budgeted(folder: Path, models: Path, more: str, budget: str) -> Path:
    return write_placed(folder / "placed", models, f"{more}\n\n[budget.load]\n{budget}")


def test_waiting_for_a_tier_is_no_part_of_the_budget(tmp_path: Path, models: Path) -> None:
    """Each of four calls waits for 20 ms; the model itself takes microseconds of its 15 ms."""
    loop = Loop(budgeted(tmp_path, models, "", "call_ms = 15.0"), Slow(tiers()))
    loop.instance.in_real_time()
    for seq in range(4):
        loop.step(seq)
    model = loop.instance.models["load"]
    assert model.took.sum_ns >= 4 * 20_000_000  # the whole call is told all the same
    assert (model.n_over, model.n_rested) == (0, 0)


HOLD = 'on_miss = "hold"'


def test_without_any_answer_the_ladder_answers_with_the_last_good_one(tmp_path: Path, models: Path) -> None:
    """The tiers answer 3 + 1 at 0.1 s and are down from 0.15 s; the last answer stands for both later reports."""
    gone = down(0.15, 9)
    path = budgeted(tmp_path, models, HOLD, 'past = ["last"]')
    loop = Loop(path, VirtualTiers(tiers(regional=gone, central=gone)))
    weights = [loop.step(seq).batches[0].action.parameters()[:, 0].tolist() for seq in range(3)]
    assert weights == [[2.0, 2.0]] * 3
    assert loop.instance.models["load"].rows_by == {"model": 2, "last": 4}


@pytest.mark.parametrize("on_miss", ["hold", "rule"])
def test_a_model_that_fails_here_while_the_tiers_are_away_is_answered_for_by_the_ladder(
    tmp_path: Path, models: Path, on_miss: str
) -> None:
    gone = down(0.15, 9)
    path = budgeted(tmp_path, models, f'on_miss = "{on_miss}"', 'past = ["last"]')
    loop = Loop(path, VirtualTiers(tiers(regional=gone, central=gone)))
    model = loop.instance.models["load"]
    model.predictor._here = Broken()  # type: ignore[attr-defined]  # of a placed model
    for seq in range(3):
        (batch,) = loop.step(seq).batches
        assert batch.action.parameters()[:, 0].tolist() == [2.0, 2.0]
    assert (model.n_failed, model.rows_by) == (2, {"model": 2, "last": 4})


def test_without_a_ladder_a_held_answer_is_late_and_has_no_value(tmp_path: Path, models: Path) -> None:
    gone = down(0, 9)
    loop = Loop(
        write_placed(tmp_path / "placed", models, HOLD), VirtualTiers(tiers(regional=gone, central=gone))
    )
    model, report = loop.instance.models["load"], make_report({"DRB.UEThpDl": [3.0, 4.0]})
    assert isinstance(model.ask(report), Late)
    assert np.isnan(model(report)).all()
    assert model.rows_by == {"none": 2}
