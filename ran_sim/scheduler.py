"""Downlink schedulers: round robin, proportional fair, M-LWDF, strict priority with earliest deadline first.

Per cell and slot: retransmissions first, of each UE the oldest; then as many UEs as `max_dci` leaves, those with the
best metric on their best RBG, compete for each free RBG, until their buffer is granted. Rates come from sub-band CQI,
so they are as old as it is. A UE gets at most one transport block a slot, without CQI none, with CQI 0 no new one.

Metric of UE i on RBG b (r: bits per resource element of its CQI there; R: bits per slot of its first transmissions,
padding included, averaged over the PF window, from 1 bit on when it enters a cell: a newcomer goes first; w: the UE's
weight times the cell's weight of the class; HOL: age of the oldest unsent packet):
- rr: slots since i was last served. Weights have no effect.
- pf: w r / R. With equal static channels and full buffers the airtime is in proportion to w.
- m-lwdf (Andrews et al. 2001): w (-ln 0.01 / budget) HOL r / R for delay-bound flows, as pf for the others. At age 0
  that is 0: such a flow is not served in the slot of its arrival, and never with a full buffer.
- edf: the class with the lower priority level (TS 23.501 Table 5.7.4-1) always first; inside it w / (1 + slots left
  until the budget has passed) for delay-bound flows, as pf for the others.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ran_sim import counters as count
from ran_sim._jit import bare_kernel
from ran_sim.csi import Csi
from ran_sim.harq import N_PROCESS, SENT, Harq, Sent, free_process, oldest_waiting
from ran_sim.link import RE_PER_PRB, LinkTables, highest_mcs
from ran_sim.queues import FULL_BUFFER_BYTES, RING, Queues, take
from ran_sim.state import F32, F64, I32, I64
from ran_sim.traffic import Traffic

RR: Final = 0
PF: Final = 1
M_LWDF: Final = 2
EDF: Final = 3
POLICIES: Final = {"rr": RR, "pf": PF, "m-lwdf": M_LWDF, "edf": EDF}

MISS_LOG: Final = -math.log(0.01)  # M-LWDF: 1 % of packets may miss their budget
LEVEL: Final = 1000.0  # EDF: distance of two priority levels; metrics inside a level stay below it


class Mac(NamedTuple):
    """Scheduler state; shape [n_ue] unless said otherwise."""

    average_bits: F64  # served per slot, exponential average
    served_bits: F64  # first transmissions of the current slot
    last_served: I64  # slot
    member_start: I64  # [n_cell + 1] where a cell's UEs begin in `members`
    members: I64  # connected UEs by cell, ascending
    rbg_prb: I64  # [n_rbg] PRBs of each RBG
    # scratch of one cell and slot
    candidate: I64
    base: F64  # by candidate
    factor: F64
    best: F64
    granted_bits: F64
    chosen: I64
    owner: I32  # [n_rbg] index into `chosen`, -1 free, -2 used by a retransmission


def init_mac(n_ue: int, n_cell: int, rbg_prb: I64) -> Mac:
    """Nobody served, no members."""
    return Mac(
        average_bits=np.ones(n_ue),
        served_bits=np.zeros(n_ue),
        last_served=np.zeros(n_ue, np.int64),
        member_start=np.zeros(n_cell + 1, np.int64),
        members=np.zeros(n_ue, np.int64),
        rbg_prb=rbg_prb,
        candidate=np.zeros(n_ue, np.int64),
        base=np.zeros(n_ue),
        factor=np.zeros(n_ue),
        best=np.zeros(n_ue),
        granted_bits=np.zeros(n_ue),
        chosen=np.zeros(n_ue, np.int64),
        owner=np.zeros(rbg_prb.shape[0], np.int32),
    )


@bare_kernel
def head_age_slots(queues: Queues, u: int, slot: int) -> int:
    """Age of the oldest packet with unsent bytes, 0 for a full buffer."""
    if queues.backlog_bytes[u] == FULL_BUFFER_BYTES:
        return 0
    return int(slot - queues.arrival[u, queues.sending[u] & (RING - 1)])


@bare_kernel
def metric_terms(
    policy: int,
    weight: float,
    average_bits: float,
    age: int,
    idle_slots: int,
    delay_bound: bool,
    budget: float,
    level: float,
) -> tuple[float, float]:
    """(base, factor) of a UE's metric, which is `metric(policy, base, factor, rate, delay_bound)`."""
    if policy == RR:
        return 0.0, 1.0 + idle_slots
    fair = weight / max(average_bits, 1.0)
    if policy == PF or (policy == M_LWDF and not delay_bound):
        return 0.0, fair
    if policy == M_LWDF:
        # By the end of this slot the packet is one slot older: a metric of 0 would let an idle cell wait.
        return 0.0, fair * MISS_LOG / budget * (age + 1)
    base = LEVEL * (128.0 - level)
    if delay_bound:
        return base, weight / (1.0 + max(budget - age, 0.0))
    return base, fair


