"""Downlink scheduling of one cell and slot: who sends new data and retransmissions, on which RBGs.

Retransmissions first, of each UE the oldest; then as many UEs as `max_dci` leaves, those with the best metric on their
best RBG (see `metrics`), compete for each free RBG, until their buffer is granted. Slices that are owed their minimum go
before the others, and slices at their maximum get nothing (see `slices`). Inside that, flows below their guaranteed bit
rate go before the others. Rates come from sub-band CQI, so they are as old as it is. A UE gets at most one transport
block a slot, without CQI none, with CQI 0 no new one.

A guaranteed flow may claim what its bucket holds: the guaranteed rate runs in, the flow's own bytes in first transmissions
drain it (not the padding that fills their blocks), `GBR_BUCKET_MS` of the rate fit. A rate that the cell cannot give takes
what there is: admission control is left out.

The average of a UE that enters a cell starts at the rate that it would get there if the UEs with data shared the cell by
their weights. Averages run on while a UE has nothing to receive: who comes back after a pause is served first for a while.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ran_sim import counters as count
from ran_sim._jit import bare_kernel
from ran_sim.csi import Csi
from ran_sim.harq import N_PROCESS, SENT, Harq, Sent, free_process, oldest_waiting
from ran_sim.link import RE_PER_PRB, LinkTables, highest_mcs
from ran_sim.metrics import EXP, N_TERMS, PLUGIN, Rule, metric, metric_terms, plugin_metric, urgency
from ran_sim.queues import FULL_BUFFER_BYTES, RING, Queues, take
from ran_sim.scenario import Scenario
from ran_sim.slices import (
    OWED,
    Slices,
    begin_choice,
    charge,
    fill_accounts,
    forgive_idle,
    may_resend,
    may_take,
    neediest,
    owed_prb,
)
from ran_sim.state import F32, F64, I32, I64
from ran_sim.traffic import Traffic

GBR_BUCKET_MS: Final = 100.0  # of a guaranteed bit rate that can be claimed later; our choice
_UNKNOWN: Final = 0.0  # `average_bits` of a UE that has not been a candidate in its cell yet


# Columns of `Mac.bids`
_NEEDED, _GRANTED, _GUARANTEED, _BASE, _FACTOR, _BOUND = range(6)


class Mac(NamedTuple):
    """Scheduler state; shape [n_ue] unless said otherwise."""

    average_bits: F64  # served per slot, exponential average; `_UNKNOWN` at first
    served_bits: F64  # first transmissions of the current slot
    last_served: I64  # slot
    gbr_bits: F64  # in the bucket; below 0 after a block that held more
    gbr_slot: I64  # slot up to which the guaranteed rate has run in
    gbr_rate: F64  # [n_class] guaranteed bits per slot, 0 without
    gbr_most: F64  # [n_class] bits that fit in the bucket
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
    guaranteed_bits: F64  # claimed before all flows without a guarantee, 0 without one
    chosen: I64
    bidder: I64  # UE slot by index into `chosen`
    bids: F64  # [n_ue, 6] what it brings, columns `_NEEDED` ..
    owner: I32  # [n_rbg] index into `chosen`, -1 free, -2 used by a retransmission


def guaranteed_bits(scenario: Scenario) -> tuple[F64, F64]:
    """Guaranteed bits per slot of each traffic class, 0 without, and what fits in its bucket; [n_class] each."""
    gbr_bps = np.array([(traffic.gbr_mbps or 0.0) * 1e6 for traffic in scenario.traffic])
    return gbr_bps * scenario.slot_ns * 1e-9, gbr_bps * GBR_BUCKET_MS * 1e-3


def init_mac(n_ue: int, n_cell: int, rbg_prb: I64, gbr_rate: F64, gbr_most: F64) -> Mac:
    """Nobody served, no members."""
    return Mac(
        average_bits=np.full(n_ue, _UNKNOWN),
        served_bits=np.zeros(n_ue),
        last_served=np.zeros(n_ue, np.int64),
        gbr_bits=np.zeros(n_ue),
        gbr_slot=np.zeros(n_ue, np.int64),
        gbr_rate=gbr_rate,
        gbr_most=gbr_most,
        member_start=np.zeros(n_cell + 1, np.int64),
        members=np.zeros(n_ue, np.int64),
        rbg_prb=rbg_prb,
        candidate=np.zeros(n_ue, np.int64),
        base=np.zeros(n_ue),
        factor=np.zeros(n_ue),
        terms=np.zeros((n_ue, N_TERMS)),
        best=np.zeros(n_ue),
        granted_bits=np.zeros(n_ue),
        guaranteed_bits=np.zeros(n_ue),
        chosen=np.zeros(n_ue, np.int64),
        bidder=np.zeros(n_ue, np.int64),
        bids=np.zeros((n_ue, 6)),
        owner=np.zeros(rbg_prb.shape[0], np.int32),
    )


@bare_kernel
def enter_cell(mac: Mac, u: int, slot: int) -> None:
    """The UE's scheduler starts afresh in `slot`."""
    mac.average_bits[u] = _UNKNOWN
    mac.last_served[u] = slot
    mac.gbr_bits[u] = 0.0
    mac.gbr_slot[u] = slot


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
    slices: Slices,
    tables: LinkTables,
    sent: Sent,
    counts: I64,
) -> None:
    """Fill one slot of one cell: appends to `sent`, sets `activity` [n_rbg] of the cell."""
    n_rbg = mac.rbg_prb.shape[0]
    for b in range(n_rbg):
        mac.owner[b] = -1
        activity[b] = 0.0
    limited = slices.limited[cell] == 1
    if limited:
        fill_accounts(slices, cell)
    dci = 0
    n = 0
    first = mac.member_start[cell]
    n_member = mac.member_start[cell + 1] - first
    turn = slot % n_member if n_member > 0 else 0  # the order rotates: nobody is always first at a tie
    for _ in range(n_member):
        u = mac.members[first + turn]
        turn = turn + 1 if turn + 1 < n_member else 0
        if slot < blocked_until[u] or csi.wideband[u] < 0:
            continue
        if harq.n_waiting[u] > 0:
            if dci < max_dci and _retransmit(
                cell, slot, u, limited, activity, traffic.of_ue, harq, csi, mac, slices, sent, counts
            ):
                dci += 1
            continue  # also if it found no room: new data would overtake the old
        if csi.wideband[u] > 0 and queues.backlog_bytes[u] > 0 and harq.n_busy[u] < N_PROCESS:
            mac.candidate[n] = u
            n += 1
    if limited:
        n = _keep_allowed(cell, n, traffic.of_ue, mac, slices)
    if n == 0 or dci == max_dci:
        return
    _claims(cell, slot, rule, n, ue_weight, traffic, queues, csi, mac)
    if limited:
        n_chosen = _choose_by_quota(cell, n, max_dci - dci, traffic.of_ue, queues, csi, mac, slices)
    else:
        n_chosen = _choose(mac, n, max_dci - dci)
    if limited or rule.policy == PLUGIN:
        _share_rbgs(cell, rule, n_chosen, limited, traffic, queues, csi, mac, slices)
    else:
        _share_freely(rule.policy, n_chosen, traffic, queues, csi, mac)
    for k in range(n_chosen):
        _transmit(
            slot, k, mac.candidate[mac.chosen[k]], activity, queues, harq, csi, mac, tables, sent, counts
        )


