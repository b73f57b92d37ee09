"""Where cells stand, which way they look, and where UEs are dropped.

Sites form a hexagonal grid with the first in the origin; with wrap-around the seven-site cluster tiles the plane, so
that every cell has a full ring of neighbours: geometry is always taken to the nearest of the copies. A sector's home
area is the rhombus between its site and the corner of the site's hexagon that it looks at. So sectors look between
neighbouring sites; QuaDRiGa's calibration layout has them look at the sites, which gives up to 1 dB more SIR.

Where another copy of a site becomes the nearest one, half the cluster's width away, a moving UE meets that site from
the other side: the link's gain jumps, mostly far below the strongest cell's.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ran_sim._jit import bare_kernel
from ran_sim.random import PLACEMENT, uniform
from ran_sim.scenario import Layout
from ran_sim.state import F64, I32

SECTOR_AZIMUTHS_DEG: Final = (30.0, 150.0, 270.0)

# TR 38.901 Table 7.3-1
ELEMENT_GAIN_DBI: Final = 8.0
BEAMWIDTH_DEG: Final = 65.0
MAX_ATTENUATION_DB: Final = 30.0
# TR 38.901 Table 7.8-1: one column of elements half a wavelength apart
ELEMENTS: Final = 10
# Nulls are filled to 20 dB below the maximum: the zenith spread of arrivals, which a single gain per link leaves out,
# and the null fill of built antennas both do so.
_NULL_FLOOR: Final = 1.0 / ELEMENTS


class Topology(NamedTuple):
    """What stays fixed during a run."""

    site_x_m: F64  # [n_site]
    site_y_m: F64
    azimuth_rad: F64  # [n_cell]
    cell_site: I32  # [n_cell]
    wrap_x_m: (
        F64  # [n_copy] translations of the cluster, the first is zero; only that one without wrap-around
    )
    wrap_y_m: F64
    isd_m: float
    min_distance_m: float
    bs_height_m: float
    tilt_deg: float
    omnidirectional: bool


def build_topology(layout: Layout) -> Topology:
    """Sites, sectors and translations of a layout."""
    ring = np.deg2rad(np.arange(0.0, 360.0, 60.0))
    neighbours = layout.isd_m * np.stack([np.cos(ring), np.sin(ring)])  # [2, 6]
    sites = np.concatenate([np.zeros((2, 1)), neighbours], axis=1)[:, : layout.sites]
    copies = np.zeros((2, 1))
    if layout.wrap_around and layout.sites == 7:
        # The clusters' own hexagonal lattice: 2 a + b and its rotations, length sqrt(7) ISD.
        shifts = 2 * neighbours + np.roll(neighbours, -1, axis=1)
        copies = np.concatenate([copies, shifts], axis=1)
    azimuths_deg = SECTOR_AZIMUTHS_DEG[: layout.sectors]
    return Topology(
        site_x_m=sites[0].copy(),
        site_y_m=sites[1].copy(),
        azimuth_rad=np.deg2rad(np.tile(azimuths_deg, layout.sites)),
        cell_site=np.repeat(np.arange(layout.sites, dtype=np.int32), layout.sectors),
        wrap_x_m=copies[0].copy(),
        wrap_y_m=copies[1].copy(),
        isd_m=layout.isd_m,
        min_distance_m=layout.min_distance_m,
        bs_height_m=layout.bs_height_m,
        tilt_deg=layout.tilt_deg,
        omnidirectional=layout.sectors == 1,
    )


@bare_kernel
def nearest_copy(dx_m: float, dy_m: float, topology: Topology) -> tuple[float, float]:
    """The shortest of a displacement's copies under wrap-around; as it is without.

    Exact for displacements between two points that `nearest_copy` itself returned (one ring of translations is enough).
    """
    best_x, best_y = dx_m, dy_m
    for i in range(topology.wrap_x_m.size):
        x, y = dx_m + topology.wrap_x_m[i], dy_m + topology.wrap_y_m[i]
        if x * x + y * y < best_x * best_x + best_y * best_y:
            best_x, best_y = x, y
    return best_x, best_y


@bare_kernel
def drop_point(seed: int, entity: int, index: int, cell: int, topology: Topology) -> tuple[float, float]:
    """A point uniform in the home area of `cell`, at least `min_distance_m` from its site.

    `entity` and `index` (any number from 0) are the counter: the same arguments give the same point.
    """
    side_m = topology.isd_m / math.sqrt(3.0)
    x, y = 0.0, 0.0
    for attempt in range(64):  # one of about 30 points falls too close: never exhausted in practice
        counter = (index * 64 + attempt) * 3
        azimuth = topology.azimuth_rad[cell]
        if topology.omnidirectional:  # the hexagon is three rhombi; choose one
            third = math.floor(3.0 * uniform(seed, PLACEMENT, entity, counter + 2))
            azimuth += third * 2.0 * math.pi / 3.0
        along_a = side_m * uniform(seed, PLACEMENT, entity, counter)
        along_b = side_m * uniform(seed, PLACEMENT, entity, counter + 1)
        x = along_a * math.cos(azimuth - math.pi / 3.0) + along_b * math.cos(azimuth + math.pi / 3.0)
        y = along_a * math.sin(azimuth - math.pi / 3.0) + along_b * math.sin(azimuth + math.pi / 3.0)
        if x * x + y * y >= topology.min_distance_m**2:
            break
    site = topology.cell_site[cell]
    return nearest_copy(x + topology.site_x_m[site], y + topology.site_y_m[site], topology)


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
def array_factor_db(zenith_deg: float, tilt_deg: float) -> float:
    """Gain over one element of a column of 10 elements, steered `tilt_deg` below the horizon; 10 dB in that direction.

    TR 38.901 7.3 with d_V = 0.5 wavelengths and one TXRU per column, weights as in TR 36.897 5.2.2. Never
    below -10 dB (see `_NULL_FLOOR`).
    """
    half_phase = (
        0.5 * math.pi * (math.cos(math.radians(zenith_deg)) - math.cos(math.radians(90.0 + tilt_deg)))
    )
    if abs(half_phase) < 1e-9:
        return 10.0 * math.log10(float(ELEMENTS))
    factor = math.sin(ELEMENTS * half_phase) ** 2 / (ELEMENTS * math.sin(half_phase) ** 2)
    return 10.0 * math.log10(max(factor, _NULL_FLOOR))


@bare_kernel
def antenna_gain_dbi(
    zenith_deg: float, azimuth_off_deg: float, tilt_deg: float, omnidirectional: bool
) -> float:
    """Gain of a cell's antenna towards one direction: element maximum, element pattern, array factor."""
    attenuation_db = element_attenuation_db(zenith_deg, azimuth_off_deg, omnidirectional)
    return ELEMENT_GAIN_DBI - attenuation_db + array_factor_db(zenith_deg, tilt_deg)
