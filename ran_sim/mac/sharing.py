"""Sharing: the chosen candidate that gets each free RBG of a cell.

RBG by RBG, from the cell's first one on, the highest metric wins, and guaranteed flows go first. A candidate whose block holds
its whole buffer gets no more. Quotas of slices limit all this.
"""

from __future__ import annotations

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F32, F64, I32
from ran_sim.mac.bids import metric_on_rbg
from ran_sim.mac.blocks import grant
from ran_sim.mac.leg import Leg
from ran_sim.mac.metrics import PLUGIN, Rule, metric, plugin_metric
from ran_sim.mac.slices import OWED, Slices, charge, may_take, owed_prb
from ran_sim.mac.state import BASE, BOUND, FACTOR, GRANTED, GUARANTEED, NEEDED, Mac


@bare_kernel
def share(
    cell: int,
    rule: Rule,
    n_chosen: int,
    free: int,
    activity: F32,
    leg: Leg,
) -> None:
    """Give each free RBG to the candidate with the highest metric on it.

    The candidates that compete change only when a block has become large enough for a guarantee or a buffer. So metrics are
    compared anew only then, on all RBGs at once.
    """
    mac = leg.mac
    changed = True
    b = mac.first_rbg[cell]
    for _ in range(activity.shape[1]):
        if (free >> b) & 1:
            if changed and not _find_winners(rule, n_chosen, leg.csi.efficiency, mac):
                return
            j = mac.winner[b]
            changed = j >= 0 and grant(cell, j, b, activity, leg)
        b = b + 1 if b + 1 < activity.shape[1] else 0


@bare_kernel
def _find_winners(rule: Rule, n_chosen: int, efficiency: F32, mac: Mac) -> bool:
    """Put the winner of each RBG into `mac.winner`; False if no candidate needs any more.

    Guaranteed flows are compared second and take the lead on each RBG where their metric is above 0.
    """
    mac.winner[:] = -1
    some = False
    for rank in range(2):
        mac.highest[:] = 0.0
        for k in range(n_chosen):
            j = mac.chosen[k]
            bid = mac.bids[j]
            if bid[GRANTED] < bid[NEEDED] and (bid[GRANTED] < bid[GUARANTEED]) == (rank == 1):
                some = True
                rate = efficiency[mac.candidate[j]]
                _lead_where_highest(rule, j, bid, mac.terms[j], rate, mac.highest, mac.winner)
    return some


@bare_kernel
def _lead_where_highest(
    rule: Rule, j: int, bid: F64, terms: F64, rate: F32, highest: F64, winner: I32
) -> None:
    """Candidate `j` takes the lead on the RBGs where its metric is higher than the highest so far."""
    if rule.policy == PLUGIN:
        for b in range(rate.size):
            value = plugin_metric(rule, terms, rate[b])
            if value > highest[b]:
                highest[b], winner[b] = value, j
        return
    base, factor, bound = bid[BASE], bid[FACTOR], bid[BOUND] > 0.0
    for b in range(rate.size):  # a loop of its own: without calls it becomes vectors
        value = metric(rule.policy, base, factor, rate[b], bound)
        if value > highest[b]:
            highest[b], winner[b] = value, j


@bare_kernel
def share_by_quota(
    cell: int,
    rule: Rule,
    n_chosen: int,
    free: int,
    activity: F32,
    leg: Leg,
) -> None:
    """As `share` with quotas: each RBG changes the accounts, and the accounts decide which candidates compete.

    Owed slices go first as soon as only enough is left for them; then guaranteed flows; then the larger metric.
    """
    mac, slices, class_of = leg.mac, leg.slices, leg.traffic.of_ue
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
            j = _winner_by_quota(cell, rule, n_chosen, b, scarce, leg)
            if j >= 0:
                grant(cell, j, b, activity, leg)
                charge(slices, cell, slices.of_class[class_of[mac.candidate[j]]], n_prb)
        b = b + 1 if b + 1 < activity.shape[1] else 0


@bare_kernel
def _winner_by_quota(
    cell: int,
    rule: Rule,
    n_chosen: int,
    b: int,
    scarce: bool,
    leg: Leg,
) -> int:
    """Which of the chosen candidates gets RBG `b`, -1 for none; `scarce`: what is free is owed."""
    mac, slices = leg.mac, leg.slices
    winner, highest, largest = -1, 0, 0.0
    for k in range(n_chosen):
        j = mac.chosen[k]
        u = mac.candidate[j]
        bid = mac.bids[j]
        s = slices.of_class[leg.traffic.of_ue[u]]
        if bid[GRANTED] >= bid[NEEDED] or not may_take(slices, cell, s, float(mac.rbg_prb[b])):
            continue
        rank = 1 if bid[GRANTED] < bid[GUARANTEED] else 0
        if scarce and slices.account[cell, s, OWED] > 0.0:
            rank += 2
        value = metric_on_rbg(rule, j, leg.csi.efficiency[u, b], mac)
        if value > 0.0 and (rank > highest or (rank == highest and value > largest)):
            winner, highest, largest = j, rank, value
    return winner


@bare_kernel
def _note_waiting(n_chosen: int, class_of: I32, mac: Mac, slices: Slices) -> None:
    """Note the slices with a chosen candidate whose block does not hold its buffer yet."""
    for s in range(slices.waits.shape[0]):
        slices.waits[s] = 0
    for k in range(n_chosen):
        j = mac.chosen[k]
        if mac.bids[j, GRANTED] < mac.bids[j, NEEDED]:
            slices.waits[slices.of_class[class_of[mac.candidate[j]]]] = 1
