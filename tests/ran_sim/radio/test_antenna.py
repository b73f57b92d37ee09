"""Antenna patterns in closed form, and their means over a spread of angles against direct integrals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from ran_sim.core.state import F64
from ran_sim.radio.antenna import (
    AZIMUTH_STEP_DEG,
    Antenna,
    antenna_gain,
    build_antenna,
    column_gain,
    element_attenuation_db,
    element_gain,
    mean_gains,
)
from ran_sim.scenario.sections import Layout

COLUMN = build_antenna(Layout())
OMNI = build_antenna(Layout(sectors=1))


def db(gain: float) -> float:
    return 10.0 * math.log10(gain)


def cos_deg(degrees: float) -> float:
    return math.cos(math.radians(degrees))


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


def radiated_db(gain: Callable[[float, float], float]) -> float:
    """Mean gain over the sphere: what is radiated of the power that is fed in."""
    zeniths_deg, azimuths_deg = np.arange(0.5, 180.0), np.arange(-178.0, 180.0, 4.0)
    gains = np.array([[gain(z, a) for a in azimuths_deg.tolist()] for z in zeniths_deg.tolist()])
    weights = np.sin(np.deg2rad(zeniths_deg))
    return db(float(weights @ gains.mean(axis=1) / weights.sum()))


@pytest.mark.parametrize("antenna", [COLUMN, OMNI], ids=["sector", "omnidirectional"])
def test_an_omnidirectional_cell_radiates_as_much_as_a_sector(antenna: Antenna) -> None:
    # TR 38.901's element has 8 dBi where its pattern could have 9.8; without a horizontal cut that is 0.9 of 2.7.
    element_db = radiated_db(lambda z, a: element_gain(z, a, antenna.omnidirectional))
    assert element_db == pytest.approx(-1.83, abs=0.02)
    assert radiated_db(lambda z, a: antenna_gain(z, a, antenna)) == pytest.approx(0.27, abs=0.02)


def test_column_gain_is_the_number_of_elements_in_the_direction_of_tilt() -> None:
    assert column_gain(cos_deg(102.0), COLUMN) == pytest.approx(10.0)
    gain_dbi = db(antenna_gain(102.0, 0.0, COLUMN))
    assert gain_dbi == pytest.approx(8.0 + 10.0 - 12.0 * (12.0 / 65.0) ** 2)


@pytest.mark.parametrize(("elements", "spacing"), [(10, 0.5), (8, 0.8), (1, 0.5), (4, 1.0)])
def test_column_gain_equals_the_sum_over_its_elements(elements: int, spacing: float) -> None:
    antenna = build_antenna(Layout(antenna_elements=elements, element_spacing_wavelengths=spacing))
    phases = 2j * math.pi * spacing * np.arange(elements)
    weights = np.exp(-phases * cos_deg(102.0)) / math.sqrt(elements)
    for zenith_deg in (60.0, 95.0, 99.0, 106.0, 120.0):
        expected = abs(np.sum(weights * np.exp(phases * cos_deg(zenith_deg)))) ** 2
        assert column_gain(cos_deg(zenith_deg), antenna) == pytest.approx(max(expected, 1e-4), rel=1e-6)


def test_a_single_element_has_the_elements_pattern() -> None:
    single = build_antenna(Layout(antenna_elements=1))
    assert antenna_gain(122.5, 32.5, single) == pytest.approx(10 ** ((8.0 - 6.0) / 10))


# -- mean gain over a spread of angles ----------------------------------------------------------------------------


def means(antenna: Antenna, zenith_deg: float, zenith_spread_deg: float, azimuth_spread_deg: float) -> F64:
    """`mean_gains` in one zenith direction, by azimuth."""
    gains = mean_gains(antenna, np.array([zenith_deg]), np.array([zenith_spread_deg]), azimuth_spread_deg)
    return np.asarray(gains[0])


def integral(
    zenith_deg: float, azimuth_deg: float, zenith_spread_deg: float, azimuth_spread_deg: float
) -> float:
    """The column's mean gain over a Laplacian and a Gaussian by midpoints, far out to 12 and 5 deviations."""
    u = np.linspace(-1.0, 1.0, 4002)[:-1] + 1.0 / 4001
    over_zenith_deg = 12.0 * zenith_spread_deg * u
    zenith_weights = np.exp(-math.sqrt(2.0) * np.abs(over_zenith_deg) / zenith_spread_deg)
    v = np.linspace(-1.0, 1.0, 202)[:-1] + 1.0 / 201
    over_azimuth_deg = 5.0 * azimuth_spread_deg * v
    azimuth_weights = np.exp(-((over_azimuth_deg / azimuth_spread_deg) ** 2) / 2.0)
    zeniths_deg = np.abs(zenith_deg + over_zenith_deg)
    zeniths_deg = np.where(zeniths_deg > 180.0, 360.0 - zeniths_deg, zeniths_deg)
    azimuths_deg = (azimuth_deg + over_azimuth_deg + 180.0) % 360.0 - 180.0
    vertical_db = np.minimum(12.0 * ((zeniths_deg - 90.0) / 65.0) ** 2, 30.0)
    horizontal_db = np.minimum(12.0 * (azimuths_deg / 65.0) ** 2, 30.0)
    element = 10.0 ** (0.8 - np.minimum(vertical_db[:, None] + horizontal_db, 30.0) / 10.0)
    half = 0.5 * math.pi * (np.cos(np.radians(zeniths_deg)) - cos_deg(102.0))
    column = np.sin(10.0 * half) ** 2 / (10.0 * np.sin(half) ** 2)
    mean = zenith_weights @ (column[:, None] * element) @ azimuth_weights
    return float(mean / zenith_weights.sum() / azimuth_weights.sum())


