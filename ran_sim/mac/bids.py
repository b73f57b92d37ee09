"""Bids: the inputs of each candidate's metric, and the metric on an RBG.

Metrics (see `metrics`) compare the rates of sub-band CQIs, and are as old as these reports. They leave out the offset of the
outer loop: it would favour UEs that happened to have few errors.
"""

from __future__ import annotations

import math

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64
from ran_sim.link.adaptation import RE_PER_PRB
from ran_sim.link.csi import Csi
from ran_sim.mac.learned import features_into, log_factor
from ran_sim.mac.leg import Leg
from ran_sim.mac.metrics import (
    EXP,
    LEARNED,
    PLUGIN,
    Rule,
    exp_exponent,
    metric,
    metric_terms,
    plugin_metric,
    plugin_terms_into,
    urgency,
)
from ran_sim.mac.state import (
    BASE,
    BEST_METRIC,
    BEST_RATE,
    BOUND,
    FACTOR,
    GRANTED,
    GRANTED_PRBS,
    GRANTED_RBGS,
    GUARANTEED,
    NEEDED,
    RATE_PRBS,
    SNR_SUM_DB,
    UNKNOWN,
    Mac,
)
from ran_sim.traffic.arrivals import Traffic
from ran_sim.traffic.queues import ARRIVAL, FULL_BUFFER_BYTES, Queues, packet_row


@bare_kernel
def fill_bids(
    cell: int,
    slot: int,
    rule: Rule,
    n: int,
    free: int,
    ue_weight: F64,
    leg: Leg,
) -> None:
    """Fill in the inputs of the metric of each candidate, and the metric on its best free RBG.

    Args:
        cell: Cell that schedules.
        slot: Slot that is scheduled.
        rule: Metric of the cell.
        n: Number of candidates, the first rows of `mac.candidate`.
        free: RBGs that retransmissions left, bit b = RBG b.
        ue_weight: Weight of each UE row, shape [n_ue].
        leg: Its `mac` gets the rows of `bids` and `terms`.
    """
    traffic, queues, csi, mac = leg.traffic, leg.queues, leg.csi, leg.mac
    mean_urgency = 0.0
    if rule.policy == EXP or rule.policy == PLUGIN or rule.policy == LEARNED:
        mean_urgency = _mean_urgency(slot, n, traffic, queues, mac)
    for j in range(n):
        u = mac.candidate[j]
        bid = mac.bids[j]
        cls = traffic.of_ue[u]
        weight = ue_weight[u] * traffic.weight[cell, cls]
        if mac.average_bits[u] == UNKNOWN:
            mac.average_bits[u] = _expected_bits(cell, n, j, ue_weight, traffic, csi, mac)
        bid[NEEDED] = 8.0 * queues.backlog_bytes[u]
        bid[GUARANTEED] = _fill_bucket(mac, u, cls, slot) if mac.gbr_rate[cls] > 0.0 else 0.0
        bid[GRANTED] = bid[GRANTED_RBGS] = bid[GRANTED_PRBS] = bid[RATE_PRBS] = bid[SNR_SUM_DB] = 0.0
        bid[BOUND] = traffic.delay_bound[cls]
        age = head_age_slots(queues, u, slot)
        idle = slot - mac.last_served[u]
        waited = idle - mac.resent_rbgs[u] * n / csi.efficiency.shape[1]
        if rule.policy == PLUGIN:
            plugin_terms_into(
                mac.terms[j], weight, mac.average_bits[u], age, traffic.budget_slots[cls], bid[BOUND],
                traffic.priority[cls], queues.backlog_bytes[u], idle, bid[GUARANTEED], mean_urgency,
            )  # fmt: skip
        else:
            bid[BASE], bid[FACTOR] = metric_terms(
                rule.policy, weight, mac.average_bits[u], age, waited,
                bid[BOUND] > 0.0, traffic.budget_slots[cls], traffic.priority[cls], mean_urgency,
            )  # fmt: skip
        if rule.policy == LEARNED and bid[BOUND] > 0.0:
            bid[FACTOR] *= math.exp(_log_factor(rule, cell, j, n, age, idle, mean_urgency, leg))
        bid[BEST_RATE] = _best_rate(u, free, csi)
        bid[BEST_METRIC] = metric_on_rbg(rule, j, bid[BEST_RATE], mac)


@bare_kernel
def _log_factor(
    rule: Rule, cell: int, j: int, n: int, age: int, idle: int, mean_urgency: float, leg: Leg
) -> float:
    """g of candidate `j` by the cell's model, see `learned`; `mac.terms` is its scratch."""
    traffic, mac = leg.traffic, leg.mac
    u = mac.candidate[j]
    budget = traffic.budget_slots[traffic.of_ue[u]]
    rate = float(leg.csi.best[u])
    due = urgency(age, budget)
    features_into(
        mac.terms[j], rate, rate * RE_PER_PRB * leg.slices.n_prb, mac.average_bits[u], (age + 1.0) / budget,
        budget, rule.slot_ms, idle, leg.queues.backlog_bytes[u], n,
        exp_exponent(due, mean_urgency),
    )  # fmt: skip
    return log_factor(rule.networks[rule.model_of[cell]], mac.terms[j])


@bare_kernel
def metric_on_rbg(rule: Rule, j: int, rate: float, mac: Mac) -> float:
    """Metric of candidate `j` on an RBG of `rate`, bits per resource element."""
    if rule.policy == PLUGIN:
        return plugin_metric(rule, mac.terms[j], rate)
    bid = mac.bids[j]
    return metric(rule.policy, bid[BASE], bid[FACTOR], rate, bid[BOUND] > 0.0)


@bare_kernel
def head_age_slots(queues: Queues, u: int, slot: int) -> int:
    """Age of the oldest packet with unsent bytes, 0 for a full buffer."""
    if queues.backlog_bytes[u] == FULL_BUFFER_BYTES:
        return 0
    return int(slot - queues.packet[packet_row(queues, u, queues.sending[u]), ARRIVAL])


@bare_kernel
def _best_rate(u: int, free: int, csi: Csi) -> float:
    """Highest rate of the UE on the free RBGs, in bits per resource element."""
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
    """Let the guaranteed rate run into the bucket up to the end of `slot`; bits that the flow may draw from it."""
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
