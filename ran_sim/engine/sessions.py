"""Sessions as the MAC sees them: UEs come, change cells and leave; their counters go to their cells and to the ended sessions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ran_sim.core import counters
from ran_sim.core.counters import fold
from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import DEFAULT_OLLA_TARGET, DEFAULT_WEIGHT, F64, I32, I64, NEVER, Cells, Ues
from ran_sim.energy.power import ACTIVE
from ran_sim.link.csi import Csi, forget_csi
from ran_sim.link.harq import flush
from ran_sim.mac.leg import Leg
from ran_sim.mac.state import Mac, enter_cell
from ran_sim.traffic.playout import run_player
from ran_sim.traffic.queues import Queues, abandon, reset_queue, start_flow


class Counts(NamedTuple):
    """Counters, see `counters`; last axis [N]."""

    ue: I64  # [n_ue, N]
    folded: I64  # [n_ue, N] the part of `ue` that is in `cell_class` already
    before: I64  # [n_ue, N] the part of `ue` from before the end of the warm-up
    cell_class: I64  # [n_cell, n_class, N]
    ended: I64  # [n_ue, N] counters of sessions that ended at this tick, since the end of the warm-up
    ended_ue: I64  # [n_ue, 4] their UE id, UE row, cell, start slot
    start_slot: I64  # [n_ue] of the sessions


def init_counts(n_ue: int, n_cell: int, n_class: int) -> Counts:
    """All counters 0."""

    def rows() -> I64:
        return np.zeros((n_ue, counters.N), np.int64)

    return Counts(
        ue=rows(),
        folded=rows(),
        before=rows(),
        cell_class=np.zeros((n_cell, n_class, counters.N), np.int64),
        ended=rows(),
        ended_ue=np.zeros((n_ue, 4), np.int64),
        start_slot=np.zeros(n_ue, np.int64),
    )


@bare_kernel
def sync_sessions(slot: int, seed: int, cells: Cells, ues: Ues, leg: Leg, counts: Counts) -> int:
    """Bring MAC and queues in line with `Ues` after a radio tick or a handover, at the start of `slot`.

    Ended sessions leave their counters in `counts.ended`; a new UE starts with everything fresh; a handover flushes
    HARQ (RLC unacknowledged mode loses those bytes), keeps the queue (data forwarding) and asks for a new CSI report. So
    does a re-establishment, in the same cell too. Settings of a UE stay with it inside a node; at another node
    they start from the defaults. A UE whose link is lost, or whose cell sleeps, reports no CSI.

    Args:
        slot: The first slot that sees the change.
        seed: Of the run; a new flow's first packet is drawn from it.
        cells: Site and power state of each cell, shape [n_cell].
        ues: The UEs after the radio tick, shape [n_ue]; weight and OLLA target are set back where the node changes.
        leg: UEs as the MAC knows them. Its `queues.owner` and `queues.cell`, shape [n_ue], say which UE of which cell has each
            row; these, the packets, HARQ, CSI and members follow `ues`.
        counts: Counters of each UE row; those of ended sessions are moved to the first rows of `ended`.

    Returns:
        Number of sessions that ended.
    """
    queues, csi = leg.queues, leg.csi
    n_ended = 0
    for u in range(ues.id.shape[0]):
        present = ues.id[u] if ues.connected[u] == 1 else -1
        owner = queues.owner[u]
        same_link = queues.cell[u] == ues.cell[u] and ues.reestablished[u] == 0
        if owner == present and (owner < 0 or same_link):
            if owner >= 0:
                _follow_reachability(
                    u, slot, cells.state[queues.cell[u]] == ACTIVE, ues.reachable_slot[u], csi
                )
            continue
        ues.reestablished[u] = 0
        if owner >= 0:
            stays = owner == present
            _leave_link(u, slot, stays, leg, counts)
            if not stays:
                _end_session(u, queues, counts, n_ended)
                n_ended += 1
                forget_csi(csi, u, NEVER)
        if present >= 0:
            if owner != present:
                _begin_session(u, slot, leg.harq.olla_db, counts)
                start_flow(queues, leg.traffic, seed, u, present, slot)
            elif cells.site[queues.cell[u]] != cells.site[ues.cell[u]]:
                ues.weight[u] = DEFAULT_WEIGHT
                ues.olla_target[u] = DEFAULT_OLLA_TARGET
                leg.harq.olla_db[u] = 0.0
            # The new serving cell has no channel report: the UE measures as soon as it can be reached.
            queues.cell[u] = ues.cell[u]
            forget_csi(csi, u, max(slot, ues.reachable_slot[u]))
            enter_cell(leg.mac, u, slot)
    _sort_members(queues.cell, leg.mac)
    return n_ended


@bare_kernel
def _follow_reachability(u: int, slot: int, awake: bool, reachable_slot: int, csi: Csi) -> None:
    """End the channel reports of a UE that no cell can reach; let a UE that can be reached again measure anew."""
    reachable = awake and reachable_slot != NEVER
    silent = csi.next_slot[u] == NEVER
    if reachable and silent:
        forget_csi(csi, u, max(slot, reachable_slot))
    elif not reachable and not silent:
        forget_csi(csi, u, NEVER)


@bare_kernel
def _leave_link(u: int, slot: int, stays: bool, leg: Leg, counts: Counts) -> None:
    """Drop the data in HARQ of the link that the UE leaves, and its queue too unless it `stays` connected."""
    queues, traffic = leg.queues, leg.traffic
    flush(leg.harq, queues, traffic, counts.ue[u], u, slot, stays)
    if not stays:
        run_player(queues.player[u], counts.ue[u], slot)
        abandon(queues, counts.ue[u], u)
    fold(counts.ue[u], counts.folded[u], counts.cell_class[queues.cell[u], traffic.of_ue[u]])
    queues.burst_mark[u] = -1


@bare_kernel
def _begin_session(u: int, slot: int, olla_db: F64, counts: Counts) -> None:
    counts.ue[u] = 0
    counts.folded[u] = 0
    counts.before[u] = 0
    counts.start_slot[u] = slot
    olla_db[u] = 0.0


@bare_kernel
def _end_session(u: int, queues: Queues, counts: Counts, row: int) -> None:
    for i in range(counts.ended.shape[1]):
        counts.ended[row, i] = counts.ue[u, i] - counts.before[u, i]
    counts.ended_ue[row, 0] = queues.owner[u]
    counts.ended_ue[row, 1] = u
    counts.ended_ue[row, 2] = queues.cell[u]
    counts.ended_ue[row, 3] = counts.start_slot[u]
    reset_queue(queues, u)


@bare_kernel
def _sort_members(cell_of: I32, mac: Mac) -> None:
    """`mac.members`: connected UEs by cell, ascending within it."""
    n = 0
    for cell in range(mac.member_start.shape[0] - 1):
        mac.member_start[cell] = n
        for u in range(cell_of.shape[0]):
            if cell_of[u] == cell:
                mac.members[n] = u
                n += 1
    mac.member_start[-1] = n


@bare_kernel
def fold_all(cell_of: I32, class_of: I32, counts: Counts) -> None:
    """Bring `counts.cell_class` up to date."""
    for u in range(cell_of.shape[0]):
        if cell_of[u] >= 0:
            fold(counts.ue[u], counts.folded[u], counts.cell_class[cell_of[u], class_of[u]])
