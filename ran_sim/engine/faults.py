"""Faults of a scenario in a running network: which hold in a slot, and what they make of the cells.

The faults that hold are a function of the scenario and the slot. On every slot where one begins or ends `put_in_force`
writes all of `Ailments` and the power of all sources anew, beside the settings, which actions alone change. So actions and
faults compose in any order, and the end of a fault undoes to the bit what the fault did. Its consequences stay: full
buffers, UEs in other cells.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ran_sim.core.state import NEVER, Ailments
from ran_sim.engine.kernels import Network
from ran_sim.scenario import Scenario
from ran_sim.scenario.faults import BackhaulDelay, Fault, Interference, PowerLoss, SleepingCell, TiltShift


class FaultSlots(NamedTuple):
    """A fault and the slots that it holds in."""

    fault: Fault
    start: int
    end: int  # the first slot after it, `NEVER` if it stays


def fault_slots(scenario: Scenario) -> tuple[FaultSlots, ...]:
    """The faults of a scenario, in its order."""
    return tuple(
        FaultSlots(
            fault,
            scenario.slots(fault.start_s * 1e3),
            NEVER if fault.end_s is None else scenario.slots(fault.end_s * 1e3),
        )
        for fault in scenario.faults
    )


def holding(faults: tuple[FaultSlots, ...], slot: int) -> tuple[Fault, ...]:
    """Those of `faults` that hold in `slot`."""
    return tuple(fault for fault, start, end in faults if start <= slot < end)


def next_change(faults: tuple[FaultSlots, ...], slot: int) -> int:
    """The first slot from `slot` on in which a fault begins or has ended; `NEVER` if there is none."""
    return min((edge for _, *edges in faults for edge in edges if edge >= slot), default=NEVER)


def put_in_force(holding: tuple[Fault, ...], network: Network, scenario: Scenario) -> bool:
    """Let exactly the faults `holding` be in force from the next slot on; whether received powers are to be renewed."""
    ailments, sources = network.cells.ailments, network.radio.sources
    radiated = ailments.loss_db, ailments.pointing, sources.sent_mw
    before = [values.copy() for values in radiated]
    for values in ailments:
        values[:] = 0
    sources.sent_mw[:] = 0.0
    for fault in holding:
        if isinstance(fault, Interference):
            per_rbg_dbm = fault.eirp_dbm + network.radio.rbg_share_db
            sources.sent_mw[scenario.sources.index(fault)] += 10.0 ** (per_rbg_dbm / 10.0)
        else:
            _ail(fault, ailments, scenario)
    network.cells.activity[ailments.mute > 0] = 0.0
    return not all(map(np.array_equal, before, radiated))


def _ail(fault: Fault, ailments: Ailments, scenario: Scenario) -> None:
    """Add one fault to what is wrong with its cells."""
    match fault:
        case SleepingCell(cells=cells):
            ailments.mute[list(cells)] = 1
        case PowerLoss(cells=cells, loss_db=loss_db):
            ailments.loss_db[list(cells)] = loss_db
        case TiltShift(cells=cells, shift_deg=shift_deg):
            ailments.pointing[list(cells)] = scenario.tilt_shifts_deg.index(shift_deg)
        case BackhaulDelay(cells=cells):
            ailments.backhaul_slots[list(cells)] = scenario.slots(fault.delay_ms)
            ailments.backhaul_jitter_slots[list(cells)] = fault.jitter_ms * 1e6 / scenario.slot_ns
