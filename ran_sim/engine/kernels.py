"""The slot: arrivals, feedback, scheduling of all cells, reception of all transport blocks, channel measurements.

A slot has two passes. First every cell decides by its own knowledge; the decisions fix where power is sent
(`Cells.activity`). Then every block is received under the interference of all these decisions. One compiled call simulates
many slots. All state is in the arrays of `Network` and all randomness in counters, so the cuts between calls change no bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ran_sim.core import random
from ran_sim.core.counters import ACTIVE_SLOTS, CONNECTED_SLOTS, LOST_SLOTS
from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F32, F64, I32, I64, NEVER, Ailments, Cells, Links, Ues
from ran_sim.energy.power import Energy, spend_slot
from ran_sim.engine.radio_state import RadioState
from ran_sim.engine.sessions import Counts
from ran_sim.link.adaptation import LinkTables, block_error_rate, effective_sinr
from ran_sim.link.csi import Csi, apply_report, measure, predict, sinr_into
from ran_sim.link.harq import HARQ_RTT_SLOTS, SENT, Harq, Sent, feedback
from ran_sim.mac.leg import Leg
from ran_sim.mac.metrics import Rule
from ran_sim.mac.scheduler import schedule_cells
from ran_sim.mac.slices import Slices
from ran_sim.mac.state import Mac
from ran_sim.radio.fading import Fading, fade_to
from ran_sim.traffic.arrivals import Traffic
from ran_sim.traffic.playout import run_player
from ran_sim.traffic.queues import Queues, arrive, discard_expired

LOAD_WINDOW_SLOTS = 200.0  # of the smoothed load that measurements and far interferers see


class Settings(NamedTuple):
    """Constants of a run."""

    seed: int
    rule: Rule
    max_dci: int
    pf_window_slots: float


class Network(NamedTuple):
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
    slices: Slices
    tables: LinkTables
    counts: Counts
    energy: Energy
    sinr: F32  # [n_rbg] scratch


class SlotRadio(NamedTuple):
    """The part of `RadioState` that slots read."""

    fading: Fading
    grid_slots: int


def for_slots(network: Network) -> Network:
    """`network` as `run_slots` takes it: without the slow radio's arrays, which cost seconds of compile time."""
    slim = SlotRadio(fading=network.radio.fading, grid_slots=network.radio.grid_slots)
    return network._replace(radio=slim)  # type: ignore[arg-type]  # because numba compiles for the fields that are there


@bare_kernel
def run_slots(first: int, stop: int, network: Network) -> int:
    """Simulate slots `first` .. `stop` - 1, between two radio ticks; the first slot that is not finished.

    The result is `stop`, or a slot in which the ring of a queue is full, see `queues.with_larger_rings`. Another call goes on there.

    Only this function takes the whole network: each array that passes a call costs compile time.
    """
    settings, radio, sent, harq, links = (
        network.settings,
        network.radio,
        network.sent,
        network.harq,
        network.links,
    )
    cells, ues, queues, traffic, csi, mac = (
        network.cells, network.ues, network.queues, network.traffic, network.csi, network.mac,
    )  # fmt: skip
    slices, tables, counts = network.slices, network.tables, network.counts.ue
    leg = Leg(traffic, queues, harq, csi, mac, slices, tables, sent, counts)
    for slot in range(first, stop):
        if not _arrivals_and_reports(
            slot, settings.seed, queues, traffic, csi, mac.members[: mac.member_start[-1]], tables, counts,
            cells.ailments,
        ):  # fmt: skip
            return slot
        _feedback(slot, sent, harq, queues, traffic, ues.olla_target, tables.t10_db.shape[0] - 1, counts)
        sent.n[slot % HARQ_RTT_SLOTS] = 0
        schedule_cells(
            slot,
            settings.rule,
            settings.max_dci,
            cells.state,
            cells.ailments.mute,
            cells.activity,
            ues.reachable_slot,
            ues.weight,
            leg,
        )
        _fade(
            slot,
            slot // radio.grid_slots,
            sent,
            csi.next_slot,
            mac.members[: mac.member_start[-1]],
            links,
            radio.fading,
        )
        _receive(slot, settings.seed, sent, harq, links, cells.activity, tables, queues.owner, network.sinr)
        _measure(slot, csi, mac.members[: mac.member_start[-1]], cells.load, links, tables, queues.owner)
        _average(
            settings.pf_window_slots,
            mac,
            queues.backlog_bytes,
            harq.n_busy,
            ues.reachable_slot,
            cells,
            counts,
        )
        spend_slot(slot, cells, mac.rbg_prb, network.energy)
    _play(stop, mac.members[: mac.member_start[-1]], queues.player, counts)
    return stop


