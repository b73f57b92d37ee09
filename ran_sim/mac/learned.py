"""A learned scheduling metric: proportional fair times exp(g), where a tiny network computes g for each delay-bound flow.

g depends on the flow's state in the slot and not on the RBG, so it is computed once per candidate and slot, and RBGs are
compared as under proportional fair. Flows without a delay budget have g = 0: among themselves they share as under
proportional fair.

Inputs of the network, in the order of `FEATURES` (r: bits per resource element on the UE's best RBG; C: bits of a slot if the
UE had the whole cell at r; R, W, a and the budget as in `metrics`, W by the end of this slot):

1. log_rate: ln r
2. log_share: ln R / C, the airtime that the UE has had lately
3. age: W / budget
4. log_age: ln W / budget
5. log_budget_ms: ln of the budget in ms
6. idle: slots since the UE was last served here / budget
7. log_need: ln of the slots that its backlog would take, backlog / C
8. log_pressure: ln of these slots / slots left until the budget of its oldest packet has passed, at least 1
9. log_candidates: ln of the number of UEs that may be served in the cell
10. urgency: (a W - mean) / (1 + sqrt(mean)), the exponent of exp; mean as there

The network has one hidden layer of logistic units and a linear part beside it; both see the inputs within bounds:
g = bias + linear x + sum over units of height / (1 + exp(-(weight x + offset))), within bounds of its own. It is a row of numbers
that compiled kernels read, so a new model compiles nothing and a cell can change its model between two slots.
"""

from __future__ import annotations

import math
from typing import Final

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64

FEATURES: Final = (
    "log_rate", "log_share", "age", "log_age", "log_budget_ms", "idle", "log_need", "log_pressure",
    "log_candidates", "urgency",
)  # fmt: skip
N_FEATURE: Final = 10
MOST_UNITS: Final = 8

# A network as a row of numbers: bounds of the inputs, linear part, bias, bounds of g, number of units; then the units, each
# with its weights, offset and height.
LOW, HIGH, LINEAR = 0, N_FEATURE, 2 * N_FEATURE
BIAS, LEAST, MOST, N_UNITS = range(3 * N_FEATURE, 3 * N_FEATURE + 4)
UNITS: Final = 3 * N_FEATURE + 4
N_UNIT: Final = N_FEATURE + 2
N_NUMBERS: Final = UNITS + MOST_UNITS * N_UNIT


@bare_kernel
def features_into(
    x: F64,
    rate: float,
    cell_bits: float,
    average_bits: float,
    age: float,
    budget_slots: float,
    slot_ms: float,
    idle_slots: int,
    backlog_bytes: int,
    n_candidate: int,
    urgency: float,
) -> None:
    """Put the inputs of the network into `x`, [N_FEATURE]; the arguments are those of the list above."""
    log_need = math.log(8.0 * backlog_bytes / cell_bits)
    x[0] = math.log(rate)
    x[1] = math.log(max(average_bits, 1.0) / cell_bits)
    x[2] = age
    x[3] = math.log(age)
    x[4] = math.log(budget_slots * slot_ms)
    x[5] = idle_slots / budget_slots
    x[6] = log_need
    x[7] = log_need - math.log(max(budget_slots * (1.0 - age) + 1.0, 1.0))
    x[8] = math.log(n_candidate)
    x[9] = urgency


@bare_kernel
def log_factor(network: F64, x: F64) -> float:
    """g of the inputs `x`, [N_FEATURE], which are put within their bounds."""
    total = network[BIAS]
    for i in range(N_FEATURE):
        x[i] = min(max(x[i], network[LOW + i]), network[HIGH + i])
        total += network[LINEAR + i] * x[i]
    at = UNITS
    for _ in range(int(network[N_UNITS])):
        z = network[at + N_FEATURE]
        for i in range(N_FEATURE):
            z += network[at + i] * x[i]
        total += network[at + N_FEATURE + 1] / (1.0 + math.exp(-z))
        at += N_UNIT
    return float(min(max(total, network[LEAST]), network[MOST]))
