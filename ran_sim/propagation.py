"""Path loss, line of sight, shadowing and building penetration of urban macro cells, TR 38.901 V17 clause 7.4.

Shadowing and line of sight are maps per site: a UE that comes back finds the same shadow, two UEs side by side see
nearly the same, co-sited sectors exactly the same, and different sites are independent (7.5 step 4). Left out: the
random environment height of high UEs (h_E = 1 m always), ground reflection, the cars' own penetration loss.
Between line of sight and none a link passes smoothly in dB, which is ours (see `los_share`).
"""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

import numpy as np

from ran_sim._jit import bare_kernel, kernel
from ran_sim.random import LOS, PENETRATION, SHADOWING, normal, uniform
from ran_sim.state import F32, F64

_SPEED_OF_LIGHT_MPS: Final = 299_792_458.0
_ENVIRONMENT_HEIGHT_M: Final = 1.0
MIN_D_2D_M: Final = 10.0  # the formulas' lower end; closer UEs count as this far

# TR 38.901 Table 7.4.1-1 (standard deviations), Table 7.5-6 (correlation distances), Table 7.6.3.1-2 (line of sight)
SIGMA_LOS_DB: Final = 4.0
SIGMA_NLOS_DB: Final = 6.0
SIGMA_O2I_DB: Final = 7.0
DECORRELATION_LOS_M: Final = 37.0
DECORRELATION_NLOS_M: Final = 50.0
DECORRELATION_STATE_M: Final = 50.0
SHADOW_EXPONENT: Final = 1.0
STATE_EXPONENT: Final = (
    2.0  # smooth, as 7.6.3.1's interpolated grid is: an edge of sight is not crossed ten times
)
STATE_RAMP: Final = 0.4
_LOGITS_PER_SIGMA: Final = 1.702  # logistic approximation of the normal distribution
_CERTAIN_SIGMAS: Final = 40.0  # where no quantile of the state's field lies
_FIRST_SITE_DRAW: Final = 16  # of a UE's penetration draws; the lower ones belong to its building

MAP_GRID_M: Final = 3.2
MAP_POINTS: Final = 512  # a map is a torus of 1638 m: displacements beyond it meet the same shadows again


@bare_kernel
def los_probability(d_2d_m: float, h_ut_m: float) -> float:
    """Probability of line of sight, TR 38.901 Table 7.4.2-1, UMa; `d_2d_m` is the outdoor part of the distance."""
    if d_2d_m <= 18.0:
        return 1.0
    base = 18.0 / d_2d_m + math.exp(-d_2d_m / 63.0) * (1.0 - 18.0 / d_2d_m)
    if h_ut_m <= 13.0:
        return base
    height = math.pow((h_ut_m - 13.0) / 10.0, 1.5)
    return base * (1.0 + height * 1.25 * (d_2d_m / 100.0) ** 3 * math.exp(-d_2d_m / 150.0))


@bare_kernel
def los_path_loss_db(d_2d_m: float, frequency_ghz: float, h_bs_m: float, h_ut_m: float) -> float:
    """Path loss with line of sight, TR 38.901 Table 7.4.1-1, UMa LOS, 10 m to 5 km, without shadowing."""
    d_3d_m = math.hypot(d_2d_m, h_bs_m - h_ut_m)
    breakpoint_m = (
        4.0
        * (h_bs_m - _ENVIRONMENT_HEIGHT_M)
        * (h_ut_m - _ENVIRONMENT_HEIGHT_M)
        * frequency_ghz
        * 1e9
        / _SPEED_OF_LIGHT_MPS
    )
    common_db = 28.0 + 20.0 * math.log10(frequency_ghz)
    if d_2d_m <= breakpoint_m:
        return common_db + 22.0 * math.log10(d_3d_m)
    return common_db + 40.0 * math.log10(d_3d_m) - 9.0 * math.log10(breakpoint_m**2 + (h_bs_m - h_ut_m) ** 2)


@bare_kernel
def nlos_path_loss_db(d_2d_m: float, frequency_ghz: float, h_bs_m: float, h_ut_m: float) -> float:
    """Path loss without line of sight, TR 38.901 Table 7.4.1-1, UMa NLOS: never below that with line of sight."""
    d_3d_m = math.hypot(d_2d_m, h_bs_m - h_ut_m)
    nlos_db = 13.54 + 39.08 * math.log10(d_3d_m) + 20.0 * math.log10(frequency_ghz) - 0.6 * (h_ut_m - 1.5)
    return max(los_path_loss_db(d_2d_m, frequency_ghz, h_bs_m, h_ut_m), nlos_db)


