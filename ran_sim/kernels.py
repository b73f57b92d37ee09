"""The slot: arrivals, feedback, scheduling of all cells, reception of all transport blocks, channel measurements.

Two passes: every cell decides from what it knows, which says where power is sent (`Cells.activity`); then every block
is received under the interference of all those decisions. One compiled call simulates many slots. All state is in the
arrays of `World`, all randomness in counters, so cutting a run into calls elsewhere changes no bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ran_sim import random
from ran_sim._jit import kernel
from ran_sim.counters import ACTIVE_SLOTS, CONNECTED_SLOTS, fold
from ran_sim.csi import Csi, apply_report, forget_csi, measure
from ran_sim.harq import Harq, Sent, feedback, flush
from ran_sim.link import LinkTables, block_error_rate, effective_sinr
from ran_sim.queues import NEVER, Queues, arrive, discard_expired, reset_queue, start_flow
from ran_sim.radio import RadioState, advance_fading
from ran_sim.scheduler import Mac, schedule_cell
from ran_sim.state import F64, I64, Cells, Links, Ues
from ran_sim.traffic import Traffic

LOAD_WINDOW_SLOTS = 200.0  # of the smoothed load that measurements and far interferers see


class Counts(NamedTuple):
    """Counters, see `counters`; last axis [N]."""

    ue: I64  # [n_ue, N]
    folded: I64  # [n_ue, N] the part of `ue` that is in `cell_class` already
    before: I64  # [n_ue, N] the part of `ue` from before the end of the warm-up
    cell_class: I64  # [n_cell, n_class, N]
    ended: I64  # [n_ue, N] counters of sessions that ended at this tick, since the end of the warm-up
    ended_ue: I64  # [n_ue, 4] their UE id, UE slot, cell, start slot


class Settings(NamedTuple):
    """Constants of a run."""

    seed: int
    policy: int
    max_dci: int
    pf_window_slots: float
    cqi_period_slots: int
    cqi_delay_slots: int
    cqi_error_db: float


class World(NamedTuple):
    """All state of a run."""

    settings: Settings
    cells: Cells
    ues: Ues
    links: Links
    radio: RadioState
    traffic: Traffic
    queues: Queues
    harq: Harq
    sent: Sent
    csi: Csi
    mac: Mac
    tables: LinkTables
    counts: Counts
    start_slot: I64  # [n_ue] of the sessions, as the MAC knows them
    sinr: F64  # [n_rbg] scratch


@kernel
def sync_sessions(slot: int, world: World) -> int:
    """Bring MAC and queues in line with `Ues` after a radio tick or a handover, at the start of `slot`.

    Ended sessions leave their counters in `counts.ended`; a new UE starts with everything fresh; a handover flushes
    HARQ (RLC unacknowledged mode loses those bytes), keeps the queue (data forwarding) and asks for a new CSI report.

    Returns:
        Number of sessions that ended.
    """
    ues, queues, harq, counts = world.ues, world.queues, world.harq, world.counts
    n_ended = 0
    for u in range(ues.id.shape[0]):
        present = ues.id[u] if ues.connected[u] == 1 else -1
        owner = queues.owner[u]
        if owner == present:
            if owner >= 0 and queues.cell[u] != ues.cell[u]:
                flush(harq, queues, world.traffic, counts.ue[u], u, slot, True)
                _fold_ue(world, u)
                queues.cell[u] = ues.cell[u]
                queues.burst_mark[u] = -1
                _enter_cell(slot, world, u)
            continue
        if owner >= 0:
            flush(harq, queues, world.traffic, counts.ue[u], u, slot, False)
            _fold_ue(world, u)
            counts.ended[n_ended] = counts.ue[u] - counts.before[u]
            counts.ended_ue[n_ended, 0] = owner
            counts.ended_ue[n_ended, 1] = u
            counts.ended_ue[n_ended, 2] = queues.cell[u]
            counts.ended_ue[n_ended, 3] = world.start_slot[u]
            n_ended += 1
            reset_queue(queues, u)
            forget_csi(world.csi, u, NEVER)
        if present >= 0:
            counts.ue[u] = 0
            counts.folded[u] = 0
            counts.before[u] = 0
            start_flow(queues, world.traffic, world.settings.seed, u, present, slot)
            queues.cell[u] = ues.cell[u]
            world.start_slot[u] = slot
            harq.olla_db[u] = 0.0
            _enter_cell(slot, world, u)
    _sort_members(world)
    return n_ended


@kernel
def _enter_cell(slot: int, world: World, u: int) -> None:
    """The serving cell knows nothing of the UE yet: it has it measure as soon as it is reachable."""
    forget_csi(world.csi, u, max(slot, world.ues.blocked_until[u]))
    world.mac.average_bits[u] = 1.0
    world.mac.last_served[u] = slot


@kernel
def _fold_ue(world: World, u: int) -> None:
    counts = world.counts
    fold(counts.ue[u], counts.folded[u], counts.cell_class[world.queues.cell[u], world.traffic.of_ue[u]])


@kernel
def fold_all(world: World) -> None:
    """Bring `counts.cell_class` up to date."""
    for u in range(world.ues.id.shape[0]):
        if world.queues.owner[u] >= 0:
            _fold_ue(world, u)


@kernel
def _sort_members(world: World) -> None:
    """`mac.members`: connected UEs by cell, ascending within it."""
    start, members = world.mac.member_start, world.mac.members
    n = 0
    for cell in range(start.shape[0] - 1):
        start[cell] = n
        for u in range(world.ues.id.shape[0]):
            if world.queues.owner[u] >= 0 and world.queues.cell[u] == cell:
                members[n] = u
                n += 1
    start[start.shape[0] - 1] = n


@kernel
def run_slots(first: int, stop: int, world: World) -> None:
    """Simulate slots `first` .. `stop` - 1, between two radio ticks."""
    radio = world.radio
    for slot in range(first, stop):
        if slot % radio.grid_slots == 0:
            advance_fading(slot, world.ues, world.links, radio)
        _arrivals_and_reports(slot, world)
        _feedback(slot, world)
        world.sent.n[slot % world.sent.n.shape[0]] = 0
        for cell in range(world.cells.load.shape[0]):
            schedule_cell(
                cell, slot, world.settings.policy, world.settings.max_dci, world.cells, world.ues, world.traffic,
                world.queues, world.harq, world.csi, world.mac, world.tables, world.sent, world.counts.ue,
            )  # fmt: skip
        _receive(slot, world)
        _measure_and_average(slot, world)


@kernel
def _arrivals_and_reports(slot: int, world: World) -> None:
    queues, csi, counts = world.queues, world.csi, world.counts.ue
    for i in range(world.mac.member_start[-1]):
        u = world.mac.members[i]
        if queues.next_slot[u] <= slot:
            arrive(queues, world.traffic, counts[u], world.settings.seed, slot, u)
        if queues.backlog_bytes[u] > 0:
            discard_expired(queues, world.traffic, counts[u], slot, u)
        if csi.due_slot[u] <= slot:
            apply_report(csi, world.tables, counts[u], u)


@kernel
def _feedback(slot: int, world: World) -> None:
    """What was sent HARQ_RTT_SLOTS ago is now known; blocks flushed since then are not those any more."""
    sent, harq = world.sent, world.harq
    rtt = sent.n.shape[0]
    row = slot % rtt
    for i in range(sent.n[row]):
        u = sent.ue[row, i]
        p = sent.process[row, i]
        if harq.state[u, p] == 1 and harq.sent_slot[u, p] == slot - rtt:
            feedback(harq, world.queues, world.traffic, world.counts.ue[u], u, p, world.ues.olla_target[u])


@kernel
def _receive(slot: int, world: World) -> None:
    """Effective SINR of every block sent in `slot`, combined with its earlier attempts, and whether it is decoded."""
    sent, harq, links, activity = world.sent, world.harq, world.links, world.cells.activity
    n_rbg = activity.shape[1]
    row = slot % sent.n.shape[0]
    for i in range(sent.n[row]):
        u = sent.ue[row, i]
        p = sent.process[row, i]
        n = 0
        floor_mw = links.noise_mw[0] + links.rest_mw[u]
        for b in range(n_rbg):
            if (sent.rbgs[row, i] >> b) & 1 == 0:
                continue
            interference_mw = floor_mw
            for k in range(1, links.cell.shape[1]):
                cell = links.cell[u, k]
                if cell >= 0 and activity[cell, b] > 0.0:
                    interference_mw += activity[cell, b] * links.rx_mw[u, k] * links.fading[u, k, b]
            world.sinr[n] = links.rx_mw[u, 0] * links.fading[u, 0, b] / interference_mw
            n += 1
        mcs = harq.mcs[u, p]
        harq.sinr[u, p] += effective_sinr(world.sinr, n, world.tables.beta[mcs])
        snr_db = 10.0 * math.log10(max(harq.sinr[u, p], 1e-9))
        lost = block_error_rate(world.tables, snr_db, mcs, harq.n_prb[u, p])
        draw = random.uniform(world.settings.seed, random.BLER, world.queues.owner[u], slot)
        harq.decoded[u, p] = 1 if draw >= lost else 0


@kernel
def _measure_and_average(slot: int, world: World) -> None:
    settings, mac, csi, queues = world.settings, world.mac, world.csi, world.queues
    cells, counts = world.cells, world.counts.ue
    keep = 1.0 - 1.0 / settings.pf_window_slots
    for i in range(mac.member_start[-1]):
        u = mac.members[i]
        if csi.next_slot[u] <= slot:
            measure(
                csi, world.tables, cells, world.links, settings.seed, slot, u, queues.owner[u],
                settings.cqi_error_db, settings.cqi_delay_slots,
            )  # fmt: skip
            # Staggered over the period by UE slot; a first report after entering a cell comes out of turn.
            period = settings.cqi_period_slots
            csi.next_slot[u] = slot + period - (slot - u) % period
        mac.average_bits[u] = keep * mac.average_bits[u] + (1.0 - keep) * mac.served_bits[u]
        mac.served_bits[u] = 0.0
        counts[u, CONNECTED_SLOTS] += 1
        if queues.backlog_bytes[u] > 0 or world.harq.n_busy[u] > 0:
            counts[u, ACTIVE_SLOTS] += 1
    n_rbg = cells.activity.shape[1]
    for cell in range(cells.load.shape[0]):
        used = 0.0
        for b in range(n_rbg):
            used += cells.activity[cell, b]
        cells.load[cell] += np.float32((used / n_rbg - cells.load[cell]) / LOAD_WINDOW_SLOTS)