@bare_kernel
def _keep_allowed(cell: int, n: int, class_of: I32, mac: Mac, slices: Slices) -> int:
    """Note which slices wait, and drop the candidates of those that may not take another RBG; how many are left."""
    smallest = float(mac.rbg_prb[-1])
    kept = 0
    for j in range(n):
        u = mac.candidate[j]
        s = slices.of_class[class_of[u]]
        slices.waits[s] = 1
        if may_take(slices, cell, s, smallest):
            mac.candidate[kept] = u
            kept += 1
    forgive_idle(slices, cell)
    return kept


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
        if mac.average_bits[u] == _UNKNOWN:
            mac.average_bits[u] = _expected_bits(cell, n, j, ue_weight, traffic, csi, mac)
        mac.guaranteed_bits[j] = 0.0
        if mac.gbr_rate[cls] > 0.0:
            mac.guaranteed_bits[j] = _fill_bucket(mac, u, cls, slot)
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
            terms[6], terms[7], terms[8] = queues.backlog_bytes[u], idle, mac.guaranteed_bits[j]
            terms[9] = mean_urgency
        else:
            mac.base[j], mac.factor[j] = metric_terms(
                rule.policy, weight, mac.average_bits[u], age, idle,
                bound, traffic.budget_slots[cls], traffic.priority[cls], mean_urgency,
            )  # fmt: skip
        mac.best[j] = _claim(rule, j, _best_rate(u, csi, mac), bound, mac)
        mac.granted_bits[j] = 0.0


@bare_kernel
def _best_rate(u: int, csi: Csi, mac: Mac) -> float:
    """Of the UE on the free RBGs."""
    best = 0.0
    for b in range(mac.rbg_prb.shape[0]):
        if mac.owner[b] == -1:
            best = max(best, csi.efficiency[u, b])
    return best


