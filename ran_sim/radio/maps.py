"""Maps of correlated random numbers around each site, which are alike for UEs close to each other.

A map is a standard normal field on a torus; displacements beyond it meet the same values again. A UE that returns to a place
finds the same value there, two UEs side by side have nearly the same value, co-sited sectors exactly the same, and different
sites are independent (TR 38.901 7.5 step 4).

The torus covers the area of a network's UEs and the distance over which correlation fades, so that no two UEs see the same
shadow of a site from different places. Its size is at most `MOST_POINTS`, 3.3 km in UMa and 1.6 km in UMi. Sites that lie
further apart, and routes that lead out of the sites' areas, meet the same values again.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ran_sim.core.jit import bare_kernel, kernel
from ran_sim.core.random import normal_pair
from ran_sim.core.state import F32, F64

C128 = NDArray[np.complex128]

MOST_POINTS: Final = 1024  # along a side: 4 MB per site and map
_POINTS_STEP: Final = 64  # sizes that are quickly transformed
_FADED: Final = 3.0  # decorrelation distances from which on two places count as uncorrelated
# TR 38.901 7.4.4 has exp(-d / d_cor); 7.6.3.1 interpolates a coarse grid for the line of sight, which is smooth.
EXPONENTIAL: Final = 1.0
SMOOTH: Final = 2.0


class Map(NamedTuple):
    """One quantity around every site."""

    values: F32  # [n_site, n_point, n_point], index [site, y, x]
    grid_m: float
    side: float  # correlation of neighbours along a side of a grid cell
    diagonal: float  # … and across its diagonal


def map_points(span_m: float, grid_m: float, decorrelation_m: float) -> int:
    """Grid points along a side of a map wide enough that places up to `span_m` apart are uncorrelated with each other's copies."""
    wanted = math.ceil((span_m + _FADED * decorrelation_m) / grid_m / _POINTS_STEP) * _POINTS_STEP
    return min(wanted, MOST_POINTS)


def build_map(
    seed: int,
    purpose: int,
    variant: int,
    n_site: int,
    points: int,
    grid_m: float,
    decorrelation_m: float,
    exponent: float,
) -> Map:
    """Independent fields of all sites; at 512 points about 10 ms and 1 MB per site. `variant` tells a purpose's maps apart."""
    weights = _wave_weights(points, grid_m, decorrelation_m, exponent)
    pairs = [gaussian_fields(seed, purpose, 2 * pair + variant, weights) for pair in range((n_site + 1) // 2)]
    return Map(
        np.concatenate(pairs)[:n_site],
        grid_m,
        math.exp(-((grid_m / decorrelation_m) ** exponent)),
        math.exp(-((math.sqrt(2.0) * grid_m / decorrelation_m) ** exponent)),
    )


def flat_map(n_site: int) -> Map:
    """Zero everywhere."""
    return Map(np.zeros((n_site, 1, 1), np.float32), 1.0, 1.0, 1.0)


def _wave_weights(points: int, grid_m: float, decorrelation_m: float, exponent: float) -> F64:
    """Root of the spectrum of fields with correlation exp(-(d / decorrelation_m)^exponent), shape [points, points]."""
    steps = np.minimum(np.arange(points), points - np.arange(points))
    distance_m = grid_m * np.hypot(steps[:, None], steps[None, :])
    correlation = np.exp(-((distance_m / decorrelation_m) ** exponent))
    # Cut off at half the torus, the correlation is not exactly a spectrum: the tiny negative part is dropped.
    spectrum = np.maximum(np.fft.fft2(correlation).real, 0.0)
    return np.asarray(np.sqrt(spectrum * (points**2 / spectrum.sum())))


def gaussian_fields(seed: int, purpose: int, entity: int, weights: F64) -> F32:
    """Two independent standard normal fields on the torus, shape [2, points, points].

    Complex white noise, one counter per wave, is weighted with the root of the spectrum; real and imaginary part of its
    transform are the fields.
    """
    fields = weights.shape[0] * np.fft.ifft2(_white_noise(seed, purpose, entity, weights.shape[0]) * weights)
    return np.stack([fields.real, fields.imag]).astype(np.float32)


@kernel
def _white_noise(seed: int, purpose: int, entity: int, points: int) -> C128:
    """Complex standard normals, shape [points, points]."""
    noise = np.empty((points, points), np.complex128)
    for row in range(points):
        for column in range(points):
            real, imaginary = normal_pair(seed, purpose, entity, row * points + column)
            noise[row, column] = complex(real, imaginary)
    return noise


@bare_kernel
def value_at(of: Map, site: int, x_m: float, y_m: float) -> float:
    """A map's value at a displacement from its site: bilinear, scaled back to variance 1 everywhere.

    Plain bilinear interpolation loses up to a tenth of the variance between grid points, as the four values are not
    fully correlated; their correlations are known, so the loss is divided out. That leaves the
    correlation over short distances up to 0.05 too high.
    """
    field = of.values[site]
    x, y = _on_torus(x_m / of.grid_m, field.shape[1]), _on_torus(y_m / of.grid_m, field.shape[0])
    c0, r0 = int(x), int(y)
    right, up = x - c0, y - r0
    left, down = 1.0 - right, 1.0 - up
    c1, r1 = c0 + 1 if c0 + 1 < field.shape[1] else 0, r0 + 1 if r0 + 1 < field.shape[0] else 0
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


@bare_kernel
def _on_torus(x: float, points: int) -> float:
    """`x`, in grid points, modulo the torus: in [0, points)."""
    wrapped = x - points * math.floor(x / points)
    return wrapped if wrapped < points else 0.0  # a tiny negative number rounds up to the whole torus
