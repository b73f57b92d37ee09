"""Angles at which power leaves a site towards a UE: the spreads of TR 38.901 V17 clause 7.5, and the antenna's mean gain.

A link has the median spread of its place and state. Lognormal spreads of single links (the report's sigmas of 0.3 to 0.5
decades) are left out, like their correlation with shadowing. The direct ray of a link with line of sight is not spread; it
has the median of the Ricean factor. The spread of such a link includes its direct ray, so the rest is spread sqrt(K + 1) as
wide. Links into buildings have no Ricean factor in the report, and keep the zenith angles of their state outdoors.

Mean gains are tabulated when a network is built: by the heights that UEs have, by distance, and by angle from the boresight.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F32, F64
from ran_sim.radio.antenna import AZIMUTH_STEP_DEG, N_AZIMUTH, Antenna, element_gain, mean_gains
from ran_sim.radio.propagation import MIN_D_2D_M, OUTDOOR_HEIGHT_M, indoor_heights_m
from ran_sim.scenario import Scenario

K_FACTOR_DB: Final = 9.0  # Table 7.5-6, median of UMa and of UMi
_K: Final = 10.0 ** (K_FACTOR_DB / 10.0)
_LEAST_M: Final = 1.0  # distances of the table; others have the gain of its end
_MOST_M: Final = 20_000.0
_ROWS_PER_LOBE: Final = 40


class ZenithSpread(NamedTuple):
    """lg of the zenith spread in degrees, Tables 7.5-7 and 7.5-8, by d_2D and the height over or under a reference."""

    least: float
    at_site: float
    per_km: float
    reference_m: float
    per_m_over: float
    per_m_under: float


class ZenithOffset(NamedTuple):
    """Offset of the mean zenith angle without line of sight, same tables, in degrees.

    `constant` - 10^(`slope` lg(max(`from_m`, d_2D)) + `lg` + `per_m` (h_UT - 1.5 m)).
    """

    constant: float
    slope: float
    from_m: float
    lg: float
    per_m: float


class Spreads(NamedTuple):
    """Medians of one environment at one carrier frequency."""

    los_azimuth_lg: float  # lg ASD in degrees, Table 7.5-6
    nlos_azimuth_lg: float
    o2i_azimuth_lg: float
    los_zenith: ZenithSpread
    nlos_zenith: ZenithSpread
    nlos_offset: ZenithOffset


def spreads_of(environment: str, frequency_ghz: float, h_bs_m: float) -> Spreads:
    """The report's medians; UMa below 6 GHz as at 6 GHz, UMi below 2 GHz as at 2 GHz (notes 6 and 7 of Table 7.5-6)."""
    if environment == "umi":
        lg_f = math.log10(1.0 + max(frequency_ghz, 2.0))
        return Spreads(
            1.21 - 0.05 * lg_f,
            1.53 - 0.23 * lg_f,
            1.25,
            ZenithSpread(-0.21, 0.83, -14.8, h_bs_m, 0.01, 0.01),
            ZenithSpread(-0.5, 0.2, -3.1, h_bs_m, 0.01, 0.0),
            ZenithOffset(0.0, -1.5, 10.0, 3.3, 0.0),
        )
    lg_f = math.log10(max(frequency_ghz, 6.0))
    return Spreads(
        1.06 + 0.1114 * lg_f,
        1.5 - 0.1144 * lg_f,
        1.25,
        ZenithSpread(-0.5, 0.75, -2.1, 1.5, -0.01, 0.0),
        ZenithSpread(-0.5, 0.9, -2.1, 1.5, -0.01, 0.0),
        ZenithOffset(7.66 * lg_f - 5.96, 0.208 * lg_f - 0.782, 25.0, 2.03 - 0.13 * lg_f, -0.07),
    )


