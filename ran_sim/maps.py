"""Maps of correlated random numbers around each site: what is alike for UEs that stand close to each other.

A map is a standard normal field on a torus of `MAP_POINTS` grid points a side; displacements beyond it meet the same
values again. A UE that comes back finds what it left, two UEs side by side see nearly the same, co-sited sectors
exactly the same, and different sites are independent (TR 38.901 7.5 step 4).

A map repeats after 512 grid points along x and y: 1638 m in UMa, 819 m in UMi. Displacements in a wrapped cluster reach
2 sqrt(n / 3) inter-site distances from corner to corner. Seven sites stay below the period up to 536 m (UMa) and 268 m
(UMi), nineteen only up to 325 m and 163 m: above, two UEs a period apart see the same shadow of the same site. Both can
belong to that site from an inter-site distance of 1419 m (709 m) on, where its hexagon is as wide as the map.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ran_sim._jit import bare_kernel, kernel
from ran_sim.random import normal
from ran_sim.state import F32, F64

MAP_POINTS: Final = 512
# TR 38.901 7.4.4 has exp(-d / d_cor); 7.6.3.1 interpolates a coarse grid for the line of sight, which is smooth.
EXPONENTIAL: Final = 1.0
SMOOTH: Final = 2.0


class Map(NamedTuple):
    """One quantity around every site."""

    values: F32  # [n_site, MAP_POINTS, MAP_POINTS], index [site, y, x]
    grid_m: float
    side: float  # correlation of neighbours along a side of a grid cell
    diagonal: float  # … and across its diagonal


def build_map(
    seed: int, purpose: int, variant: int, n_site: int, grid_m: float, decorrelation_m: float, exponent: float
) -> Map:
    """Independent fields of all sites; about 20 ms and 1 MB per site. `variant` tells the maps of a purpose apart."""
    pairs = [
        gaussian_fields(seed, purpose, 2 * pair + variant, grid_m, decorrelation_m, exponent)
        for pair in range((n_site + 1) // 2)
    ]
    return Map(
        np.concatenate(pairs)[:n_site],
        grid_m,
        math.exp(-((grid_m / decorrelation_m) ** exponent)),
        math.exp(-((math.sqrt(2.0) * grid_m / decorrelation_m) ** exponent)),
    )


def flat_map(n_site: int, grid_m: float) -> Map:
    """Zero everywhere."""
    return Map(np.zeros((n_site, MAP_POINTS, MAP_POINTS), np.float32), grid_m, 1.0, 1.0)


def gaussian_fields(
    seed: int, purpose: int, entity: int, grid_m: float, decorrelation_m: float, exponent: float
) -> F32:
    """Two independent standard normal fields on the torus, with correlation exp(-(d / decorrelation_m)^exponent).

    Complex white noise, one counter per wave and part, is weighted with the root of the spectrum; real and imaginary
    part of its transform are the fields. Shape [2, MAP_POINTS, MAP_POINTS].
    """
    steps = np.minimum(np.arange(MAP_POINTS), MAP_POINTS - np.arange(MAP_POINTS))
    distance_m = grid_m * np.hypot(steps[:, None], steps[None, :])
    correlation = np.exp(-((distance_m / decorrelation_m) ** exponent))
    # Cut off at half the torus, the correlation is not exactly a spectrum: the tiny negative part is dropped.
    spectrum = np.maximum(np.fft.fft2(correlation).real, 0.0)
    spectrum *= MAP_POINTS**2 / spectrum.sum()
    noise = _white_noise(seed, purpose, entity, MAP_POINTS)
    waves = (noise[0] + 1j * noise[1]) * np.sqrt(spectrum)
    fields = MAP_POINTS * np.fft.ifft2(waves)
    return np.stack([fields.real, fields.imag]).astype(np.float32)


@kernel
def _white_noise(seed: int, purpose: int, entity: int, points: int) -> F64:
    """Standard normals, shape [2, points, points]."""
    noise = np.empty((2, points, points))
    for part in range(2):
        for row in range(points):
            for column in range(points):
                index = (part * points + row) * points + column
                noise[part, row, column] = normal(seed, purpose, entity, index)
    return noise


@bare_kernel
def value_at(of: Map, site: int, x_m: float, y_m: float) -> float:
    """A map's value at a displacement from its site: bilinear, scaled back to variance 1 everywhere.

    Plain bilinear interpolation loses up to a tenth of the variance between grid points, as the four values are not
    fully correlated; their correlations are known, so the loss is divided out. That leaves the
    correlation over short distances up to 0.05 too high.
    """
    field = of.values[site]
    x, y = x_m / of.grid_m, y_m / of.grid_m
    column, row = math.floor(x), math.floor(y)
    right, up = x - column, y - row
    left, down = 1.0 - right, 1.0 - up
    c0, r0 = int(column) % MAP_POINTS, int(row) % MAP_POINTS
    c1, r1 = (c0 + 1) % MAP_POINTS, (r0 + 1) % MAP_POINTS
    value = down * (left * field[r0, c0] + right * field[r0, c1]) + up * (
        left * field[r1, c0] + right * field[r1, c1]
    )
    square_x, square_y = left * left + right * right, down * down + up * up
    cross_x, cross_y = 2.0 * left * right, 2.0 * down * up
    variance = (
        square_x * square_y
        + of.side * (cross_x * square_y + square_x * cross_y)
        + of.diagonal * cross_x * cross_y
    )
    return float(value / math.sqrt(variance))
