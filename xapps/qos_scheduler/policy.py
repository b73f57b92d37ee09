"""Give each delay-bound flow the airtime it needs, cheapest first, and do not boost what cannot be served.

The scheduler is weighted proportional fair: a backlogged UE's airtime grows with its weight, and a flow with little to
send never takes more than it needs. So boosting a flow that fits costs best effort next to nothing, while boosting one
that cannot be served (cell edge, deep indoors) burns the cell for packets that will be discarded anyway.

Arrays in, arrays out; what must be remembered between reports is a `Memory`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranloop import Report

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Mask = NDArray[np.bool_]


class Flows(NamedTuple):
    """One row per QoS flow of one node, from one report; shape [n] each, NaN = no value."""

    ue: I32
    cell: I32
    offered_kbps: F32  # what arrived for the UE in the report period
    bits_per_prb: F32  # what one PRB carried in the period
    cqi: F32  # last wideband CQI
    budget_ms: F32  # radio's share of the packet delay budget; NaN for best effort
    miss_rate: F32  # share of the period's packets late or dropped

    @classmethod
    def of(cls, report: Report) -> Flows:
        """The flows of one QoS flow report."""
        return cls(
            ue=report.ue,
            cell=report.cell,
            offered_kbps=report["X.DRB.OfferedVolDl"] * np.float32(1e3 / report.period_ms),
            bits_per_prb=report["X.UE.SpectralEffDl"],
            cqi=report["CQI"],
            budget_ms=report["X.DRB.RadioBudgetDl"],
            miss_rate=report["X.DRB.BudgetMissRateDl"],
        )


class Memory(NamedTuple):
    """What is known of each UE from earlier reports; rows sorted by `ue`."""

    ue: I32
    demand_kbps: F32  # smoothed offered rate
    bits_per_prb: F32  # smoothed
    miss_rate: F32  # smoothed
    given_up_s: F32  # for how long the UE is still not boosted, 0 if it is not given up


class Tuning(NamedTuple):
    """The operator's settings; see the manifest."""

    boost: float
    cap: float
    give_up_miss_rate: float
    give_up_s: float
    rest_weight: float


EMPTY = Memory(np.empty(0, np.int32), *(np.empty(0, np.float32) for _ in range(4)))

SMOOTHING_S = 1.0  # several video frames, yet shorter than a user's walk out of a beam

# TS 38.214 Table 5.2.2.1-3 (256QAM), efficiency of CQI 0..15 in bits per resource element, times the 12 x 12 resource
# elements of a PRB with two symbols for control and reference signals.
CQI_BITS_PER_PRB = 144 * np.array(
    [0.0, 0.1523, 0.3770, 0.8770, 1.4766, 1.9141, 2.4063, 2.7305, 3.3223, 3.9023, 4.5234, 5.1152, 5.5547, 6.2266, 6.9141,
     7.4063], np.float32,
)  # fmt: skip


def update(memory: Memory, flows: Flows, period_s: float) -> Memory:
    """Bring the memory up to one more report; UEs that are gone are forgotten, new ones start from what they show."""
    order = np.argsort(flows.ue, kind="stable")
    ue = flows.ue[order]
    demand, rate, miss, given_up_s = (_recall(memory, column, ue) for column in memory[1:])
    gain = np.float32(1.0 - np.exp(-period_s / SMOOTHING_S))
    left_s = np.maximum(np.nan_to_num(given_up_s) - np.float32(period_s), 0.0)
    return Memory(
        ue=ue,
        demand_kbps=_blend(demand, flows.offered_kbps[order], gain),
        bits_per_prb=_blend(rate, flows.bits_per_prb[order], gain),
        miss_rate=_blend(miss, flows.miss_rate[order], gain),
        given_up_s=left_s.astype(np.float32),
    )


def recent_rate(flows: Flows, memory: Memory) -> F32:
    """The rule's guess of bits per PRB: what the UE got lately, or what its CQI promises while it got nothing."""
    smoothed = memory.bits_per_prb[np.searchsorted(memory.ue, flows.ue)]
    promised = CQI_BITS_PER_PRB[np.nan_to_num(flows.cqi).astype(np.intp)]
    return np.where(np.isnan(smoothed), promised, smoothed).astype(np.float32)


def needed_share(demand_kbps: F32, bits_per_prb: F32, prb_per_s: F32) -> F32:
    """Share of the cell's PRBs each flow needs to keep up with what arrives; inf where nothing gets through.

    On the mean only: bursts and retransmissions need headroom, which is what a cap below 1 leaves.
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
    flows: Flows, memory: Memory, bits_per_prb: F32, prb_per_s: F32, tuning: Tuning
) -> tuple[I32, F32, Memory]:
    """Weights for all delay-bound UEs of one report.

    Args:
        flows: The report.
        memory: Already brought up to it by `update`.
        bits_per_prb: What one PRB will carry for each flow, predicted by the model or by `recent_rate`. [n]
        prb_per_s: PRBs that each flow's cell has in a second. [n]
        tuning: The operator's settings.

    Returns:
        UE ids, their weights, and the memory with newly given-up UEs marked.
    """
    bound = ~np.isnan(flows.budget_ms)
    row = np.searchsorted(memory.ue, flows.ue)
    share = needed_share(memory.demand_kbps[row], bits_per_prb, prb_per_s)
    hopeless = np.nan_to_num(memory.miss_rate[row]) > tuning.give_up_miss_rate
    resting = memory.given_up_s[row] > 0
    boosted = admitted(flows.cell, share, bound & ~resting & ~hopeless, tuning.cap)
    given_up_s, miss_rate = memory.given_up_s.copy(), memory.miss_rate.copy()
    newly = row[bound & hopeless & ~resting]
    given_up_s[newly] = tuning.give_up_s
    miss_rate[newly] = 0.0  # from here on only what it misses without a boost counts
    weight = np.where(boosted, tuning.boost, tuning.rest_weight).astype(np.float32)
    return flows.ue[bound], weight[bound], memory._replace(given_up_s=given_up_s, miss_rate=miss_rate)


def _recall(memory: Memory, column: F32, ue: I32) -> F32:
    """A remembered column for these UEs, NaN for new ones."""
    if not len(memory.ue):
        return np.full(len(ue), np.nan, np.float32)
    place = np.searchsorted(memory.ue, ue).clip(max=len(memory.ue) - 1)
    return np.where(memory.ue[place] == ue, column[place], np.float32(np.nan)).astype(np.float32)


def _blend(old: F32, new: F32, gain: np.float32) -> F32:
    """Exponential smoothing in which a missing side leaves the other as it is."""
    mixed = old + gain * (new - old)
    return np.where(np.isnan(old), new, np.where(np.isnan(new), old, mixed)).astype(np.float32)
