"""TR 38.901 clause 7.4: path loss, line of sight, shadowing, penetration."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from ran_sim.core.jit import bare_kernel, kernel
from ran_sim.core.plugins import PluginError
from ran_sim.core.random import LOS
from ran_sim.core.state import F64, I64
from ran_sim.radio.maps import SMOOTH, _wave_weights, gaussian_fields, value_at
from ran_sim.radio.propagation import (
    DECORRELATION_STATE_M,
    UMA,
    UMI,
    Environment,
    Propagation,
    build_propagation,
    car_loss_db,
    environment_height_m,
    floor_height_m,
    los_path_loss_db,
    los_probability,
    los_share,
    nlos_path_loss_db,
    penetration_loss_db,
    site_gains,
    wall_loss_db,
    way_inside_m,
)
from ran_sim.scenario import ScenarioError, load_scenario

H_UT_M, GHZ = 1.5, 3.5
H_BS_M = {UMA: 25.0, UMI: 10.0}
# At 3.5 GHz: sqrt(20 / wavelength) = 15.3 per standard deviation of the state's field
SHARPNESS = math.sqrt(20 * 3.5e9 / 3e8)


def los_db(d_2d_m: float, environment: Environment, h_ut_m: float = H_UT_M, h_e_m: float = 1.0) -> float:
    return los_path_loss_db(d_2d_m, GHZ, H_BS_M[environment], h_ut_m, h_e_m, environment)


def nlos_db(d_2d_m: float, environment: Environment, h_ut_m: float = H_UT_M) -> float:
    with_sight_db = los_db(d_2d_m, environment, h_ut_m)
    return nlos_path_loss_db(d_2d_m, GHZ, H_BS_M[environment], h_ut_m, with_sight_db, environment)


@pytest.mark.parametrize(
    ("environment", "d_2d_m", "with_sight_db", "without_db"),
    [
        (UMA, 100, 83.14, 103.04),
        (UMA, 200, 89.57, 114.46),
        (UMA, 500, 98.27, 129.92),
        (UMI, 100, 85.31, 104.64),
        (UMI, 200, 91.61, 115.23),
        (UMI, 500, 107.11, 129.26),
    ],
)
def test_path_loss_at_3_5_ghz(
    environment: Environment, d_2d_m: float, with_sight_db: float, without_db: float
) -> None:
    assert los_db(d_2d_m, environment) == pytest.approx(with_sight_db, abs=0.01)
    assert nlos_db(d_2d_m, environment) == pytest.approx(without_db, abs=0.01)


@pytest.mark.parametrize("environment", [UMA, UMI], ids=["UMa", "UMi"])
def test_los_path_loss_is_continuous_at_the_breakpoint(environment: Environment) -> None:
    # 4 h'_BS h'_UT f / c, effective heights 1 m less: UMa 560.0 m, UMi 210.0 m
    breakpoint_m = 4 * (H_BS_M[environment] - 1) * 0.5 * 3.5e9 / 3e8
    before = los_db(breakpoint_m - 1e-6, environment)
    after = los_db(breakpoint_m + 1e-6, environment)
    # The table's own two branches differ by what its rounded coefficients leave: < 0.1 dB.
    assert after == pytest.approx(before, abs=0.1)
    # Beyond it 40 dB per decade (of the 3D distance, which is the 2D one here to 0.01 dB).
    assert los_db(40_000.0, environment) - los_db(4_000.0, environment) == pytest.approx(40.0, abs=0.01)


@pytest.mark.parametrize("environment", [UMA, UMI], ids=["UMa", "UMi"])
def test_nlos_is_never_better_than_los(environment: Environment) -> None:
    for d_2d_m in (10.0, 20.0, 50.0, 1000.0, 5000.0):
        assert nlos_db(d_2d_m, environment, 22.5) >= los_db(d_2d_m, environment, 22.5)


@pytest.mark.parametrize(
    ("environment", "d_2d_m", "probability"),
    [
        (UMA, 10, 1.0),
        (UMA, 18, 1.0),
        (UMA, 50, 0.6494),
        (UMA, 100, 0.3477),
        (UMA, 200, 0.1280),
        (UMA, 500, 0.0363),
        (UMI, 18, 1.0),
        (UMI, 50, 0.5196),
        (UMI, 100, 0.2310),
        (UMI, 200, 0.0935),
        (UMI, 500, 0.0360),
    ],
)
def test_los_probability_of_a_ue_in_the_street(
    environment: Environment, d_2d_m: float, probability: float
) -> None:
    assert los_probability(d_2d_m, H_UT_M, environment) == pytest.approx(probability, abs=5e-5)


def test_los_probability_rises_above_13_m_in_uma_only() -> None:
    # TR 38.901 Table 7.4.2-1: factor 1 + C' 5/4 (d/100)^3 exp(-d/150), C' = ((h - 13)/10)^1.5 = 1 at 23 m
    factor = 1 + 1.25 * 8 * math.exp(-200 / 150)
    assert los_probability(200, 23.0, UMA) == pytest.approx(los_probability(200, 13.0, UMA) * factor)
    assert los_probability(200, 23.0, UMI) == los_probability(200, 13.0, UMI)


def test_environment_height_of_high_ues_follows_note_1() -> None:
    assert environment_height_m(200.0, 10.5, 1.0, 0.9) == 1.0  # up to 13 m always
    # h_UT = 22.5 m: C = 0.95^1.5 1.25 8 exp(-200/150) = 2.441; 1 m with probability 1 / 3.441 = 0.2906
    assert environment_height_m(200.0, 22.5, 0.2905, 0.5) == 1.0
    heights = [environment_height_m(200.0, 22.5, 0.2907, (i + 0.5) / 4) for i in range(4)]
    assert heights == [12.0, 15.0, 18.0, 21.0]  # 12, 15, … h_UT - 1.5
    assert environment_height_m(200.0, 13.5, 1.0, 0.99) == 12.0


def test_a_roof_below_the_ue_shortens_the_way_to_the_breakpoint() -> None:
    # h_E = 21 m: 4 (25 - 21) (22.5 - 21) 3.5e9 / 3e8 = 280 m; beyond it 40 dB a decade instead of 22.
    assert los_db(279.0, UMA, 22.5, 21.0) == pytest.approx(los_db(279.0, UMA, 22.5, 1.0))
    assert los_db(500.0, UMA, 22.5, 21.0) > los_db(500.0, UMA, 22.5, 1.0) + 4.0


def test_wall_loss() -> None:
    # TR 38.901 Table 7.4.3-2 at 3.5 GHz: glass 2.7 dB, IRR glass 24.05 dB, concrete 19 dB.
    low = 5 - 10 * math.log10(0.3 * 10**-0.27 + 0.7 * 10**-1.9)
    high = 5 - 10 * math.log10(0.7 * 10**-2.405 + 0.3 * 10**-1.9)
    assert wall_loss_db(GHZ, False) == pytest.approx(low)
    assert wall_loss_db(GHZ, True) == pytest.approx(high)


@pytest.mark.parametrize(("high_loss_share", "sigma_db"), [(0.0, 4.4), (1.0, 6.5)])
def test_penetration_adds_the_way_inside_and_the_buildings_spread(
    high_loss_share: float, sigma_db: float
) -> None:
    losses = np.array([penetration_loss_db(1, ue, GHZ, True, high_loss_share) for ue in range(20_000)])
    ways_m = np.array([way_inside_m(1, ue, True) for ue in range(20_000)])
    wall_db = wall_loss_db(GHZ, high_loss_share == 1.0)
    # Smaller of two uniforms to 25 m: mean 25/3 m, variance 25^2/18; at 0.5 dB/m.
    assert ways_m.mean() == pytest.approx(25 / 3, abs=0.2)
    assert losses.mean() == pytest.approx(wall_db + 0.5 * 25 / 3, abs=0.15)
    assert losses.std() == pytest.approx(math.hypot(sigma_db, 0.5 * 25 / math.sqrt(18)), rel=0.02)
    assert (losses - 0.5 * ways_m).std() == pytest.approx(sigma_db, rel=0.02)


def test_older_walls_lose_20_db_and_the_way_inside_and_have_no_spread() -> None:
    # TR 38.901 Table 7.4.3-3: 20 dB, 0.5 dB per metre over one uniform to 25 m
    losses = np.array([penetration_loss_db(1, ue, GHZ, False, 0.5) for ue in range(20_000)])
    ways_m = np.array([way_inside_m(1, ue, False) for ue in range(20_000)])
    assert losses == pytest.approx(20.0 + 0.5 * ways_m)
    assert (ways_m.min(), ways_m.max()) == (pytest.approx(0.0, abs=0.01), pytest.approx(25.0, abs=0.01))
    assert ways_m.mean() == pytest.approx(12.5, abs=4 * 25 / math.sqrt(12 * 20_000))


def test_car_loss_has_a_mean_of_9_db_and_a_deviation_of_5_db() -> None:
    losses = np.array([car_loss_db(1, ue) for ue in range(20_000)])
    assert (losses.mean(), losses.std()) == (pytest.approx(9.0, abs=0.15), pytest.approx(5.0, rel=0.02))


def test_floors_are_those_of_houses_with_four_to_eight() -> None:
    floors = np.array([(floor_height_m(1, ue) - 1.5) / 3.0 for ue in range(20_000)])
    # P(floor n) = mean over 4..8 storeys of 1/storeys where there is such a floor, n counted from 0
    expected = [np.mean([1 / n if floor < n else 0.0 for n in range(4, 9)]) for floor in range(8)]
    assert np.bincount(floors.astype(int), minlength=8) / 20_000 == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize("probability", [0.05, 0.35, 0.8])
def test_sight_is_as_likely_as_the_table_says(probability: float) -> None:
    weights = _wave_weights(512, 3.2, DECORRELATION_STATE_M, SMOOTH)
    maps = np.concatenate([gaussian_fields(2, LOS, pair, weights) for pair in range(4)])
    shares = np.array(
        [los_share(float(value), probability, SHARPNESS) for value in maps[:, ::16, ::16].ravel()]
    )
    assert np.mean(shares > 0.5) == pytest.approx(probability, abs=0.03)
    # Soft edges are short: 0.2 to 0.8 takes +-tan(0.3 pi) / 15.3 = +-0.09 sd, at most 0.18 / sqrt(2 pi) = 7.2 % of all.
    assert np.mean((shares > 0.2) & (shares < 0.8)) < 0.08


def test_soft_state_is_that_of_the_report() -> None:
    # TR 38.901 7.6.3.3: 1/2 + arctan(sqrt(20 / wavelength) (G + F)) / pi; at P = 1/2, F = 0
    for field in (-0.3, -0.05, 0.0, 0.02, 0.2):
        expected = 0.5 + math.atan(-SHARPNESS * field) / math.pi
        assert los_share(field, 0.5, SHARPNESS) == pytest.approx(expected, abs=0.01)


def test_a_certain_state_is_full_and_a_share_is_monotonic() -> None:
    assert los_share(3.0, 1.0, SHARPNESS) == 1.0
    assert los_share(-3.0, 0.0, SHARPNESS) == 0.0
    shares = [los_share(value, 0.3, SHARPNESS) for value in np.linspace(-3, 3, 61)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.98
    assert shares[-1] < 0.02


def propagation_of(environment: Literal["uma", "umi"] = "uma", **radio: object) -> Propagation:
    overrides: dict[str, object] = {
        "layout.environment": environment,
        "layout.bs_height_m": 25.0 if environment == "uma" else 10.0,
        **{f"radio.{field}": value for field, value in radio.items()},
    }
    return build_propagation(load_scenario("seven-sites").with_overrides(overrides), 3)


@bare_kernel
def site_loss_db(
    seed: int,
    ue_id: int,
    site: int,
    x_m: float,
    y_m: float,
    indoor: bool,
    h_ut_m: float,
    propagation: Propagation,
) -> float:
    """What both states of a link lose together."""
    in_sight, blocked = site_gains(seed, ue_id, site, x_m, y_m, indoor, h_ut_m, 0.0, propagation)
    return -10.0 * math.log10(in_sight + blocked)


@kernel
def losses_of(
    ue_id: I64, site: int, x_m: F64, y_m: F64, indoor: bool, h_ut_m: float, propagation: Propagation
) -> F64:
    """`site_loss_db` of many UEs, in one call: handing over all maps takes longer than a loss."""
    losses = np.empty(ue_id.size)
    for i in range(ue_id.size):
        losses[i] = site_loss_db(3, ue_id[i], site, x_m[i], y_m[i], indoor, h_ut_m, propagation)
    return losses


def test_path_loss_changes_smoothly_along_a_street() -> None:
    propagation = propagation_of()
    way_m = np.arange(100.0, 400.0, 0.4)  # 50 ms at 30 km/h
    losses = losses_of(
        np.zeros(way_m.size, np.int64), 0, way_m, np.full(way_m.size, 60.0), False, H_UT_M, propagation
    )
    assert losses.max() - losses.min() > 10.0  # there is something to pass
    assert np.abs(np.diff(losses)).max() < 3.0


@pytest.mark.parametrize("environment", ["uma", "umi"])
@pytest.mark.parametrize("sight", ["always", "never"])
def test_shadowing_outdoors_has_the_spread_of_its_state(
    environment: Literal["uma", "umi"], sight: Literal["always", "never"]
) -> None:
    # TR 38.901 Table 7.4.1-1: 4 dB with line of sight; 6 dB (UMa), 7.82 dB (UMi) without
    propagation = propagation_of(environment, line_of_sight=sight)
    plain = propagation_of(environment, line_of_sight=sight, shadowing=False)
    angles, radii_m = np.meshgrid(np.linspace(0.0, 2 * math.pi, 200, endpoint=False), [100.0, 200.0, 300.0])
    x_m, y_m = (radii_m * np.cos(angles)).ravel(), (radii_m * np.sin(angles)).ravel()
    none = np.zeros(x_m.size, np.int64)
    shadows = [
        losses_of(none, site, x_m, y_m, False, H_UT_M, propagation)
        - losses_of(none, site, x_m, y_m, False, H_UT_M, plain)
        for site in range(7)
    ]
    expected = 4.0 if sight == "always" else {"uma": 6.0, "umi": 7.82}[environment]
    assert np.std(shadows) == pytest.approx(expected, rel=0.08)  # some 400 independent places in UMa


def drawn_indoors(propagation: Propagation, h_ut_m: float, n_ue: int = 4000) -> F64:
    """Loss towards sites 0 and 1, 300 m away, shape [n_ue, 2]."""
    ues, x_m, y_m = np.arange(n_ue), np.full(n_ue, 300.0), np.zeros(n_ue)
    return np.stack([losses_of(ues, site, x_m, y_m, True, h_ut_m, propagation) for site in (0, 1)], axis=1)


def test_shadow_of_a_ue_indoors_is_its_own_per_site() -> None:
    losses = drawn_indoors(propagation_of(line_of_sight="never"), H_UT_M)
    assert losses.std(axis=0) == pytest.approx([7.0, 7.0], rel=0.05)  # TR 38.901 Table 7.4.1-1, O2I
    assert abs(np.array(np.corrcoef(losses.T))[0, 1]) < 0.05


def test_sight_of_ues_indoors_is_that_of_their_wall_and_their_own_per_site() -> None:
    losses = drawn_indoors(propagation_of(shadowing=False), H_UT_M)
    sees: NDArray[np.bool_] = np.less(losses, losses.min() + 1.0)
    # P(LOS) at the outdoor distance, 300 m less the way inside
    expected = np.mean(
        [los_probability(300.0 - way_inside_m(3, ue, True), H_UT_M, UMA) for ue in range(4000)]
    )
    assert np.mean(sees[:, 0]) == pytest.approx(expected, abs=0.016)  # 4 sd
    assert np.mean(sees[:, 1]) == pytest.approx(expected, abs=0.016)
    assert np.mean(sees[:, 0] & sees[:, 1]) == pytest.approx(expected**2, abs=0.006)


@pytest.mark.parametrize("environment", ["uma", "umi"])
@pytest.mark.parametrize("sight", ["always", "never"])
@pytest.mark.parametrize("indoor", [False, True])
def test_without_shadowing_and_with_a_fixed_sight_a_link_has_the_formula_s_loss(
    environment: Literal["uma", "umi"], sight: Literal["always", "never"], indoor: bool
) -> None:
    propagation = propagation_of(environment, shadowing=False, line_of_sight=sight)
    loss_db = (los_db if sight == "always" else nlos_db)(200.0, {"uma": UMA, "umi": UMI}[environment])
    losses = [site_loss_db(3, ue, 0, 120.0, 160.0, indoor, H_UT_M, propagation) for ue in range(5)]
    assert losses == pytest.approx([loss_db] * 5, abs=1e-6)


def test_soft_links_add_the_powers_of_both_states() -> None:
    propagation = propagation_of(shadowing=False)
    place = next(
        (x, 40.0)
        for x in np.arange(50.0, 300.0, 0.5).tolist()
        if 0.3
        < los_share(
            value_at(propagation.state, 0, x, 40.0), los_probability(math.hypot(x, 40.0), 1.5, UMA), SHARPNESS
        )
        < 0.7
    )
    d_2d_m = math.hypot(*place)
    state = value_at(propagation.state, 0, *place)
    share = los_share(state, los_probability(d_2d_m, H_UT_M, UMA), SHARPNESS)
    power = share**2 * 10 ** (-los_db(d_2d_m, UMA) / 10) + (1 - share**2) * 10 ** (-nlos_db(d_2d_m, UMA) / 10)
    assert site_loss_db(3, 0, 0, *place, False, H_UT_M, propagation) == pytest.approx(-10 * math.log10(power))


def free_space_db(
    d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, frequency_ghz: float, line_of_sight: float
) -> float:
    return 32.45 + 20.0 * math.log10(d_3d_m) + 20.0 * math.log10(frequency_ghz) + 10.0 * (1.0 - line_of_sight)


@pytest.mark.parametrize("sight", ["always", "never"])
def test_a_plug_in_stands_in_for_the_path_loss_of_the_report(sight: Literal["always", "never"]) -> None:
    scenario = load_scenario("one-cell").with_overrides(
        {"radio.line_of_sight": sight, "radio.shadowing": False}
    )
    propagation = build_propagation(scenario, 1, free_space_db)
    # 120, 160 and 23.5 m: 201.4 m; 32.45 + 20 log10(201.4) + 20 log10(3.5)
    expected = 32.45 + 46.08 + 10.88 + (0.0 if sight == "always" else 10.0)
    assert site_loss_db(1, 0, 0, 120.0, 160.0, False, 1.5, propagation) == pytest.approx(expected, abs=0.01)


def test_shadowing_comes_on_top_of_a_plug_in() -> None:
    scenario = load_scenario("one-cell").with_overrides({"radio.line_of_sight": "never"})
    own, plain = build_propagation(scenario, 1, free_space_db), build_propagation(scenario, 1)
    place = (120.0, 160.0)
    shadow_db = site_loss_db(1, 0, 0, *place, False, 1.5, plain) - nlos_db(200.0, UMA)
    assert site_loss_db(1, 0, 0, *place, False, 1.5, own) == pytest.approx(99.41 + shadow_db, abs=0.01)


def test_a_scenario_names_its_path_loss_by_file_and_function(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def loss(d2, d3, hb, hu, f, los):\n    return 77.0\n")
    overrides = {"layout.path_loss": f"{file}:loss", "radio.shadowing": False}
    propagation = build_propagation(load_scenario("one-cell").with_overrides(overrides), 1)
    assert site_loss_db(1, 0, 0, 120.0, 160.0, False, 1.5, propagation) == pytest.approx(77.0)
    with pytest.raises(PluginError, match="no 'gain' in it"):
        build_propagation(load_scenario("one-cell").with_overrides({"layout.path_loss": f"{file}:gain"}), 1)
    with pytest.raises(ScenarioError, match=r"layout\.path_loss"):
        load_scenario("one-cell").with_overrides({"layout.path_loss": "mine"})
