"""Maps around sites: normal, correlated as asked for, independent of each other, the same between grid points."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.worlds import full_buffer
from ran_sim.calibration.large_scale import calibration_scenario
from ran_sim.core.random import SHADOWING
from ran_sim.core.state import F64
from ran_sim.radio.maps import (
    EXPONENTIAL,
    MOST_POINTS,
    SMOOTH,
    Map,
    _on_torus,
    _wave_weights,
    build_map,
    flat_map,
    gaussian_fields,
    map_points,
    value_at,
)
from ran_sim.radio.propagation import (
    DECORRELATION_STATE_M,
    ENVIRONMENTS,
    STATE_GRID_M,
    UMA,
    UMI,
    Environment,
    build_propagation,
)
from ran_sim.radio.topology import span_m
from ran_sim.scenario import Scenario, load_scenario

GRID_M, DECORRELATION_M, POINTS = 3.2, 37.0, 512


@pytest.fixture(scope="module")
def shadows() -> Map:
    # 12 independent maps of 1.6 x 1.6 km: some 1000 decorrelation areas each
    return build_map(1, SHADOWING, 0, 12, POINTS, GRID_M, DECORRELATION_M, EXPONENTIAL)


def values(of: Map, places_m: F64, shift_m: float = 0.0) -> F64:
    return np.array(
        [[value_at(of, site, x + shift_m, y) for x, y in places_m.tolist()] for site in range(len(of.values))]
    )


@pytest.mark.parametrize(
    "scenario",
    [
        *(
            load_scenario(name)
            for name in (
                "one-cell",
                "seven-sites",
                "city-day",
                "district-day",
                "hot-spots",
                "sliced-district",
            )
        ),
        *(calibration_scenario(environment, 57) for environment in ENVIRONMENTS),
        full_buffer(19),
    ],
    ids=lambda scenario: scenario.name,
)
def test_no_two_ues_of_our_scenarios_lie_a_period_apart(scenario: Scenario) -> None:
    environment = ENVIRONMENTS[scenario.layout.environment]
    fields = (
        (environment.shadow_grid_m, environment.decorrelation_los_m),
        (environment.shadow_grid_m, environment.decorrelation_nlos_m),
        (STATE_GRID_M, DECORRELATION_STATE_M),
    )
    for grid_m, decorrelation_m in fields:
        points = map_points(span_m(scenario.layout), grid_m, decorrelation_m)
        # Places at both ends see each other across the torus' edge with a correlation of exp(-3) at most.
        assert points * grid_m >= span_m(scenario.layout) + 3 * decorrelation_m
        assert points * grid_m < span_m(scenario.layout) + 3 * decorrelation_m + 65 * grid_m


def test_a_map_that_would_be_larger_than_the_largest_repeats() -> None:
    assert map_points(10_000.0, GRID_M, DECORRELATION_M) == MOST_POINTS


def test_a_network_has_maps_of_its_own_size() -> None:
    # One hexagon: 577 m from corner to corner and 111 m, 150 m, 150 m to fade; multiples of 64 points of 3.2 m, 6.4 m
    propagation = build_propagation(load_scenario("one-cell"), 1)
    assert propagation.los.values.shape == (1, 256, 256)
    assert propagation.nlos.values.shape == (1, 256, 256)
    assert propagation.state.values.shape == (1, 128, 128)


def test_two_places_a_period_apart_share_their_value(shadows: Map) -> None:
    period_m = POINTS * GRID_M
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
    other = gaussian_fields(1, SHADOWING, 1, _wave_weights(POINTS, GRID_M, DECORRELATION_M, EXPONENTIAL))
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
    grid_m = environment.shadow_grid_m
    shadows = build_map(2, SHADOWING, 0, 6, POINTS, grid_m, decorrelation_m, EXPONENTIAL)
    places_m = np.random.default_rng(1).uniform(0.0, POINTS * grid_m, (4000, 2))
    centres_m = (np.floor(places_m / grid_m) + 0.5) * grid_m  # where plain interpolation loses most
    assert values(shadows, centres_m).std() == pytest.approx(1.0, abs=0.03)
    here = values(shadows, places_m)
    assert here.std() == pytest.approx(1.0, abs=0.03)
    for distance_m in (10.0, 50.0):
        there = values(shadows, places_m, distance_m)
        measured = np.array(np.corrcoef(here.ravel(), there.ravel()))[0, 1]
        assert measured == pytest.approx(math.exp(-distance_m / decorrelation_m), abs=0.05)


def test_map_values_at_grid_points_are_the_maps(shadows: Map) -> None:
    value = value_at(shadows, 0, 5 * GRID_M, -3 * GRID_M)
    assert value == pytest.approx(float(shadows.values[0, POINTS - 3, 5]))


def test_a_smooth_map_has_no_edge_that_is_crossed_ten_times() -> None:
    field = gaussian_fields(1, SHADOWING, 0, _wave_weights(POINTS, GRID_M, 50.0, SMOOTH))[0]
    crossings = np.mean(np.diff(np.sign(field), axis=1) != 0)
    # Rice: sqrt(-R''(0)) / pi per metre, R = exp(-(d / 50 m)^2)
    assert crossings / GRID_M == pytest.approx(math.sqrt(2) / 50.0 / math.pi, rel=0.15)


def test_a_flat_map_is_zero() -> None:
    assert value_at(flat_map(2), 1, 123.4, -56.7) == 0.0


@pytest.mark.parametrize("x", [-1e-17, -1e-300, 0.0, 575.9999, 576.0, -576.0, 1e9 + 0.5, -1e9 - 0.5])
def test_every_place_lies_on_the_torus(x: float) -> None:
    assert 0.0 <= _on_torus(x, 576) < 576.0
    assert math.cos(2 * math.pi * _on_torus(x, 576) / 576) == pytest.approx(
        math.cos(2 * math.pi * (x % 576) / 576)
    )


def test_the_state_s_coarser_grid_keeps_its_smoothness() -> None:
    # exp(-(d / 50 m)^2), TR 38.901 7.6.3.1, between grid points too
    points = 256
    field = build_map(4, SHADOWING, 0, 6, points, STATE_GRID_M, DECORRELATION_STATE_M, SMOOTH)
    places_m = np.random.default_rng(2).uniform(0.0, points * STATE_GRID_M, (4000, 2))
    here = values(field, places_m)
    assert here.std() == pytest.approx(1.0, abs=0.03)
    for distance_m in (5.0, 20.0, 50.0):
        measured = np.array(np.corrcoef(here.ravel(), values(field, places_m, distance_m).ravel()))[0, 1]
        assert measured == pytest.approx(math.exp(-((distance_m / 50.0) ** 2)), abs=0.03)
