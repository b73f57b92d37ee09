"""Departure spreads against the tables of TR 38.901 7.5, and link gains against the means that they are made of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ran_sim.core.state import F64
from ran_sim.engine.radio_state import init_radio
from ran_sim.engine.radio_tick import radio_tick
from ran_sim.radio.antenna import antenna_gain, build_antenna, column_gain, mean_gains
from ran_sim.radio.spread import (
    Spread,
    build_spread,
    departure,
    link_gain,
    pointed,
    spreads_of,
    zenith_offset_deg,
    zenith_spread_deg,
)
from ran_sim.scenario import Scenario, load_scenario

SEVEN = load_scenario("seven-sites")
ANTENNA = build_antenna(SEVEN.layout)
H_BS_M, H_UT_M = 25.0, 1.5


def at(distance_m: float) -> F64:
    return np.array([distance_m])


def test_medians_of_urban_macro_cells() -> None:
    of = spreads_of("uma", 3.5, 25.0)
    # Table 7.5-6 at 6 GHz, which stands for all below: 1.06 + 0.1114 lg 6, 1.5 - 0.1144 lg 6
    assert [of.los_azimuth_lg, of.nlos_azimuth_lg, of.o2i_azimuth_lg] == pytest.approx(
        [1.1467, 1.4110, 1.25], abs=1e-4
    )
    # Table 7.5-7: 0.75 - 0.21 and 0.9 - 0.21 at 100 m in the street, 0.2 less 20 m higher; -0.5 far away
    assert np.log10(zenith_spread_deg(at(100.0), 1.5, of.los_zenith)) == pytest.approx(0.54)
    assert np.log10(zenith_spread_deg(at(100.0), 21.5, of.nlos_zenith)) == pytest.approx(0.49)
    assert np.log10(zenith_spread_deg(at(2000.0), 1.5, of.nlos_zenith)) == pytest.approx(-0.5)
    # TR 36.873 has this offset in numbers: -10^(-0.62 lg(max(25, d)) + 1.93 - 0.07 (h_UT - 1.5))
    for d_2d_m, h_ut_m in ((10.0, 1.5), (100.0, 1.5), (100.0, 10.5)):
        expected = -(10 ** (-0.62 * math.log10(max(25.0, d_2d_m)) + 1.93 - 0.07 * (h_ut_m - 1.5)))
        assert zenith_offset_deg(at(d_2d_m), h_ut_m, of.nlos_offset) == pytest.approx(expected, rel=0.02)


def test_medians_of_street_canyons() -> None:
    of = spreads_of("umi", 3.5, 10.0)
    # Table 7.5-6: lg(1 + 3.5) = 0.6532
    assert [of.los_azimuth_lg, of.nlos_azimuth_lg, of.o2i_azimuth_lg] == pytest.approx(
        [1.1773, 1.3798, 1.25], abs=1e-4
    )
    # Table 7.5-8: 0.83 - 0.148 + 0.01 |h_UT - h_BS| at 10 m; 0.2 - 0.031 + 0.01 max(h_UT - h_BS, 0)
    assert np.log10(zenith_spread_deg(at(10.0), 1.5, of.los_zenith)) == pytest.approx(0.682 + 0.085)
    assert np.log10(zenith_spread_deg(at(10.0), 22.5, of.los_zenith)) == pytest.approx(0.682 + 0.125)
    assert np.log10(zenith_spread_deg(at(10.0), 1.5, of.nlos_zenith)) == pytest.approx(0.169)
    assert np.log10(zenith_spread_deg(at(10.0), 22.5, of.nlos_zenith)) == pytest.approx(0.169 + 0.125)
    assert np.log10(zenith_spread_deg(at(100.0), 1.5, of.los_zenith)) == pytest.approx(-0.21)
    # -10^(-1.5 lg 100 + 3.3) = -2.0
    assert zenith_offset_deg(at(100.0), 1.5, of.nlos_offset) == pytest.approx(-1.995, abs=1e-3)


def gain(
    spread: Spread,
    in_sight: float,
    blocked: float,
    d_2d_m: float,
    azimuth_deg: float,
    h_ut_m: float,
    indoor: bool,
) -> float:
    link = departure(in_sight, blocked, d_2d_m, H_BS_M, h_ut_m, indoor, spread)
    column = column_gain(link.zenith_cos, pointed(ANTENNA, 0, spread))
    return link_gain(link, azimuth_deg, column, 0, ANTENNA, spread)


def expected_mean(d_2d_m: float, h_ut_m: float, sight: bool, indoor: bool, column: int) -> float:
    """The mean gain of a state by `mean_gains` at its very angles, without the direct ray."""
    of = spreads_of("uma", 3.5, 25.0)
    wider = math.sqrt(1 + 10**0.9) if sight and not indoor else 1.0  # K = 9 dB
    azimuth_lg = of.o2i_azimuth_lg if indoor else of.los_azimuth_lg if sight else of.nlos_azimuth_lg
    zenith = zenith_spread_deg(at(d_2d_m), h_ut_m, of.los_zenith if sight else of.nlos_zenith)
    offset = 0.0 if sight else zenith_offset_deg(at(d_2d_m), h_ut_m, of.nlos_offset)
    centre = 90.0 + math.degrees(math.atan2(H_BS_M - h_ut_m, d_2d_m)) + offset
    return float(mean_gains(ANTENNA, at(1.0) * centre, wider * zenith, wider * 10**azimuth_lg)[0, column])


@pytest.mark.parametrize("d_2d_m", [10.0, 35.0, 52.3, 120.0, 333.0, 900.0])
@pytest.mark.parametrize("column", [0, 7, 15, 30])
def test_a_link_has_the_mean_gain_of_its_place_and_state(d_2d_m: float, column: int) -> None:
    spread, azimuth_deg = build_spread(SEVEN, ANTENNA), 6.0 * column
    bare = antenna_gain(90.0 + math.degrees(math.atan2(23.5, d_2d_m)), azimuth_deg, ANTENNA)
    direct = 10**0.9 / (1 + 10**0.9)
    in_sight = direct * bare + (1 - direct) * expected_mean(d_2d_m, H_UT_M, True, False, column)
    blocked = expected_mean(d_2d_m, H_UT_M, False, False, column)
    # The table is interpolated over the distance.
    assert gain(spread, 2.0, 0.0, d_2d_m, azimuth_deg, H_UT_M, False) == pytest.approx(
        2.0 * in_sight, rel=0.02
    )
    assert gain(spread, 0.0, 3.0, d_2d_m, azimuth_deg, H_UT_M, False) == pytest.approx(
        3.0 * blocked, rel=0.02
    )
    both = gain(spread, 2.0, 3.0, d_2d_m, -azimuth_deg, H_UT_M, False)
    assert both == pytest.approx(2.0 * in_sight + 3.0 * blocked, rel=0.02)


@pytest.mark.parametrize("h_ut_m", [1.5, 10.5, 22.5])
@pytest.mark.parametrize("sight", [True, False])
def test_a_link_into_a_building_has_the_mean_of_its_floor_and_no_direct_ray(
    h_ut_m: float, sight: bool
) -> None:
    spread = build_spread(SEVEN, ANTENNA)
    found = gain(spread, float(sight), float(not sight), 150.0, 30.0, h_ut_m, True)
    assert found == pytest.approx(expected_mean(150.0, h_ut_m, sight, True, 5), rel=0.02)


def test_a_fixed_height_indoors_has_a_table_of_its_own() -> None:
    scenario = SEVEN.with_overrides({"radio.indoor_height_m": 5.0})
    spread = build_spread(scenario, ANTENNA)
    found = gain(spread, 1.0, 0.0, 150.0, 30.0, 5.0, True)
    assert found == pytest.approx(expected_mean(150.0, 5.0, True, True, 5), rel=0.02)


def test_switched_off_every_link_has_the_bare_pattern() -> None:
    spread = build_spread(SEVEN.with_overrides({"radio.angular_spread": False}), ANTENNA)
    for indoor, h_ut_m in ((False, 1.5), (True, 22.5)):
        zenith_deg = 90.0 + math.degrees(math.atan2(25.0 - h_ut_m, 80.0))
        expected = 5.0 * antenna_gain(zenith_deg, 77.0, ANTENNA)
        assert gain(spread, 2.0, 3.0, 80.0, 77.0, h_ut_m, indoor) == pytest.approx(expected)


def gain_ahead_db(scenario: Scenario, distance_m: float) -> float:
    """Path gain of a UE in the street before the first cell."""
    cells, ues, links, radio = init_radio(scenario, 1)
    radio_tick(0, cells, ues, links, radio)
    u = int(np.flatnonzero(ues.connected)[0])
    azimuth = float(cells.azimuth_rad[0])
    ues.x_m[u], ues.y_m[u] = distance_m * math.cos(azimuth), distance_m * math.sin(azimuth)
    ues.vx_mps[u] = ues.vy_mps[u] = radio.motion.speed_mps[u] = 0.0
    radio_tick(radio.tick_slots, cells, ues, links, radio)
    return float(links.gain_db[u, 0])


def test_a_ue_at_the_foot_of_a_mast_hears_what_leaves_beside_the_null() -> None:
    """The bare column sends 20 dB less to a UE in its nulls than the mean over angles does."""
    street = SEVEN.with_overrides(
        {"radio.indoor_share": 0.0, "radio.shadowing": False, "radio.line_of_sight": "always"}
    )
    bare = street.with_overrides({"radio.angular_spread": False})
    # 10 m and 23.5 m: 25.5 m, 28 + 22 lg 25.5 + 20 lg 3.5 = 69.8 dB; zenith 180: 8 - 23.0 dB and the column's -28.1 dB
    assert gain_ahead_db(bare, 0.001) == pytest.approx(-112.8, abs=0.5)
    assert gain_ahead_db(street, 0.001) > -96.0