@bare_kernel
def metric(policy: int, base: float, factor: float, rate: float, delay_bound: bool) -> float:
    """A UE's metric on an RBG; 0 where its rate is 0: no grant."""
    if rate <= 0.0:
        return 0.0
    if policy == RR:
        return factor
    if policy != EDF:
        return factor * rate
    inside = factor if delay_bound else factor * rate
    return base + (LEVEL - 1.0) * inside / (1.0 + inside)


@bare_kernel
def schedule_cell(
    cell: int,
    slot: int,
    policy: int,
    max_dci: int,
    activity: F32,
    blocked_until: I64,
    ue_weight: F64,
    traffic: Traffic,
    queues: Queues,
    harq: Harq,
    csi: Csi,
    mac: Mac,
    tables: LinkTables,
    sent: Sent,
    counts: I64,
) -> None:
    """Fill one slot of one cell: appends to `sent`, sets `activity` [n_rbg] of the cell."""
    n_rbg = mac.rbg_prb.shape[0]
    for b in range(n_rbg):
        mac.owner[b] = -1
        activity[b] = 0.0
    dci = 0
    n = 0
    first = mac.member_start[cell]
    n_member = mac.member_start[cell + 1] - first
    for i in range(n_member):
        u = mac.members[first + (i + slot) % n_member]  # the order rotates: nobody is always first at a tie
        if slot < blocked_until[u] or csi.wideband[u] < 0:
            continue
        if harq.n_waiting[u] > 0:
            if dci < max_dci and _retransmit(slot, u, activity, harq, csi, mac, sent, counts):
                dci += 1
            continue  # also if it found no room: new data would overtake the old
        if csi.wideband[u] > 0 and queues.backlog_bytes[u] > 0 and harq.n_busy[u] < N_PROCESS:
            mac.candidate[n] = u
            n += 1
    if n == 0 or dci == max_dci:
        return
    for j in range(n):
        u = mac.candidate[j]
        cls = traffic.of_ue[u]
        bound = traffic.delay_bound[cls] == 1
        weight = ue_weight[u] * traffic.weight[cell, cls]
        mac.base[j], mac.factor[j] = metric_terms(
            policy, weight, mac.average_bits[u], head_age_slots(queues, u, slot), slot - mac.last_served[u],
            bound, traffic.budget_slots[cls], traffic.priority[cls],
        )  # fmt: skip
        best_rate = 0.0
        for b in range(n_rbg):
            if mac.owner[b] == -1:
                best_rate = max(best_rate, csi.efficiency[u, b])
        mac.best[j] = metric(policy, mac.base[j], mac.factor[j], best_rate, bound)
        mac.granted_bits[j] = 0.0
    n_chosen = _choose(mac, n, max_dci - dci)
    _share_rbgs(policy, n_chosen, traffic, queues, csi, mac)
    for k in range(n_chosen):
        _transmit(
            slot, k, mac.candidate[mac.chosen[k]], activity, queues, harq, csi, mac, tables, sent, counts
        )


@bare_kernel
def _choose(mac: Mac, n: int, most: int) -> int:
    """Indices of the `most` candidates with the largest positive `best`, ties to the first, in `mac.chosen`."""
    n_chosen = 0
    while n_chosen < most:
        top = -1
        for j in range(n):
            if mac.best[j] > 0.0 and (top < 0 or mac.best[j] > mac.best[top]):
                top = j
        if top < 0:
            break
        mac.chosen[n_chosen] = top
        mac.best[top] = 0.0
        n_chosen += 1
    return n_chosen


