"""Antennas of cells: one element, a column of them, and its mean gain where power leaves over a spread of angles.

Polarisation is left out, as it changes no mean power: a column of elements that are slanted by +45 and -45 degrees (TR 38.901
7.3.2, model 2) sends half its power to either polarisation in every direction alike, and the cross-polar ratio of a ray moves
power from one to the other. Path loss counts the power of both.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bare_kernel, kernel
from ran_sim.core.state import F64
from ran_sim.scenario.sections import Layout

# TR 38.901 Table 7.3-1
ELEMENT_GAIN_DBI: Final = 8.0
BEAMWIDTH_DEG: Final = 65.0
MAX_ATTENUATION_DB: Final = 30.0
# Ours: an element without a horizontal cut radiates what the table's does, spread evenly over the azimuth, 7.14 dB less.
OMNIDIRECTIONAL_GAIN_DBI: Final = 0.86
# The least gain of a column, so that a null of the formula has a logarithm: 40 dB below one element.
_NULL_FLOOR: Final = 1e-4
_NEPER_PER_DB: Final = math.log(10.0) / 10.0  # of power; exp takes a quarter of pow's time


class Antenna(NamedTuple):
    """A column of equal elements that are steered electrically."""

    elements: int
    spacing: float  # in wavelengths
    tilt_cos: float  # cosine of the zenith angle that it is steered to
    omnidirectional: bool


def build_antenna(layout: Layout) -> Antenna:
    """The antenna that every cell of a layout has."""
    return Antenna(
        elements=layout.antenna_elements,
        spacing=layout.element_spacing_wavelengths,
        tilt_cos=math.cos(math.radians(90.0 + layout.tilt_deg)),
        omnidirectional=layout.sectors == 1,
    )


@bare_kernel
def element_attenuation_db(zenith_deg: float, azimuth_off_deg: float, omnidirectional: bool) -> float:
    """Attenuation of one element against its maximum, TR 38.901 Table 7.3-1; both cuts together at most 30 dB.

    `azimuth_off_deg` is the angle from the boresight in [-180, 180]; an omnidirectional cell has no horizontal cut.
    """
    vertical_db = min(12.0 * ((zenith_deg - 90.0) / BEAMWIDTH_DEG) ** 2, MAX_ATTENUATION_DB)
    if omnidirectional:
        return vertical_db
    horizontal_db = min(12.0 * (azimuth_off_deg / BEAMWIDTH_DEG) ** 2, MAX_ATTENUATION_DB)
    return min(vertical_db + horizontal_db, MAX_ATTENUATION_DB)


@bare_kernel
def element_gain(zenith_deg: float, azimuth_off_deg: float, omnidirectional: bool) -> float:
    """Gain of one element towards one direction, linear."""
    maximum_dbi = OMNIDIRECTIONAL_GAIN_DBI if omnidirectional else ELEMENT_GAIN_DBI
    attenuation_db = element_attenuation_db(zenith_deg, azimuth_off_deg, omnidirectional)
    return math.exp(_NEPER_PER_DB * (maximum_dbi - attenuation_db))


@bare_kernel
def column_gain(zenith_cos: float, antenna: Antenna) -> float:
    """Gain of the column over one of its elements, linear: their number in the direction that it is steered to.

    TR 38.901 7.3 with one TXRU per column, weights as in TR 36.897 5.2.2.
    """
    half_phase = math.pi * antenna.spacing * (zenith_cos - antenna.tilt_cos)
    one = math.sin(half_phase)
    if abs(one) < 1e-9:  # the main lobe, or a grating lobe
        return float(antenna.elements)
    factor = math.sin(antenna.elements * half_phase) ** 2 / (antenna.elements * one * one)
    return max(factor, _NULL_FLOOR)


@bare_kernel
def antenna_gain(zenith_deg: float, azimuth_off_deg: float, antenna: Antenna) -> float:
    """Gain of a cell's antenna towards one direction, linear: one element's and the column's.

    Over the whole sphere the antenna that the report describes radiates 0.3 dB more than it is fed with, at a tilt of 12
    degrees: its element alone 1.8 dB less, but the column's factor is one of isotropic elements.
    """
    column = column_gain(math.cos(math.radians(zenith_deg)), antenna)
    return element_gain(zenith_deg, azimuth_off_deg, antenna.omnidirectional) * column


# -- mean gain over a spread of angles ----------------------------------------------------------------------------

AZIMUTH_STEP_DEG: Final = 6.0
N_AZIMUTH: Final = 31  # from 0 to 180 degrees off the boresight
_SAMPLE_DEG: Final = 2.0  # of the azimuth
_SAMPLES_PER_LOBE: Final = 36  # of the zenith angle; a column has some 2 elements x spacing lobes


def mean_gains(antenna: Antenna, zenith_deg: F64, zenith_spread_deg: F64, azimuth_spread_deg: float) -> F64:
    """Mean gain over angles around a direction, linear, by zenith angle and by angle from the boresight: 0, 6, … 180 degrees.

    Power leaves over azimuths as a wrapped Gaussian and over zenith angles as a Laplacian, reflected at the poles (TR 38.901
    7.5 step 7), both with the rms given. The mean is a convolution with them, so each wave of the pattern,
    cos(k zenith) cos(l azimuth), is multiplied with exp(-(l s)^2 / 2) and 1 / (1 + (k s)^2 / 2).

    Args:
        antenna: Of a cell.
        zenith_deg: Directions, shape [n].
        zenith_spread_deg: Of each of them, shape [n].
        azimuth_spread_deg: Of all of them.

    Returns:
        Gains, shape [n, N_AZIMUTH].
    """
    waves = _waves(antenna)
    k, l = (np.arange(size) for size in waves.shape)
    azimuths_rad = np.radians(AZIMUTH_STEP_DEG * np.arange(N_AZIMUTH))
    over_zenith = np.cos(np.outer(np.radians(zenith_deg), k))
    over_zenith /= 1.0 + np.outer(np.radians(zenith_spread_deg), k) ** 2 / 2.0
    over_azimuth = np.cos(np.outer(l, azimuths_rad))
    over_azimuth *= np.exp(-((l * math.radians(azimuth_spread_deg)) ** 2) / 2.0)[:, None]
    # No BLAS: its last bits depend on the number of threads, and threads of other runs hold it up.
    by_wave = np.ascontiguousarray(np.einsum("kl,la->ka", waves, over_azimuth).T)
    return np.asarray(np.einsum("zk,ak->za", over_zenith, by_wave))


@lru_cache(maxsize=8)
def _waves(antenna: Antenna) -> F64:
    """Coefficients of cos(k zenith) cos(l azimuth) in the gain, shape [n_k, n_l]."""
    rows = _SAMPLES_PER_LOBE * max(5, math.ceil(2.0 * antenna.elements * antenna.spacing))
    quarter = _sampled(rows + 1, round(180.0 / _SAMPLE_DEG) + 1, antenna)
    half = np.concatenate([quarter, quarter[-2:0:-1]])
    circles = np.concatenate([half, half[:, -2:0:-1]], axis=1)
    waves = np.fft.fft2(circles).real[: quarter.shape[0], : quarter.shape[1]] / circles.size
    waves[1:-1] *= 2.0
    waves[:, 1:-1] *= 2.0
    return np.asarray(waves)


@kernel
def _sampled(rows: int, columns: int, antenna: Antenna) -> F64:
    """The gain by zenith angle and by angle from the boresight, both from 0 to 180 degrees."""
    gains = np.empty((rows, columns))
    for row in range(rows):
        for column in range(columns):
            gains[row, column] = antenna_gain(
                180.0 * row / (rows - 1), 180.0 * column / (columns - 1), antenna
            )
    return gains
