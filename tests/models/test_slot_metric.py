"""Training of the slot metric: drops are kept apart, the package is the network of the search, a stopped search goes on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from models.slot_metric import shape, train
from models.slot_metric.drops import FOLDER, Drops, Objective, Plan, World, read_plan
from models.slot_metric.evaluate import verdict
from ran_sim.mac.learned import FEATURES, N_FEATURE
from ran_sim.mac.slot_model import read_slot_model
from ranloop.errors import ModelError
from ranloop.inference import load_card
from ranloop.statistics import paired_difference

DECLARED = (FOLDER / "drops.toml").read_text("utf-8")
SEEN = shape.Seen(*np.array([-2.0, 3.0, 0.5, 2.0]).repeat(N_FEATURE).reshape(4, N_FEATURE))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds = [4201, 4224]", "seeds = [2199, 2200]", r"\[training\] and \[held_out\] share seed 2199"),
        (
            "seeds = [2301, 2304]",
            "seeds = [4101, 4102]",
            r"\[validation\] and \[held_out_worlds\] share seed 4101",
        ),
        ('{ "layout.isd_m" = 700.0 }', "{}", r"'sites 700 m apart' is trained or tuned on"),
        ("measured_s = 4.0", "measured_s = 0", r"training.measured_s"),
    ],
)
def test_drops_that_are_not_apart_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in DECLARED
    file = tmp_path / "drops.toml"
    file.write_text(DECLARED.replace(old, new, 1))
    with pytest.raises(ModelError, match=said) as caught:
        read_plan(file)
    assert "\n" not in str(caught.value)


def test_the_package_is_the_network_that_the_search_has_found(tmp_path: Path) -> None:
    point = np.random.default_rng(1).normal(size=shape.N_PARAMETER)
    network = shape.network(point, SEEN)
    train.write_package(tmp_path, network, {}, {})
    np.testing.assert_allclose(read_slot_model(tmp_path), network.numbers(), rtol=1e-12)
    assert [feature.name for feature in load_card(tmp_path).features] == list(FEATURES)


def test_parameters_are_per_standard_deviation_around_the_mean() -> None:
    """At the mean of all inputs the linear part is 0 and a unit of slope s and centre c is height / (1 + exp(s c))."""
    point = np.zeros(shape.N_PARAMETER)
    point[0], point[3] = 2.0, 1.5
    point[1 + N_FEATURE : 4 + N_FEATURE] = 0.5, 2.0, -3.0
    row = shape.network(point, SEEN)

    def g(x: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        units = row.height / (1.0 + np.exp(-(x @ row.weights + row.offset)))
        return float(row.bias + x @ row.linear + units.sum())

    middle = 2.0 - 3.0 / (1.0 + math.exp(0.5 * 2.0))
    assert g(SEEN.mean) == pytest.approx(middle, abs=1e-6)
    further = SEEN.mean.copy()
    further[2] += 2.0 * SEEN.sd[2]  # the third input, two deviations on
    assert g(further) == pytest.approx(middle + 2.0 * 1.5, abs=1e-6)


def test_an_objective_counts_percent_of_users_and_of_best_effort() -> None:
    rule = {"users": 50.0, "satisfied": 30.0, "best_effort_mbps": 100.0, "user_p5_mbps": 1.0}
    found = {
        "users": 50.0,
        "satisfied": 29.0,
        "best_effort_mbps": 100.0 * math.exp(0.3),
        "user_p5_mbps": math.exp(-0.1),
    }
    # 1 of 50 users less: -2 %, twice more as a loss; 30 % more best effort, of which 20 count; 10 % less at the edge
    objective = Objective(best_effort=0.1, most=20.0, loss=0.5, users_loss=2.0, edge_loss=0.05)
    assert objective.gain([found], [rule]) == pytest.approx(-2.0 - 4.0 + 2.0 - 0.5)


def test_a_search_that_was_stopped_goes_on_to_the_same_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(name="one", node="one-cell", overrides={})

    def drops(first: int, last: int) -> Drops:
        return Drops(seeds=(first, last), warmup_s=0.1, measured_s=0.5, worlds=(world,))

    plan = Plan(
        loads=(2.0,),
        training=drops(1, 9),
        tuning=drops(11, 11),
        validation=drops(21, 21),
        held_out=drops(31, 31),
        held_out_worlds=drops(41, 41),
    )
    objective = Objective(best_effort=0.1, most=20.0, loss=0.0, users_loss=0.0, edge_loss=0.0)
    monkeypatch.setattr(train, "POPULATION", 4)
    monkeypatch.setattr(train, "STAGES", (train.Stage(1, 0.5, objective), train.Stage(2, 0.2, objective)))
    found = []
    for name, minutes in (("whole", [1.0]), ("parts", [1e-9, 1.0])):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setattr(train, "FOLDER", folder)
        monkeypatch.setattr(train, "LOG", folder / "training.jsonl")
        for each in minutes:
            train.train(plan, each)
        lines = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
        assert len(lines) == 1 + 3
        found.append([line["gains"] for line in lines[1:]])
    assert found[0] == found[1]
    assert (tmp_path / "whole" / "model.onnx").read_bytes() == (
        tmp_path / "parts" / "model.onnx"
    ).read_bytes()


def test_a_verdict_names_what_the_intervals_show() -> None:
    more, less = (
        paired_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.5]),
        paired_difference([1.0, 2.0, 3.5], [3.0, 4.0, 5.0]),
    )
    unsure = paired_difference([1.0, 2.0, 4.0], [2.0, 1.0, 4.5])  # mean -0.17, interval some 2.6 either way
    assert verdict(more, unsure, 1.0) == "more users, best effort not decided"
    assert verdict(less, more, 1.0) == "fewer users, more best effort"
    assert verdict(unsure, less, 1.0) == "users not decided, less best effort"
    assert verdict(unsure, less, 5.0) == "as many users, less best effort"