@bare_kernel
def _expected_bits(cell: int, n: int, j: int, ue_weight: F64, traffic: Traffic, csi: Csi, mac: Mac) -> float:
    """Bits per slot of candidate `j` if all `n` shared the cell's RBGs in proportion to their weights."""
    total = 0.0
    for i in range(n):
        u = mac.candidate[i]
        total += ue_weight[u] * traffic.weight[cell, traffic.of_ue[u]]
    u = mac.candidate[j]
    bits = 0.0
    for b in range(mac.rbg_prb.shape[0]):
        bits += csi.efficiency[u, b] * RE_PER_PRB * mac.rbg_prb[b]
    return float(bits * ue_weight[u] * traffic.weight[cell, traffic.of_ue[u]] / total)


@bare_kernel
def _fill_bucket(mac: Mac, u: int, cls: int, slot: int) -> float:
    """Let the guaranteed rate run in up to the end of `slot`; bits that the flow may claim."""
    ran_in = mac.gbr_rate[cls] * (slot + 1 - mac.gbr_slot[u])
    mac.gbr_bits[u] = min(mac.gbr_bits[u] + ran_in, mac.gbr_most[cls])
    mac.gbr_slot[u] = slot + 1
    return float(max(mac.gbr_bits[u], 0.0))


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
def _first_in_line(mac: Mac, j: int, top: int) -> bool:
    """Whether candidate `j` goes before `top` (-1: nobody): guaranteed flows first, then by `best`, which is positive."""
    if not mac.best[j] > 0.0:  # NaN neither
        return False
    if top < 0:
        return True
    guaranteed, other = mac.guaranteed_bits[j] > 0.0, mac.guaranteed_bits[top] > 0.0
    if guaranteed != other:
        return bool(guaranteed)
    return bool(mac.best[j] > mac.best[top])


@bare_kernel
def _choose(mac: Mac, n: int, most: int) -> int:
    """Indices of up to `most` candidates that go first in line, ties to the first, in `mac.chosen`."""
    n_chosen = 0
    while n_chosen < most:
        top = -1
        for j in range(n):
            if _first_in_line(mac, j, top):
                top = j
        if top < 0:
            break
        mac.chosen[n_chosen] = top
        mac.best[top] = 0.0
        n_chosen += 1
    return n_chosen


@bare_kernel
def _choose_by_quota(
    cell: int, n: int, most: int, class_of: I32, queues: Queues, csi: Csi, mac: Mac, slices: Slices
) -> int:
    """As `_choose`, but slices that are owed their minimum send their first in line until it is spoken for.

    Nor does a slice that may use little of the cell take the DCIs that others need for the rest.
    """
    begin_choice(slices, cell, most)
    in_parts = True
    n_chosen = 0
    while n_chosen < most:
        needy = neediest(slices)
        top = -1
        for j in range(n):
            s = slices.of_class[class_of[mac.candidate[j]]]
            if needy >= 0 and s != needy:
                continue
            if in_parts and needy < 0 and slices.dci[s] <= 0:
                continue
            if _first_in_line(mac, j, top):
                top = j
        if top < 0:
            if needy >= 0:
                slices.need[needy] = 0.0  # nobody is left to stand for it
            elif in_parts:
                in_parts = False
            else:
                break
            continue
        u = mac.candidate[top]
        wanted_prb = 8.0 * queues.backlog_bytes[u] / (_best_rate(u, csi, mac) * RE_PER_PRB)
        s = slices.of_class[class_of[u]]
        slices.need[s] -= wanted_prb
        slices.dci[s] -= 1
        mac.chosen[n_chosen] = top
        mac.best[top] = 0.0
        n_chosen += 1
    return n_chosen