# The column's nulls are where cos(zenith) = cos(102 degrees) + k / 5: 90.45 and 114.04 degrees for k = 1, -1.
@pytest.mark.parametrize("zenith_deg", [90.45, 114.04, 97.0, 150.0])
@pytest.mark.parametrize("zenith_spread_deg", [0.4, 2.0, 8.0])
@pytest.mark.parametrize("azimuth_deg", [0.0, 60.0, 180.0])
def test_mean_gain_equals_a_direct_integral(
    zenith_deg: float, zenith_spread_deg: float, azimuth_deg: float
) -> None:
    mean = means(COLUMN, zenith_deg, zenith_spread_deg, 20.0)[round(azimuth_deg / AZIMUTH_STEP_DEG)]
    assert db(mean) == pytest.approx(db(integral(zenith_deg, azimuth_deg, zenith_spread_deg, 20.0)), abs=0.1)


def test_a_null_is_filled_as_its_curvature_says() -> None:
    # Near a null at z0 the gain is P'' (z - z0)^2 / 2, of which the mean over a spread of rms s is P'' s^2 / 2.
    spread_deg, null_deg = 0.4, 114.04
    beside = antenna_gain(null_deg + 0.5, 0.0, COLUMN), antenna_gain(null_deg - 0.5, 0.0, COLUMN)
    curvature = sum(beside) / 0.5**2  # P'' per square degree
    filled = means(COLUMN, null_deg, spread_deg, 0.01)[0]
    assert db(filled) == pytest.approx(db(curvature * spread_deg**2 / 2.0), abs=0.3)
    assert db(antenna_gain(null_deg, 0.0, COLUMN)) < db(filled) - 10.0


def test_without_a_spread_the_mean_is_the_pattern() -> None:
    for zenith_deg in (70.0, 96.0, 102.0, 120.0):
        bare = [antenna_gain(zenith_deg, AZIMUTH_STEP_DEG * i, COLUMN) for i in range(31)]
        assert means(COLUMN, zenith_deg, 0.0, 0.0) == pytest.approx(bare, rel=0.01)


def test_averaging_conserves_the_radiated_power() -> None:
    zeniths_deg = np.arange(0.25, 180.0, 0.5)
    weights = np.append(np.append(0.5, np.ones(29)), 0.5)  # of azimuths, by trapezes
    spread, bare = (
        mean_gains(COLUMN, zeniths_deg, np.full(zeniths_deg.size, degrees), wide) @ weights
        for degrees, wide in ((8.0, 40.0), (0.0, 0.0))
    )
    # Over both angles alike it is exact. On the sphere, sin(zenith) is averaged too: times 1 / (1 + s^2 / 2), -0.04 dB.
    assert spread.sum() == pytest.approx(bare.sum(), rel=1e-3)
    on_sphere = np.sin(np.radians(zeniths_deg))
    ratio_db = db(float(on_sphere @ spread) / float(on_sphere @ bare))
    assert ratio_db == pytest.approx(-db(1.0 + math.radians(8.0) ** 2 / 2.0), abs=0.02)


def test_an_omnidirectional_cell_has_one_mean_at_every_azimuth() -> None:
    assert np.ptp(means(OMNI, 95.0, 3.0, 20.0)) == pytest.approx(0.0, abs=1e-9)
