"""Downlink scheduling of one cell and slot: who sends new data and retransmissions, on which RBGs.

Retransmissions first, of each UE the oldest; then as many UEs as `max_dci` leaves, those with the best metric on their
best RBG (see `metrics`), compete for each free RBG, until their block holds their buffer. Slices that are owed their
minimum go before the others, and slices at their maximum get nothing (see `slices`). Inside that, flows below their
guaranteed bit rate go before the others. A UE gets at most one transport block a slot, without CQI none, with CQI 0 no
new one.

Metrics compare the rates of sub-band CQIs, so they are as old as these, and without the outer loop's offset: it would
favour whose errors happened to be few. How much a block holds is its transport block size, offset included.

Each cell hands out its RBGs from one of its own on, see `first_rbgs`: with all from the same one, cells that have little
to send would meet on the same RBGs and leave the rest of the carrier idle.

A guaranteed flow may claim what its bucket holds: the guaranteed rate runs in, the flow's own bytes in first transmissions
drain it (not the padding that fills their blocks), `GBR_BUCKET_MS` of the rate fit. A rate that the cell cannot give takes
what there is: admission control is left out.

The average of a UE that enters a cell starts at the rate that it would get there if the UEs with data shared the cell by
their weights. Averages run on while a UE has nothing to receive: who comes back after a pause is served first for a while.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ran_sim import counters as count
from ran_sim._jit import bare_kernel
from ran_sim.csi import Csi
from ran_sim.energy import ACTIVE
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

_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0  # multiples of it leave the widest gaps between their fractions
GBR_BUCKET_MS: Final = 100.0  # of a guaranteed bit rate that can be claimed later; our choice
_UNKNOWN: Final = 0.0  # `average_bits` of a UE that has not been a candidate in its cell yet


# Columns of `Mac.bids`
_BASE, _FACTOR, _BOUND = range(3)  # of its metric
_RATE, _BEST = 3, 4  # on its best free RBG: bits per resource element, metric
_NEEDED, _GUARANTEED = 5, 6  # bits in its buffer; claimed before all flows without a guarantee, 0 without one
_GRANTED, _N_RBG, _N_PRB, _SNR_DB = 7, 8, 9, 10  # its block: bits, RBGs, PRBs, sum of the RBGs' SNR by CQI
_N_BID = 11


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
    first_rbg: I64  # [n_cell] where a cell begins to hand out RBGs
    # scratch of one cell and slot
    candidate: I64
    bids: F64  # [n_ue, _N_BID] what each candidate claims and gets
    terms: F64  # [n_ue, N_TERMS] arguments of a plug-in, by candidate
    chosen: I64  # candidates that get a DCI, if they win an RBG
    rbgs: I64  # those that each of `chosen` won, bit b = RBG b
    winner: I32  # [n_rbg] index into `chosen` of whose claim is the largest, -1 for nobody's
    highest: F64  # [n_rbg] that claim


def guaranteed_bits(scenario: Scenario) -> tuple[F64, F64]:
    """Guaranteed bits per slot of each traffic class, 0 without, and what fits in its bucket; [n_class] each."""
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
    """Nobody served, no members; `site` is that of each cell."""
    n_rbg = rbg_prb.size
    return Mac(
        average_bits=np.full(n_ue, _UNKNOWN),
        served_bits=np.zeros(n_ue),
        last_served=np.zeros(n_ue, np.int64),
        gbr_bits=np.zeros(n_ue),
        gbr_slot=np.zeros(n_ue, np.int64),
        gbr_rate=gbr_rate,
        gbr_most=gbr_most,
        member_start=np.zeros(site.size + 1, np.int64),
        members=np.zeros(n_ue, np.int64),
        rbg_prb=rbg_prb,
        first_rbg=first_rbgs(site, n_rbg),
        candidate=np.zeros(n_ue, np.int64),
        bids=np.zeros((n_ue, _N_BID)),
        terms=np.zeros((n_ue, N_TERMS)),
        chosen=np.zeros(n_ue, np.int64),
        rbgs=np.zeros(n_ue, np.int64),
        winner=np.zeros(n_rbg, np.int32),
        highest=np.zeros(n_rbg),
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
def schedule_cells(
    slot: int,
    rule: Rule,
    max_dci: int,
    state: I32,
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
    """Fill one slot of all active cells: appends to `sent`, sets `activity` [n_cell, n_rbg].

    The cells' loop stands here and not around this function: numba hands over every field of every argument, 0.1 us a call.
    """
    for cell in range(state.size):
        if state[cell] != ACTIVE:
            continue  # it fell silent when it fell asleep
        limited = slices.limited[cell] == 1
        if limited:
            fill_accounts(slices, cell)
        activity[cell, :] = 0.0
        free = (1 << activity.shape[1]) - 1  # RBGs, bit b = RBG b
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
                if dci < max_dci:
                    rbgs = _retransmit(
                        cell, slot, u, free, limited, activity, traffic.of_ue, harq, csi, mac, slices, sent, counts
                    )  # fmt: skip
                    free &= ~rbgs
                    dci += rbgs != 0
                continue  # also if it found no room: new data would overtake the old
            if csi.wideband[u] > 0 and queues.backlog_bytes[u] > 0 and harq.n_busy[u] < N_PROCESS:
                mac.candidate[n] = u
                n += 1
        if limited:
            n = _keep_allowed(cell, n, traffic.of_ue, mac, slices)
        if n == 0 or dci == max_dci:
            continue
        _claims(cell, slot, rule, n, free, ue_weight, traffic, queues, csi, mac)
        if limited:
            n_chosen = _choose_by_quota(cell, n, max_dci - dci, traffic.of_ue, mac, slices)
            _share_by_quota(
                cell, rule, n_chosen, free, activity, traffic.of_ue, harq.olla_db, csi, mac, slices, tables
            )
        else:
            n_chosen = _choose(mac, n, max_dci - dci)
            _share(cell, rule, n_chosen, free, activity, harq.olla_db, csi, mac, tables)
        for k in range(n_chosen):
            if mac.rbgs[k] != 0:
                _transmit(slot, k, queues, harq, mac, tables, sent, counts)


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
    free: int,
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
        bid = mac.bids[j]
        cls = traffic.of_ue[u]
        weight = ue_weight[u] * traffic.weight[cell, cls]
        if mac.average_bits[u] == _UNKNOWN:
            mac.average_bits[u] = _expected_bits(cell, n, j, ue_weight, traffic, csi, mac)
        bid[_NEEDED] = 8.0 * queues.backlog_bytes[u]
        bid[_GUARANTEED] = _fill_bucket(mac, u, cls, slot) if mac.gbr_rate[cls] > 0.0 else 0.0
        bid[_GRANTED] = bid[_N_RBG] = bid[_N_PRB] = bid[_SNR_DB] = 0.0
        bid[_BOUND] = traffic.delay_bound[cls]
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
            terms[4], terms[5] = bid[_BOUND], traffic.priority[cls]
            terms[6], terms[7], terms[8] = queues.backlog_bytes[u], idle, bid[_GUARANTEED]
            terms[9] = mean_urgency
        else:
            bid[_BASE], bid[_FACTOR] = metric_terms(
                rule.policy, weight, mac.average_bits[u], age, idle,
                bid[_BOUND] > 0.0, traffic.budget_slots[cls], traffic.priority[cls], mean_urgency,
            )  # fmt: skip
        bid[_RATE] = _best_rate(u, free, csi)
        bid[_BEST] = _claim(rule, j, bid[_RATE], mac)


@bare_kernel
def _best_rate(u: int, free: int, csi: Csi) -> float:
    """Of the UE on the free RBGs."""
    n_rbg = csi.efficiency.shape[1]
    if free == (1 << n_rbg) - 1:
        return float(csi.best[u])
    best = 0.0
    for b in range(n_rbg):
        if (free >> b) & 1:
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
def _claim(rule: Rule, j: int, rate: float, mac: Mac) -> float:
    """Metric of candidate `j` on an RBG of `rate`."""
    if rule.policy == PLUGIN:
        return plugin_metric(rule, mac.terms[j], rate)
    bid = mac.bids[j]
    return metric(rule.policy, bid[_BASE], bid[_FACTOR], rate, bid[_BOUND] > 0.0)


@bare_kernel
def _first_in_line(bids: F64, j: int, best: float, guaranteed: float) -> bool:
    """Whether candidate `j` goes before one with this metric and guarantee, 0 for nobody: guarantees, then metrics."""
    value, claimed = bids[j, _BEST], bids[j, _GUARANTEED] > 0.0
    if claimed != (guaranteed > 0.0):
        return bool(claimed and value > 0.0)
    return bool(value > best)  # NaN does not


@bare_kernel
def _choose(mac: Mac, n: int, most: int) -> int:
    """Indices of up to `most` candidates that go first in line, ties to the first, in `mac.chosen`."""
    n_chosen = 0
    while n_chosen < most:
        top, best, guaranteed = -1, 0.0, 0.0
        for j in range(n):
            if _first_in_line(mac.bids, j, best, guaranteed):
                top, best, guaranteed = j, mac.bids[j, _BEST], mac.bids[j, _GUARANTEED]
        if top < 0:
            break
        _give_dci(mac, n_chosen, top)
        n_chosen += 1
    return n_chosen


@bare_kernel
def _give_dci(mac: Mac, k: int, j: int) -> None:
    """Candidate `j` is the chosen one with index `k`, and stands in line no more."""
    mac.chosen[k] = j
    mac.rbgs[k] = 0
    mac.bids[j, _BEST] = 0.0


@bare_kernel
def _choose_by_quota(cell: int, n: int, most: int, class_of: I32, mac: Mac, slices: Slices) -> int:
    """As `_choose`, but slices that are owed their minimum send their first in line until it is spoken for.

    Nor does a slice that may use little of the cell take the DCIs that others need for the rest.
    """
    begin_choice(slices, cell, most)
    in_parts = True
    n_chosen = 0
    while n_chosen < most:
        needy = neediest(slices)
        top, best, guaranteed = -1, 0.0, 0.0
        for j in range(n):
            s = slices.of_class[class_of[mac.candidate[j]]]
            if needy >= 0 and s != needy:
                continue
            if in_parts and needy < 0 and slices.dci[s] <= 0:
                continue
            if _first_in_line(mac.bids, j, best, guaranteed):
                top, best, guaranteed = j, mac.bids[j, _BEST], mac.bids[j, _GUARANTEED]
        if top < 0:
            if needy >= 0:
                slices.need[needy] = 0.0  # nobody is left to stand for it
            elif in_parts:
                in_parts = False
            else:
                break
            continue
        s = slices.of_class[class_of[mac.candidate[top]]]
        slices.need[s] -= mac.bids[top, _NEEDED] / (mac.bids[top, _RATE] * RE_PER_PRB)
        slices.dci[s] -= 1
        _give_dci(mac, n_chosen, top)
        n_chosen += 1
    return n_chosen


@bare_kernel
def _share(
    cell: int,
    rule: Rule,
    n_chosen: int,
    free: int,
    activity: F32,
    olla_db: F64,
    csi: Csi,
    mac: Mac,
    tables: LinkTables,
) -> None:
    """Give each free RBG to the chosen UE with the largest claim, guaranteed flows first, whose block does not hold its buffer.

    Claims change only when a block has become large enough for a guarantee or a buffer, so they are compared anew only
    then, on all RBGs at once.
    """
    changed = True
    b = mac.first_rbg[cell]
    for _ in range(activity.shape[1]):
        if (free >> b) & 1:
            if changed and not _compare_claims(rule, n_chosen, csi.efficiency, mac):
                return
            k = mac.winner[b]
            changed = k >= 0 and _grant(cell, k, b, activity, olla_db, csi.snr_db, mac, tables)
        b = b + 1 if b + 1 < activity.shape[1] else 0


@bare_kernel
def _compare_claims(rule: Rule, n_chosen: int, efficiency: F32, mac: Mac) -> bool:
    """Who wins each RBG, into `mac.winner`; False if nobody needs any more.

    Guaranteed flows come second, to take away what they claim.
    """
    mac.winner[:] = -1
    some = False
    for rank in range(2):
        mac.highest[:] = 0.0
        for k in range(n_chosen):
            bid = mac.bids[mac.chosen[k]]
            if bid[_GRANTED] < bid[_NEEDED] and (bid[_GRANTED] < bid[_GUARANTEED]) == (rank == 1):
                some = True
                j = mac.chosen[k]
                rate = efficiency[mac.candidate[j]]
                _claim_rbgs(rule, k, bid, mac.terms[j], rate, mac.highest, mac.winner)
    return some


@bare_kernel
def _claim_rbgs(rule: Rule, k: int, bid: F64, terms: F64, rate: F32, highest: F64, winner: I32) -> None:
    """The chosen UE `k` takes the lead where its claim is larger than the largest so far."""
    if rule.policy == PLUGIN:
        for b in range(rate.size):
            value = plugin_metric(rule, terms, rate[b])
            if value > highest[b]:
                highest[b], winner[b] = value, k
        return
    base, factor, bound = bid[_BASE], bid[_FACTOR], bid[_BOUND] > 0.0
    for b in range(rate.size):  # a loop of its own: without calls it becomes vectors
        value = metric(rule.policy, base, factor, rate[b], bound)
        if value > highest[b]:
            highest[b], winner[b] = value, k


@bare_kernel
def _share_by_quota(
    cell: int,
    rule: Rule,
    n_chosen: int,
    free: int,
    activity: F32,
    class_of: I32,
    olla_db: F64,
    csi: Csi,
    mac: Mac,
    slices: Slices,
    tables: LinkTables,
) -> None:
    """As `_share` where quotas hold: with each RBG the accounts change, and with them who may claim.

    Owed slices go first as soon as only enough is left for them; then guaranteed flows; then the larger metric.
    """
    free_prb = 0.0
    for b in range(activity.shape[1]):
        if (free >> b) & 1:
            free_prb += mac.rbg_prb[b]
    b = mac.first_rbg[cell]
    for _ in range(activity.shape[1]):
        if (free >> b) & 1:
            _note_waiting(n_chosen, class_of, mac, slices)
            n_prb = float(mac.rbg_prb[b])
            free_prb -= n_prb
            scarce = free_prb < owed_prb(slices, cell)
            k = _winner_by_quota(cell, rule, n_chosen, b, scarce, class_of, csi, mac, slices)
            if k >= 0:
                _grant(cell, k, b, activity, olla_db, csi.snr_db, mac, tables)
                charge(slices, cell, slices.of_class[class_of[mac.candidate[mac.chosen[k]]]], n_prb)
        b = b + 1 if b + 1 < activity.shape[1] else 0


@bare_kernel
def _winner_by_quota(
    cell: int,
    rule: Rule,
    n_chosen: int,
    b: int,
    scarce: bool,
    class_of: I32,
    csi: Csi,
    mac: Mac,
    slices: Slices,
) -> int:
    """Which of the chosen UEs gets RBG `b`, -1 for none; `scarce`: what is free is owed."""
    winner, highest, largest = -1, 0, 0.0
    for k in range(n_chosen):
        j = mac.chosen[k]
        u = mac.candidate[j]
        bid = mac.bids[j]
        s = slices.of_class[class_of[u]]
        if bid[_GRANTED] >= bid[_NEEDED] or not may_take(slices, cell, s, float(mac.rbg_prb[b])):
            continue
        rank = 1 if bid[_GRANTED] < bid[_GUARANTEED] else 0
        if scarce and slices.account[cell, s, OWED] > 0.0:
            rank += 2
        value = _claim(rule, j, csi.efficiency[u, b], mac)
        if value > 0.0 and (rank > highest or (rank == highest and value > largest)):
            winner, highest, largest = k, rank, value
    return winner


@bare_kernel
def _note_waiting(n_chosen: int, class_of: I32, mac: Mac, slices: Slices) -> None:
    """Which slices have a chosen UE whose block does not hold its buffer yet."""
    for s in range(slices.waits.shape[0]):
        slices.waits[s] = 0
    for k in range(n_chosen):
        j = mac.chosen[k]
        if mac.bids[j, _GRANTED] < mac.bids[j, _NEEDED]:
            slices.waits[slices.of_class[class_of[mac.candidate[j]]]] = 1


@bare_kernel
def _grant(
    cell: int, k: int, b: int, activity: F32, olla_db: F64, snr_db: F32, mac: Mac, tables: LinkTables
) -> bool:
    """RBG `b` goes to the chosen UE `k`; whether its block now holds its buffer, or its guarantee."""
    j = mac.chosen[k]
    u = mac.candidate[j]
    bid = mac.bids[j]
    activity[cell, b] = 1.0
    mac.rbgs[k] |= 1 << b
    bid[_N_RBG] += 1.0
    bid[_N_PRB] += mac.rbg_prb[b]
    bid[_SNR_DB] += snr_db[u, b]
    if bid[_GUARANTEED] == 0.0 and bid[_NEEDED] > tables.tbs_bits[-1, -1]:
        return False  # no block can hold that much
    before = bid[_GRANTED]
    bid[_GRANTED] = tables.tbs_bits[_mcs(bid, olla_db[u], tables), int(bid[_N_PRB])]
    met = (before < bid[_GUARANTEED]) != (bid[_GRANTED] < bid[_GUARANTEED])
    return bool(met or bid[_GRANTED] >= bid[_NEEDED])


@bare_kernel
def _mcs(bid: F64, olla_db: float, tables: LinkTables) -> int:
    """Of a block, from the mean over its RBGs of the SNR that their CQI stands for, plus the OLLA offset."""
    return highest_mcs(tables, bid[_SNR_DB] / bid[_N_RBG] + olla_db)


@bare_kernel
def _retransmit(
    cell: int,
    slot: int,
    u: int,
    free: int,
    limited: bool,
    activity: F32,
    class_of: I32,
    harq: Harq,
    csi: Csi,
    mac: Mac,
    slices: Slices,
    sent: Sent,
    counts: I64,
) -> int:
    """Send the UE's oldest waiting block again on as many RBGs as before, its best free ones: these, or 0 without room."""
    p = oldest_waiting(harq, u)
    s = slices.of_class[class_of[u]]
    if limited and not may_resend(slices, cell, s, float(harq.n_prb[u, p])):
        return 0
    n_free = 0
    for b in range(activity.shape[1]):
        n_free += (free >> b) & 1
    if n_free < harq.n_rbg[u, p]:
        return 0
    rbgs = n_prb = 0
    for _ in range(harq.n_rbg[u, p]):
        best = -1
        for b in range(activity.shape[1]):
            if ((free & ~rbgs) >> b) & 1 and (best < 0 or csi.snr_db[u, b] > csi.snr_db[u, best]):
                best = b
        rbgs |= 1 << best
        n_prb += mac.rbg_prb[best]
        activity[cell, best] = 1.0
        if limited:
            charge(slices, cell, s, float(mac.rbg_prb[best]))
    harq.n_waiting[u] -= 1
    _send(slot, u, p, rbgs, n_prb, harq, sent, counts)
    return rbgs


