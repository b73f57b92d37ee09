"""Training of the slot metric: forks do not see each other, and the package is the network of the search."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from models.slot_metric import shape, train
from models.slot_metric.evaluate import verdict
from ran_sim.mac.learned import FEATURES, N_FEATURE
from ran_sim.mac.slot_model import read_slot_model
from ranloop.inference import load_card
from ranloop.statistics import paired_difference
from ranloop.training import Drop, Training, World

SEEN = shape.Seen(*np.array([-2.0, 3.0, 0.5, 2.0]).repeat(N_FEATURE).reshape(4, N_FEATURE))


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


def drop(load: float = 2.0) -> Drop:
    return Drop(world=World(name="one", node="sim:one-cell"), seed=1, load=load, warmup_s=0.1, measured_s=0.5)


def test_points_of_one_drop_have_the_same_scores_together_and_alone() -> None:
    learned = next(each for each in train.CONTENDERS if each.name == "learned")
    prepared = {"seen": [part.tolist() for part in SEEN]}
    near, far = learned.start, learned.start | {"bias": -5.0}
    together = learned.score([near, far], drop(), prepared)
    assert together[0] != together[1]
    assert together == [*learned.score([near], drop(), prepared), *learned.score([far], drop(), prepared)]


def test_a_rule_of_a_point_is_a_scheduler_with_class_weights() -> None:
    arm = train.rule({"rule": 3.0, "weight": 8.0, "short_budget_factor": 4.0})
    assert arm.overrides["scheduler.name"] == "log"
    assert arm.overrides["scheduler.class_weight"] == {"1": 8.0, "2": 8.0, "3": 8.0, "80": 32.0}


def test_the_package_that_ships_is_the_winner_of_the_journal() -> None:
    training = Training(train.FOLDER)
    winner = training.winner(training.trainee.contender("learned"))
    assert winner
    network = train.network(winner.point, winner.prepared)
    assert (train.FOLDER / "model.onnx").read_bytes() == shape.onnx_file(network)
    card = load_card(train.FOLDER)
    assert card.training["parameters"] == {name: round(value, 4) for name, value in winner.point.items()}
    assert card.training["seeds"] == list(training.plan.training.seeds)


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
