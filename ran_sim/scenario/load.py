"""The load of a day: a factor on the number of sessions, piecewise linear over the hours and repeated every day.

A Poisson process whose rate follows the factor draws candidates at the day's highest rate, and takes each with a probability in
proportion to the factor (thinning). A candidate's time and draw do not depend on the factor, so a higher load adds arrivals
and moves none.
"""

from __future__ import annotations

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64
from ran_sim.scenario.sections import LoadProfile

HOURS = 24.0


def day_curve(profile: LoadProfile | None, units_per_s: float) -> F64:
    """Corners of the curve from the day's start to its end: time since midnight, factor; shape [n, 2].

    The times are in units of 1 / `units_per_s`. Without a profile there are no corners.
    """
    if profile is None:
        return np.zeros((0, 2))
    hours, factors = np.array(profile.points).T
    corners = np.unique(np.concatenate(([0.0], hours, [HOURS])))
    times = corners / HOURS * profile.day_s * units_per_s
    return np.column_stack((times, np.interp(corners, hours, factors, period=HOURS)))


@bare_kernel
def factor_at(curve: F64, time: float) -> float:
    """The factor at `time` since the first midnight; 1 without corners."""
    if curve.shape[0] == 0:
        return 1.0
    time -= curve[-1, 0] * np.floor(time / curve[-1, 0])
    i = 1
    while i < curve.shape[0] - 1 and curve[i, 0] < time:
        i += 1
    share = (time - curve[i - 1, 0]) / (curve[i, 0] - curve[i - 1, 0])
    return float(curve[i - 1, 1] + share * (curve[i, 1] - curve[i - 1, 1]))


@bare_kernel
def peak_of(curve: F64) -> float:
    """The day's highest factor."""
    peak = 0.0
    for i in range(curve.shape[0]):
        peak = max(peak, curve[i, 1])
    return peak