@bare_kernel
def _transmit(
    slot: int, k: int, queues: Queues, harq: Harq, mac: Mac, tables: LinkTables, sent: Sent, counts: I64
) -> None:
    """Send new data on the RBGs that the chosen UE `k` won."""
    j = mac.chosen[k]
    u = mac.candidate[j]
    bid = mac.bids[j]
    n_prb = int(bid[_N_PRB])
    mcs = _mcs(bid, harq.olla_db[u], tables)
    tbs_bits = tables.tbs_bits[mcs, n_prb]
    p = free_process(harq, u)
    harq.start[u, p], harq.n_bytes[u, p] = take(queues, counts[u], u, slot, tbs_bits // 8)
    harq.mcs[u, p] = mcs
    harq.n_rbg[u, p] = int(bid[_N_RBG])
    harq.n_prb[u, p] = n_prb
    harq.attempts[u, p] = 0
    harq.first_slot[u, p] = slot
    harq.sinr[u, p] = 0.0
    harq.n_busy[u] += 1
    mac.served_bits[u] = tbs_bits
    # What was sent beyond the guarantee is not held against the flow, but for the last RBG of a claim.
    mac.gbr_bits[u] = max(mac.gbr_bits[u] - 8.0 * harq.n_bytes[u, p], -tbs_bits / bid[_N_RBG])
    mac.last_served[u] = slot
    _send(slot, u, p, mac.rbgs[k], n_prb, harq, sent, counts)


@bare_kernel
def _send(slot: int, u: int, p: int, rbgs: int, n_prb: int, harq: Harq, sent: Sent, counts: I64) -> None:
    harq.state[u, p] = SENT
    harq.attempts[u, p] += 1
    harq.sent_slot[u, p] = slot
    counts[u, count.PRB_USED] += n_prb
    row = slot % sent.n.shape[0]
    i = sent.n[row]
    sent.ue[row, i] = u
    sent.process[row, i] = p
    sent.rbgs[row, i] = rbgs
    sent.n[row] = i + 1