@bare_kernel
def wall_loss_db(frequency_ghz: float, high_loss: bool) -> float:
    """Mean loss through a building's outer wall, TR 38.901 Tables 7.4.3-1 and 7.4.3-2 (V17: IRR glass 23 + 0.3 f)."""
    concrete_db = 5.0 + 4.0 * frequency_ghz
    glass_db = 23.0 + 0.3 * frequency_ghz if high_loss else 2.0 + 0.2 * frequency_ghz
    glass_share = 0.7 if high_loss else 0.3
    passed = glass_share * 10 ** (-glass_db / 10.0) + (1.0 - glass_share) * 10 ** (-concrete_db / 10.0)
    return 5.0 - 10.0 * math.log10(passed)


@bare_kernel
def penetration_loss_db(seed: int, ue_id: int, frequency_ghz: float, high_loss_share: float) -> float:
    """Loss into the building that one UE sits in, towards all sites: wall, way inside and the building's own spread.

    TR 38.901 7.4.3.1: 0.5 dB per metre inside, the smaller of two uniforms up to 25 m; sd 4.4 dB (low loss) or 6.5 dB.
    """
    high_loss = uniform(seed, PENETRATION, ue_id, 0) < high_loss_share
    inside_m = 25.0 * min(uniform(seed, PENETRATION, ue_id, 1), uniform(seed, PENETRATION, ue_id, 2))
    sigma_db = 6.5 if high_loss else 4.4
    return (
        wall_loss_db(frequency_ghz, high_loss)
        + 0.5 * inside_m
        + sigma_db * normal(seed, PENETRATION, ue_id, 3)
    )


@bare_kernel
def indoor_height_m(seed: int, ue_id: int) -> float:
    """Height of a UE in a building: floor U{1..U{4..8}} of 3 m each, 1.5 m above it (3D-UMa of TR 36.873)."""
    floors = 4 + math.floor(5.0 * uniform(seed, PENETRATION, ue_id, 4))
    floor = 1 + math.floor(floors * uniform(seed, PENETRATION, ue_id, 5))
    return 3.0 * (floor - 1) + 1.5


class Maps(NamedTuple):
    """Standard normal fields around each site; shape [n_site, MAP_POINTS, MAP_POINTS], index [site, y, x]."""

    state: F32  # line of sight where the field lies below the quantile of the probability
    los: F32
    nlos: F32
    sigma_o2i_db: float  # of the shadowing that a UE in a building has towards each site


def build_maps(
    seed: int,
    n_site: int,
    *,
    shadowing: bool = True,
    line_of_sight: Literal["drawn", "always", "never"] = "drawn",
) -> Maps:
    """All maps of a network; about 50 ms and 3 MB per site.

    Without `shadowing` every link has the mean path loss of its state. Sight "always" or "never" holds for every link,
    but for those within 18 m, where TR 38.901 knows sight only; both are for tests against closed forms.
    """

    def stack(purpose: int, variant: int, decorrelation_m: float, exponent: float) -> F32:
        pairs = [
            gaussian_fields(seed, purpose, 2 * pair + variant, decorrelation_m, exponent)
            for pair in range((n_site + 1) // 2)
        ]
        return np.concatenate(pairs)[:n_site]

    def flat(value: float) -> F32:
        return np.full((n_site, MAP_POINTS, MAP_POINTS), value, np.float32)

    if line_of_sight == "drawn":
        state = stack(LOS, 0, DECORRELATION_STATE_M, STATE_EXPONENT)
    else:
        state = flat(-_CERTAIN_SIGMAS if line_of_sight == "always" else _CERTAIN_SIGMAS)
    return Maps(
        state=state,
        los=stack(SHADOWING, 0, DECORRELATION_LOS_M, SHADOW_EXPONENT) if shadowing else flat(0.0),
        nlos=stack(SHADOWING, 1, DECORRELATION_NLOS_M, SHADOW_EXPONENT) if shadowing else flat(0.0),
        sigma_o2i_db=SIGMA_O2I_DB if shadowing else 0.0,
    )


def gaussian_fields(seed: int, purpose: int, entity: int, decorrelation_m: float, exponent: float) -> F32:
    """Two independent standard normal fields on the torus, with correlation exp(-(d / decorrelation_m)^exponent).

    Exponent 1 is TR 38.901 7.4.4, exponent 2 a smooth field. Complex white noise, one counter per wave and part, is
    weighted with the root of the spectrum; real and imaginary part of its transform are the fields. Shape
    [2, MAP_POINTS, MAP_POINTS].
    """
    steps = np.minimum(np.arange(MAP_POINTS), MAP_POINTS - np.arange(MAP_POINTS))
    distance_m = MAP_GRID_M * np.hypot(steps[:, None], steps[None, :])
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


def grid_correlations(decorrelation_m: float, exponent: float) -> tuple[float, float]:
    """Correlation of a map's points that are neighbours along a side and across the diagonal of a grid cell."""
    side, diagonal = MAP_GRID_M / decorrelation_m, math.sqrt(2.0) * MAP_GRID_M / decorrelation_m
    return math.exp(-math.pow(side, exponent)), math.exp(-math.pow(diagonal, exponent))


_STATE_SIDE, _STATE_DIAGONAL = grid_correlations(DECORRELATION_STATE_M, STATE_EXPONENT)
_LOS_SIDE, _LOS_DIAGONAL = grid_correlations(DECORRELATION_LOS_M, SHADOW_EXPONENT)
_NLOS_SIDE, _NLOS_DIAGONAL = grid_correlations(DECORRELATION_NLOS_M, SHADOW_EXPONENT)


@bare_kernel
def field_at(field: F32, x_m: float, y_m: float, side: float, diagonal: float) -> float:
    """A map's value at a displacement from its site: bilinear, scaled back to variance 1 everywhere.

    `side` and `diagonal` are the correlations of neighbours on the grid, see `grid_correlations`.

    Plain bilinear interpolation loses up to a tenth of the variance between grid points, as the four values are not
    fully correlated; their correlations are known, so the loss is divided out. That leaves the
    correlation over short distances up to 0.05 too high.
    """
    x, y = x_m / MAP_GRID_M, y_m / MAP_GRID_M
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
        square_x * square_y + side * (cross_x * square_y + square_x * cross_y) + diagonal * cross_x * cross_y
    )
    return float(value / math.sqrt(variance))


