"""Downlink scheduling of one cell and slot: the UEs that get new data and retransmissions, and their RBGs.

Retransmissions first, of each UE the oldest (`blocks`); then the UEs with the best metric on their best RBG, as many as
`max_dci` leaves (`bids`, `choice`), compete for each free RBG, until their block holds their buffer (`sharing`). Slices
that are owed their minimum go before the others, and slices at their maximum get nothing (`slices`). Inside that, flows
below their guaranteed bit rate go before the others. A UE gets at most one transport block a slot, without CQI none, with
CQI 0 no new one.
"""

from __future__ import annotations

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F32, F64, I32, I64, U8
from ran_sim.energy.power import ACTIVE
from ran_sim.link.harq import N_PROCESS
from ran_sim.mac.bids import fill_bids
from ran_sim.mac.blocks import retransmit, transmit
from ran_sim.mac.choice import choose, choose_by_quota, keep_allowed
from ran_sim.mac.leg import Leg
from ran_sim.mac.metrics import Rule, rule_of_cell
from ran_sim.mac.sharing import share, share_by_quota
from ran_sim.mac.slices import fill_accounts


@bare_kernel
def schedule_cells(
    slot: int,
    rule: Rule,
    max_dci: int,
    state: I32,
    mute: U8,
    activity: F32,
    reachable_slot: I64,
    ue_weight: F64,
    leg: Leg,
) -> None:
    """Fill one slot of all active cells.

    The cells' loop stands here and not around this function: numba hands over every field of every argument, 0.1 us a call.

    Args:
        slot: Slot to fill.
        rule: Metrics of the cells.
        max_dci: UEs that a cell can address in a slot.
        state: Power state of each cell, shape [n_cell]; see `energy.power`.
        mute: 1 for a cell that schedules nothing although it is active, shape [n_cell]; see `engine.faults`.
        activity: Set to the share of full power that each cell sends, shape [n_cell, n_rbg].
        reachable_slot: First slot in which each UE can be reached, shape [n_ue].
        ue_weight: Weight of each UE, shape [n_ue].
        leg: Its `sent` gets the blocks.
    """
    traffic, mac, slices = leg.traffic, leg.mac, leg.slices
    for cell in range(state.size):
        if state[cell] != ACTIVE or mute[cell]:
            continue  # `activity` of the cell was set to 0 when it went to sleep or when the fault began
        limited = slices.limited[cell] == 1
        if limited:
            fill_accounts(slices, cell)
        activity[cell, :] = 0.0
        n, dcis, free = _resend_and_gather(cell, slot, max_dci, limited, activity, reachable_slot, leg)
        if limited:
            n = keep_allowed(cell, n, traffic.of_ue, mac, slices)
        if n == 0 or dcis == 0:
            continue
        own = rule_of_cell(rule, cell)
        fill_bids(cell, slot, own, n, free, ue_weight, leg)
        if limited:
            n_chosen = choose_by_quota(cell, n, dcis, traffic.of_ue, mac, slices)
            share_by_quota(cell, own, n_chosen, free, activity, leg)
        else:
            n_chosen = choose(mac, n, dcis)
            share(cell, own, n_chosen, free, activity, leg)
        for k in range(n_chosen):
            if mac.rbgs[mac.chosen[k]] != 0:
                transmit(slot, mac.chosen[k], leg)


@bare_kernel
def _resend_and_gather(
    cell: int,
    slot: int,
    max_dci: int,
    limited: bool,
    activity: F32,
    reachable_slot: I64,
    leg: Leg,
) -> tuple[int, int, int]:
    """Send the waiting retransmissions, and put the UEs that may get new data into `mac.candidate`.

    Returns:
        Number of these UEs, and the DCIs and RBGs (bit b = RBG b) that are left for them.
    """
    queues, harq, csi, mac = leg.queues, leg.harq, leg.csi, leg.mac
    free = (1 << activity.shape[1]) - 1
    dcis = max_dci
    n = 0
    first = mac.member_start[cell]
    n_member = mac.member_start[cell + 1] - first
    place = slot % n_member if n_member > 0 else 0  # the order rotates: no UE is first at every tie
    for _ in range(n_member):
        u = mac.members[first + place]
        place = place + 1 if place + 1 < n_member else 0
        if slot < reachable_slot[u] or csi.wideband[u] < 0:
            continue
        if harq.n_waiting[u] > 0:
            if dcis > 0:
                rbgs = retransmit(cell, slot, u, free, limited, activity, leg)
                free &= ~rbgs
                dcis -= rbgs != 0
            continue  # also if too few RBGs were free: new data would overtake the old
        if csi.wideband[u] > 0 and queues.backlog_bytes[u] > 0 and harq.n_busy[u] < N_PROCESS:
            mac.candidate[n] = u
            n += 1
    return n, dcis, free