def zenith_spread_deg(d_2d_m: F64, h_ut_m: float, of: ZenithSpread) -> F64:
    """Median ZSD by distance."""
    over_m = h_ut_m - of.reference_m
    height = of.per_m_over * max(over_m, 0.0) + of.per_m_under * max(-over_m, 0.0)
    return np.asarray(10.0 ** np.maximum(of.least, of.at_site + of.per_km * d_2d_m / 1e3 + height))


def zenith_offset_deg(d_2d_m: F64, h_ut_m: float, of: ZenithOffset) -> F64:
    """Mean zenith angle of departure without line of sight less that of the straight line: scattered power leaves higher up."""
    lg = of.slope * np.log10(np.maximum(of.from_m, d_2d_m)) + of.lg + of.per_m * (h_ut_m - 1.5)
    return np.asarray(of.constant - 10.0**lg)


class Spread(NamedTuple):
    """Mean gains of a network's antennas over the angles of departure."""

    direct_in_sight: float  # share of a link's power that goes straight ahead: outdoors with line of sight,
    direct_blocked: float  # … without,
    direct_indoors: float  # … and into buildings
    # [n_pointing, 1 + n_indoor_height, n_distance, n_azimuth, 2] linear: as set, then at each shifted tilt of the scenario's
    # faults; outdoors, then indoors; with line of sight, without
    means: F32
    tilt_cos: F64  # [n_pointing] cosine of the zenith angle that the column is steered to
    rows_per_neper: float  # of distance
    indoor_from_m: float  # lowest height of UEs indoors
    indoor_step_m: float


def build_spread(scenario: Scenario, antenna: Antenna) -> Spread:
    """The spreads of a scenario's environment at its carrier frequency; without, all power goes straight ahead."""
    layout, heights_m = scenario.layout, indoor_heights_m(scenario.radio.indoor_height_m)
    tilts_deg = [layout.tilt_deg + shift_deg for shift_deg in scenario.tilt_shifts_deg]
    tilt_cos = np.array([math.cos(math.radians(90.0 + tilt_deg)) for tilt_deg in tilts_deg])
    if scenario.radio.angular_spread:
        spreads = spreads_of(layout.environment, scenario.carrier.frequency_ghz, layout.bs_height_m)
        antennas = (antenna, *(antenna._replace(tilt_cos=float(shifted)) for shifted in tilt_cos[1:]))
        means = np.stack([_table(one, spreads, layout.bs_height_m, heights_m) for one in antennas])
        shares = (_K / (_K + 1.0), 0.0, 0.0)
    else:
        means = np.zeros((len(tilts_deg), 1 + len(heights_m), 2, N_AZIMUTH, 2), np.float32)
        shares = (1.0, 1.0, 1.0)
    return Spread(
        *shares,
        means=means,
        tilt_cos=tilt_cos,
        rows_per_neper=(means.shape[2] - 1) / math.log(_MOST_M / _LEAST_M),
        indoor_from_m=heights_m[0],
        indoor_step_m=heights_m[1] - heights_m[0] if len(heights_m) > 1 else 1.0,
    )


@lru_cache(maxsize=4)  # some 2 MB each; nobody writes to it
def _table(antenna: Antenna, spreads: Spreads, h_bs_m: float, indoor_heights_m: tuple[float, ...]) -> F32:
    """`Spread.means` of one pointing."""
    rows = _ROWS_PER_LOBE * max(5, math.ceil(2.0 * antenna.elements * antenna.spacing))
    d_2d_m = np.geomspace(_LEAST_M, _MOST_M, rows)
    far_m = np.maximum(d_2d_m, MIN_D_2D_M)  # as path loss has it
    widening = math.sqrt(_K + 1.0)
    tables = []
    for i, h_ut_m in enumerate((OUTDOOR_HEIGHT_M, *indoor_heights_m)):
        zenith_deg = 90.0 + np.degrees(np.arctan2(h_bs_m - h_ut_m, d_2d_m))
        wider, los_deg, nlos_deg = (
            (widening, 10.0**spreads.los_azimuth_lg, 10.0**spreads.nlos_azimuth_lg)
            if i == 0
            else (1.0, 10.0**spreads.o2i_azimuth_lg, 10.0**spreads.o2i_azimuth_lg)
        )
        los_zenith_deg = wider * zenith_spread_deg(far_m, h_ut_m, spreads.los_zenith)
        nlos_zenith_deg = zenith_spread_deg(far_m, h_ut_m, spreads.nlos_zenith)
        offset_deg = zenith_offset_deg(far_m, h_ut_m, spreads.nlos_offset)
        in_sight = mean_gains(antenna, zenith_deg, los_zenith_deg, wider * los_deg)
        blocked = mean_gains(antenna, zenith_deg + offset_deg, nlos_zenith_deg, nlos_deg)
        tables.append(np.stack([in_sight, blocked], axis=-1))
    return np.stack(tables).astype(np.float32)


