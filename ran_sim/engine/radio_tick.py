"""The radio tick: sessions, places, measurements and serving cells of all UEs, and commands to change the serving cell.

`radio_tick` runs on every radio tick (50 ms); fast fading is evaluated where a slot needs it (`fading.fade_to`). Both are
pure functions of the state and the slot, so a run can be split anywhere.
"""

from __future__ import annotations

import math

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import DEFAULT_OLLA_TARGET, DEFAULT_WEIGHT, I64, Cells, Links, Ues
from ran_sim.energy.power import ACTIVE
from ran_sim.engine.link_powers import note_powers, path_gains, renew_links, serving_sinr, sinr_of
from ran_sim.engine.radio_state import RadioState
from ran_sim.mobility.handover import (
    EXECUTING,
    REQUESTED,
    SEARCHING,
    HandoverArrays,
    advance_mobility,
    forget_target,
    measure,
    reestablish,
    reset_handover,
    send_command,
)
from ran_sim.mobility.movement import (
    doppler_speed_mps,
    follow_route,
    has_route,
    move_ue,
    next_session,
    place_ue,
    take_route,
)
from ran_sim.radio.fading import start_fading

_SPEED_OF_LIGHT_MPS = 299_792_458.0


@bare_kernel
def radio_tick(slot: int, cells: Cells, ues: Ues, links: Links, radio: RadioState) -> None:
    """Bring sessions, places, path gains, measurements and serving cells to `slot`, a multiple of `tick_slots`.

    Called once per tick, first at slot 0. A UE that starts here is placed, not moved, and takes the cell that it
    measures as strongest; where all cells sleep it waits until one is awake.
    """
    some_awake = note_powers(cells, radio)
    for u in range(ues.id.size):
        if slot >= ues.end_slot[u]:
            next_session(radio.seed, u, ues, radio.sessions)
            links.cell[u, :] = -1
            links.rx_mw[u, :] = 0.0
            links.fading[u, :, :] = np.float32(0)
        starts = some_awake and not ues.connected[u] and slot >= ues.start_slot[u]
        if starts:
            _start_ue(slot, u, ues, radio)
        elif ues.connected[u] and not has_route(u, radio.motion):
            move_ue(radio.seed, u, radio.tick_s, ues, radio.motion, radio.topology)
        if not ues.connected[u]:
            continue
        if has_route(u, radio.motion):
            follow_route(u, slot // radio.tick_slots * radio.tick_s, ues, radio.motion, radio.topology)
        moved_m = math.hypot(ues.x_m[u] - radio.gain_x_m[u], ues.y_m[u] - radio.gain_y_m[u])
        if starts or moved_m > radio.renew_m:
            radio.gain_x_m[u], radio.gain_y_m[u] = ues.x_m[u], ues.y_m[u]
            path_gains(u, ues.id[u], cells.ailments.pointing, links, radio)
        rsrp_dbm = links.rsrp_l3_dbm[u]
        measure(
            radio.seed,
            ues.id[u],
            slot // radio.tick_slots,
            links.gain_db[u],
            radio.sent_dbm,
            starts,
            rsrp_dbm,
            radio.handover,
        )
        handover = radio.handover
        if starts:
            ues.cell[u] = np.argmax(rsrp_dbm)
        elif handover.phase[u] == SEARCHING and slot >= handover.due_slot[u]:
            best = int(np.argmax(rsrp_dbm))
            noise_mw = links.noise_mw[0] + links.outside_mw[u]
            sinr = sinr_of(best, radio.gain[u], radio.sent_mw, cells.load, noise_mw)
            reestablish(u, slot, best, sinr, ues, handover)
        renew_links(u, ues.cell[u], cells.load, links, radio)
        if not starts and advance_mobility(
            u, slot, serving_sinr(u, cells, links), rsrp_dbm, cells.cio_db, ues, handover
        ):
            renew_links(u, ues.cell[u], cells.load, links, radio)


@bare_kernel
def _start_ue(slot: int, u: int, ues: Ues, radio: RadioState) -> None:
    """Put a new UE into row `u`; settings of the UE before go back to their defaults."""
    ue_id = radio.sessions.number[u] * ues.id.size + u
    ues.id[u] = ue_id
    ues.connected[u] = 1
    ues.weight[u] = DEFAULT_WEIGHT
    ues.olla_target[u] = DEFAULT_OLLA_TARGET
    ues.reachable_slot[u] = slot
    ues.reestablished[u] = 0
    place_ue(radio.seed, u, ue_id, radio.motion.home_cell[u], ues, radio.motion, radio.topology)
    if has_route(u, radio.motion):
        take_route(u, radio.motion)
    speed_mps = doppler_speed_mps(u, radio.motion)
    doppler_hz = max(speed_mps * radio.frequency_ghz * 1e9 / _SPEED_OF_LIGHT_MPS, radio.min_doppler_hz)
    start_fading(u, ue_id, doppler_hz, radio.fading)
    reset_handover(u, slot, radio.handover)


@bare_kernel
def request_handover(
    slot: int, u: int, cell: int, cells: Cells, ues: Ues, links: Links, radio: RadioState
) -> bool:
    """Hand UE row `u` over to `cell` at `slot`, without A3 and preparation; False, and nothing done, if it cannot be.

    It cannot while the row is empty, while an earlier handover is executed, while the UE searches for a cell, towards the
    serving or no cell, or from or towards one that sleeps. The command can be lost like any other: the UE stays where it
    is then.
    """
    handover = radio.handover
    if not 0 <= u < ues.id.size or not 0 <= cell < cells.x_m.size:
        return False
    if not ues.connected[u] or ues.cell[u] == cell or handover.phase[u] >= EXECUTING:
        return False
    if cells.state[cell] != ACTIVE or cells.state[ues.cell[u]] != ACTIVE:
        return False
    handover.counts[REQUESTED, ues.cell[u]] += 1
    if send_command(u, slot, cell, ues, handover):
        note_powers(cells, radio)
        renew_links(u, ues.cell[u], cells.load, links, radio)
    return True


@bare_kernel
def release_cells(slot: int, sleepy: I64, ues: Ues, links: Links, handover: HandoverArrays) -> None:
    """Command all UEs of the cells `sleepy` at `slot`, before these fall asleep, to the strongest other cell they hear.

    Commands can be lost like any other. UEs that a command does not reach, and UEs that hear no other cell, notice the loss by
    radio link monitoring. UEs measure these cells no more, and handovers towards them end.
    """
    for u in range(ues.id.size):
        if not ues.connected[u]:
            continue
        rsrp_dbm = links.rsrp_l3_dbm[u]
        leaves = False
        for i in range(sleepy.size):
            rsrp_dbm[sleepy[i]] = -np.inf
            leaves |= ues.cell[u] == sleepy[i]
            forget_target(u, sleepy[i], handover)
        target = int(np.argmax(rsrp_dbm))
        if leaves and rsrp_dbm[target] > -np.inf and handover.phase[u] < EXECUTING:
            send_command(u, slot, target, ues, handover)
