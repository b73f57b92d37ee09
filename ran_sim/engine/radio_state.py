"""The state of the slow radio, as it is before slot 0: cells stand, maps are drawn, no UE is connected."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.state import (
    DEFAULT_OLLA_TARGET,
    F32,
    F64,
    I64,
    Ailments,
    Cells,
    Links,
    Ues,
)
from ran_sim.energy.power import ACTIVE
from ran_sim.mobility.handover import HandoverArrays, build_handover
from ran_sim.mobility.movement import Motion, Sessions, build_motion, build_sessions, first_session
from ran_sim.radio.antenna import Antenna, build_antenna
from ran_sim.radio.fading import Fading, build_fading
from ran_sim.radio.own_propagation import OwnPropagation
from ran_sim.radio.propagation import ENVIRONMENTS, Propagation, build_propagation
from ran_sim.radio.spread import Spread, build_spread
from ran_sim.radio.topology import Topology, build_topology
from ran_sim.scenario import Scenario

_THERMAL_NOISE_DBM_HZ = -174.0
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
