"""The memory of a cell's scheduler about its UEs, and its scratch while it fills a slot.

Candidates are the UEs that may be sent new data in one cell and slot, counted from 0; `Mac.bids` has a row for each.

A guaranteed flow may draw the content of its bucket. The guaranteed rate fills the bucket, the flow's own bytes in first
transmissions drain it (without the padding of their blocks), and it holds `GBR_BUCKET_MS` of the rate. There is no admission
control: a guaranteed rate that the cell cannot give takes all that there is.

The average of a UE that enters a cell starts at the rate that the UE would get if the UEs with data shared the cell by their
weights. Averages run on while a UE has nothing to receive, so a UE that returns after a pause is served first for a while.

Each cell hands out its RBGs from a first one of its own, see `first_rbgs`. If all cells began with the same one, cells with
little to send would meet on the same RBGs and leave the rest of the carrier idle.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64, I32, I64
from ran_sim.mac.learned import N_FEATURE
from ran_sim.mac.metrics import N_TERMS
from ran_sim.scenario import Scenario

_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0  # multiples of it leave the widest gaps between their fractions
GBR_BUCKET_MS: Final = 100.0  # of a guaranteed bit rate that can be drawn later; our choice
UNKNOWN: Final = 0.0  # `average_bits` of a UE that has not been a candidate in its cell yet

# Columns of `Mac.bids`
BASE, FACTOR, BOUND = range(3)  # of its metric; whether a budget bounds its delay
BEST_RATE, BEST_METRIC = 3, 4  # on its best free RBG; the rate in bits per resource element
NEEDED, GUARANTEED = (
    5,
    6,
)  # bits in its buffer; bits that it draws before all flows without a guarantee, 0 without one
# Its block: bits, RBGs, PRBs; sums over the RBGs of rate times PRBs and of the SNR by CQI
GRANTED, GRANTED_RBGS, GRANTED_PRBS, RATE_PRBS, SNR_SUM_DB = range(7, 12)
N_BID = 12


class Mac(NamedTuple):
    """Scheduler state; shape [n_ue] unless said otherwise."""

    average_bits: F64  # `served_bits` per slot, exponential average; `UNKNOWN` at first
    served_bits: F64  # what the RBGs of the current slot would carry at the rates of their CQI
    last_served: I64  # slot of its last new block
    resent_rbgs: I64  # RBGs of its retransmissions since then
    gbr_bits: F64  # in the bucket; below 0 after a block that held more
    gbr_slot: I64  # slot up to which the guaranteed rate has run in
    gbr_rate: F64  # [n_class] guaranteed bits per slot, 0 without
    gbr_most: F64  # [n_class] bits that fit in the bucket
    member_start: I64  # [n_cell + 1] where a cell's UEs begin in `members`
    members: I64  # connected UEs by cell, ascending
    rbg_prb: I64  # [n_rbg] PRBs of each RBG
    first_rbg: I64  # [n_cell] where a cell begins to hand out RBGs
    # scratch of one cell and slot, by candidate
    candidate: I64  # its UE
    bids: F64  # [n_ue, N_BID] inputs of the metric, and the block so far
    terms: F64  # [n_ue, N_TERMS] arguments of a plug-in, or [n_ue, N_FEATURE] inputs of a learned metric
    rbgs: I64  # that each candidate of `chosen` won, bit b = RBG b
    chosen: I64  # candidates that get a DCI, if they win an RBG
    winner: I32  # [n_rbg] candidate with the highest metric, -1 for none
    highest: F64  # [n_rbg] that metric


def guaranteed_bits(scenario: Scenario) -> tuple[F64, F64]:
    """Guaranteed bits per slot of each traffic class, 0 without, and the size of its bucket in bits; [n_class] each."""
    gbr_bps = np.array([(traffic.gbr_mbps or 0.0) * 1e6 for traffic in scenario.traffic])
    return gbr_bps * scenario.slot_ns * 1e-9, gbr_bps * GBR_BUCKET_MS * 1e-3


def first_rbgs(site: I32, n_rbg: int) -> I64:
    """RBG that each cell hands out first, shape [n_cell]; `site` is its site.

    The sectors of a site divide the carrier among them, equally: up to a load of one in their number they send beside each
    other. Sites shift it by fractions of such a part, and meet as often as chance would have it; networks plan it, by the
    physical cell identity.
    """
    n_cell = site.size
    sector = np.array([np.count_nonzero(site[:cell] == site[cell]) for cell in range(n_cell)])
    n_sector = np.array([np.count_nonzero(site == site[cell]) for cell in range(n_cell)])
    start = (sector + site * _GOLDEN % 1.0) / n_sector
    return np.asarray(start * n_rbg, np.int64)


def init_mac(n_ue: int, site: I32, rbg_prb: I64, gbr_rate: F64, gbr_most: F64) -> Mac:
    """The state before the first session; `site` is the site of each cell."""
    n_rbg = rbg_prb.size
    return Mac(
        average_bits=np.full(n_ue, UNKNOWN),
        served_bits=np.zeros(n_ue),
        last_served=np.zeros(n_ue, np.int64),
        resent_rbgs=np.zeros(n_ue, np.int64),
        gbr_bits=np.zeros(n_ue),
        gbr_slot=np.zeros(n_ue, np.int64),
        gbr_rate=gbr_rate,
        gbr_most=gbr_most,
        member_start=np.zeros(site.size + 1, np.int64),
        members=np.zeros(n_ue, np.int64),
        rbg_prb=rbg_prb,
        first_rbg=first_rbgs(site, n_rbg),
        candidate=np.zeros(n_ue, np.int64),
        bids=np.zeros((n_ue, N_BID)),
        terms=np.zeros((n_ue, max(N_TERMS, N_FEATURE))),
        rbgs=np.zeros(n_ue, np.int64),
        chosen=np.zeros(n_ue, np.int64),
        winner=np.zeros(n_rbg, np.int32),
        highest=np.zeros(n_rbg),
    )


@bare_kernel
def enter_cell(mac: Mac, u: int, slot: int) -> None:
    """The UE's scheduler starts afresh in `slot`."""
    mac.average_bits[u] = UNKNOWN
    mac.last_served[u] = slot
    mac.resent_rbgs[u] = 0
    mac.gbr_bits[u] = 0.0
    mac.gbr_slot[u] = slot