@bare_kernel
def los_share(field: float, probability: float) -> float:
    """How much of a link is in line of sight, 0..1: above one half where a standard normal `field` lies below the
    quantile of `probability`.

    The distance to the quantile, in standard deviations of the field (as logits, close to the normal's), is spread
    over +-STATE_RAMP: some 25 m of way, where a switch would throw the path loss by 20 dB within a step. That takes
    from full sight: of UEs at 100 m 22 % have it and 31 % have part of it, where the table gives it to 35 %. It is
    the likely reason why the 95th percentile of the coupling gain comes out 1 dB below 3GPP's.
    """
    if probability >= 1.0:
        return 1.0
    below = min(max(0.5 * math.erfc(-field / math.sqrt(2.0)), 1e-9), 1.0 - 1e-9)
    distance = math.log(probability * (1.0 - below) / ((1.0 - probability) * below)) / _LOGITS_PER_SIGMA
    return min(max(0.5 + 0.5 * distance / STATE_RAMP, 0.0), 1.0)


@bare_kernel
def site_loss_db(
    seed: int,
    ue_id: int,
    site: int,
    dx_m: float,
    dy_m: float,
    indoor: bool,
    h_ut_m: float,
    h_bs_m: float,
    frequency_ghz: float,
    maps: Maps,
) -> float:
    """Path loss plus shadowing between one UE and one site, without antenna gain and without penetration loss.

    (dx, dy) leads from the site to the UE; its length stands for the distance outdoors too, at most 25 m less. A UE in
    a building has the path loss of its line-of-sight state outside
    and a shadowing of its own per site, sd 7 dB: it keeps its place, and its correlation distance (7 m) is a room.
    """
    d_2d_m = max(math.hypot(dx_m, dy_m), MIN_D_2D_M)
    state = field_at(maps.state[site], dx_m, dy_m, _STATE_SIDE, _STATE_DIAGONAL)
    share = los_share(state, los_probability(d_2d_m, h_ut_m))
    loss_db = maps.sigma_o2i_db * normal(seed, PENETRATION, ue_id, _FIRST_SITE_DRAW + site) if indoor else 0.0
    if share > 0.0:
        shadow_db = (
            0.0 if indoor else SIGMA_LOS_DB * field_at(maps.los[site], dx_m, dy_m, _LOS_SIDE, _LOS_DIAGONAL)
        )
        loss_db += share * (los_path_loss_db(d_2d_m, frequency_ghz, h_bs_m, h_ut_m) + shadow_db)
    if share < 1.0:
        shadow_db = (
            0.0
            if indoor
            else SIGMA_NLOS_DB * field_at(maps.nlos[site], dx_m, dy_m, _NLOS_SIDE, _NLOS_DIAGONAL)
        )
        loss_db += (1.0 - share) * (nlos_path_loss_db(d_2d_m, frequency_ghz, h_bs_m, h_ut_m) + shadow_db)
    return loss_db