@bare_kernel
def channel_into(out_db: F32, slot: int, network: Network) -> None:
    """What UEs would measure in `slot` without an error: SINR in dB of each RBG, [n_ue, n_rbg]; NaN in rows without a UE.

    Only a look: fading is a pure function of time.
    """
    csi, links, fading = network.csi, network.links, network.radio.fading
    load = network.cells.load.reshape(-1, 1)
    for u in range(out_db.shape[0]):
        out_db[u, :] = np.float32(np.nan)
        if network.queues.owner[u] < 0:
            continue
        fade_to(u, slot // network.radio.grid_slots, fading, links.fading[u])
        sinr_into(csi.sinr, links, u, load, False)
        for b in range(out_db.shape[1]):
            out_db[u, b] = 10.0 * math.log10(max(csi.sinr[b], 1e-9))


@bare_kernel
def _arrivals_and_reports(
    slot: int,
    seed: int,
    queues: Queues,
    traffic: Traffic,
    csi: Csi,
    members: I64,
    tables: LinkTables,
    counts: I64,
    ailments: Ailments,
) -> bool:
    """Packets, budgets and reports up to `slot`; False, and to be done again, if the ring of a queue is full."""
    predicts = csi.prediction.weights.shape[0] > 0
    for i in range(members.shape[0]):
        u = members[i]
        if queues.next_slot[u] <= slot:
            cell = queues.cell[u]
            late_slots = ailments.backhaul_slots[cell], ailments.backhaul_jitter_slots[cell]
            if not arrive(queues, traffic, counts[u], seed, slot, u, late_slots):
                return False
        if queues.backlog_bytes[u] > 0:
            discard_expired(queues, traffic, counts[u], slot, u)
        if csi.due_slot[u] <= slot:
            apply_report(csi, tables, counts[u], u)
        if predicts and csi.prediction.used[queues.cell[u]] == 1:
            predict(csi, tables, slot, u)
    return True


@bare_kernel
def _feedback(
    slot: int,
    sent: Sent,
    harq: Harq,
    queues: Queues,
    traffic: Traffic,
    olla_target: F64,
    top_mcs: int,
    counts: I64,
) -> None:
    """Take the feedback on blocks that were sent HARQ_RTT_SLOTS ago; blocks that were flushed since then are skipped."""
    row = slot % HARQ_RTT_SLOTS
    for i in range(sent.n[row]):
        u = sent.ue[row, i]
        p = sent.process[row, i]
        if harq.state[u, p] == SENT and harq.sent_slot[u, p] == slot - HARQ_RTT_SLOTS:
            feedback(harq, queues, traffic, counts[u], u, p, olla_target[u], top_mcs)


@bare_kernel
def _fade(
    slot: int, grid_step: int, sent: Sent, measure_slot: I64, members: I64, links: Links, fading: Fading
) -> None:
    """Fast fading of the UEs that receive or measure in `slot`."""
    row = slot % HARQ_RTT_SLOTS
    for i in range(sent.n[row]):
        u = sent.ue[row, i]
        fade_to(u, grid_step, fading, links.fading[u])
    for i in range(members.shape[0]):
        u = members[i]
        if measure_slot[u] <= slot:
            fade_to(u, grid_step, fading, links.fading[u])


@bare_kernel
def _receive(
    slot: int,
    seed: int,
    sent: Sent,
    harq: Harq,
    links: Links,
    activity: F32,
    tables: LinkTables,
    owner: I64,
    sinr: F32,
) -> None:
    """Effective SINR of every block sent in `slot`, combined with its earlier attempts, and whether it is decoded."""
    row = slot % HARQ_RTT_SLOTS
    for i in range(sent.n[row]):
        u = sent.ue[row, i]
        p = sent.process[row, i]
        sinr_into(sinr, links, u, activity, True)
        n = 0
        for b in range(sinr.size):  # the block's own RBGs to the front
            sinr[n] = sinr[b]
            n += (sent.rbgs[row, i] >> b) & 1
        mcs = harq.mcs[u, p]
        harq.sinr[u, p] += effective_sinr(sinr, n, tables.beta[mcs])
        snr_db = 10.0 * math.log10(max(harq.sinr[u, p], 1e-9))
        lost = block_error_rate(tables, snr_db, mcs, harq.n_prb[u, p])
        harq.decoded[u, p] = 1 if random.uniform(seed, random.BLER, owner[u], slot) >= lost else 0


@bare_kernel
def _measure(
    slot: int, csi: Csi, members: I64, load: F32, links: Links, tables: LinkTables, owner: I64
) -> None:
    """Channel reports that are due, staggered over the period by UE row; the first after entering a cell is not."""
    period = csi.reports.period_slots
    for i in range(members.shape[0]):
        u = members[i]
        if csi.next_slot[u] <= slot:
            measure(csi, tables, load, links, slot, u, owner[u])
            csi.next_slot[u] = slot + period - (slot - u) % period


@bare_kernel
def _play(stop: int, members: I64, player: F64, counts: I64) -> None:
    """Count the time of the streams' players up to where the feedback on all that was sent is known."""
    for i in range(members.shape[0]):
        run_player(player[members[i]], counts[members[i]], stop - HARQ_RTT_SLOTS)


@bare_kernel
def _average(
    window_slots: float,
    mac: Mac,
    backlog_bytes: I64,
    n_busy: I32,
    reachable_slot: I64,
    cells: Cells,
    counts: I64,
) -> None:
    """PF averages, presence and the cells' smoothed load after a slot."""
    keep = 1.0 - 1.0 / window_slots
    for i in range(mac.member_start[-1]):
        u = mac.members[i]
        mac.average_bits[u] = keep * mac.average_bits[u] + (1.0 - keep) * mac.served_bits[u]
        mac.served_bits[u] = 0.0
        counts[u, CONNECTED_SLOTS] += 1
        if backlog_bytes[u] > 0 or n_busy[u] > 0:
            counts[u, ACTIVE_SLOTS] += 1
        if reachable_slot[u] == NEVER:
            counts[u, LOST_SLOTS] += 1
    n_rbg = cells.activity.shape[1]
    for cell in range(cells.load.shape[0]):
        used = 0.0
        for b in range(n_rbg):
            used += cells.activity[cell, b]
        cells.load[cell] += np.float32((used / n_rbg - cells.load[cell]) / LOAD_WINDOW_SLOTS)
