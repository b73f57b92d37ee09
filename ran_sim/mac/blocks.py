"""Transport blocks of a slot: how a new one grows with each RBG that is granted, and the sending of new and old ones.

How much a block holds is its transport block size, at the MCS of the RBGs' mean SNR, outer loop's offset included.
"""

from __future__ import annotations

from ran_sim.core import counters as count
from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F32, F64
from ran_sim.link.adaptation import RE_PER_PRB, LinkTables, highest_mcs
from ran_sim.link.harq import SENT, free_process, oldest_waiting
from ran_sim.mac.leg import Leg
from ran_sim.mac.slices import charge, may_resend
from ran_sim.mac.state import GRANTED, GRANTED_PRBS, GRANTED_RBGS, GUARANTEED, NEEDED, RATE_PRBS, SNR_SUM_DB
from ran_sim.traffic.queues import take


@bare_kernel
def grant(cell: int, j: int, b: int, activity: F32, leg: Leg) -> bool:
    """Give RBG `b` to candidate `j`; whether its block now holds its buffer, or its guarantee."""
    mac, csi, tables = leg.mac, leg.csi, leg.tables
    u, bid = mac.candidate[j], mac.bids[j]
    activity[cell, b] = 1.0
    mac.rbgs[j] |= 1 << b
    bid[GRANTED_RBGS] += 1.0
    bid[GRANTED_PRBS] += mac.rbg_prb[b]
    bid[RATE_PRBS] += csi.efficiency[u, b] * mac.rbg_prb[b]
    bid[SNR_SUM_DB] += csi.snr_db[u, b]
    if bid[GUARANTEED] == 0.0 and bid[NEEDED] > tables.tbs_bits[-1, -1]:
        return False  # no block can hold that much
    before = bid[GRANTED]
    bid[GRANTED] = tables.tbs_bits[_mcs(bid, leg.harq.olla_db[u], tables), int(bid[GRANTED_PRBS])]
    met = (before < bid[GUARANTEED]) != (bid[GRANTED] < bid[GUARANTEED])
    return bool(met or bid[GRANTED] >= bid[NEEDED])


@bare_kernel
def _mcs(bid: F64, olla_db: float, tables: LinkTables) -> int:
    """MCS of a block, from the mean over its RBGs of the SNR that their CQI stands for, plus the OLLA offset."""
    return highest_mcs(tables, bid[SNR_SUM_DB] / bid[GRANTED_RBGS] + olla_db)


@bare_kernel
def transmit(slot: int, j: int, leg: Leg) -> None:
    """Send new data on the RBGs that candidate `j` won."""
    harq, mac, tables = leg.harq, leg.mac, leg.tables
    u, bid = mac.candidate[j], mac.bids[j]
    n_prb = int(bid[GRANTED_PRBS])
    mcs = _mcs(bid, harq.olla_db[u], tables)
    tbs_bits = tables.tbs_bits[mcs, n_prb]
    p = free_process(harq, u)
    harq.start[u, p], harq.n_bytes[u, p] = take(leg.queues, leg.counts[u], u, slot, tbs_bits // 8)
    harq.mcs[u, p] = mcs
    harq.n_rbg[u, p] = int(bid[GRANTED_RBGS])
    harq.n_prb[u, p] = n_prb
    harq.attempts[u, p] = 0
    harq.first_slot[u, p] = slot
    harq.sinr[u, p] = 0.0
    harq.n_busy[u] += 1
    # Bytes beyond the guarantee are not charged to the flow, except for the last RBG of a guarantee.
    mac.gbr_bits[u] = max(mac.gbr_bits[u] - 8.0 * harq.n_bytes[u, p], -tbs_bits / bid[GRANTED_RBGS])
    mac.last_served[u] = slot
    mac.resent_rbgs[u] = 0
    _send(slot, u, p, mac.rbgs[j], n_prb, bid[RATE_PRBS], leg)


@bare_kernel
def retransmit(
    cell: int,
    slot: int,
    u: int,
    free: int,
    limited: bool,
    activity: F32,
    leg: Leg,
) -> int:
    """Send the UE's oldest waiting block again on as many RBGs as before, its best free ones: these, or 0 if too few are free."""
    harq, csi, mac, slices = leg.harq, leg.csi, leg.mac, leg.slices
    p = oldest_waiting(harq, u)
    s = slices.of_class[leg.traffic.of_ue[u]]
    if limited and not may_resend(slices, cell, s, float(harq.n_prb[u, p])):
        return 0
    n_free = 0
    for b in range(activity.shape[1]):
        n_free += (free >> b) & 1
    if n_free < harq.n_rbg[u, p]:
        return 0
    rbgs, n_prb, rate_prbs = 0, 0, 0.0
    for _ in range(harq.n_rbg[u, p]):
        best = -1
        for b in range(activity.shape[1]):
            if ((free & ~rbgs) >> b) & 1 and (best < 0 or csi.snr_db[u, b] > csi.snr_db[u, best]):
                best = b
        rbgs |= 1 << best
        n_prb += mac.rbg_prb[best]
        rate_prbs += csi.efficiency[u, best] * mac.rbg_prb[best]
        activity[cell, best] = 1.0
        if limited:
            charge(slices, cell, s, float(mac.rbg_prb[best]))
    harq.n_waiting[u] -= 1
    mac.resent_rbgs[u] += harq.n_rbg[u, p]
    _send(slot, u, p, rbgs, n_prb, rate_prbs, leg)
    return rbgs


@bare_kernel
def _send(slot: int, u: int, p: int, rbgs: int, n_prb: int, rate_prbs: float, leg: Leg) -> None:
    """Send the block of process `p`, new or again; `rate_prbs` is the sum over its RBGs of the rate by CQI times PRBs."""
    harq, sent = leg.harq, leg.sent
    leg.mac.served_bits[u] = rate_prbs * RE_PER_PRB
    leg.counts[u, count.PRB_USED] += n_prb
    harq.state[u, p] = SENT
    harq.attempts[u, p] += 1
    harq.sent_slot[u, p] = slot
    row = slot % sent.n.shape[0]
    i = sent.n[row]
    sent.ue[row, i] = u
    sent.process[row, i] = p
    sent.rbgs[row, i] = rbgs
    sent.n[row] = i + 1
