"""Scheduling metrics: the number that ranks the candidates for an RBG, by a built-in rule or by a rule of your own.

Metric of UE i on RBG b (r: bits per resource element of its CQI there; R: bits per slot that all its RBGs would carry
at r, averaged over the PF window; w: the UE's weight times the cell's weight of the class; W: age of the oldest unsent packet
by the end of this slot, 1 slot for a full buffer; budget: the radio's share of the packet delay budget in slots;
a = -ln 0.01 / budget: 1 % of the packets may miss it):

- rr: slots since i was last served. Weights have no effect. A retransmission on the whole carrier puts i back by as many
  slots as there are UEs to be served, one on a part of it by that part.
- pf: w r / R. With static channels and full buffers the airtime is in proportion to w.
- max-ci: w r. Most bits, nothing for the cell's edge.
- m-lwdf (Andrews et al. 2001): w r / R (a W).
- exp (Shakkottai and Stolyar 2002): w r / R exp((a W - mean) / (1 + sqrt(mean))), where mean is that of a W over the
  cell's UEs with delay-bound data to send.
- log (Sadiq, Madan and Sampath 2009): w r / R log(1.1 + a W).
- edf: the class with the lower priority level (TS 23.501 Table 5.7.4-1) always first; inside it w / (1 + slots left
  until the budget has passed) for delay-bound flows, as pf for the others.

- learned: pf times a factor that a small network computes for delay-bound flows, see `learned`. Cells can change to it and
  back while they run, each by itself.

m-lwdf, exp and log treat flows without a delay budget as pf does, and so does learned.

R counts all RBGs that carry blocks of the UE, each at the rate of the UE's CQI there. Retransmissions and the padding of a block
count as well: a UE that fills a part of an RBG takes all of it from the others. The offset of the outer loop does not count.

A plug-in is one function of `SIGNATURE` in place of all these: float64 scalars in, the metric out, called for each UE
that may be served and each RBG that it competes for. 0 or less means no grant. NaN does as well, is counted and warned of.
In this order:

1. weight: w
2. rate: r, bits per resource element, more than 0
3. average_bits: R
4. age_slots: of the oldest unsent packet at the start of the slot; 0 for a full buffer
5. budget_slots: the radio's share of the packet delay budget
6. delay_bound: 1 if packets are worthless after it, else 0
7. priority_level: TS 23.501 Table 5.7.4-1, 1 is the most important
8. backlog_bytes: unsent; 2^40 for a full buffer
9. idle_slots: since the UE was last served here
10. gbr_deficit_bits: bits of its guaranteed bit rate that the flow may still draw; 0 without one
11. mean_urgency: mean of a W over the cell's UEs with delay-bound data to send, 0 without any
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.plugins import Plugin, as_plugin, compiled
from ran_sim.core.state import F64, I64
from ran_sim.mac.learned import N_NUMBERS

RR: Final = 0
PF: Final = 1
MAX_CI: Final = 2
M_LWDF: Final = 3
EXP: Final = 4
LOG: Final = 5
EDF: Final = 6
PLUGIN: Final = 7
LEARNED: Final = 8  # of single cells, see `Rule.model_of`
POLICIES: Final = {
    "rr": RR, "pf": PF, "max-ci": MAX_CI, "m-lwdf": M_LWDF, "exp": EXP, "log": LOG, "edf": EDF,
}  # fmt: skip

MISS_LOG: Final = -math.log(0.01)  # 1 % of packets may miss their budget
LOG_OFFSET: Final = 1.1
NOT_DUE: Final = (
    0.5  # RR: of a UE that is not due yet, below that of all that are; it may have what nobody else wants
)
LEVEL: Final = 1000.0  # EDF: distance of two priority levels; metrics inside a level stay below it

N_TERMS: Final = 10  # arguments of a plug-in but for the rate
SIGNATURE: Final = f"float64({', '.join(['float64'] * (N_TERMS + 1))})"


class Rule(NamedTuple):
    """The rule by which a run ranks its UEs, or by which one of its cells does, see `rule_of_cell`."""

    policy: int  # of cells without a learned metric
    plugin: Plugin  # of `SIGNATURE`; called with policy PLUGIN only
    nan_metrics: I64  # [1] how often it has answered NaN
    networks: F64  # [n_model, N_NUMBERS] of the learned metrics that are loaded
    model_of: I64  # [n_cell] row of `networks` that ranks the UEs of a cell, -1: `policy` does
    slot_ms: float


def built_in_rule(policy: int, n_cell: int = 1) -> Rule:
    """One of `POLICIES` but for LEARNED, in all cells."""
    networks, model_of = np.zeros((0, N_NUMBERS)), np.full(n_cell, -1, np.int64)
    return Rule(policy, no_plugin(), np.zeros(1, np.int64), networks, model_of, 0.0)


def own_rule(metric: str | Callable[..., float] | Plugin, n_cell: int = 1) -> Rule:
    """A plug-in, see `plugins.as_plugin`."""
    return built_in_rule(PLUGIN, n_cell)._replace(plugin=as_plugin(metric, SIGNATURE))


def with_networks(rule: Rule, networks: F64, slot_ms: float) -> Rule:
    """`rule` and the learned metrics that its cells may change to, [n_model, N_NUMBERS]; none uses one yet."""
    return rule._replace(networks=networks, slot_ms=slot_ms)


@bare_kernel
def rule_of_cell(rule: Rule, cell: int) -> Rule:
    """The rule by which `cell` ranks its UEs in this slot."""
    policy = rule.policy if rule.model_of[cell] < 0 else LEARNED
    return Rule(policy, rule.plugin, rule.nan_metrics, rule.networks, rule.model_of, rule.slot_ms)


@cache
def no_plugin() -> Plugin:
    """The substitute for a missing plug-in, so that kernels are the same with and without one."""
    return compiled(SIGNATURE, cache=True)(_no_metric)


def _no_metric(
    weight: float,
    rate: float,
    average_bits: float,
    age_slots: float,
    budget_slots: float,
    delay_bound: float,
    priority_level: float,
    backlog_bytes: float,
    idle_slots: float,
    gbr_deficit_bits: float,
    mean_urgency: float,
) -> float:
    return 0.0


@bare_kernel
def urgency(age_slots: int, budget_slots: float) -> float:
    """a W of a delay-bound flow; never 0, or an idle cell would let a packet wait in the slot of its arrival."""
    return MISS_LOG / budget_slots * (age_slots + 1)


@bare_kernel
def exp_exponent(due: float, mean_urgency: float) -> float:
    """The exponent of exp, of a flow whose a W is `due`."""
    return (due - mean_urgency) / (1.0 + math.sqrt(mean_urgency))


@bare_kernel
def metric_terms(
    policy: int,
    weight: float,
    average_bits: float,
    age_slots: int,
    waited_slots: float,
    delay_bound: bool,
    budget_slots: float,
    level: float,
    mean_urgency: float,
) -> tuple[float, float]:
    """(base, factor) of a UE's metric, which is `metric(policy, base, factor, rate, delay_bound)`."""
    if policy == RR:
        return 0.0, max(1.0 + waited_slots, NOT_DUE)
    if policy == MAX_CI:
        return 0.0, weight
    fair = weight / max(average_bits, 1.0)
    if policy == EDF:
        base = LEVEL * (128.0 - level)
        if delay_bound:
            return base, weight / (1.0 + max(budget_slots - age_slots, 0.0))
        return base, fair
    if policy == PF or not delay_bound:
        return 0.0, fair
    if policy == LEARNED:
        return 0.0, fair  # times exp(g), see `bids`
    due = urgency(age_slots, budget_slots)
    if policy == M_LWDF:
        return 0.0, fair * due
    if policy == EXP:
        return 0.0, fair * math.exp(exp_exponent(due, mean_urgency))
    return 0.0, fair * math.log(LOG_OFFSET + due)


