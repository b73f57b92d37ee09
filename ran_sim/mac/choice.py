"""Choice: which candidates get a DCI, as many as there are left in the slot.

Flows below their guaranteed bit rate first, then the best metric on the best RBG. Where slices have quotas, those that
are owed something choose before.
"""

from __future__ import annotations

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64, I32
from ran_sim.link.adaptation import RE_PER_PRB
from ran_sim.mac.slices import Slices, begin_choice, forgive_idle, may_take, neediest
from ran_sim.mac.state import BEST_METRIC, BEST_RATE, GUARANTEED, NEEDED, Mac


@bare_kernel
def keep_allowed(cell: int, n: int, class_of: I32, mac: Mac, slices: Slices) -> int:
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
def choose(mac: Mac, n: int, most: int) -> int:
    """Put up to `most` of the `n` candidates that go first in line in `mac.chosen`, ties to the first; how many."""
    n_chosen = 0
    while n_chosen < most:
        top, best, guaranteed = -1, 0.0, 0.0
        for j in range(n):
            if _first_in_line(mac.bids, j, best, guaranteed):
                top, best, guaranteed = j, mac.bids[j, BEST_METRIC], mac.bids[j, GUARANTEED]
        if top < 0:
            break
        _give_dci(mac, n_chosen, top)
        n_chosen += 1
    return n_chosen


@bare_kernel
def choose_by_quota(cell: int, n: int, most: int, class_of: I32, mac: Mac, slices: Slices) -> int:
    """As `choose`, but candidates of a slice that is owed its minimum come first, until the chosen ones need that much.

    A slice that may use little of the cell does not take the DCIs that others need for the rest.
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
                top, best, guaranteed = j, mac.bids[j, BEST_METRIC], mac.bids[j, GUARANTEED]
        if top < 0:
            if needy >= 0:
                slices.need[needy] = 0.0  # no candidate of it is left
            elif in_parts:
                in_parts = False
            else:
                break
            continue
        s = slices.of_class[class_of[mac.candidate[top]]]
        slices.need[s] -= mac.bids[top, NEEDED] / (mac.bids[top, BEST_RATE] * RE_PER_PRB)
        slices.dci[s] -= 1
        _give_dci(mac, n_chosen, top)
        n_chosen += 1
    return n_chosen


@bare_kernel
def _first_in_line(bids: F64, j: int, best: float, guaranteed: float) -> bool:
    """Whether candidate `j` goes before one with this metric and guarantee (0: no candidate): guarantees, then metrics."""
    value, has_guarantee = bids[j, BEST_METRIC], bids[j, GUARANTEED] > 0.0
    if has_guarantee != (guaranteed > 0.0):
        return bool(has_guarantee and value > 0.0)
    return bool(value > best)  # NaN does not


@bare_kernel
def _give_dci(mac: Mac, k: int, j: int) -> None:
    """Candidate `j` is the chosen one number `k`, and stands in line no more."""
    mac.chosen[k] = j
    mac.rbgs[j] = 0
    mac.bids[j, BEST_METRIC] = 0.0
