"""The power that cells draw in each of their states: the base station power model of TR 38.864.

Relative power, in units of the deep-sleep power of a category 1 base station (TR 38.864 V18.1.0 Table 5.1-3; Tables
5.1-4 and 5.1-5 for transitions; figures read in 5G-LENA's nr-gnb-energy-model.cc, not in the report itself):

| state       | units     | transition, in and out | on top of it |
|-------------|-----------|------------------------|--------------|
| active      | see below |                        |              |
| micro sleep | 55        | none                   |              |
| light sleep | 25        | 6 ms                   | 90 unit ms   |
| deep sleep  | 1         | 50 ms                  | 1000 unit ms |
| off         | 1         | 1000 ms                | 20000 unit ms |

An active cell draws 55 + 225 (0.4 + 0.6 s_f s_p) in a slot with data: s_f is the share of the carrier's PRBs in use, s_p
the transmit power over the configured one, all antennas in use, amplifier efficiency 1. In every other slot it is in
micro sleep by itself. A lone SS/PBCH block is booked by symbols (clause 5.2): 4 of 14 at 20 PRBs.

Some points are not in the report and are decided here. Half of a transition leads in and half out, and its energy is spread
evenly. The way from one sleep state to another leads through both transitions. The state off is not in the report: it draws
as much as deep sleep and takes longer, so it saves nothing unless the scenario has the figures of real hardware. A cell that
was told to sleep sends nothing from that slot on, and nothing before its way out has ended.

Left out: the uplink (reception in FDD is neglected in the report too), CSI-RS, paging and other signals of an idle
cell, several SSB beams, switching antennas off (s_a = 1), the second amplifier efficiency, carrier aggregation.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64, I32, I64, U8, Cells
from ran_sim.scenario import Scenario

# The values of ranloop's CellState.
ACTIVE: Final = 0
MICRO_SLEEP: Final = 1
LIGHT_SLEEP: Final = 2
DEEP_SLEEP: Final = 3
OFF: Final = 4
STATE_NAMES: Final = ("active", "micro sleep", "light sleep", "deep sleep", "off")

# TR 38.864 Table 5.1-3, category 1, by reference configuration: full-load downlink, micro, light, deep sleep.
REFERENCE_UNITS: Final = {1: (280.0, 55.0, 25.0, 1.0), 2: (200.0, 50.0, 25.0, 1.0)}
# TR 38.864 Tables 5.1-4 and 5.1-5, category 1: total time in ms and additional energy in unit ms, way in plus way out.
LIGHT_TRANSITION: Final = (6.0, 90.0)
DEEP_TRANSITION: Final = (50.0, 1000.0)
# TR 38.864 5.1: the part of the dynamic power that does not depend on the load.
LOAD_INDEPENDENT: Final = 0.4

# TS 38.211 7.4.3.1: an SS/PBCH block takes 4 symbols of 240 subcarriers.
SSB_PRB: Final = 20
SSB_SHARE_OF_SLOT: Final = 4 / 14

JOULE_PER_KWH: Final = 3.6e6


class Energy(NamedTuple):
    """State and meters per cell, shape [n_cell]; parameters by state, shape [5]; energy in unit ms."""

    wanted: I32  # state that was commanded; `Cells.state` follows
    leaving: U8  # 1 on the way out of `Cells.state`
    until_slot: I64  # end of the last transition, first slot after it
    used: F64  # since slot 0
    used_before: F64  # of it, before the end of the warm-up
    active_slots: I64  # since slot 0
    peak_share: F64  # highest transmit power, as a share of `full_power_dbm`, since it was last taken
    units: F64  # of a settled state; active: without transmission
    transition_units: F64  # on the way in or out
    enter_slots: I64
    leave_slots: I64
    full_units: float  # of an active cell at full load and power
    full_power_dbm: float
    n_prb: int
    ssb_slots: int  # period of the SS/PBCH block, 0 without
    slot_ms: float


def build_energy(scenario: Scenario) -> Energy:
    """Meters at 0, all cells active."""
    settings, n_cell = scenario.energy, scenario.n_cell
    full, micro, light, deep = REFERENCE_UNITS[settings.reference_set]
    transition_power = DEEP_TRANSITION[1] / DEEP_TRANSITION[0]
    off_ms = settings.off_transition_ms
    transitions = (
        (0.0, 0.0),
        (0.0, 0.0),
        LIGHT_TRANSITION,
        DEEP_TRANSITION,
        (off_ms, transition_power * off_ms),
    )
    units = np.array([micro, micro, light, deep, settings.off_units])
    slot_ms = scenario.slot_ns / 1e6
    slots = np.array([scenario.slots(time_ms) for time_ms, _ in transitions])
    extra = np.array([energy for _, energy in transitions])
    return Energy(
        wanted=np.full(n_cell, ACTIVE, np.int32),
        leaving=np.zeros(n_cell, np.uint8),
        until_slot=np.zeros(n_cell, np.int64),
        used=np.zeros(n_cell),
        used_before=np.zeros(n_cell),
        active_slots=np.zeros(n_cell, np.int64),
        peak_share=np.zeros(n_cell),
        units=units,
        transition_units=units + extra / (np.maximum(slots, 1) * slot_ms),
        enter_slots=slots // 2,
        leave_slots=slots - slots // 2,
        full_units=full,
        full_power_dbm=scenario.layout.tx_power_dbm,
        n_prb=scenario.carrier.bandwidth_prb,
        ssb_slots=scenario.slots(settings.ssb_period_ms),
        slot_ms=slot_ms,
    )


@bare_kernel
def transmit_units(band_share: float, power_share: float, energy: Energy) -> float:
    """Power of a cell while it sends on `band_share` of its PRBs with `power_share` of its power; TR 38.864 5.1."""
    idle = energy.units[ACTIVE]
    load = band_share * power_share
    return float(idle + (energy.full_units - idle) * (LOAD_INDEPENDENT + (1.0 - LOAD_INDEPENDENT) * load))


@bare_kernel
def active_units(used_prb: float, power_share: float, ssb: bool, energy: Energy) -> float:
    """Power of an active cell over a slot in which it sends data on `used_prb` PRBs, or none, and perhaps its SSB."""
    if used_prb > 0.0:
        return transmit_units(used_prb / energy.n_prb, power_share, energy)  # an SSB lies between the data
    idle = energy.units[ACTIVE]
    if not ssb:
        return float(idle)
    sending = transmit_units(min(SSB_PRB / energy.n_prb, 1.0), power_share, energy)
    return float(idle + SSB_SHARE_OF_SLOT * (sending - idle))


@bare_kernel
def spend_slot(slot: int, cells: Cells, rbg_prb: I64, energy: Energy) -> None:
    """Count the energy of every cell in `slot`, which is scheduled, and bring its state to the start of the next slot."""
    ssb = energy.ssb_slots > 0 and slot % energy.ssb_slots == 0
    for cell in range(cells.state.shape[0]):
        state = cells.state[cell]
        if state == ACTIVE:
            used_prb = 0.0
            for b in range(rbg_prb.shape[0]):
                used_prb += cells.activity[cell, b] * rbg_prb[b]
            power_share = 1.0
            if cells.tx_power_dbm[cell] != energy.full_power_dbm:
                power_share = 10.0 ** ((cells.tx_power_dbm[cell] - energy.full_power_dbm) / 10.0)
            units = active_units(used_prb, power_share, ssb, energy)
            most_prb = max(used_prb, min(SSB_PRB, energy.n_prb)) if ssb else used_prb
            energy.peak_share[cell] = max(energy.peak_share[cell], most_prb / energy.n_prb * power_share)
            energy.active_slots[cell] += 1
        elif slot < energy.until_slot[cell]:
            units = energy.transition_units[state]
        else:
            units = energy.units[state]
        energy.used[cell] += units * energy.slot_ms
        _follow(slot + 1, cell, cells, energy)


@bare_kernel
def command_state(slot: int, cell: int, wanted: int, cells: Cells, energy: Energy) -> None:
    """Have `cell` go to a state from `slot` on. One that falls asleep is silent at once; let its UEs go before."""
    energy.wanted[cell] = wanted
    if wanted != ACTIVE and cells.state[cell] == ACTIVE:
        cells.activity[cell, :] = np.float32(0)
        cells.load[cell] = np.float32(0)
    _follow(slot, cell, cells, energy)


@bare_kernel
def _follow(slot: int, cell: int, cells: Cells, energy: Energy) -> None:
    """Let the state at the start of `slot` follow the command as far as transitions allow."""
    state, wanted = cells.state[cell], energy.wanted[cell]
    if slot < energy.until_slot[cell] or (state == wanted and energy.leaving[cell] == 0):
        return
    if state != ACTIVE and energy.leaving[cell] == 0:
        energy.leaving[cell] = 1
        energy.until_slot[cell] = slot + energy.leave_slots[state]
        if slot < energy.until_slot[cell]:
            return
    energy.leaving[cell] = 0
    cells.state[cell] = wanted
    if wanted != ACTIVE:
        energy.until_slot[cell] = slot + energy.enter_slots[wanted]