class Departure(NamedTuple):
    """Power of one link between site and UE by its angles at the site: straight ahead, or spread. Gains are without antennas."""

    zenith_deg: float  # of the straight line
    zenith_cos: float
    ahead: float  # power gain of what goes straight ahead
    in_sight: float  # … of what is spread with line of sight
    blocked: float  # … without
    height: int  # where the table has the mean gains of the rest
    row: int
    to_row: float


@bare_kernel
def departure(
    in_sight: float,
    blocked: float,
    d_2d_m: float,
    h_bs_m: float,
    h_ut_m: float,
    indoor: bool,
    spread: Spread,
) -> Departure:
    """The angles of a link whose states have the power gains `in_sight` and `blocked`, without antennas."""
    drop_m = h_bs_m - h_ut_m
    zenith_deg = 90.0 + math.degrees(math.atan2(drop_m, d_2d_m))
    ahead_in_sight = in_sight * (spread.direct_indoors if indoor else spread.direct_in_sight)
    ahead_blocked = blocked * (spread.direct_indoors if indoor else spread.direct_blocked)
    at = min(max(math.log(d_2d_m / _LEAST_M) * spread.rows_per_neper, 0.0), spread.means.shape[2] - 1.001)
    return Departure(
        zenith_deg,
        -drop_m / math.hypot(drop_m, d_2d_m),
        ahead_in_sight + ahead_blocked,
        in_sight - ahead_in_sight,
        blocked - ahead_blocked,
        1 + round((h_ut_m - spread.indoor_from_m) / spread.indoor_step_m) if indoor else 0,
        int(at),
        at - int(at),
    )


@bare_kernel
def pointed(antenna: Antenna, pointing: int, spread: Spread) -> Antenna:
    """The antenna of a cell that points as set, 0, or elsewhere."""
    return Antenna(antenna.elements, antenna.spacing, spread.tilt_cos[pointing], antenna.omnidirectional)


@bare_kernel
def link_gain(
    link: Departure,
    azimuth_off_deg: float,
    column_ahead: float,
    pointing: int,
    antenna: Antenna,
    spread: Spread,
) -> float:
    """Mean power gain of a link from one sector, antenna included.

    `azimuth_off_deg` is the UE's angle from the boresight, `column_ahead` the column's gain straight ahead.
    """
    ahead = (
        link.ahead * column_ahead * element_gain(link.zenith_deg, azimuth_off_deg, antenna.omnidirectional)
    )
    column = min(abs(azimuth_off_deg), 179.999) / AZIMUTH_STEP_DEG
    h, r, c = link.height, link.row, int(column)
    right, down = column - c, link.to_row
    left, up, means = 1.0 - right, 1.0 - down, spread.means[pointing]
    in_sight = up * (left * means[h, r, c, 0] + right * means[h, r, c + 1, 0]) + down * (
        left * means[h, r + 1, c, 0] + right * means[h, r + 1, c + 1, 0]
    )
    blocked = up * (left * means[h, r, c, 1] + right * means[h, r, c + 1, 1]) + down * (
        left * means[h, r + 1, c, 1] + right * means[h, r + 1, c + 1, 1]
    )
    return float(ahead + link.in_sight * in_sight + link.blocked * blocked)