@bare_kernel
def metric(policy: int, base: float, factor: float, rate: float, delay_bound: bool) -> float:
    """A UE's metric on an RBG by a built-in rule; 0 where its rate is 0: no grant."""
    if rate <= 0.0:
        return 0.0
    if policy == RR:
        return factor
    if policy != EDF:
        return factor * rate
    inside = factor if delay_bound else factor * rate
    return base + (LEVEL - 1.0) * inside / (1.0 + inside)


@bare_kernel
def plugin_terms_into(
    terms: F64,
    weight: float,
    average_bits: float,
    age_slots: int,
    budget_slots: float,
    delay_bound: float,
    priority_level: float,
    backlog_bytes: int,
    idle_slots: int,
    gbr_deficit_bits: float,
    mean_urgency: float,
) -> None:
    """All arguments of a plug-in but for the rate, in its order, into `terms` [N_TERMS]."""
    terms[0], terms[1] = weight, average_bits
    terms[2], terms[3], terms[4] = age_slots, budget_slots, delay_bound
    terms[5] = priority_level
    terms[6], terms[7], terms[8] = backlog_bytes, idle_slots, gbr_deficit_bits
    terms[9] = mean_urgency


@bare_kernel
def plugin_metric(rule: Rule, terms: F64, rate: float) -> float:
    """A UE's metric on an RBG by the plug-in, `terms` [N_TERMS] being its other arguments; 0 where its rate is 0."""
    if rate <= 0.0:
        return 0.0
    value = float(
        rule.plugin(
            terms[0],
            rate,
            terms[1],
            terms[2],
            terms[3],
            terms[4],
            terms[5],
            terms[6],
            terms[7],
            terms[8],
            terms[9],
        )
    )
    if math.isnan(value):
        rule.nan_metrics[0] += 1
    return value