@bare_kernel
def _share_rbgs(
    cell: int,
    rule: Rule,
    n_chosen: int,
    limited: bool,
    traffic: Traffic,
    queues: Queues,
    csi: Csi,
    mac: Mac,
    slices: Slices,
) -> None:
    """Give each free RBG to one of the chosen UEs whose buffers are not granted yet.

    Where quotas hold, owed slices go first as soon as only enough is left for them; then guaranteed flows; then the
    larger metric.
    """
    free_prb = 0.0
    if limited:
        for b in range(mac.rbg_prb.shape[0]):
            if mac.owner[b] == -1:
                free_prb += mac.rbg_prb[b]
    for b in range(mac.rbg_prb.shape[0]):
        if mac.owner[b] != -1:
            continue
        n_prb = float(mac.rbg_prb[b])
        scarce = False
        if limited:
            _note_waiting(n_chosen, traffic.of_ue, queues, mac, slices)
            scarce = free_prb - n_prb < owed_prb(slices, cell)
            free_prb -= n_prb
        winner, highest, largest = -1, 0, 0.0
        for k in range(n_chosen):
            j = mac.chosen[k]
            u = mac.candidate[j]
            if mac.granted_bits[j] >= 8.0 * queues.backlog_bytes[u]:
                continue
            cls = traffic.of_ue[u]
            rank = 1 if mac.granted_bits[j] < mac.guaranteed_bits[j] else 0
            if limited:
                s = slices.of_class[cls]
                if not may_take(slices, cell, s, n_prb):
                    continue
                if scarce and slices.account[cell, s, OWED] > 0.0:
                    rank += 2
            value = _claim(rule, j, csi.efficiency[u, b], traffic.delay_bound[cls] == 1, mac)
            if value > 0.0 and (rank > highest or (rank == highest and value > largest)):
                winner, highest, largest = k, rank, value
        if winner >= 0:
            mac.owner[b] = winner
            j = mac.chosen[winner]
            u = mac.candidate[j]
            mac.granted_bits[j] += csi.efficiency[u, b] * RE_PER_PRB * n_prb
            if limited:
                charge(slices, cell, slices.of_class[traffic.of_ue[u]], n_prb)


@bare_kernel
def _share_freely(policy: int, n_chosen: int, traffic: Traffic, queues: Queues, csi: Csi, mac: Mac) -> None:
    """As `_share_rbgs` by a built-in rule and without quotas, with what a UE brings looked up once and not per RBG."""
    bids = mac.bids
    for k in range(n_chosen):
        j = mac.chosen[k]
        u = mac.candidate[j]
        bids[k, _NEEDED], bids[k, _GUARANTEED] = 8.0 * queues.backlog_bytes[u], mac.guaranteed_bits[j]
        bids[k, _BASE], bids[k, _FACTOR] = mac.base[j], mac.factor[j]
        bids[k, _BOUND] = traffic.delay_bound[traffic.of_ue[u]]
        bids[k, _GRANTED] = 0.0
        mac.bidder[k] = u
    for b in range(mac.rbg_prb.shape[0]):
        if mac.owner[b] != -1:
            continue
        winner, highest, largest = -1, 0, 0.0
        for k in range(n_chosen):
            granted = bids[k, _GRANTED]
            if granted >= bids[k, _NEEDED]:
                continue
            rank = 1 if granted < bids[k, _GUARANTEED] else 0
            rate = csi.efficiency[mac.bidder[k], b]
            value = metric(policy, bids[k, _BASE], bids[k, _FACTOR], rate, bids[k, _BOUND] > 0.0)
            if value > 0.0 and (rank > highest or (rank == highest and value > largest)):
                winner, highest, largest = k, rank, value
        if winner >= 0:
            mac.owner[b] = winner
            rate = csi.efficiency[mac.bidder[winner], b]
            bids[winner, _GRANTED] += rate * RE_PER_PRB * float(mac.rbg_prb[b])


@bare_kernel
def _note_waiting(n_chosen: int, class_of: I32, queues: Queues, mac: Mac, slices: Slices) -> None:
    """Which slices have a chosen UE whose buffer is not granted yet."""
    for s in range(slices.waits.shape[0]):
        slices.waits[s] = 0
    for k in range(n_chosen):
        j = mac.chosen[k]
        u = mac.candidate[j]
        if mac.granted_bits[j] < 8.0 * queues.backlog_bytes[u]:
            slices.waits[slices.of_class[class_of[u]]] = 1


@bare_kernel
def _retransmit(
    cell: int,
    slot: int,
    u: int,
    limited: bool,
    activity: F32,
    class_of: I32,
    harq: Harq,
    csi: Csi,
    mac: Mac,
    slices: Slices,
    sent: Sent,
    counts: I64,
) -> bool:
    """Send the UE's oldest waiting block again on as many RBGs as before, its best free ones; False without room."""
    p = oldest_waiting(harq, u)
    s = slices.of_class[class_of[u]]
    if limited and not may_resend(slices, cell, s, float(harq.n_prb[u, p])):
        return False
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
        if limited:
            charge(slices, cell, s, float(mac.rbg_prb[best]))
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
    harq.first_slot[u, p] = slot
    harq.sinr[u, p] = 0.0
    harq.n_busy[u] += 1
    mac.served_bits[u] = tbs_bits
    # What was sent beyond the guarantee is not held against the flow, but for the last RBG of a claim.
    mac.gbr_bits[u] = max(mac.gbr_bits[u] - 8.0 * harq.n_bytes[u, p], -tbs_bits / n_rbg)
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
