"""The decisions of link_tuner: NumPy in, NumPy out, one entry per UE. A NaN is "no value"."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
NEWEST_SHARE = np.float32(0.1)  # of the newest report in a mean over reports: ten of them count
LOWEST, HIGHEST = 0.01, 0.5  # targets, as in the manifest


class Known(NamedTuple):
    """What the reports of each UE have shown, shape [n] each; no value before the first."""

    cqi: F32  # mean
    cqi_spread: F32  # mean distance of a CQI from `cqi`
    backoff: F32  # mean number of MCS that the outer loop holds the UE below its CQI


class Tuning(NamedTuple):
    """Settings; see the manifest."""

    best_effort_target: float
    delay_bound_target: float
    per_cqi_spread: float
    per_backoff: float
    per_load: float


def brought_to(known: Known, cqi: F32, mcs: F32) -> Known:
    """What is known with one more report: the CQI at its end, and the mean MCS of its first transmissions.

    The MCS of a CQI's efficiency is 2 CQI - 3, by TS 38.214 Tables 5.2.2.1-3 and 5.1.3.1-2 (256QAM) from CQI 2 on, and by
    Tables 5.2.2.1-2 and 5.1.3.1-1 within one MCS.
    """
    mean = _mean(known.cqi, cqi)
    return Known(
        cqi=mean,
        cqi_spread=_mean(known.cqi_spread, np.abs(cqi - mean)),
        backoff=_mean(known.backoff, 2 * cqi - 3 - mcs),
    )


def targets(known: Known, delay_bound: NDArray[np.bool_], load: F32, tuning: Tuning) -> F32:
    """Block error rate to steer first transmissions to: that of the UE's class, its odds moved by what is known of the UE.

    Args:
        delay_bound: Whether the UE has a flow with a delay budget.
        load: Share of its cell's PRBs in use, 0 to 1.
    """
    target = np.where(delay_bound, tuning.delay_bound_target, tuning.best_effort_target)
    log_odds = np.log(target / (1 - target))
    for per_unit, amount in (
        (tuning.per_cqi_spread, known.cqi_spread),
        (tuning.per_backoff, known.backoff),
        (tuning.per_load, load),
    ):
        log_odds += per_unit * np.nan_to_num(amount)  # no value moves nothing
    found: F32 = np.clip(1 / (1 + np.exp(-log_odds)), LOWEST, HIGHEST).astype(np.float32)
    return found


def _mean(before: F32, newest: F32) -> F32:
    """The running mean with one more value, if it is one."""
    moved = np.where(np.isnan(before), newest, before + NEWEST_SHARE * (newest - before))
    return np.where(np.isnan(newest), before, moved)
