"""Sites, wrap-around, drops and the antenna pattern."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ran_sim.scenario import Layout
from ran_sim.topology import (
    antenna_gain_dbi,
    array_factor_db,
    build_topology,
    drop_point,
    element_attenuation_db,
)
from ran_sim.topology import nearest_copy as nearest

ISD_M = 500.0
SEVEN = build_topology(Layout(isd_m=ISD_M))


def test_six_sites_surround_the_first_at_the_inter_site_distance() -> None:
    assert np.hypot(SEVEN.site_x_m, SEVEN.site_y_m) == pytest.approx([0.0] + [ISD_M] * 6)
    assert np.rad2deg(SEVEN.azimuth_rad[:3]) == pytest.approx([30.0, 150.0, 270.0])
    assert list(SEVEN.cell_site[:6]) == [0, 0, 0, 1, 1, 1]


def test_wrap_around_translations_tile_the_plane() -> None:
    # Seven hexagons per cluster: its lattice has 7 times the area, so sqrt(7) times the length, of the sites'.
    assert np.hypot(SEVEN.wrap_x_m, SEVEN.wrap_y_m) == pytest.approx([0.0] + [math.sqrt(7) * ISD_M] * 6)


@pytest.mark.parametrize("site", range(7))
def test_every_site_has_six_neighbours_at_the_inter_site_distance(site: int) -> None:
    distances = [
        math.hypot(*nearest(x - SEVEN.site_x_m[site], y - SEVEN.site_y_m[site], SEVEN))
        for x, y in zip(SEVEN.site_x_m, SEVEN.site_y_m, strict=True)
    ]
    assert sorted(distances) == pytest.approx([0.0] + [ISD_M] * 6)


def test_nearest_copy_of_two_wrapped_points_is_the_shortest_of_all() -> None:
    rng = np.random.default_rng(1)
    points = [nearest(x, y, SEVEN) for x, y in rng.uniform(-700, 700, (40, 2))]
    a = np.array([SEVEN.wrap_x_m[1], SEVEN.wrap_y_m[1]])
    b = np.array([SEVEN.wrap_x_m[2], SEVEN.wrap_y_m[2]])
    lattice = np.array([i * a + j * b for i in range(-3, 4) for j in range(-3, 4)])
    for p in points:
        for q in points:
            displacement = np.subtract(p, q)
            shortest = np.min(np.hypot(*(displacement + lattice).T))
            assert math.hypot(*nearest(displacement[0], displacement[1], SEVEN)) == pytest.approx(shortest)


def test_without_wrap_around_displacements_stay_as_they_are() -> None:
    flat = build_topology(Layout(isd_m=ISD_M, wrap_around=False))
    assert nearest(1200.0, -900.0, flat) == (1200.0, -900.0)


@pytest.mark.parametrize("cell", [0, 4, 20])
def test_drops_fill_the_sector_and_keep_their_distance(cell: int) -> None:
    site = SEVEN.cell_site[cell]
    drops = np.array([drop_point(1, entity, 0, cell, SEVEN) for entity in range(2000)])
    offsets = np.array([nearest(x - SEVEN.site_x_m[site], y - SEVEN.site_y_m[site], SEVEN) for x, y in drops])
    angles = np.rad2deg(np.arctan2(offsets[:, 1], offsets[:, 0]) - SEVEN.azimuth_rad[cell])
    off = (angles + 180) % 360 - 180
    assert np.abs(off).max() <= 60.0 + 1e-6
    assert np.hypot(*offsets.T).min() >= 35.0
    # The rhombus' centre of gravity is half way to the corner, which is ISD / sqrt(3) away; sd of the mean 2.5 m.
    along = np.cos(np.deg2rad(off)) * np.hypot(*offsets.T)
    assert along.mean() == pytest.approx(ISD_M / math.sqrt(3) / 2, rel=0.05)


def test_drops_of_an_omnidirectional_cell_go_all_around() -> None:
    single = build_topology(Layout(sites=1, sectors=1, isd_m=ISD_M))
    drops = np.array([drop_point(1, entity, 0, 0, single) for entity in range(3000)])
    thirds = np.floor((np.rad2deg(np.arctan2(drops[:, 1], drops[:, 0])) + 30) % 360 / 120)
    assert np.bincount(thirds.astype(int), minlength=3) == pytest.approx([1000] * 3, abs=110)  # 4 sd
    assert np.hypot(*drops.T).max() <= ISD_M / math.sqrt(3) + 1e-6


@pytest.mark.parametrize(
    ("zenith_deg", "azimuth_deg", "attenuation_db"),
    # TR 38.901 Table 7.3-1: 12 (angle / 65)^2 in each cut, at most 30 dB each and together
    [
        (90.0, 0.0, 0.0),
        (90.0, 32.5, 3.0),
        (122.5, 0.0, 3.0),
        (122.5, 32.5, 6.0),
        (90.0, 180.0, 30.0),
        (180.0, 90.0, 30.0),
    ],
)
def test_element_pattern(zenith_deg: float, azimuth_deg: float, attenuation_db: float) -> None:
    assert element_attenuation_db(zenith_deg, azimuth_deg, False) == pytest.approx(attenuation_db)


def test_an_omnidirectional_cell_has_no_horizontal_cut() -> None:
    assert element_attenuation_db(122.5, 180.0, True) == pytest.approx(3.0)


def test_array_gain_is_ten_db_in_the_direction_of_tilt() -> None:
    assert array_factor_db(102.0, 12.0) == pytest.approx(10.0)
    gain_dbi = antenna_gain_dbi(102.0, 0.0, 12.0, False)
    assert gain_dbi == pytest.approx(8.0 + 10.0 - 12.0 * (12.0 / 65.0) ** 2)


def test_array_factor_equals_the_sum_over_its_elements() -> None:
    weights = np.exp(-1j * math.pi * np.arange(10) * math.cos(math.radians(102.0))) / math.sqrt(10)
    for zenith_deg in (60.0, 95.0, 99.0, 106.0, 120.0):
        steering = np.exp(1j * math.pi * np.arange(10) * math.cos(math.radians(zenith_deg)))
        expected_db = max(20 * math.log10(abs(np.sum(weights * steering))), -10.0)
        assert array_factor_db(zenith_deg, 12.0) == pytest.approx(expected_db, abs=1e-6)
