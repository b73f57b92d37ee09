"""Downlink scheduling of one cell and slot: who sends new data and retransmissions, on which RBGs.

Retransmissions first, of each UE the oldest; then as many UEs as `max_dci` leaves, those with the best metric on their
best RBG (see `metrics`), compete for each free RBG, until their buffer is granted. Rates come from sub-band CQI, so they
are as old as it is. A UE gets at most one transport block a slot, without CQI none, with CQI 0 no new one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ran_sim import counters as count
from ran_sim._jit import bare_kernel
from ran_sim.csi import Csi
from ran_sim.harq import N_PROCESS, SENT, Harq, Sent, free_process, oldest_waiting
from ran_sim.link import RE_PER_PRB, LinkTables, highest_mcs
from ran_sim.metrics import EXP, N_TERMS, PLUGIN, Rule, metric, metric_terms, plugin_metric, urgency
from ran_sim.queues import FULL_BUFFER_BYTES, RING, Queues, take
from ran_sim.state import F32, F64, I32, I64
from ran_sim.traffic import Traffic


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
    terms: F64  # [n_ue, N_TERMS] arguments of a plug-in
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
        terms=np.zeros((n_ue, N_TERMS)),
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
def schedule_cell(
    cell: int,
    slot: int,
    rule: Rule,
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
    _claims(cell, slot, rule, n, ue_weight, traffic, queues, csi, mac)
    n_chosen = _choose(mac, n, max_dci - dci)
    _share_rbgs(rule, n_chosen, traffic, queues, csi, mac)
    for k in range(n_chosen):
        _transmit(
            slot, k, mac.candidate[mac.chosen[k]], activity, queues, harq, csi, mac, tables, sent, counts
        )


@bare_kernel
def _claims(
    cell: int,
    slot: int,
    rule: Rule,
    n: int,
    ue_weight: F64,
    traffic: Traffic,
    queues: Queues,
    csi: Csi,
    mac: Mac,
) -> None:
    """What each of the `n` candidates brings to its metric, and the metric on its best free RBG."""
    mean_urgency = 0.0
    if rule.policy == EXP or rule.policy == PLUGIN:
        mean_urgency = _mean_urgency(slot, n, traffic, queues, mac)
    for j in range(n):
        u = mac.candidate[j]
        cls = traffic.of_ue[u]
        bound = traffic.delay_bound[cls] == 1
        weight = ue_weight[u] * traffic.weight[cell, cls]
        age = head_age_slots(queues, u, slot)
        idle = slot - mac.last_served[u]
        if rule.policy == PLUGIN:
            terms = mac.terms[j]
            terms[0], terms[1], terms[2], terms[3] = (
                weight,
                mac.average_bits[u],
                age,
                traffic.budget_slots[cls],
            )
            terms[4], terms[5] = traffic.delay_bound[cls], traffic.priority[cls]
            terms[6], terms[7], terms[8], terms[9] = queues.backlog_bytes[u], idle, 0.0, mean_urgency
        else:
            mac.base[j], mac.factor[j] = metric_terms(
                rule.policy, weight, mac.average_bits[u], age, idle,
                bound, traffic.budget_slots[cls], traffic.priority[cls], mean_urgency,
            )  # fmt: skip
        best_rate = 0.0
        for b in range(mac.rbg_prb.shape[0]):
            if mac.owner[b] == -1:
                best_rate = max(best_rate, csi.efficiency[u, b])
        mac.best[j] = _claim(rule, j, best_rate, bound, mac)
        mac.granted_bits[j] = 0.0


@bare_kernel
def _mean_urgency(slot: int, n: int, traffic: Traffic, queues: Queues, mac: Mac) -> float:
    """Over the delay-bound ones of the `n` candidates, 0 without any."""
    total = 0.0
    n_bound = 0
    for j in range(n):
        u = mac.candidate[j]
        cls = traffic.of_ue[u]
        if traffic.delay_bound[cls] == 1:
            total += urgency(head_age_slots(queues, u, slot), traffic.budget_slots[cls])
            n_bound += 1
    return total / n_bound if n_bound > 0 else 0.0


@bare_kernel
def _claim(rule: Rule, j: int, rate: float, bound: bool, mac: Mac) -> float:
    """Metric of candidate `j` on an RBG of `rate`."""
    if rule.policy == PLUGIN:
        return plugin_metric(rule, mac.terms[j], rate)
    return metric(rule.policy, mac.base[j], mac.factor[j], rate, bound)


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
def _share_rbgs(rule: Rule, n_chosen: int, traffic: Traffic, queues: Queues, csi: Csi, mac: Mac) -> None:
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
            value = _claim(rule, j, csi.efficiency[u, b], bound, mac)
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