@bare_kernel
def _share_rbgs(policy: int, n_chosen: int, traffic: Traffic, queues: Queues, csi: Csi, mac: Mac) -> None:
    """Give each free RBG to the chosen UE with the largest metric among those whose buffer is not granted yet."""
    for b in range(mac.rbg_prb.shape[0]):
        if mac.owner[b] != -1:
            continue
        winner = -1
        largest = 0.0
        for k in range(n_chosen):
            j = mac.chosen[k]
            u = mac.candidate[j]
            if mac.granted_bits[j] >= 8.0 * queues.backlog_bytes[u]:
                continue
            bound = traffic.delay_bound[traffic.of_ue[u]] == 1
            value = metric(policy, mac.base[j], mac.factor[j], csi.efficiency[u, b], bound)
            if value > largest:
                largest = value
                winner = k
        if winner >= 0:
            mac.owner[b] = winner
            j = mac.chosen[winner]
            rate = csi.efficiency[mac.candidate[j], b]
            mac.granted_bits[j] += rate * RE_PER_PRB * mac.rbg_prb[b]


@bare_kernel
def _retransmit(
    slot: int, u: int, activity: F32, harq: Harq, csi: Csi, mac: Mac, sent: Sent, counts: I64
) -> bool:
    """Send the UE's oldest waiting block again on as many RBGs as before, its best free ones; False without room."""
    p = oldest_waiting(harq, u)
    n_rbg = mac.rbg_prb.shape[0]
    free = 0
    for b in range(n_rbg):
        if mac.owner[b] == -1:
            free += 1
    if free < harq.n_rbg[u, p]:
        return False
    rbgs = 0
    for _ in range(harq.n_rbg[u, p]):
        best = -1
        for b in range(n_rbg):
            if mac.owner[b] == -1 and (best < 0 or csi.snr_db[u, b] > csi.snr_db[u, best]):
                best = b
        mac.owner[best] = -2
        rbgs |= 1 << best
    harq.n_waiting[u] -= 1
    _send(slot, u, p, rbgs, activity, harq, mac, sent, counts)
    return True


@bare_kernel
def _transmit(
    slot: int,
    k: int,
    u: int,
    activity: F32,
    queues: Queues,
    harq: Harq,
    csi: Csi,
    mac: Mac,
    tables: LinkTables,
    sent: Sent,
    counts: I64,
) -> None:
    """Send new data on the RBGs that the UE with index `k` among the chosen won, if any.

    The MCS follows from the mean over the RBGs of the SNR that their CQI stands for, plus the OLLA offset.
    """
    rbgs = n_rbg = n_prb = 0
    snr_db = 0.0
    for b in range(mac.rbg_prb.shape[0]):
        if mac.owner[b] == k:
            rbgs |= 1 << b
            n_rbg += 1
            n_prb += mac.rbg_prb[b]
            snr_db += csi.snr_db[u, b]
    if n_rbg == 0:
        return
    mcs = highest_mcs(tables, snr_db / n_rbg + harq.olla_db[u])
    tbs_bits = tables.tbs_bits[mcs, n_prb]
    p = free_process(harq, u)
    harq.start[u, p], harq.n_bytes[u, p] = take(queues, counts[u], u, slot, tbs_bits // 8)
    harq.mcs[u, p] = mcs
    harq.n_rbg[u, p] = n_rbg
    harq.n_prb[u, p] = n_prb
    harq.attempts[u, p] = 0
    harq.sinr[u, p] = 0.0
    harq.n_busy[u] += 1
    mac.served_bits[u] = tbs_bits
    mac.last_served[u] = slot
    _send(slot, u, p, rbgs, activity, harq, mac, sent, counts)


@bare_kernel
def _send(
    slot: int,
    u: int,
    p: int,
    rbgs: int,
    activity: F32,
    harq: Harq,
    mac: Mac,
    sent: Sent,
    counts: I64,
) -> None:
    harq.state[u, p] = SENT
    harq.attempts[u, p] += 1
    harq.sent_slot[u, p] = slot
    for b in range(mac.rbg_prb.shape[0]):
        if (rbgs >> b) & 1:
            activity[b] = 1.0
            counts[u, count.PRB_USED] += mac.rbg_prb[b]
    row = slot % sent.n.shape[0]
    i = sent.n[row]
    sent.ue[row, i] = u
    sent.process[row, i] = p
    sent.rbgs[row, i] = rbgs
    sent.n[row] = i + 1
