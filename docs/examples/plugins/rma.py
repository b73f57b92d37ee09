"""Rural macro cells, TR 38.901 V17: path loss (Table 7.4.1-1), line of sight (7.4.2-1), shadowing (7.4.1-1, 7.5-6).

`layout.path_loss = "docs/examples/plugins/rma.py:RMA"` takes it, with the geometry of RMa: sites 35 m high and 1732 m or
5000 m apart, houses 5 m high, streets 20 m wide, and buildings that are all low-loss (`radio.high_loss_share = 0`).
"""

import math

import numba

from ran_sim.radio.own_propagation import PropagationModel

BUILDING_M = 5.0  # average height
STREET_M = 20.0  # average width


@numba.njit
def breakpoint_m(h_bs_m: float, h_ut_m: float, frequency_ghz: float) -> float:
    """Distance from which the ground's reflection matters, note 5 of the table."""
    return 2.0 * math.pi * h_bs_m * h_ut_m * frequency_ghz * 1e9 / 3e8


@numba.njit
def before_breakpoint_db(d_3d_m: float, frequency_ghz: float) -> float:
    """PL1."""
    power = BUILDING_M**1.72
    return (
        20.0 * math.log10(40.0 * math.pi * d_3d_m * frequency_ghz / 3.0)
        + min(0.03 * power, 10.0) * math.log10(d_3d_m)
        - min(0.044 * power, 14.77)
        + 0.002 * math.log10(BUILDING_M) * d_3d_m
    )


def path_loss(
    d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, frequency_ghz: float, line_of_sight: float
) -> float:
    """Table 7.4.1-1: with line of sight PL1 and PL2, without never below them."""
    far_m = breakpoint_m(h_bs_m, h_ut_m, frequency_ghz)
    if d_2d_m <= far_m:
        in_sight_db = before_breakpoint_db(d_3d_m, frequency_ghz)
    else:
        in_sight_db = before_breakpoint_db(far_m, frequency_ghz) + 40.0 * math.log10(d_3d_m / far_m)
    if line_of_sight == 1.0:
        return in_sight_db
    blocked_db = (
        161.04
        - 7.1 * math.log10(STREET_M)
        + 7.5 * math.log10(BUILDING_M)
        - (24.37 - 3.7 * (BUILDING_M / h_bs_m) ** 2) * math.log10(h_bs_m)
        + (43.42 - 3.1 * math.log10(h_bs_m)) * (math.log10(d_3d_m) - 3.0)
        + 20.0 * math.log10(frequency_ghz)
        - (3.2 * math.log10(11.75 * h_ut_m) ** 2 - 4.97)
    )
    return max(in_sight_db, blocked_db)


def los_probability(d_2d_m: float, h_bs_m: float, h_ut_m: float, frequency_ghz: float) -> float:
    """Table 7.4.2-1, by the outdoor part of the distance."""
    return 1.0 if d_2d_m <= 10.0 else math.exp(-(d_2d_m - 10.0) / 1000.0)


def shadow_sd_db(
    d_2d_m: float, h_bs_m: float, h_ut_m: float, frequency_ghz: float, line_of_sight: float, indoor: float
) -> float:
    """4 dB with line of sight, 6 dB beyond the breakpoint; 8 dB without, and into buildings."""
    if indoor == 1.0 or line_of_sight == 0.0:
        return 8.0
    return 4.0 if d_2d_m <= breakpoint_m(h_bs_m, h_ut_m, frequency_ghz) else 6.0


RMA = PropagationModel(
    path_loss=path_loss,
    los_probability=los_probability,
    shadow_sd_db=shadow_sd_db,
    decorrelation_los_m=37.0,  # Table 7.5-6
    decorrelation_nlos_m=120.0,
    decorrelation_o2i_m=120.0,
)
