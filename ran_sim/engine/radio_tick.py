"""The slow radio as the engine sees it: connected UEs, their cells, and the received power of every cell.

`radio_tick` runs on every radio tick (50 ms); fast fading is evaluated where a slot needs it (`fading.fade_to`). Both are
pure functions of the state and the slot, so a run can be split anywhere.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import (
    DEFAULT_OLLA_TARGET,
    DEFAULT_WEIGHT,
    F32,
    F64,
    I32,
    I64,
    Ailments,
    Cells,
    Links,
    Ues,
)
from ran_sim.energy.power import ACTIVE
from ran_sim.mobility.handover import (
    EXECUTING,
    REQUESTED,
    SEARCHING,
    HandoverArrays,
    advance_mobility,
    build_handover,
    forget_target,
    measure,
    reestablish,
    reset_handover,
    send_command,
)
from ran_sim.mobility.movement import (
    Motion,
    Sessions,
    build_motion,
    build_sessions,
    doppler_speed_mps,
    first_session,
    follow_route,
    has_route,
    move_ue,
    next_session,
    place_ue,
    take_route,
)
from ran_sim.radio.antenna import Antenna, build_antenna, column_gain
from ran_sim.radio.fading import Fading, assign_links, build_fading, start_fading
from ran_sim.radio.own_propagation import OwnPropagation
from ran_sim.radio.propagation import ENVIRONMENTS, Propagation, build_propagation, site_gains
from ran_sim.radio.spread import Spread, build_spread, departure, link_gain, pointed
from ran_sim.radio.topology import Topology, build_topology, nearest_copy
from ran_sim.scenario import Scenario

_SPEED_OF_LIGHT_MPS = 299_792_458.0
_THERMAL_NOISE_DBM_HZ = -174.0
_NEPER_PER_DB = math.log(10.0) / 10.0  # of power; exp takes a quarter of pow's time
_INITIAL_LOAD = 0.5  # of cells, until the engine has measured it
# Path gains are renewed once a UE has gone on by this share of the shadows' grid: 16 cm in UMa, 8 cm in UMi. Until then
# they are those of a place where the shadow differs by 0.1 dB (0.2 dB) at most, one standard deviation: of one grid
# cell's 2.1 dB (3.8 dB). A pedestrian's are renewed on every fourth (second) tick of 50 ms, a car's on every one.
_RENEW_SHARE: Final = 1.0 / 20.0


class Sources(NamedTuple):
    """Transmitters that are no cells: interference from outside, see `engine.faults`."""

    x_m: F64  # [n_source]
    y_m: F64
    sent_mw: F64  # [n_source] per RBG; 0 while one is silent


class RadioState(NamedTuple):
    """All state of the slow radio between ticks. Other modules read only the steps and the counters."""

    topology: Topology
    antenna: Antenna
    spread: Spread
    propagation: Propagation
    sessions: Sessions
    motion: Motion
    fading: Fading
    handover: HandoverArrays
    gain_x_m: F64  # [n_ue] the place that the UE's `Links.gain_db` is of
    gain_y_m: F64
    gain: F32  # [n_ue, n_cell] `Links.gain_db`, linear
    sources: Sources
    power_mw: F64  # [n_cell] scratch of one UE's links
    sent_dbm: F64  # [n_cell] scratch of one tick: power at the antenna, -inf of a cell that sleeps
    sent_mw: F64  # [n_cell] … per RBG; 0
    renew_m: float  # how far a UE goes on with the same path gains
    seed: int
    tick_slots: int
    grid_slots: int
    tick_s: float
    frequency_ghz: float
    min_doppler_hz: float
    rbg_share_db: float  # from the carrier's power to that of one RBG


def init_radio(
    scenario: Scenario, seed: int, path_loss: OwnPropagation = None
) -> tuple[Cells, Ues, Links, RadioState]:
    """The state at slot 0, before its tick: cells stand, maps are drawn, no UE is connected.

    `path_loss` takes the place of the scenario's, see `own_propagation`.
    """
    topology, antenna = build_topology(scenario.layout), build_antenna(scenario.layout)
    radio = scenario.radio
    state = RadioState(
        topology=topology,
        antenna=antenna,
        spread=build_spread(scenario, antenna),
        propagation=build_propagation(scenario, seed, path_loss),
        sessions=build_sessions(scenario),
        motion=build_motion(scenario),
        fading=build_fading(
            seed=seed,
            n_ue=scenario.n_ue,
            n_rbg=scenario.n_rbg,
            k=radio.k_interferers,
            n_branch=radio.rx_branches,
            grid_s=radio.fading_grid_ms / 1e3,
            delay_spread_s=radio.delay_spread_ns * 1e-9,
            rbg_hz=_rbg_hz(scenario),
            profile=radio.fading_profile,
        ),
        handover=build_handover(scenario),
        gain_x_m=np.full(scenario.n_ue, np.nan),
        gain_y_m=np.full(scenario.n_ue, np.nan),
        gain=np.zeros((scenario.n_ue, scenario.n_cell), np.float32),
        sources=Sources(
            x_m=np.array([source.position_m[0] for source in scenario.sources]),
            y_m=np.array([source.position_m[1] for source in scenario.sources]),
            sent_mw=np.zeros(len(scenario.sources)),
        ),
        power_mw=np.zeros(scenario.n_cell),
        sent_dbm=np.zeros(scenario.n_cell),
        sent_mw=np.zeros(scenario.n_cell),
        renew_m=_RENEW_SHARE * ENVIRONMENTS[scenario.layout.environment].shadow_grid_m,
        seed=seed,
        tick_slots=scenario.slots(radio.tick_ms),
        grid_slots=scenario.slots(radio.fading_grid_ms),
        tick_s=radio.tick_ms / 1e3,
        frequency_ghz=scenario.carrier.frequency_ghz,
        min_doppler_hz=radio.min_doppler_hz,
        rbg_share_db=10.0 * math.log10(scenario.rbg_prb / scenario.carrier.bandwidth_prb),
    )
    ues = no_ues(scenario.n_ue)
    for u in range(scenario.n_ue):
        first_session(seed, u, ues, state.sessions)
    return _cells(scenario, topology), ues, _no_links(scenario), state


def _rbg_hz(scenario: Scenario) -> float:
    return scenario.rbg_prb * 12 * scenario.carrier.scs_khz * 1e3


def _cells(scenario: Scenario, topology: Topology) -> Cells:
    n_cell = scenario.n_cell
    return Cells(
        x_m=topology.site_x_m[topology.cell_site],
        y_m=topology.site_y_m[topology.cell_site],
        azimuth_rad=topology.azimuth_rad,
        site=topology.cell_site,
        tx_power_dbm=np.full(n_cell, scenario.layout.tx_power_dbm),
        cio_db=np.zeros(n_cell),
        activity=np.zeros((n_cell, scenario.n_rbg), np.float32),
        load=np.full(n_cell, _INITIAL_LOAD, np.float32),
        ailments=no_ailments(n_cell),
        state=np.full(n_cell, ACTIVE, np.int32),
    )


def no_ailments(n_cell: int) -> Ailments:
    """Cells without a fault."""
    return Ailments(
        mute=np.zeros(n_cell, np.uint8),
        loss_db=np.zeros(n_cell),
        pointing=np.zeros(n_cell, np.int64),
        backhaul_slots=np.zeros(n_cell),
        backhaul_jitter_slots=np.zeros(n_cell),
    )


def no_ues(n_ue: int) -> Ues:
    """Empty UE rows."""

    def slots() -> I64:
        return np.zeros(n_ue, np.int64)

    return Ues(
        id=np.full(n_ue, -1, np.int64),
        connected=np.zeros(n_ue, np.uint8),
        cell=np.full(n_ue, -1, np.int32),
        x_m=np.zeros(n_ue),
        y_m=np.zeros(n_ue),
        vx_mps=np.zeros(n_ue),
        vy_mps=np.zeros(n_ue),
        weight=np.ones(n_ue),
        olla_target=np.full(n_ue, DEFAULT_OLLA_TARGET),
        start_slot=slots(),
        end_slot=slots(),
        reachable_slot=slots(),
        reestablished=np.zeros(n_ue, np.uint8),
    )


def _no_links(scenario: Scenario) -> Links:
    n_ue, ranks = scenario.n_ue, 1 + scenario.radio.k_interferers
    noise_dbm = (
        _THERMAL_NOISE_DBM_HZ + scenario.carrier.noise_figure_db + 10.0 * math.log10(_rbg_hz(scenario))
    )
    return Links(
        gain_db=np.full((n_ue, scenario.n_cell), -np.inf, np.float32),
        rsrp_l3_dbm=np.full((n_ue, scenario.n_cell), -np.inf, np.float32),
        cell=np.full((n_ue, ranks), -1, np.int32),
        rx_mw=np.zeros((n_ue, ranks), np.float32),
        rest_mw=np.zeros(n_ue, np.float32),
        outside_mw=np.zeros(n_ue, np.float32),
        noise_mw=np.array([10 ** (noise_dbm / 10)], np.float32),
        fading=np.zeros((n_ue, ranks, scenario.n_rbg), np.float32),
    )


@bare_kernel
def radio_tick(slot: int, cells: Cells, ues: Ues, links: Links, radio: RadioState) -> None:
    """Bring sessions, places, path gains, measurements and serving cells to `slot`, a multiple of `tick_slots`.

    Called once per tick, first at slot 0. A UE that starts here is placed, not moved, and takes the cell that it
    measures as strongest; where all cells sleep it waits until one is awake.
    """
    some_awake = _note_powers(cells, radio.rbg_share_db, radio.sent_dbm, radio.sent_mw)
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
            _path_gains(u, ues.id[u], cells.ailments.pointing, links, radio)
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
            reestablish(
                u,
                slot,
                best,
                _sinr_of(
                    best, radio.gain[u], radio.sent_mw, cells.load, links.noise_mw[0] + links.outside_mw[u]
                ),
                ues,
                handover,
            )
        _renew_links(
            u, ues.cell[u], cells.load, links, radio.gain[u], radio.sent_mw, radio.power_mw, radio.seed, radio.fading,
        )  # fmt: skip
        if not starts and advance_mobility(
            u, slot, serving_sinr(u, cells, links), rsrp_dbm, cells.cio_db, ues, handover
        ):
            _renew_links(
                u, ues.cell[u], cells.load, links, radio.gain[u], radio.sent_mw, radio.power_mw, radio.seed, radio.fading,
            )  # fmt: skip


@bare_kernel
def _note_powers(cells: Cells, rbg_share_db: float, sent_dbm: F64, sent_mw: F64) -> bool:
    """Note the power that every cell sends; whether any cell is awake."""
    some_awake = False
    for cell in range(cells.state.size):
        awake = cells.state[cell] == ACTIVE
        sent_dbm[cell] = cells.tx_power_dbm[cell] - cells.ailments.loss_db[cell] if awake else -np.inf
        sent_mw[cell] = math.exp(_NEPER_PER_DB * (sent_dbm[cell] + rbg_share_db))
        some_awake |= awake
    return some_awake


@bare_kernel
def refresh_links(cells: Cells, ues: Ues, links: Links, radio: RadioState) -> None:
    """Renew the received powers at once after a transmit power changed; measurements follow on the next tick."""
    _note_powers(cells, radio.rbg_share_db, radio.sent_dbm, radio.sent_mw)
    for u in range(ues.id.size):
        if ues.connected[u]:
            _renew_links(
                u, ues.cell[u], cells.load, links, radio.gain[u], radio.sent_mw, radio.power_mw, radio.seed, radio.fading,
            )  # fmt: skip


@bare_kernel
def renew_path_gains(cells: Cells, ues: Ues, links: Links, radio: RadioState) -> None:
    """Renew all path gains at once, at the places that they are of, after antennas or sources changed; and the links."""
    for u in range(ues.id.size):
        if ues.connected[u]:
            _path_gains(u, ues.id[u], cells.ailments.pointing, links, radio)
        else:
            links.outside_mw[u] = 0.0
    refresh_links(cells, ues, links, radio)


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
        _note_powers(cells, radio.rbg_share_db, radio.sent_dbm, radio.sent_mw)
        _renew_links(
            u, ues.cell[u], cells.load, links, radio.gain[u], radio.sent_mw, radio.power_mw, radio.seed, radio.fading,
        )  # fmt: skip
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


@bare_kernel
def serving_sinr(u: int, cells: Cells, links: Links) -> float:
    """Mean SINR of one branch on the serving cell, linear, without fast fading, interferers weighted with their load."""
    other_mw = links.noise_mw[0] + links.rest_mw[u]
    for k in range(1, links.cell.shape[1]):
        if links.cell[u, k] >= 0:
            other_mw += cells.load[links.cell[u, k]] * links.rx_mw[u, k]
    return float(links.rx_mw[u, 0] / other_mw)


@bare_kernel
def _sinr_of(cell: int, gain: F32, sent_mw: F64, load: F32, noise_mw: float) -> float:
    """The `serving_sinr` that a UE would have on any cell; `noise_mw` holds all that comes from no cell."""
    wanted_mw, other_mw = 0.0, float(noise_mw)
    for i in range(load.size):
        power_mw = gain[i] * sent_mw[i]
        if i == cell:
            wanted_mw = power_mw
        else:
            other_mw += power_mw * load[i]
    return wanted_mw / other_mw


@bare_kernel
def _start_ue(slot: int, u: int, ues: Ues, radio: RadioState) -> None:
    """Put a new UE into row `u`; settings of the UE before go back to their defaults."""
    n_ue, n_cell = ues.id.size, radio.topology.azimuth_rad.size
    ue_id = radio.sessions.number[u] * n_ue + u
    ues.id[u] = ue_id
    ues.connected[u] = 1
    ues.weight[u] = DEFAULT_WEIGHT
    ues.olla_target[u] = DEFAULT_OLLA_TARGET
    ues.reachable_slot[u] = slot
    ues.reestablished[u] = 0
    place_ue(radio.seed, u, ue_id, u % n_cell, ues, radio.motion, radio.topology)
    if has_route(u, radio.motion):
        take_route(u, radio.motion)
    speed_mps = doppler_speed_mps(u, radio.motion)
    doppler_hz = max(speed_mps * radio.frequency_ghz * 1e9 / _SPEED_OF_LIGHT_MPS, radio.min_doppler_hz)
    start_fading(u, ue_id, doppler_hz, radio.fading)
    reset_handover(u, slot, radio.handover)


@bare_kernel
def _path_gains(u: int, ue_id: int, pointing_of: I64, links: Links, radio: RadioState) -> None:
    """Path gains of one UE at its noted place: losses, angles and height once per site, then sectors; and sources."""
    topology, motion, gain_db = radio.topology, radio.motion, links.gain_db[u]
    indoor, height_m = motion.indoor[u] > 0, motion.height_m[u]
    for cell in range(gain_db.size):
        site = topology.cell_site[cell]
        if cell > 0 and topology.cell_site[cell - 1] == site:
            continue  # its site's first cell did it
        in_sight, blocked, dx_m, dy_m = _way_from(
            u, ue_id, site, topology.site_x_m[site], topology.site_y_m[site], radio
        )
        link = departure(
            in_sight,
            blocked,
            max(math.hypot(dx_m, dy_m), 1e-3),
            topology.bs_height_m,
            height_m,
            indoor,
            radio.spread,
        )
        bearing = math.atan2(dy_m, dx_m)
        pointing, column = -1, 0.0
        sector = cell
        while sector < gain_db.size and topology.cell_site[sector] == site:
            off_rad = bearing - topology.azimuth_rad[sector]
            off_deg = math.degrees(off_rad - 2.0 * math.pi * math.floor(off_rad / (2.0 * math.pi) + 0.5))
            if pointing_of[sector] != pointing:
                pointing = pointing_of[sector]
                column = column_gain(link.zenith_cos, pointed(radio.antenna, pointing, radio.spread))
            gain = link_gain(link, off_deg, column, pointing, radio.antenna, radio.spread)
            gain_db[sector] = math.log(gain) / _NEPER_PER_DB
            radio.gain[u, sector] = gain
            sector += 1
    sources = radio.sources
    outside_mw = 0.0
    for i in range(sources.x_m.size):  # their maps stand behind those of the sites
        site = topology.site_x_m.size + i
        in_sight, blocked, _, _ = _way_from(u, ue_id, site, sources.x_m[i], sources.y_m[i], radio)
        outside_mw += sources.sent_mw[i] * (in_sight + blocked)
    links.outside_mw[u] = outside_mw


@bare_kernel
def _way_from(
    u: int, ue_id: int, site: int, x_m: float, y_m: float, radio: RadioState
) -> tuple[float, float, float, float]:
    """Gains of both states between a site at (x, y) and the noted place of UE row `u`, see `site_gains`, and the way there."""
    dx_m, dy_m = nearest_copy(radio.gain_x_m[u] - x_m, radio.gain_y_m[u] - y_m, radio.topology)
    motion = radio.motion
    in_sight, blocked = site_gains(
        radio.seed, ue_id, site, dx_m, dy_m, motion.indoor[u] > 0, motion.height_m[u], motion.penetration_db[u],
        radio.propagation,
    )  # fmt: skip
    return in_sight, blocked, dx_m, dy_m


@bare_kernel
def _renew_links(
    u: int,
    serving: int,
    load: F32,
    links: Links,
    gain: F32,
    sent_mw: F64,
    power_mw: F64,
    seed: int,
    fading: Fading,
) -> None:
    """Sort one UE's cells into serving, K strongest others and the rest; `power_mw` is scratch."""
    cell_of, rx_mw = links.cell[u], links.rx_mw[u]
    for cell in range(power_mw.size):
        power_mw[cell] = gain[cell] * sent_mw[cell]
    cell_of[:] = -1
    rx_mw[:] = np.float32(0)
    cell_of[0], rx_mw[0] = serving, power_mw[serving]
    rest_mw = 0.0
    for cell in range(power_mw.size):
        rest_mw += power_mw[cell] * load[cell]
        heard_mw = np.float32(
            power_mw[cell]
        )  # as `links.rx_mw` keeps it, so that of two equal cells the first comes first
        # Cells that sleep do not interfere; with many asleep there may be fewer than K others.
        if rx_mw.size > 1 and cell != serving and heard_mw > rx_mw[-1]:
            _insert_interferer(cell, heard_mw, cell_of, rx_mw)
    for rank in range(cell_of.size):
        if cell_of[rank] >= 0:
            rest_mw -= power_mw[cell_of[rank]] * load[cell_of[rank]]
    links.rest_mw[u] = max(rest_mw, 0.0) + links.outside_mw[u]
    assign_links(u, cell_of, fading)


@bare_kernel
def _insert_interferer(cell: int, heard_mw: np.float32, cell_of: I32, rx_mw: F32) -> None:
    """Replace the weakest interferer by a cell that is stronger."""
    rank = rx_mw.size - 1
    while rank > 1 and rx_mw[rank - 1] < heard_mw:
        cell_of[rank], rx_mw[rank] = cell_of[rank - 1], rx_mw[rank - 1]
        rank -= 1
    cell_of[rank], rx_mw[rank] = cell, heard_mw
