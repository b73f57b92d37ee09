"""Measurements, event A3, and what a handover does to a UE.

TS 38.331: layer-3 filter (5.5.3.2), event A3 (5.5.4.4) with a time to trigger and cell individual offsets, one best
cell per UE. After the trigger the source prepares the target, then the command either arrives (the UE is interrupted
for the execution time) or, where the serving SINR has fallen below Qout, is lost (the UE re-establishes on its
strongest cell after a longer interruption; on the same cell its HARQ and CSI survive). A target that is weaker than the
strongest cell by more than Qout cannot be received and fails in the same way. That is TR 36.839's failure model without
its timers and filtered SINR; radio link failure without a handover under way is left out, and its level is not calibrated.

Everything happens on radio ticks: time to trigger and preparation are rounded up to whole ticks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ran_sim._jit import bare_kernel
from ran_sim.random import MEASUREMENT, normal
from ran_sim.scenario import Scenario
from ran_sim.state import F32, F64, I32, I64, Ues

_L3_SAMPLE_MS = 200.0  # the measurement period that TS 38.331 5.5.3.2 defines filterCoefficient for


class Handover(NamedTuple):
    """State per UE slot, counters per source cell (cumulative), parameters."""

    held_ticks: I32  # [n_ue, n_cell] ticks since the entering condition became true, -1 while it is not
    target: I32  # [n_ue] cell being prepared, -1 for none
    command_slot: I64  # [n_ue] when the command of a prepared handover is sent
    previous_cell: I32  # [n_ue] cell before the last handover of this UE, -1 before the first
    changed_slot: I64  # [n_ue] of that handover
    attempts: I64  # [n_cell] commands sent; every one becomes a success or a failure
    successes: I64
    failures: I64
    ping_pong: I64  # successes that return to the previous cell within the ping-pong time
    margin_db: float  # A3 offset plus hysteresis
    filter_share: float  # weight of the newest sample in the layer-3 filter
    error_db: float  # standard deviation of one sample
    re_share_db: float  # from the carrier's power to that of one resource element
    ttt_ticks: int
    preparation_slots: int
    execution_slots: int
    reestablishment_slots: int
    ping_pong_slots: int
    qout_db: float
    combining_db: float  # what maximum ratio combining of the receive branches adds to the SINR of one


def build_handover(scenario: Scenario) -> Handover:
    """Handover state of a network that nobody is connected to."""
    settings, tick_ms, n_ue, n_cell = (
        scenario.handover,
        scenario.radio.tick_ms,
        scenario.n_ue,
        scenario.n_cell,
    )

    def counter() -> I64:
        return np.zeros(n_cell, np.int64)

    return Handover(
        held_ticks=np.full((n_ue, n_cell), -1, np.int32),
        target=np.full(n_ue, -1, np.int32),
        command_slot=np.zeros(n_ue, np.int64),
        previous_cell=np.full(n_ue, -1, np.int32),
        changed_slot=np.zeros(n_ue, np.int64),
        attempts=counter(),
        successes=counter(),
        failures=counter(),
        ping_pong=counter(),
        margin_db=settings.a3_offset_db + settings.hysteresis_db,
        filter_share=l3_filter_share(settings.l3_filter_k, tick_ms),
        error_db=scenario.radio.measurement_error_db,
        re_share_db=-10.0 * math.log10(12 * scenario.carrier.bandwidth_prb),
        ttt_ticks=math.ceil(settings.ttt_ms / tick_ms - 1e-9),
        preparation_slots=scenario.slots(settings.preparation_ms),
        execution_slots=scenario.slots(settings.execution_ms),
        reestablishment_slots=scenario.slots(settings.reestablishment_ms),
        ping_pong_slots=scenario.slots(settings.ping_pong_s * 1e3),
        qout_db=settings.qout_db,
        combining_db=10.0 * math.log10(scenario.radio.rx_branches),
    )


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
    handover: Handover,
) -> None:
    """Filter one sample of every cell's RSRP into `l3_rsrp_dbm`; all arrays [n_cell], of one UE.

    A sample is the mean over fast fading (layer 1 averages it out) plus a measurement error.
    """
    n_cell = gain_db.size
    for cell in range(n_cell):
        sample_dbm = tx_power_dbm[cell] + handover.re_share_db + gain_db[cell]
        if handover.error_db > 0.0:
            sample_dbm += handover.error_db * normal(seed, MEASUREMENT, ue_id, tick * n_cell + cell)
        if first:
            l3_rsrp_dbm[cell] = sample_dbm
        else:
            l3_rsrp_dbm[cell] += handover.filter_share * (sample_dbm - l3_rsrp_dbm[cell])


@bare_kernel
def reset_handover(u: int, slot: int, handover: Handover) -> None:
    """Forget the measurements' history of UE slot `u`: a new UE, or a new serving cell."""
    handover.held_ticks[u, :] = -1
    handover.target[u] = -1
    handover.changed_slot[u] = slot


@bare_kernel
def a3_target(u: int, serving: int, l3_rsrp_dbm: F32, cio_db: F64, handover: Handover) -> int:
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
def execute_handover(
    slot: int, u: int, target: int, sinr_db: float, l3_rsrp_dbm: F32, ues: Ues, handover: Handover
) -> None:
    """Send the command at `slot` with the serving SINR of one branch that it meets: the UE is on its new cell, and
    blocked, from now.
    """
    source = ues.cell[u]
    handover.attempts[source] += 1
    command_lost = sinr_db + handover.combining_db < handover.qout_db
    # The strongest cell alone keeps the SINR of a weaker one below their ratio.
    target_lost = l3_rsrp_dbm[target] - l3_rsrp_dbm[np.argmax(l3_rsrp_dbm)] < handover.qout_db
    if command_lost or target_lost:
        handover.failures[source] += 1
        ues.cell[u] = np.argmax(l3_rsrp_dbm)
        ues.blocked_until[u] = slot + handover.reestablishment_slots
    else:
        handover.successes[source] += 1
        stay_slots = slot - handover.changed_slot[u]
        if target == handover.previous_cell[u] and stay_slots < handover.ping_pong_slots:
            handover.ping_pong[source] += 1
        ues.cell[u] = target
        ues.blocked_until[u] = slot + handover.execution_slots
    handover.previous_cell[u] = source
    reset_handover(u, slot, handover)


@bare_kernel
def due_target(u: int, slot: int, l3_rsrp_dbm: F32, cio_db: F64, ues: Ues, handover: Handover) -> int:
    """The cell that UE slot `u` is commanded to on this tick, -1 for none; a new trigger starts its preparation."""
    triggered = a3_target(u, ues.cell[u], l3_rsrp_dbm, cio_db, handover)
    if handover.target[u] < 0 and triggered >= 0:
        handover.target[u] = triggered
        handover.command_slot[u] = slot + handover.preparation_slots
    if handover.target[u] >= 0 and slot >= handover.command_slot[u]:
        return int(handover.target[u])
    return -1
