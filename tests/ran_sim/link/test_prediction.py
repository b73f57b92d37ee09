"""Prediction of sub-bands: what is remembered of reports, what weights make of it, and what a package must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ran_sim.core.state import F32, I32
from ran_sim.engine import Engine
from ran_sim.link.adaptation import link_tables
from ran_sim.link.channel_model import read_channel_model
from ran_sim.link.prediction import (
    ABOVE_DB,
    AGE_STEPS,
    BELOW_DB,
    CHANGE_STEPS,
    FEATURES,
    HALF_STEP_DB,
    MEAN_REPORTS,
    N_AGE,
    N_CHANGE,
    ORDER,
    START_CHANGE,
    START_VARIANCE_DB2,
    START_WEIGHT,
    Prediction,
    change_of,
    efficiency_at,
    init_prediction,
    level_db,
    model_grid,
    predict_into,
    remember,
)
from ran_sim.scenario import Scenario, ScenarioError, load_scenario
from ran_sim.scenario.packages import SlotModelError
from tests.slot_packages import Node, by_onnxruntime, write_slot_package

SHIPPED = Path(__file__).parents[3] / "models" / "channel"
TABLES = link_tables(51)
ONE_CELL = load_scenario("one-cell").with_overrides(
    {"run.warmup_s": 0.0}
)  # reports do not depend on the load there
THREE_CELLS = ONE_CELL.with_overrides({"layout.sectors": 3})


def fresh_memory(weights: F32 | None = None) -> Prediction:
    """Of one UE with two sub-bands."""
    table = np.zeros((N_CHANGE, N_AGE, ORDER), np.float32) if weights is None else weights
    return init_prediction(table, 1, 1, 2, 1)


def cqi(*values: int) -> I32:
    return np.array(values, np.int32)


def stands_for(values: I32, wideband: int) -> list[float]:
    return [level_db(TABLES, int(value), wideband) for value in values]


def test_a_sub_band_stands_for_the_middle_of_its_step_or_for_what_lies_beyond_the_offsets() -> None:
    at_db = TABLES.cqi_t10_db
    assert level_db(TABLES, 8, 8) == 0.5 * (at_db[8] + at_db[9]) - HALF_STEP_DB
    assert level_db(TABLES, 9, 8) == 0.5 * (at_db[9] + at_db[10]) - HALF_STEP_DB
    assert (
        level_db(TABLES, 7, 8) == at_db[8] - BELOW_DB - HALF_STEP_DB
    )  # TS 38.214 Table 5.2.2.1-1: -1 or less
    assert level_db(TABLES, 10, 8) == at_db[10] + ABOVE_DB - HALF_STEP_DB  # 2 or more
    assert level_db(TABLES, 15, 15) == at_db[15] + ABOVE_DB - HALF_STEP_DB  # there is no CQI above


def test_the_first_report_stands_for_all_before_it() -> None:
    prediction = fresh_memory()
    remember(prediction, TABLES, 0, cqi(7, 9), 8, True)
    levels = stands_for(cqi(7, 9), 8)
    np.testing.assert_allclose(prediction.known_db[0], [levels] * ORDER, rtol=1e-6)
    want = [np.mean(levels), START_VARIANCE_DB2, 2.0 * START_CHANGE * START_VARIANCE_DB2, 1.0]
    assert prediction.memory[0].tolist() == pytest.approx(want, rel=1e-6)
    assert change_of(prediction.memory[0]) == pytest.approx(START_CHANGE)


def test_reports_move_on_and_their_mean_is_that_of_all() -> None:
    prediction = fresh_memory()
    reports = (cqi(7, 9), cqi(8, 10), cqi(4, 5))
    widebands = (8, 9, 4)
    for i, (report, wideband) in enumerate(zip(reports, widebands, strict=True)):
        remember(prediction, TABLES, 0, report, wideband, i == 0)
    levels = [stands_for(report, wideband) for report, wideband in zip(reports, widebands, strict=True)]
    np.testing.assert_allclose(prediction.known_db[0, :3], levels[::-1], rtol=1e-6)
    assert prediction.memory[0, 0] == pytest.approx(np.mean(levels), rel=1e-6)


def test_change_is_half_the_mean_squared_difference_over_the_variance() -> None:
    prediction = fresh_memory()
    old, new = stands_for(cqi(8, 9), 8), stands_for(cqi(9, 9), 8)
    remember(prediction, TABLES, 0, cqi(8, 9), 8, True)
    remember(prediction, TABLES, 0, cqi(9, 9), 8, False)
    gain = 1.0 / (1.0 + START_WEIGHT)
    about_mean = np.mean([(level - np.mean(old)) ** 2 for level in new])
    variance = START_VARIANCE_DB2 + gain * (about_mean - START_VARIANCE_DB2)
    difference = 2.0 * START_CHANGE * START_VARIANCE_DB2
    difference += gain * ((new[0] - old[0]) ** 2 / 2 - difference)
    assert change_of(prediction.memory[0]) == pytest.approx(difference / (2.0 * variance), rel=1e-5)


def test_the_change_of_white_reports_is_one_and_that_of_the_same_report_falls_towards_none() -> None:
    rng = np.random.default_rng(1)
    white, same = fresh_memory(), fresh_memory()
    for i in range(400):
        remember(white, TABLES, 0, rng.integers(7, 10, 2).astype(np.int32), 8, i == 0)
        remember(same, TABLES, 0, cqi(7, 9), 8, i == 0)
    assert change_of(white.memory[0]) == pytest.approx(1.0, abs=0.25)
    assert change_of(same.memory[0]) < 0.01


def test_a_prediction_weighs_the_last_reports_deviations_from_the_mean() -> None:
    weights = np.zeros((N_CHANGE, N_AGE, ORDER), np.float32)
    change, age = round(START_CHANGE * CHANGE_STEPS), AGE_STEPS // 2
    weights[change, age] = 0.5, 0.25, 0.0, 0.0
    prediction = fresh_memory(weights)
    prediction.known_db[0, :2] = (4.0, 8.0), (2.0, 11.0)
    prediction.memory[0] = 6.0, 10.0, 2.0 * 10.0 * change / CHANGE_STEPS, 9.0
    snr_db, efficiency = np.zeros(2, np.float32), np.zeros(2, np.float32)
    best = predict_into(snr_db, efficiency, prediction, TABLES, 0, age / AGE_STEPS)
    assert snr_db.tolist() == [6.0 - 0.5 * 2.0 - 0.25 * 4.0, 6.0 + 0.5 * 2.0 + 0.25 * 5.0]
    assert efficiency.tolist() == pytest.approx([efficiency_at(TABLES, float(snr)) for snr in snr_db])
    assert best == efficiency[1] > efficiency[0]
    predict_into(snr_db, efficiency, prediction, TABLES, 0, (age + 1) / AGE_STEPS)
    assert snr_db.tolist() == [6.0, 6.0]  # another age has weights of its own, here none


def test_efficiency_lies_on_lines_between_those_of_the_cqis() -> None:
    at_db, of_cqi = TABLES.cqi_t10_db, TABLES.cqi_efficiency
    for cqi in range(16):
        assert efficiency_at(TABLES, float(at_db[cqi])) == of_cqi[cqi]
    middle = 0.5 * float(at_db[7] + at_db[8])
    assert efficiency_at(TABLES, middle) == pytest.approx(0.5 * (of_cqi[7] + of_cqi[8]))
    assert efficiency_at(TABLES, float(at_db[0]) - 5.0) == 0.0
    assert efficiency_at(TABLES, float(at_db[15]) + 5.0) == of_cqi[15]


# -- in a network -------------------------------------------------------------------------------------------------


def constant(folder: Path, *weights: float) -> Path:
    """The same weights at any age and change."""
    return write_slot_package(
        folder,
        [("MatMul", "xn", "z"), ("Add", "zw", "y")],
        {"n": np.zeros((2, ORDER)), "w": weights},
        FEATURES,
    )


def counted(engine: Engine, slot: int = 900) -> object:
    engine.run_until(slot)
    return engine.snapshot().ue.tolist()


def predicting(folder: Path, scenario: Scenario = THREE_CELLS) -> Engine:
    return Engine(scenario.with_overrides({"scheduler.channel_model": str(folder)}), 3)


def test_a_slot_works_with_the_prediction_of_the_reports_it_has(tmp_path: Path) -> None:
    """Half the newest deviation and a quarter of the one before, for all UEs, from reports that a network without a model has."""
    plain, model = Engine(ONE_CELL, 3), predicting(constant(tmp_path, 0.5, 0.25, 0.0, 0.0), ONE_CELL)
    reports = list[list[float]]()
    for slot in range(200):
        plain.run_until(slot)
        now = plain.channel()
        if now.measured_slot[0] >= 0 and slot == now.measured_slot[0] + 9:  # known since 8 slots, used in one
            of_report = np.searchsorted(TABLES.cqi_t10_db, now.report_db[0], side="right") - 1
            reports.append(stands_for(of_report.astype(np.int32), int(now.wideband[0])))
    assert MEAN_REPORTS >= len(reports) > 5
    model.run_until(199)
    mean, newest, one_before = np.mean(reports), np.array(reports[-1]), np.array(reports[-2])
    want = mean + 0.5 * (newest - mean) + 0.25 * (one_before - mean)
    np.testing.assert_allclose(model.channel().report_db[0], want, atol=1e-4)


def test_each_cell_goes_back_to_reports_as_they_are(tmp_path: Path) -> None:
    model = predicting(constant(tmp_path, 0.0, 0.0, 0.0, 0.0))
    twin = model.fork()
    twin.set_prediction(np.arange(3), False)
    assert counted(twin) == counted(Engine(THREE_CELLS, 3))
    assert counted(model) != counted(twin)
    twin.set_prediction(1, True)
    one_off = twin.fork()
    one_off.set_prediction(1, False)
    assert counted(twin, 1400) != counted(one_off, 1400)


def test_a_saved_run_goes_on_with_its_predictions(tmp_path: Path) -> None:
    engine = predicting(constant(tmp_path / "m", 0.5, 0.2, 0.0, 0.0))
    engine.run_until(301)
    engine.set_prediction(2, False)
    engine.save(tmp_path / "state")
    assert counted(Engine.load(tmp_path / "state")) == counted(engine)


def test_a_look_at_the_channel_changes_no_bit() -> None:
    looked = Engine(THREE_CELLS, 3)
    for slot in range(0, 400, 7):
        looked.run_until(slot)
        looked.channel()
    assert counted(looked) == counted(Engine(THREE_CELLS, 3))


def test_a_prediction_without_a_model_cannot_be_switched() -> None:
    with pytest.raises(ValueError, match=r"scheduler\.channel_model"):
        Engine(THREE_CELLS, 3).set_prediction(0, True)


# -- packages -----------------------------------------------------------------------------------------------------


def test_the_shipped_model_is_the_table_that_onnxruntime_computes() -> None:
    want = by_onnxruntime(SHIPPED, model_grid()).reshape(N_CHANGE, N_AGE, ORDER)
    assert np.ptp(want[..., 0]) > 0.5
    np.testing.assert_allclose(read_channel_model(SHIPPED), want, atol=1e-5)


def test_every_operator_computes_what_onnxruntime_computes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    nodes: list[Node] = [
        ("Max", ("low", "x"), "r"), ("Min", ("r", "high"), "c"), ("Gemm", ("c", "w", "o"), "h"), ("Relu", ("h",), "a"),
        ("Tanh", ("h",), "t"), ("Sigmoid", ("h",), "s"), ("Mul", ("a", "t"), "p"), ("Sub", ("p", "s"), "q"),
        ("Add", ("q", "o"), "e"), ("MatMul", ("e", "v"), "z"), ("Clip", ("z", "least", "most"), "k"), ("Identity", ("k",), "y"),
    ]  # fmt: skip
    constants = {
        "low": [0.2, 0.1], "high": [1.5, 1.0], "w": rng.normal(size=(2, 6)), "o": rng.normal(size=6),
        "v": rng.normal(size=(6, ORDER)), "least": -1.0, "most": 1.5,
    }  # fmt: skip
    folder = write_slot_package(tmp_path, nodes, constants, FEATURES)
    want = by_onnxruntime(folder, model_grid()).reshape(N_CHANGE, N_AGE, ORDER)
    assert (want.min(), want.max()) == (-1.0, 1.5)
    np.testing.assert_allclose(read_channel_model(folder), want, atol=1e-5)


ONES = np.ones((2, ORDER))


@pytest.mark.parametrize(
    ("nodes", "constants", "said"),
    [
        ([("MatMul", "xw", "z"), ("Exp", "z", "y")], {"w": ONES}, "operator Exp has no place here; want Gemm"),
        ([("MatMul", "xw", "y")], {"w": np.ones((2, 3))}, "its output has 3 columns, want 4"),
        ([("MatMul", "xw", "y")], {"w": np.ones((3, ORDER))}, "operator MatMul has shapes that do not fit"),
        ([("MatMul", "ww", "y")], {"w": ONES}, "operator MatMul has other inputs than it should have here"),
        ([("MatMul", "xw", "y")], {"w": np.ones((2, 300))}, "want at most 256 columns"),
        ([("MatMul", "xw", "y")], {"w": np.full((2, ORDER), np.inf)}, "a weight that is not finite"),
        ([("MatMul", "xw", "z")], {"w": ONES}, "its output is computed by no operator"),
        ([("MatMul", "xw", "y"), *[("Relu", "y", "y")] * 64], {"w": ONES}, "65 operators, want at most 64"),
    ],
)  # fmt: skip
def test_a_graph_of_another_form_is_refused(
    tmp_path: Path, nodes: Sequence[Node], constants: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(SlotModelError, match=said) as caught:
        read_channel_model(write_slot_package(tmp_path, nodes, constants, FEATURES))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


def test_a_package_of_a_metric_predicts_no_channel() -> None:
    with pytest.raises(SlotModelError, match=r"got the inputs log_rate, .* want age, change, in this order"):
        read_channel_model(SHIPPED.parent / "slot_metric")


def test_a_channel_model_without_a_name_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"scheduler\.channel_model"):
        THREE_CELLS.with_overrides({"scheduler.channel_model": ""})
