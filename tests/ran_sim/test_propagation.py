"""TR 38.901 clause 7.4: path loss, line of sight, penetration, and maps with the right statistics."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest

from ran_sim.propagation import (
    DECORRELATION_LOS_M,
    DECORRELATION_STATE_M,
    MAP_GRID_M,
    MAP_POINTS,
    SHADOW_EXPONENT,
    STATE_EXPONENT,
    build_maps,
    field_at,
    gaussian_fields,
    grid_correlations,
    los_path_loss_db,
    los_probability,
    los_share,
    nlos_path_loss_db,
    penetration_loss_db,
    site_loss_db,
    wall_loss_db,
)
from ran_sim.random import SHADOWING
from ran_sim.state import F32, F64

H_BS_M, H_UT_M, GHZ = 25.0, 1.5, 3.5


@pytest.mark.parametrize(
    ("d_2d_m", "los_db", "nlos_db"), [(100, 83.14, 103.04), (200, 89.57, 114.46), (500, 98.27, 129.92)]
)
def test_path_loss_at_3_5_ghz(d_2d_m: float, los_db: float, nlos_db: float) -> None:
    assert los_path_loss_db(d_2d_m, GHZ, H_BS_M, H_UT_M) == pytest.approx(los_db, abs=0.01)
    assert nlos_path_loss_db(d_2d_m, GHZ, H_BS_M, H_UT_M) == pytest.approx(nlos_db, abs=0.01)


def test_los_path_loss_is_continuous_at_the_breakpoint() -> None:
    # 4 (25 - 1) (1.5 - 1) f / c = 560.4 m
    breakpoint_m = 4 * 24 * 0.5 * 3.5e9 / 299_792_458
    before = los_path_loss_db(breakpoint_m - 1e-6, GHZ, H_BS_M, H_UT_M)
    after = los_path_loss_db(breakpoint_m + 1e-6, GHZ, H_BS_M, H_UT_M)
    assert after == pytest.approx(before, abs=1e-4)
    # Beyond it 40 dB per decade (of the 3D distance, which is the 2D one here to 0.01 dB).
    far = los_path_loss_db(40_000.0, GHZ, H_BS_M, H_UT_M) - los_path_loss_db(4_000.0, GHZ, H_BS_M, H_UT_M)
    assert far == pytest.approx(40.0, abs=0.01)


def test_nlos_is_never_better_than_los() -> None:
    for d_2d_m in (10.0, 20.0, 50.0, 1000.0, 5000.0):
        assert nlos_path_loss_db(d_2d_m, GHZ, H_BS_M, 22.5) >= los_path_loss_db(d_2d_m, GHZ, H_BS_M, 22.5)


@pytest.mark.parametrize(
    ("d_2d_m", "probability"),
    [(10, 1.0), (18, 1.0), (50, 0.6494), (100, 0.3477), (200, 0.1280), (500, 0.0363)],
)
def test_los_probability_of_a_ue_in_the_street(d_2d_m: float, probability: float) -> None:
    assert los_probability(d_2d_m, H_UT_M) == pytest.approx(probability, abs=5e-5)


def test_los_probability_rises_above_13_m() -> None:
    # TR 38.901 Table 7.4.2-1: factor 1 + C' 5/4 (d/100)^3 exp(-d/150), C' = ((h - 13)/10)^1.5 = 1 at 23 m
    factor = 1 + 1.25 * 8 * math.exp(-200 / 150)
    assert los_probability(200, 23.0) == pytest.approx(los_probability(200, 13.0) * factor)


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
    losses = np.array([penetration_loss_db(1, ue, GHZ, high_loss_share) for ue in range(20_000)])
    wall_db = wall_loss_db(GHZ, high_loss_share == 1.0)
    # Smaller of two uniforms to 25 m: mean 25/3 m, variance 25^2/18; at 0.5 dB/m.
    assert losses.mean() == pytest.approx(wall_db + 0.5 * 25 / 3, abs=0.15)
    assert losses.std() == pytest.approx(math.hypot(sigma_db, 0.5 * 25 / math.sqrt(18)), rel=0.02)


@pytest.fixture(scope="module")
def fields() -> F32:
    # 12 independent maps of 1.6 x 1.6 km: some 1000 decorrelation areas each
    return np.concatenate(
        [gaussian_fields(1, SHADOWING, pair, DECORRELATION_LOS_M, SHADOW_EXPONENT) for pair in range(6)]
    )


def test_shadowing_is_standard_normal_and_falls_off_exponentially(fields: F32) -> None:
    assert fields.std() == pytest.approx(1.0, abs=0.03)
    for steps in (3, 15):  # 9.6 m and 48 m
        measured = np.mean(fields * np.roll(fields, steps, axis=2))
        assert measured == pytest.approx(math.exp(-steps * MAP_GRID_M / DECORRELATION_LOS_M), abs=0.05)


def test_shadowing_of_different_sites_is_independent(fields: F32) -> None:
    correlations = np.corrcoef(fields.reshape(len(fields), -1))
    assert np.abs(correlations - np.eye(len(fields))).max() < 0.12  # 1000 areas: sd 0.03; largest of 66


def test_interpolation_keeps_variance_and_correlation_between_grid_points(fields: F32) -> None:
    places_m = np.random.default_rng(1).uniform(0.0, MAP_POINTS * MAP_GRID_M, (4000, 2)).tolist()

    def values(shift_m: float, inside_cell: bool = False) -> F64:
        def at(field: F32, x_m: float, y_m: float) -> float:
            if inside_cell:  # the centre of a grid cell, where plain interpolation loses most
                x_m, y_m = (math.floor(v / MAP_GRID_M) * MAP_GRID_M + MAP_GRID_M / 2 for v in (x_m, y_m))
            return field_at(
                field, x_m + shift_m, y_m, *grid_correlations(DECORRELATION_LOS_M, SHADOW_EXPONENT)
            )

        return np.array([[at(field, x, y) for x, y in places_m] for field in fields])

    assert values(0.0, inside_cell=True).std() == pytest.approx(1.0, abs=0.03)
    here = values(0.0)
    assert here.std() == pytest.approx(1.0, abs=0.03)
    for distance_m in (10.0, 50.0):
        assert np.mean(here * values(distance_m)) == pytest.approx(
            math.exp(-distance_m / DECORRELATION_LOS_M), abs=0.05
        )


def test_map_values_at_grid_points_are_the_maps(fields: F32) -> None:
    x_m, y_m = 5 * MAP_GRID_M, -3 * MAP_GRID_M
    value = field_at(fields[0], x_m, y_m, *grid_correlations(DECORRELATION_LOS_M, SHADOW_EXPONENT))
    assert value == pytest.approx(float(fields[0][MAP_POINTS - 3, 5]))


@pytest.mark.parametrize("probability", [0.05, 0.35, 0.8])
def test_sight_is_as_likely_as_the_table_says(probability: float) -> None:
    maps = np.concatenate(
        [gaussian_fields(2, SHADOWING, pair, DECORRELATION_STATE_M, STATE_EXPONENT) for pair in range(4)]
    )
    values = maps[:, ::16, ::16].ravel()
    shares = np.array([los_share(float(value), probability) for value in values])
    assert np.mean(shares > 0.5) == pytest.approx(probability, abs=0.03)
    assert np.mean(shares) == pytest.approx(probability, abs=0.04)


def test_a_certain_sight_is_full_and_a_share_is_monotonic() -> None:
    assert los_share(3.0, 1.0) == 1.0
    shares = [los_share(value, 0.3) for value in np.linspace(-3, 3, 61)]
    assert shares == sorted(shares, reverse=True)
    assert (shares[0], shares[-1]) == (1.0, 0.0)


def test_path_loss_changes_smoothly_along_a_street() -> None:
    maps = build_maps(3, 1)
    way_m = np.arange(100.0, 400.0, 0.4)  # 50 ms at 30 km/h
    losses = np.array(
        [site_loss_db(3, 0, 0, x, 60.0, False, H_UT_M, H_BS_M, GHZ, maps) for x in way_m.tolist()]
    )
    assert losses.max() - losses.min() > 10.0  # there is something to pass
    assert np.abs(np.diff(losses)).max() < 2.0


def test_shadow_of_a_ue_indoors_is_its_own_per_site() -> None:
    maps = build_maps(3, 2)
    losses = np.array(
        [
            [site_loss_db(3, ue, site, 300.0, 0.0, True, H_UT_M, H_BS_M, GHZ, maps) for site in (0, 1)]
            for ue in range(4000)
        ]
    )
    assert losses.std(axis=0) == pytest.approx([7.0, 7.0], rel=0.05)  # TR 38.901 Table 7.4.1-1, O2I
    assert abs(np.corrcoef(losses.T)[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("line_of_sight", "loss_db"),
    # TR 38.901 Table 7.4.1-1, UMa at 3.5 GHz: worked out at 200 m in the tests of the path loss
    [
        ("always", los_path_loss_db(200.0, GHZ, H_BS_M, H_UT_M)),
        ("never", nlos_path_loss_db(200.0, GHZ, H_BS_M, H_UT_M)),
    ],
)
@pytest.mark.parametrize("indoor", [False, True])
def test_without_shadowing_and_with_a_fixed_sight_a_link_has_the_formula_s_loss(
    line_of_sight: Literal["always", "never"], loss_db: float, indoor: bool
) -> None:
    maps = build_maps(3, 1, shadowing=False, line_of_sight=line_of_sight)
    losses = [site_loss_db(3, ue, 0, 120.0, 160.0, indoor, H_UT_M, H_BS_M, GHZ, maps) for ue in range(5)]
    assert losses == pytest.approx([loss_db] * 5, abs=1e-6)
