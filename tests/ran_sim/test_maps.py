"""Maps around sites: normal, correlated as asked for, independent of each other, the same between grid points."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ran_sim.maps import EXPONENTIAL, MAP_POINTS, SMOOTH, Map, build_map, flat_map, gaussian_fields, value_at
from ran_sim.propagation import UMA, UMI, Environment
from ran_sim.random import SHADOWING
from ran_sim.state import F64

GRID_M, DECORRELATION_M = 3.2, 37.0


@pytest.fixture(scope="module")
def shadows() -> Map:
    # 12 independent maps of 1.6 x 1.6 km: some 1000 decorrelation areas each
    return build_map(1, SHADOWING, 0, 12, GRID_M, DECORRELATION_M, EXPONENTIAL)


def values(of: Map, places_m: F64, shift_m: float = 0.0) -> F64:
    return np.array(
        [[value_at(of, site, x + shift_m, y) for x, y in places_m.tolist()] for site in range(len(of.values))]
    )


@pytest.mark.parametrize(("environment", "isd_m"), [(UMA, 500.0), (UMI, 200.0)])
def test_a_map_spans_seven_sites_at_the_default_distance_and_not_nineteen(
    environment: Environment, isd_m: float
) -> None:
    # A wrapped cluster of n sites is a hexagon of the area n isd^2 sqrt(3) / 2: its corners are 2 isd sqrt(n / 3) apart.
    period_m = MAP_POINTS * environment.map_grid_m
    assert 2.0 * isd_m * math.sqrt(7 / 3) < period_m < 2.0 * isd_m * math.sqrt(19 / 3)


def test_two_places_a_period_apart_share_their_value(shadows: Map) -> None:
    period_m = MAP_POINTS * GRID_M
    assert period_m == pytest.approx(1638.4)
    assert value_at(shadows, 0, 100.3 - period_m, 40.7) == pytest.approx(
        value_at(shadows, 0, 100.3, 40.7), abs=1e-6
    )


def test_a_map_is_standard_normal_and_falls_off_exponentially(shadows: Map) -> None:
    fields = shadows.values
    assert fields.std() == pytest.approx(1.0, abs=0.03)
    for steps in (3, 15):  # 9.6 m and 48 m
        measured = np.mean(fields * np.roll(fields, steps, axis=2))
        assert measured == pytest.approx(math.exp(-steps * GRID_M / DECORRELATION_M), abs=0.05)


def test_maps_of_different_sites_and_variants_are_independent(shadows: Map) -> None:
    other = gaussian_fields(1, SHADOWING, 1, GRID_M, DECORRELATION_M, EXPONENTIAL)
    rows = np.concatenate([shadows.values, other]).reshape(14, -1)
    correlations = np.corrcoef(rows)
    assert np.abs(correlations - np.eye(14)).max() < 0.12  # 1000 areas: sd 0.03; largest of 91


@pytest.mark.parametrize("environment", [UMA, UMI], ids=["UMa", "UMi"])
@pytest.mark.parametrize("sight", [True, False], ids=["LOS", "NLOS"])
def test_shadowing_between_grid_points_has_its_variance_and_correlation(
    environment: Environment, sight: bool
) -> None:
    # TR 38.901 Table 7.5-6: 37 and 50 m in UMa, 10 and 13 m in UMi; R(d) = exp(-d / d_cor), 7.4.4
    decorrelation_m = environment.decorrelation_los_m if sight else environment.decorrelation_nlos_m
    grid_m = environment.map_grid_m
    shadows = build_map(2, SHADOWING, 0, 6, grid_m, decorrelation_m, EXPONENTIAL)
    places_m = np.random.default_rng(1).uniform(0.0, MAP_POINTS * grid_m, (4000, 2))
    centres_m = (np.floor(places_m / grid_m) + 0.5) * grid_m  # where plain interpolation loses most
    assert values(shadows, centres_m).std() == pytest.approx(1.0, abs=0.03)
    here = values(shadows, places_m)
    assert here.std() == pytest.approx(1.0, abs=0.03)
    for distance_m in (10.0, 50.0):
        measured = np.mean(here * values(shadows, places_m, distance_m))
        assert measured == pytest.approx(math.exp(-distance_m / decorrelation_m), abs=0.05)


def test_map_values_at_grid_points_are_the_maps(shadows: Map) -> None:
    value = value_at(shadows, 0, 5 * GRID_M, -3 * GRID_M)
    assert value == pytest.approx(float(shadows.values[0, MAP_POINTS - 3, 5]))


def test_a_smooth_map_has_no_edge_that_is_crossed_ten_times() -> None:
    field = gaussian_fields(1, SHADOWING, 0, GRID_M, 50.0, SMOOTH)[0]
    crossings = np.mean(np.diff(np.sign(field), axis=1) != 0)
    # Rice: sqrt(-R''(0)) / pi per metre, R = exp(-(d / 50 m)^2)
    assert crossings / GRID_M == pytest.approx(math.sqrt(2) / 50.0 / math.pi, rel=0.15)


def test_a_flat_map_is_zero() -> None:
    assert value_at(flat_map(2, GRID_M), 1, 123.4, -56.7) == 0.0
