"""Give each delay-bound flow the airtime that it needs, cheapest first, and boost no flow that cannot be served.

The scheduler is weighted proportional fair: a backlogged UE's airtime grows with its weight, and a flow with little to send never
takes more than it needs. A boost for a flow that fits therefore costs best effort next to nothing. A boost for a flow that cannot
be served (cell edge, deep indoors) spends airtime on packets that will be discarded anyway.

Arrays in, arrays out, one entry per row of a report; NaN = no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranloop import Report

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Mask = NDArray[np.bool_]


class Known(NamedTuple):
    """The memory of the UE of each row; of a UE with several flows, the values of the first of them."""

    demand_kbps: F32  # smoothed offered rate
    bits_per_prb: F32  # smoothed
    miss_rate: F32  # smoothed share of a period's packets that are late or dropped
    given_up_s: F32  # for how long the UE is still not boosted, 0 if it is not given up


class Tuning(NamedTuple):
    """The operator's settings; see the manifest."""

    boost: float
    cap: float
    give_up_miss_rate: float
    give_up_s: float
    rest_weight: float


METRIC = "triage_metric"  # models/triage_metric
SMOOTHING_S = 1.0  # several video frames, yet shorter than a user's walk out of a beam

# TS 38.214 Table 5.2.2.1-3 (256QAM), efficiency of CQI 0..15 in bits per resource element, times the 12 x 12 resource
# elements of a PRB with two symbols for control and reference signals.
CQI_BITS_PER_PRB = 144 * np.array(
    [0.0, 0.1523, 0.3770, 0.8770, 1.4766, 1.9141, 2.4063, 2.7305, 3.3223, 3.9023, 4.5234, 5.1152, 5.5547, 6.2266, 6.9141,
     7.4063], np.float32,
)  # fmt: skip


def tuning(settings: Mapping[str, Any], *, on_metric: bool) -> Tuning:
    """The settings in force; where cells rank UEs by the metric, `metric_cap` takes the place of `cap`, and so on."""

    def value(name: str) -> float:
        own = f"metric_{name}"
        return float(settings[own if on_metric and own in settings else name])

    return Tuning(*map(value, Tuning._fields))


def brought_to(known: Known, report: Report) -> Known:
    """The memory with one more report; a new UE starts from the values of this report."""
    period_s = report.period_ms / 1e3
    gain = np.float32(1.0 - np.exp(-period_s / SMOOTHING_S))
    return Known(
        _blend(known.demand_kbps, report["X.DRB.OfferedVolDl"] * np.float32(1e3 / report.period_ms), gain),
        _blend(known.bits_per_prb, report["X.UE.SpectralEffDl"], gain),
        _blend(known.miss_rate, report["X.DRB.BudgetMissRateDl"], gain),
        np.maximum(known.given_up_s - np.float32(period_s), np.float32(0)),
    )


def recent_rate(known: Known, report: Report) -> F32:
    """Bits that a PRB will carry: as many as lately for the UE, or as its CQI promises while it got nothing.

    A model that predicted better gained nothing (decision 47).
    """
    promised = CQI_BITS_PER_PRB[np.nan_to_num(report["CQI"]).astype(np.intp)]
    return np.where(np.isnan(known.bits_per_prb), promised, known.bits_per_prb).astype(np.float32)


def needed_share(demand_kbps: F32, bits_per_prb: F32, prb_per_s: F32) -> F32:
    """Share of the cell's PRBs that each flow needs for its arrivals; inf for a flow that no bit gets through to.

    The share is a mean. Bursts and retransmissions need headroom; a cap below 1 leaves it.
    """
    rate_kbps = bits_per_prb * prb_per_s / 1e3
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = demand_kbps / rate_kbps
    return np.where(rate_kbps > 0, share, np.inf).astype(np.float32)


def admitted(cell: I32, share: F32, eligible: Mask, cap: float) -> Mask:
    """The flows to boost: per cell the cheapest first, as long as together they need at most `cap` of the cell.

    Cheapest first serves the most users with the same airtime.
    """
    eligible = eligible & np.isfinite(share)
    order = np.lexsort((share, cell))
    cost = np.where(eligible, share, 0.0)[order].astype(np.float64)
    spent = np.cumsum(cost)
    first = np.r_[True, cell[order][1:] != cell[order][:-1]]
    spent_before_cell = np.maximum.accumulate(np.where(first, spent - cost, 0.0))
    fits = np.empty(len(cell), bool)
    fits[order] = spent - spent_before_cell <= cap
    return fits & eligible


def decide(
    known: Known, report: Report, bits_per_prb: F32, prb_per_s: F32, tuning: Tuning
) -> tuple[Mask, F32, Known]:
    """Weights for the delay-bound UEs of one report.

    Args:
        known: The memory, already updated with the report.
        report: A report of QoS flows.
        bits_per_prb: Bits that one PRB will carry for each flow. [n]
        prb_per_s: PRBs that each flow's cell has in a second. [n]
        tuning: The operator's settings.

    Returns:
        The delay-bound rows, a weight for every row, and the memory with newly given-up UEs marked.
    """
    bound = ~np.isnan(report["X.DRB.RadioBudgetDl"])
    share = needed_share(known.demand_kbps, bits_per_prb, prb_per_s)
    hopeless = np.nan_to_num(known.miss_rate) > tuning.give_up_miss_rate
    resting = known.given_up_s > 0
    boosted = admitted(report.cell, share, bound & ~resting & ~hopeless, tuning.cap)
    newly = bound & hopeless & ~resting
    known = known._replace(
        given_up_s=np.where(newly, np.float32(tuning.give_up_s), known.given_up_s),
        miss_rate=np.where(
            newly, np.float32(0), known.miss_rate
        ),  # only what it misses without a boost counts
    )
    return bound, np.where(boosted, tuning.boost, tuning.rest_weight).astype(np.float32), known


def metric_number(loaded: Mapping[int, str]) -> int:
    """The number of the metric that was tuned together with this xApp among those that a node has loaded; 0 where it is not there."""
    return next((number for number, name in loaded.items() if name == METRIC), 0)


def highest_per_ue(ue: I32, weight: F32) -> tuple[I32, F32]:
    """Each UE once, in the order of their first flows, with the highest weight of its flows."""
    _, first, of_flow = np.unique(ue, return_index=True, return_inverse=True)
    highest = np.zeros(len(first), np.float32)
    np.maximum.at(highest, of_flow, weight)
    order = np.argsort(first)
    return ue[first[order]], highest[order]


def _blend(old: F32, new: F32, gain: np.float32) -> F32:
    """Exponential smoothing in which a missing side leaves the other as it is."""
    mixed = old + gain * (new - old)
    return np.where(np.isnan(old), new, np.where(np.isnan(new), old, mixed)).astype(np.float32)
