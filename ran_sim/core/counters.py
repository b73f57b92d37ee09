"""The engine's counters: one row of int64 per UE, and the same per cell and traffic class.

A UE's row starts at 0 with its session. `fold` adds the growth of a row to the cell that served the UE, by traffic class.
Counters only grow, so the difference of two snapshots is a granularity period, and ten periods of 100 ms add up to the one
of 1 s by construction.

At every moment offered = delivered + dropped + abandoned + queued + in flight, in bytes, in packets and in SDUs. A packet is
delivered in time or late, and is queued until it is finished. An SDU is counted at the place of its last part. Dropped SDUs
were dropped unsent or lost later.

Transport blocks are counted when their feedback arrives, `HARQ_RTT_SLOTS` after they were sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64, I32, I64, U8

NAMES: Final = (
    "prb_used",  # PRB x slot, retransmissions included
    "tb_total",  # transport blocks: every transmission
    "tb_errors",  # ... not decoded
    "tb_initial",  # first transmissions
    "tb_initial_errors",  # ... not decoded
    "tb_lost",  # given up after the last transmission, or at a handover
    "mcs_sum",  # MCS index, summed over first transmissions
    "offered_bytes",  # arrived at RLC; full buffer: as sent
    "delivered_bytes",  # decoded by the UE
    "dropped_bytes",  # discarded, overflown, lost by HARQ
    "packets_offered",  # application data units: a video frame, an XR PDU set, a voice frame, a file
    "packets_in_budget",  # wholly decoded within the radio's delay budget
    "packets_late",  # wholly decoded after it
    "packets_dropped",  # not wholly decoded
    "sdus_delivered",  # SDUs of SDU_BYTES that packets are cut into, whose last part was decoded
    "sdu_delay_slots",  # SDU x slot, from the slot that it was due in (its arrival, but for a fault of the backhaul) to the end of the slot that its last part was decoded in
    "thp_bytes",  # TS 28.552 5.1.1.3.1: bursts without their last piece
    "thp_slots",  # slots that these bursts took
    "unrestricted_bytes",  # bursts that fitted one slot
    "connected_slots",  # UE x slot in RRC_CONNECTED
    "active_slots",  # UE x slot with data in the buffer or in HARQ
    "cqi_sum",  # wideband CQI index, summed over reports
    "cqi_reports",
    "sdus_offered",  # arrived at RLC
    "sdus_dropped",  # ... discarded or overflown before any part of them was sent
    "sdus_sent",  # ... whose last part was sent for the first time
    "sdu_wait_slots",  # SDU x slot, from arrival to the start of the slot that sent that part
    "startup_slots",  # UE x slot in which a player waited for its first content, see `playout`
    "playing_slots",  # ... showed content
    "stalled_slots",  # ... waited for more
    "stalls",  # times that a player ran out of content
    "abandoned_bytes",  # not decoded yet when the session ended, sent or not
    "abandoned_packets",  # ... packets that were open
    "abandoned_sdus",  # ... SDUs
    "sdus_lost",  # SDUs of which a part was sent, but the last part was discarded or lost by HARQ
    "sdu_air_slots",  # SDU x slot, from the start of the slot that first sent the last part to the end of the slot that it was decoded in
    "lost_slots",  # UE x slot in RRC_CONNECTED without a radio link: from its failure, or a target's loss, to the re-establishment
)
N: Final = len(NAMES)
(
    PRB_USED,
    TB_TOTAL,
    TB_ERRORS,
    TB_INITIAL,
    TB_INITIAL_ERRORS,
    TB_LOST,
    MCS_SUM,
    OFFERED_BYTES,
    DELIVERED_BYTES,
    DROPPED_BYTES,
    PACKETS_OFFERED,
    PACKETS_IN_BUDGET,
    PACKETS_LATE,
    PACKETS_DROPPED,
    SDUS_DELIVERED,
    SDU_DELAY_SLOTS,
    THP_BYTES,
    THP_SLOTS,
    UNRESTRICTED_BYTES,
    CONNECTED_SLOTS,
    ACTIVE_SLOTS,
    CQI_SUM,
    CQI_REPORTS,
    SDUS_OFFERED,
    SDUS_DROPPED,
    SDUS_SENT,
    SDU_WAIT_SLOTS,
    STARTUP_SLOTS,
    PLAYING_SLOTS,
    STALLED_SLOTS,
    STALLS,
    ABANDONED_BYTES,
    ABANDONED_PACKETS,
    ABANDONED_SDUS,
    SDUS_LOST,
    SDU_AIR_SLOTS,
    LOST_SLOTS,
) = range(N)

SDU_BYTES: Final = 1500


@bare_kernel
def fold(row: I64, folded: I64, total: I64) -> None:
    """Add the growth of `row` since the last fold to `total`; all of shape [N]."""
    for i in range(N):
        total[i] += row[i] - folded[i]
        folded[i] = row[i]


@dataclass(frozen=True, slots=True, kw_only=True)
class Increments:
    """Counts between two snapshots, in the units of `NAMES`."""

    slots: int
    ue: I64  # [n_ue, N]; a UE whose session began within the period counts from its start
    cell_class: I64  # [n_cell, n_class, N]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Counters and gauges at the start of slot `slot`; copies, safe to keep."""

    slot: int
    ue_id: I64  # [n_ue], -1 before a row's first session
    connected: U8  # [n_ue]
    cell: I32  # [n_ue] serving cell, -1 while not connected
    ue: I64  # [n_ue, N] since the session's start
    cell_class: I64  # [n_cell, n_class, N] since slot 0
    backlog_bytes: I64  # [n_ue] RLC buffer, not yet sent; full buffer: 0
    hol_slots: I64  # [n_ue] age of the oldest packet with unsent bytes, -1 if there is none
    cqi: I32  # [n_ue] last wideband CQI at the gNB, -1 before the first
    handover: I64  # [len(handover.COUNTERS), n_cell] since slot 0
    energy_j: F64  # [n_cell] drawn since slot 0
    active_slots: I64  # [n_cell] since slot 0, in which the cell was active: neither asleep nor on its way

    def since(self, earlier: Snapshot) -> Increments:
        """The period from `earlier`, a snapshot of the same engine, to this one."""
        if earlier.slot > self.slot:
            raise ValueError(f"earlier snapshot is of slot {earlier.slot}, after slot {self.slot}")
        same = (self.ue_id == earlier.ue_id)[:, None]
        return Increments(
            slots=self.slot - earlier.slot,
            ue=np.where(same, self.ue - earlier.ue, self.ue),
            cell_class=self.cell_class - earlier.cell_class,
        )
