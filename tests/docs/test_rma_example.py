"""The plug-in that docs/examples/plugins/rma.py shows has the figures of TR 38.901's rural macro cells, and runs."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ran_sim.core.jit import kernel
from ran_sim.core.state import F64, I64
from ran_sim.engine import Engine
from ran_sim.radio.maps import value_at
from ran_sim.radio.own_propagation import PropagationModel
from ran_sim.radio.propagation import Propagation, build_propagation, site_gains
from ran_sim.scenario import load_scenario

FILE = Path(__file__).parents[2] / "docs" / "examples" / "plugins" / "rma.py"
RURAL = load_scenario("one-cell").with_overrides(
    {
        "layout.path_loss": f"{FILE}:RMA",
        "layout.bs_height_m": 35.0,
        "layout.isd_m": 1732.0,
        "carrier.frequency_ghz": 0.7,
        "radio.high_loss_share": 0.0,
        "radio.soft_line_of_sight": False,
    }
)
H_BS_M, H_UT_M, GHZ = 35.0, 1.5, 0.7
BREAKPOINT_M = 2 * math.pi * 35 * 1.5 * 0.7e9 / 3e8  # 769.7 m


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rma_example", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RMA = example()


def loss_db(d_2d_m: float, sight: float) -> float:
    return float(RMA.path_loss(d_2d_m, math.hypot(d_2d_m, H_BS_M - H_UT_M), H_BS_M, H_UT_M, GHZ, sight))


@pytest.mark.parametrize(
    ("d_2d_m", "probability"), [(10, 1.0), (50, 0.9608), (100, 0.9139), (200, 0.8270), (500, 0.6126)]
)
def test_line_of_sight(d_2d_m: float, probability: float) -> None:
    assert RMA.los_probability(d_2d_m, H_BS_M, H_UT_M, GHZ) == pytest.approx(probability, abs=5e-5)


def test_path_loss_with_line_of_sight() -> None:
    # PL1 with h = 5 m: h^1.72 = 15.93; 20 lg(40 pi d 0.7 / 3) + 0.478 lg d - 0.701 + 0.001398 d
    for d_2d_m in (100.0, 500.0):
        d_m = math.hypot(d_2d_m, 33.5)
        expected = 20 * math.log10(29.3215 * d_m) + 0.478 * math.log10(d_m) - 0.701 + 0.001398 * d_m
        assert loss_db(d_2d_m, 1.0) == pytest.approx(expected, abs=0.01)
    # Continuous at the breakpoint (of d_2D, where PL2 takes d_3D: 0.02 dB), and 40 dB a decade beyond
    assert loss_db(BREAKPOINT_M + 0.1, 1.0) == pytest.approx(loss_db(BREAKPOINT_M - 0.1, 1.0), abs=0.03)
    assert loss_db(10_000.0, 1.0) - loss_db(1000.0, 1.0) == pytest.approx(40.0, abs=0.02)


def test_path_loss_without_line_of_sight() -> None:
    # 161.04 - 9.237 + 5.242 - (24.37 - 0.0755) 1.5441 + (43.42 - 4.787)(lg d - 3) - 3.098 - (3.2 lg(17.625)^2 - 4.97)
    for d_2d_m in (300.0, 1000.0, 3000.0):
        decades = math.log10(math.hypot(d_2d_m, 33.5)) - 3.0
        expected = 161.04 - 9.237 + 5.242 - 24.2945 * 1.5441 + 38.633 * decades - 3.098 - (4.970 - 4.97)
        assert loss_db(d_2d_m, 0.0) == pytest.approx(expected, abs=0.02)
    assert loss_db(10.0, 0.0) == loss_db(10.0, 1.0)  # never below


def test_shadowing() -> None:
    def sd_db(d_2d_m: float, sight: float, indoor: float = 0.0) -> float:
        return float(RMA.shadow_sd_db(d_2d_m, H_BS_M, H_UT_M, GHZ, sight, indoor))

    assert [sd_db(769.0, 1.0), sd_db(771.0, 1.0), sd_db(769.0, 0.0), sd_db(769.0, 1.0, 1.0)] == [
        4.0,
        6.0,
        8.0,
        8.0,
    ]
    model: PropagationModel = RMA.RMA
    assert (model.decorrelation_los_m, model.decorrelation_nlos_m, model.decorrelation_o2i_m) == (
        37.0,
        120.0,
        120.0,
    )


@kernel
def losses_of(ue_id: I64, x_m: F64, indoor: bool, propagation: Propagation) -> F64:
    """Loss of links along a street through the site."""
    losses = np.empty(x_m.size)
    for i in range(x_m.size):
        in_sight, blocked = site_gains(3, ue_id[i], 0, x_m[i], 0.0, indoor, H_UT_M, 0.0, propagation)
        losses[i] = -10.0 * math.log10(in_sight + blocked)
    return losses


def links_db(propagation: Propagation, x_m: F64, ue_id: int = 0, indoor: bool = False) -> F64:
    """Loss of one UE at many places."""
    return losses_of(np.full(x_m.size, ue_id), x_m, indoor, propagation)


@pytest.mark.parametrize(("sight", "value"), [("always", 1.0), ("never", 0.0)])
def test_links_have_the_models_losses_and_shadows(sight: str, value: float) -> None:
    fixed = RURAL.with_overrides({"radio.line_of_sight": sight})
    plain = build_propagation(fixed.with_overrides({"radio.shadowing": False}), 3)
    shadowed = build_propagation(fixed, 3)
    x_m = np.array([50.0, 300.0, 760.0, 780.0, 1500.0])
    expected_db = [loss_db(x, value) for x in x_m.tolist()]
    assert links_db(plain, x_m) == pytest.approx(expected_db, abs=1e-6)
    deviations = (4.0, 4.0, 4.0, 6.0, 6.0) if sight == "always" else (8.0,) * 5
    of = shadowed.los if sight == "always" else shadowed.nlos
    normals = [value_at(of, 0, x, 0.0) for x in x_m.tolist()]
    assert links_db(shadowed, x_m) - expected_db == pytest.approx(np.multiply(deviations, normals), abs=1e-6)


@pytest.mark.parametrize(("name", "distance_m"), [("los", 37.0), ("nlos", 120.0), ("o2i", 120.0)])
def test_shadows_fade_over_the_models_distances(name: str, distance_m: float) -> None:
    field = getattr(build_propagation(RURAL, 3), name)
    step = round(distance_m / field.grid_m)
    values = field.values[0].astype(float)
    correlation = np.mean(values * np.roll(values, step, axis=1))
    expected = math.exp(-step * field.grid_m / distance_m)  # TR 38.901 7.4.4: 1 / e
    assert expected == pytest.approx(math.exp(-1.0), abs=0.03)
    assert correlation == pytest.approx(expected, abs=0.1)


def test_sight_is_as_likely_as_the_model_says() -> None:
    plain = build_propagation(RURAL.with_overrides({"radio.shadowing": False}), 3)
    # UEs in buildings draw their sight: 500 m away less the way inside, some 8.3 m: exp(-0.4817) = 0.618
    sees = [
        links_db(plain, np.array([500.0]), ue, indoor=True)[0] < loss_db(500.0, 1.0) + 1.0
        for ue in range(3000)
    ]
    assert np.mean(sees) == pytest.approx(0.618, abs=0.035)


def test_ues_indoors_share_the_shadow_of_their_place() -> None:
    propagation = build_propagation(RURAL.with_overrides({"radio.line_of_sight": "always"}), 3)
    one, other = (links_db(propagation, np.array([400.0, 405.0]), ue, indoor=True) for ue in (1, 2))
    assert one == pytest.approx(other)
    assert abs(one[0] - one[1]) < 8.0


def test_a_scenario_names_the_model_and_a_run_says_what_it_is_of() -> None:
    engine = Engine(RURAL, 1)
    engine.run_until(200)
    functions = {"path_loss", "los_probability", "shadow_sd_db"}
    distances = {name: text for name, text in engine.plugins.items() if name not in functions}
    assert set(engine.plugins) == functions | set(distances)
    assert distances == {
        "decorrelation_los_m": "37.0",
        "decorrelation_nlos_m": "120.0",
        "decorrelation_o2i_m": "120.0",
    }
    assert np.isfinite(engine.cells.load).all()
