"""Training of the channel model: samples are what slots see, errors are those that remain, and fits find what is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.channel import evaluate, series, shape, train
from ran_sim.core.state import F32, F64
from ran_sim.engine import Engine
from ran_sim.link.channel_model import read_channel_model
from ran_sim.link.prediction import AGE_STEPS, CHANGE_STEPS, FEATURES, N_AGE, N_CHANGE, ORDER, model_grid
from ran_sim.scenario import load_scenario
from ranloop.inference import load_card


def some_samples(
    truth_db: F32, known_db: F32, *, ue: list[int], age: float = 0.9, change: float = 0.2
) -> series.Samples:
    """Samples of mean 10 dB."""
    n = len(truth_db)
    return series.Samples(
        truth_db,
        truth_db,
        known_db,
        np.full(n, 10.0),
        np.full(n, age),
        np.full(n, change),
        np.array(ue, np.int64),
    )


def test_the_ceiling_is_what_a_report_without_error_says() -> None:
    exact = load_scenario("one-cell").with_overrides({"radio.cqi_error_db": 0.0, "radio.cqi_delay_ms": 0.5})
    engine = Engine(exact, 3)
    compared = 0
    for slot in range(401, 440, 2):  # between two radio ticks
        engine.run_until(slot)
        now = engine.channel()
        engine.run_until(slot + 2)  # what was measured in the slot is known
        later = engine.channel()
        u = np.flatnonzero(later.measured_slot == slot)
        ceiling = series.fresh(
            some_samples(now.sinr_db[u], np.zeros((len(u), ORDER, 13), np.float32), ue=[0] * len(u))
        )
        np.testing.assert_allclose(later.report_db[u], ceiling, atol=1e-5)
        compared += len(u)
    assert compared > 5


def test_an_offset_that_all_samples_of_a_ue_share_is_no_error() -> None:
    """The outer loop takes it away. What is left of errors of 3, 5 | 0, 4 dB are 1, 1 | 2, 2 dB about the means: sqrt(2.5) dB."""
    truth = np.array([[13.0], [15.0], [10.0], [14.0]], np.float32)
    samples = some_samples(truth, np.zeros((4, ORDER, 1), np.float32), ue=[1, 1, 2, 2])
    assert series.error_db(samples, np.full((4, 1), 10.0, np.float32)) == pytest.approx(np.sqrt(2.5))


def test_a_table_is_looked_up_at_the_nearest_step_of_age_and_change() -> None:
    table = np.zeros((N_CHANGE, N_AGE, ORDER), np.float32)
    table[3, 10] = 1.0, 0.5, 0.0, 0.0
    known = np.array([[[12.0], [14.0], [0.0], [0.0]]], np.float32)
    at = {"age": 10.4 / AGE_STEPS, "change": 2.6 / CHANGE_STEPS}
    assert series.predicted(table, some_samples(known[:, 0], known, ue=[1], **at)).tolist() == [[14.0]]
    assert series.predicted(table, some_samples(known[:, 0], known, ue=[1])).tolist() == [[10.0]]


def test_a_fit_finds_the_weights_that_made_the_channel() -> None:
    rng = np.random.default_rng(1)
    n = 4000
    age, change = rng.uniform(0.4, 1.4, n), rng.uniform(0.0, 1.0, n)
    deviations = rng.normal(0.0, 3.0, (n, ORDER, 3)).astype(np.float32)
    newest = (1.0 - 0.3 * age) * np.where(change < 0.3, 1.0, 0.5 + (change - 0.3))  # in the span of `basis`
    truth = 10.0 + newest[:, None] * deviations[:, 0] - 0.25 * deviations[:, 1] + rng.normal(0, 0.5, (n, 3))
    samples = series.Samples(
        truth.astype(np.float32),
        truth.astype(np.float32),
        10.0 + deviations,
        np.full(n, 10.0),
        age,
        change,
        np.zeros(n, np.int64),
    )
    weights = shape.basis(age, change) @ train.wiener(samples, 2)
    assert np.abs(weights[:, 1] + 0.25).mean() < 0.02
    assert not weights[:, 2:].any()
    away = np.abs(change - 0.3) > 0.1
    assert np.abs(weights[:, 0] - newest)[away].mean() < 0.05


def test_theory_holds_the_report_of_a_channel_that_stands_and_forgets_that_of_a_fast_one() -> None:
    table = shape.clarke(2, 1e-3)
    assert table[0, AGE_STEPS, :2].sum() == pytest.approx(1.0, abs=5e-3)
    # one report only: J0(2 pi x a)^2 with 1 - J0(2 pi x)^2 = change, so at an age of one period it is 1 - change
    of_one = shape.clarke(1, 0.0)[: CHANGE_STEPS + 1, AGE_STEPS, 0]
    np.testing.assert_allclose(of_one, 1.0 - np.arange(CHANGE_STEPS + 1) / CHANGE_STEPS, atol=2e-2)
    assert shape.bessel_j0(np.array([0.0, 2.404826, 10.0])) == pytest.approx([1.0, 0.0, -0.245936], abs=1e-5)


def test_the_package_is_the_table_of_its_coefficients(tmp_path: Path) -> None:
    coefficients: F64 = (
        np.random.default_rng(2).normal(size=(shape.N_BASIS, ORDER)).astype(np.float32).astype(float)
    )
    train.write_package(tmp_path, coefficients, {}, {})
    np.testing.assert_allclose(read_channel_model(tmp_path), shape.learned(coefficients), atol=1e-4)
    assert [feature.name for feature in load_card(tmp_path).features] == list(FEATURES)


def test_the_package_that_ships_is_the_contender_that_was_judged() -> None:
    found = json.loads((train.FOLDER / "contenders.json").read_text("utf-8"))
    judged = train.tables(found)[evaluate.SHIPPED]
    np.testing.assert_allclose(read_channel_model(train.FOLDER), judged, atol=1e-4)
    card = load_card(train.FOLDER)
    assert card.training["seeds"] == list(train.TRAINING.values())
    held_out = {*card.training["held_out_seeds"], *evaluate.SEEDS}
    assert not held_out & set(card.training["seeds"])


def test_the_grid_has_a_row_for_each_weight_of_the_table() -> None:
    grid = model_grid()
    assert grid.shape == (N_CHANGE * N_AGE, 2)
    assert grid[5 * N_AGE + 7].tolist() == [7 / AGE_STEPS, 5 / CHANGE_STEPS]
