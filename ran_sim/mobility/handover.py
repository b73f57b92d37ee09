"""Mobility of a connected UE: measurements, event A3, handover, radio link monitoring, re-establishment.

TS 38.331: layer-3 filter (5.5.3.2), event A3 (5.5.4.4) with a time to trigger and cell individual offsets, radio link
failure by N310, T310 and N311 (5.3.10). The failure model is TR 36.839's: a handover fails if T310 runs, or the link
has failed, when its command should arrive (state 2), or if the target lies below Qout at the end of execution (state 3).
A UE without a link searches until it receives its strongest cell above Qin and re-establishes there (no T311 ends it).

Link quality is the serving cell's SINR without fast fading, averaged over Qout's and Qin's windows. The network has one
prepared target per UE, and sends the command even where the target falls back meanwhile (no report on leaving, A3-2).
A lost command is not repeated while T310 runs, though the link may be above Qout for a moment. Uplink, random access and
their failures are left out, conditional and DAPS handover too.

Everything is decided on radio ticks: time to trigger and the ends of preparation, execution, T310 and search are rounded
up to them, and the UE is served again from the tick on that decides it. Only a requested handover starts in between.
`radio.tick_ms = 10` makes the grid that fine.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.random import MEASUREMENT, normal_pair
from ran_sim.core.state import F32, F64, I32, I64, NEVER, U8, Ues
from ran_sim.scenario import Scenario

_L3_SAMPLE_MS = 200.0  # the measurement period that TS 38.331 5.5.3.2 defines filterCoefficient for
NOT_RUNNING: Final = -1

# Phases of a UE
CONNECTED: Final = 0
PREPARING: Final = 1  # a target; the command is sent in `due_slot`
COMMAND_LOST: Final = 2  # the command was lost, T310 runs
EXECUTING: Final = 3  # on the target, interrupted until `due_slot`, the tick that decides whether it is there
SEARCHING: Final = 4  # without a link; looks for a cell from `due_slot` on

# Counters, cumulative per cell: rows of `HandoverArrays.counts`
COUNTERS: Final = (
    "attempts",  # at the source: commands sent; a session may end before the outcome
    "successes",  # at the source
    "commands_lost",  # at the source: state 2, T310 runs when the command is sent
    "targets_lost",  # at the source: state 3
    "ping_pongs",  # successes out of the cell, back to the one that the UE came from, after a short stay
    "short_stays",  # successes out of the cell after a short stay, ping-pongs included
    "link_failures",  # T310 expired in the cell
    "reestablishments",  # in the cell that the UE returned to
    "too_early",  # at the source of the handover that was too early
    "too_late",  # at the cell that should have handed over
    "wrong_cell",  # at the source of the handover that led to the wrong cell
    "requested",  # those attempts that `request_handover` asked for
    "preparations_lost",  # at the source: state 2 as well, but the link failed before the command: no attempt
)
(
    ATTEMPTS,
    SUCCESSES,
    COMMANDS_LOST,
    TARGETS_LOST,
    PING_PONGS,
    SHORT_STAYS,
    LINK_FAILURES,
    REESTABLISHMENTS,
    TOO_EARLY,
    TOO_LATE,
    WRONG_CELL,
    REQUESTED,
    PREPARATIONS_LOST,
) = range(len(COUNTERS))


class HandoverArrays(NamedTuple):
    """State per UE row, counters per cell, parameters."""

    held_ticks: I32  # [n_ue, n_cell] ticks since the entering condition became true, -1 while it is not
    phase: U8  # [n_ue]
    target: I32  # [n_ue] cell being prepared
    source: (
        I32  # [n_ue] executing: the cell left; searching: that of the handover to blame for it, -1 for none
    )
    due_slot: I64  # [n_ue] see the phases
    previous_cell: I32  # [n_ue] source of the handover into the present cell, -1 if the UE came otherwise
    changed_slot: I64  # [n_ue] when the UE came into the present cell
    sinr: F32  # [n_ue, window] serving cell's in the latest ticks, linear, of one receive branch; a ring
    samples: I32  # [n_ue] taken in the present cell
    in_a_row: I32  # [n_ue] indications: out of sync, while T310 runs in sync
    t310_end: I64  # [n_ue] when T310 expires
    counts: I64  # [len(COUNTERS), n_cell]
    counts_before: I64  # [len(COUNTERS), n_cell] the part of `counts` from before the end of the warm-up
    margin_db: float  # A3 offset plus hysteresis
    filter_share: float  # weight of the newest sample in the layer-3 filter
    error_db: float  # standard deviation of one sample
    re_share_db: float  # from the carrier's power to that of one resource element
    tick_slots: int
    ttt_ticks: int
    preparation_slots: int
    execution_slots: int
    reestablishment_slots: int
    short_stay_slots: int
    recent_slots: int
    qout: float  # linear, of one receive branch
    qin: float
    qout_ticks: int
    qin_ticks: int
    n310: int
    n311: int
    t310_slots: int


def build_handover(scenario: Scenario) -> HandoverArrays:
    """Handover state of a network without connected UEs."""
    settings, tick_ms, n_ue, n_cell = (
        scenario.handover,
        scenario.radio.tick_ms,
        scenario.n_ue,
        scenario.n_cell,
    )
    qout_ticks, qin_ticks = (
        _ticks(window_ms, tick_ms) for window_ms in (settings.qout_window_ms, settings.qin_window_ms)
    )

    def slots() -> I64:
        return np.zeros(n_ue, np.int64)

    def numbers() -> I32:
        return np.zeros(n_ue, np.int32)

    return HandoverArrays(
        held_ticks=np.full((n_ue, n_cell), -1, np.int32),
        phase=np.full(n_ue, CONNECTED, np.uint8),
        target=numbers() - 1,
        source=numbers() - 1,
        due_slot=slots(),
        previous_cell=numbers() - 1,
        changed_slot=slots(),
        sinr=np.zeros((n_ue, max(qout_ticks, qin_ticks)), np.float32),
        samples=numbers(),
        in_a_row=numbers(),
        t310_end=slots() + NOT_RUNNING,
        counts=np.zeros((len(COUNTERS), n_cell), np.int64),
        counts_before=np.zeros((len(COUNTERS), n_cell), np.int64),
        margin_db=settings.a3_offset_db + settings.hysteresis_db,
        filter_share=l3_filter_share(settings.l3_filter_k, tick_ms),
        error_db=scenario.radio.measurement_error_db,
        re_share_db=-10.0 * math.log10(12 * scenario.carrier.bandwidth_prb),
        tick_slots=scenario.slots(tick_ms),
        ttt_ticks=_ticks(settings.ttt_ms, tick_ms),
        preparation_slots=scenario.slots(settings.preparation_ms),
        execution_slots=scenario.slots(settings.execution_ms),
        reestablishment_slots=scenario.slots(settings.reestablishment_ms),
        short_stay_slots=scenario.slots(settings.ping_pong_s * 1e3),
        recent_slots=scenario.slots(settings.mro_recent_s * 1e3),
        # Maximum ratio combining adds the branches' SINRs, which are alike without fast fading.
        qout=10.0 ** (settings.qout_db / 10.0) / scenario.radio.rx_branches,
        qin=10.0 ** (settings.qin_db / 10.0) / scenario.radio.rx_branches,
        qout_ticks=qout_ticks,
        qin_ticks=qin_ticks,
        n310=settings.n310,
        n311=settings.n311,
        t310_slots=scenario.slots(settings.t310_ms),
    )


def _ticks(time_ms: float, tick_ms: float) -> int:
    return math.ceil(time_ms / tick_ms - 1e-9)


def l3_filter_share(k: int, sample_ms: float) -> float:
    """Weight of a new sample, TS 38.331 5.5.3.2: a = 2^(-k/4), adapted so that the filter is as slow at this sample rate."""
    share = float(0.5 ** (k / 4))
    return float(1.0 - (1.0 - share) ** (sample_ms / _L3_SAMPLE_MS)) if k > 0 else 1.0


@bare_kernel
def measure(
    seed: int,
    ue_id: int,
    tick: int,
    gain_db: F32,
    tx_power_dbm: F64,
    first: bool,
    l3_rsrp_dbm: F32,
    handover: HandoverArrays,
) -> None:
    """Filter one sample of every cell's RSRP into `l3_rsrp_dbm`; all arrays [n_cell], of one UE.

    A sample is the mean over fast fading (layer 1 averages it out) plus a measurement error; -inf of a cell that does
    not send. One that sends again is filtered from its first sample on.
    """
    n_pair = (gain_db.size + 1) // 2
    for pair in range(n_pair):
        errors = 0.0, 0.0
        if handover.error_db > 0.0:
            errors = normal_pair(seed, MEASUREMENT, ue_id, tick * n_pair + pair)
        for i in range(min(2, gain_db.size - 2 * pair)):
            cell = 2 * pair + i
            sample_dbm = (
                tx_power_dbm[cell] + handover.re_share_db + gain_db[cell] + handover.error_db * errors[i]
            )
            if first or l3_rsrp_dbm[cell] == -math.inf:
                l3_rsrp_dbm[cell] = sample_dbm
            else:
                l3_rsrp_dbm[cell] += handover.filter_share * (sample_dbm - l3_rsrp_dbm[cell])


@bare_kernel
def reset_handover(u: int, slot: int, handover: HandoverArrays) -> None:
    """A new UE in row `u`, or one that has found a cell again: connected, and nothing is known of its link."""
    _enter_phase(u, CONNECTED, slot, handover)
    handover.previous_cell[u] = -1
    handover.changed_slot[u] = slot


@bare_kernel
def _enter_phase(u: int, phase: int, due_slot: int, handover: HandoverArrays) -> None:
    """Begin a phase with another cell or none: A3, radio link monitoring and a preparation start anew."""
    handover.phase[u] = phase
    handover.due_slot[u] = due_slot
    handover.target[u] = -1
    handover.held_ticks[u, :] = -1
    handover.samples[u] = 0
    handover.in_a_row[u] = 0
    handover.t310_end[u] = NOT_RUNNING


# -- radio link monitoring ----------------------------------------------------------------------------------------


@bare_kernel
def _sample_link(u: int, sinr: float, handover: HandoverArrays) -> None:
    handover.sinr[u, handover.samples[u] % handover.sinr.shape[1]] = sinr
    handover.samples[u] += 1


@bare_kernel
def _mean_sinr(u: int, ticks: int, handover: HandoverArrays) -> float:
    """Mean over the latest `ticks` samples, or over all of the present cell if there are fewer."""
    n = min(ticks, handover.samples[u])
    total = 0.0
    for i in range(handover.samples[u] - n, handover.samples[u]):
        total += handover.sinr[u, i % handover.sinr.shape[1]]
    return float(total / n)


@bare_kernel
def link_fails(u: int, slot: int, sinr: float, handover: HandoverArrays) -> bool:
    """Take in the serving cell's SINR (one branch, linear) of this tick; whether T310 expires: radio link failure.

    TS 38.331 5.3.10, one indication per tick: out of sync once Qout's whole window lies below Qout on average, in sync
    once Qin's lies above Qin. N310 of the first in a row start T310, N311 of the second stop it.
    """
    _sample_link(u, sinr, handover)
    if handover.t310_end[u] == NOT_RUNNING:
        full = handover.samples[u] >= handover.qout_ticks
        out_of_sync = full and _mean_sinr(u, handover.qout_ticks, handover) < handover.qout
        handover.in_a_row[u] = handover.in_a_row[u] + 1 if out_of_sync else 0
        if handover.in_a_row[u] < handover.n310:
            return False
        handover.t310_end[u] = slot + handover.t310_slots
    else:
        in_sync = _mean_sinr(u, handover.qin_ticks, handover) > handover.qin
        handover.in_a_row[u] = handover.in_a_row[u] + 1 if in_sync else 0
        if handover.in_a_row[u] < handover.n311:
            return bool(slot >= handover.t310_end[u])
        handover.t310_end[u] = NOT_RUNNING
    handover.in_a_row[u] = 0
    return False


@bare_kernel
def _lose_link(u: int, slot: int, ues: Ues, handover: HandoverArrays) -> None:
    """Radio link failure in the serving cell; a command that was being prepared comes too late: it is never sent."""
    cell = ues.cell[u]
    handover.counts[LINK_FAILURES, cell] += 1
    if handover.phase[u] == PREPARING:
        handover.counts[PREPARATIONS_LOST, cell] += 1
    recent = slot - handover.changed_slot[u] < handover.recent_slots
    _search(u, slot, handover.previous_cell[u] if recent else -1, ues, handover)


@bare_kernel
def _search(u: int, slot: int, blamed_source: int, ues: Ues, handover: HandoverArrays) -> None:
    """Let UE row `u` search for a cell. Its serving cell keeps its context until another cell asks for it."""
    _enter_phase(u, SEARCHING, slot + handover.reestablishment_slots, handover)
    handover.source[u] = blamed_source
    ues.reachable_slot[u] = NEVER


@bare_kernel
def reestablish(u: int, slot: int, cell: int, sinr: float, ues: Ues, handover: HandoverArrays) -> bool:
    """A searching UE returns to `cell`, its strongest, if it receives it above Qin; whether it does.

    The place of the return classifies the failure, TS 38.300 15.5.2. After a recent handover, a return to its source means
    "too early", and a return to a third cell "wrong cell". Without a recent handover, a return to another cell means "too
    late". In all other cases the coverage is to blame.
    """
    if sinr <= handover.qin:
        return False
    failed, source = ues.cell[u], handover.source[u]
    if source < 0 and cell != failed:
        handover.counts[TOO_LATE, failed] += 1
    elif source >= 0 and cell == source:
        handover.counts[TOO_EARLY, source] += 1
    elif source >= 0 and cell != failed:
        handover.counts[WRONG_CELL, source] += 1
    handover.counts[REESTABLISHMENTS, cell] += 1
    reset_handover(u, slot, handover)
    ues.cell[u] = cell
    ues.reachable_slot[u] = slot
    ues.reestablished[u] = 1
    return True


# -- event A3 and handover ----------------------------------------------------------------------------------------


@bare_kernel
def a3_target(u: int, serving: int, l3_rsrp_dbm: F32, cio_db: F64, handover: HandoverArrays) -> int:
    """Advance event A3 of one UE by one tick; the best cell that has triggered, -1 if none has.

    Entering condition A3-1: Mn + Ocn - Hys > Mp + Ocp + Off, to hold on every tick of the time to trigger.
    """
    best, best_dbm = -1, -math.inf
    threshold_dbm = l3_rsrp_dbm[serving] + cio_db[serving] + handover.margin_db
    for cell in range(l3_rsrp_dbm.size):
        value_dbm = l3_rsrp_dbm[cell] + cio_db[cell]
        if cell == serving or value_dbm <= threshold_dbm:
            handover.held_ticks[u, cell] = -1
            continue
        handover.held_ticks[u, cell] += 1
        if handover.held_ticks[u, cell] >= handover.ttt_ticks and value_dbm > best_dbm:
            best, best_dbm = cell, value_dbm
    return best


@bare_kernel
def due_target(u: int, slot: int, l3_rsrp_dbm: F32, cio_db: F64, ues: Ues, handover: HandoverArrays) -> int:
    """The cell that UE row `u` is commanded to on this tick, -1 for none; a new trigger starts its preparation."""
    if handover.phase[u] == COMMAND_LOST and handover.t310_end[u] == NOT_RUNNING:
        handover.phase[u] = CONNECTED
        handover.held_ticks[u, :] = -1  # the link is back: A3 must hold anew for the whole time to trigger
    triggered = a3_target(u, ues.cell[u], l3_rsrp_dbm, cio_db, handover)
    if handover.phase[u] == CONNECTED and triggered >= 0:
        handover.phase[u] = PREPARING
        handover.target[u] = triggered
        handover.due_slot[u] = slot + handover.preparation_slots
    if handover.phase[u] == PREPARING and slot >= handover.due_slot[u]:
        return int(handover.target[u])
    return -1


@bare_kernel
def forget_target(u: int, cell: int, handover: HandoverArrays) -> None:
    """Give up a handover of UE row `u` that is being prepared towards `cell`."""
    if handover.phase[u] == PREPARING and handover.target[u] == cell:
        handover.phase[u] = CONNECTED
        handover.target[u] = -1


@bare_kernel
def send_command(u: int, slot: int, target: int, ues: Ues, handover: HandoverArrays) -> bool:
    """Command UE row `u` to `target`; whether the command arrives. If so, the UE is on its new cell from now on.

    The UE cannot be reached until the execution ends, on the first tick after the execution time.
    """
    source = ues.cell[u]
    handover.counts[ATTEMPTS, source] += 1
    if handover.t310_end[u] != NOT_RUNNING:
        handover.counts[COMMANDS_LOST, source] += 1
        handover.phase[u] = COMMAND_LOST
        handover.target[u] = -1
        return False
    _enter_phase(u, EXECUTING, _first_tick(slot + max(handover.execution_slots, 1), handover), handover)
    handover.source[u] = source
    ues.cell[u] = target
    ues.reachable_slot[u] = handover.due_slot[u]
    return True


@bare_kernel
def _first_tick(slot: int, handover: HandoverArrays) -> int:
    """The first radio tick from `slot` on."""
    return -(-slot // handover.tick_slots) * handover.tick_slots


@bare_kernel
def _complete(u: int, slot: int, ues: Ues, handover: HandoverArrays) -> bool:
    """End the execution of a handover: the UE is connected to the target, or searches; whether it is connected."""
    source = handover.source[u]
    if _mean_sinr(u, handover.qout_ticks, handover) < handover.qout:
        handover.counts[TARGETS_LOST, source] += 1
        _search(u, slot, source, ues, handover)
        return False
    handover.counts[SUCCESSES, source] += 1
    stay_slots = handover.due_slot[u] - handover.changed_slot[u]
    if handover.previous_cell[u] >= 0 and stay_slots < handover.short_stay_slots:
        handover.counts[SHORT_STAYS, source] += 1
        if ues.cell[u] == handover.previous_cell[u]:
            handover.counts[PING_PONGS, source] += 1
    handover.phase[u] = CONNECTED
    handover.previous_cell[u] = source
    handover.changed_slot[u] = handover.due_slot[u]
    return True


@bare_kernel
def advance_mobility(
    u: int, slot: int, sinr: float, l3_rsrp_dbm: F32, cio_db: F64, ues: Ues, handover: HandoverArrays
) -> bool:
    """Bring a UE's link monitoring and handover to this tick, with the serving cell's SINR (one branch, linear).

    Returns:
        Whether the UE has another serving cell now.
    """
    phase = handover.phase[u]
    if phase == SEARCHING:
        return False
    if phase == EXECUTING:
        _sample_link(u, sinr, handover)
        if slot < handover.due_slot[u] or not _complete(u, slot, ues, handover):
            return False
    elif link_fails(u, slot, sinr, handover):
        _lose_link(u, slot, ues, handover)
        return False
    if l3_rsrp_dbm[ues.cell[u]] == -math.inf:
        return False  # its cell sleeps and sends no commands
    target = due_target(u, slot, l3_rsrp_dbm, cio_db, ues, handover)
    return target >= 0 and send_command(u, slot, target, ues, handover)
