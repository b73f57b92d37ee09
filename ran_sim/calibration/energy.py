"""The power of cells against TR 38.864's figures and closed forms: states, load, gaps and break-even times of sleep.

The simulator's own kernels meter the energy of a gap, slot by slot. One idle cell is commanded to sleep at the beginning
of the gap and to wake in time for its end.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ran_sim.calibration.check import Check, Plot, Section, Series, near
from ran_sim.core.state import F64
from ran_sim.energy.power import (
    ACTIVE,
    DEEP_SLEEP,
    LIGHT_SLEEP,
    MICRO_SLEEP,
    STATE_NAMES,
    build_energy,
    command_state,
    spend_slot,
    transmit_units,
)
from ran_sim.engine.radio_state import init_radio
from ran_sim.scenario import Scenario

SOURCE: Final = "TR 38.864 Table 5.1-3, category 1, set 1"
TRANSITIONS: Final = "TR 38.864 Tables 5.1-4 and 5.1-5"
# Power in units, total transition time in ms, energy on top in unit ms: the report's figures, not the simulator's.
SLEEP: Final = {
    MICRO_SLEEP: (55.0, 0.0, 0.0),
    LIGHT_SLEEP: (25.0, 6.0, 90.0),
    DEEP_SLEEP: (1.0, 50.0, 1000.0),
}
# (deeper, lighter, gap in ms at which both cost the same, what the energy on top is divided by)
BREAK_EVENS: Final = (
    (LIGHT_SLEEP, MICRO_SLEEP, 90 / 30, "90 / (55 - 25)"),
    (DEEP_SLEEP, MICRO_SLEEP, 1000 / 54, "1000 / (55 - 1)"),
    (DEEP_SLEEP, LIGHT_SLEEP, 910 / 24, "(1000 - 90) / (25 - 1)"),
)
# Auer et al. 2011, one transceiver of a macro base station, as it is commonly quoted (not re-read).
EARTH_IDLE_W: Final = 130.0
EARTH_SLOPE: Final = 4.7
EARTH_MAX_SENT_W: Final = 20.0


def one_cell() -> Scenario:
    """An idle cell with slots of 0.5 ms."""
    full = {"name": "full", "five_qi": 9, "model": "full-buffer", "ues": 1}
    return Scenario.model_validate(
        {
            "name": "energy",
            "layout": {"sites": 1, "sectors": 1},
            "radio": {"k_interferers": 0},
            "energy": {"ssb_period_ms": 0},
            "traffic": [full],
        }
    )


def gap_units_ms(state: int, gap_ms: float) -> float:
    """Metered energy in unit ms of a gap spent in `state`; the gap must hold the state's way in and way out."""
    scenario = one_cell()
    cells, *_ = init_radio(scenario, 1)
    energy = build_energy(scenario)
    rbg_prb = np.full(scenario.n_rbg, scenario.rbg_prb, np.int64)
    gap = scenario.slots(gap_ms)
    command_state(0, 0, state, cells, energy)
    for slot in range(gap):
        if slot == gap - energy.leave_slots[state]:
            command_state(slot, 0, ACTIVE, cells, energy)
        spend_slot(slot, cells, rbg_prb, energy)
    return float(energy.used[0])


def metered_break_even_ms(deeper: int, lighter: int) -> float:
    """Gap in ms at which the metered lines energy(gap) of two states cross."""
    short_ms, long_ms = 100.0, 200.0
    dearer, saved = (
        gap_units_ms(deeper, gap_ms) - gap_units_ms(lighter, gap_ms) for gap_ms in (short_ms, long_ms)
    )
    return short_ms - dearer * (long_ms - short_ms) / (saved - dearer)


def run(quick: bool = False, seed: int = 1) -> Section:
    """All checks of the power model; takes a second with or without `quick`."""
    energy = build_energy(one_cell())
    checks = [_state(state) for state in SLEEP]
    checks += [_load(band, transmit_units(band, 1.0, energy)) for band in (0.0, 0.5, 1.0)]
    checks += [_gap(state, gap_ms) for state in SLEEP for gap_ms in (50.0, 200.0)]
    for deeper, lighter, wanted_ms, form in BREAK_EVENS:
        what = f"gap from which {STATE_NAMES[deeper]} costs less than {STATE_NAMES[lighter]}, energy alone"
        measured_ms = metered_break_even_ms(deeper, lighter)
        checks.append(near(what, measured_ms, wanted_ms, unit="ms", source=form, share=1e-9))
    for state in (LIGHT_SLEEP, DEEP_SLEEP):
        way_ms = (energy.enter_slots[state] + energy.leave_slots[state]) * energy.slot_ms
        what = f"shortest gap that {STATE_NAMES[state]} fits in"
        checks.append(near(what, way_ms, SLEEP[state][1], unit="ms", source=TRANSITIONS))
    return Section(
        title="Energy of cells",
        checks=tuple(checks),
        plots=(_load_plot(), _gap_plot()),
        left_out=(
            (
                "Watts: TR 38.864 gives relative power only. With energy.unit_w (0.8 W) a cell of set 1 at full load draws the "
                "224 W of one EARTH macro transceiver. This is our choice and not a calibration."
            ),
            (
                "EARTH's shape: EARTH's transceiver draws 58 % of its full-load power when it is idle, TR 38.864's cell 20 % "
                "(micro sleep). They are not the same model, and the two curves meet at full load only."
            ),
            (
                "Off: there is no source. A cell that is off draws what deep sleep draws, and the two transitions together take "
                "1 s unless the scenario says otherwise."
            ),
            (
                "Uplink reception, CSI-RS, paging, further SSB beams, antenna switching, the second amplifier efficiency and "
                "carrier aggregation."
            ),
            "How a transition divides into way in and way out: here half of it each.",
        ),
    )


def _state(state: int) -> Check:
    mean_units = (gap_units_ms(state, 200.0) - gap_units_ms(state, 100.0)) / 100.0
    return near(
        f"power of {STATE_NAMES[state]}", mean_units, SLEEP[state][0], unit="units", source=SOURCE, share=1e-9
    )


def _load(band_share: float, measured: float) -> Check:
    wanted = 55 + 225 * (0.4 + 0.6 * band_share)
    what = f"power while sending on {100 * band_share:.0f} % of the PRBs"
    return near(what, measured, wanted, unit="units", source="55 + 225 (0.4 + 0.6 s_f s_p)", share=1e-12)


def _gap(state: int, gap_ms: float) -> Check:
    power, _, extra = SLEEP[state]
    return near(
        f"energy of a gap of {gap_ms:g} ms in {STATE_NAMES[state]}",
        gap_units_ms(state, gap_ms),
        power * gap_ms + extra,
        unit="unit ms",
        source=f"power x gap + transition, {TRANSITIONS}",
        share=1e-9,
    )


def _load_plot() -> Plot:
    scenario = one_cell()
    energy, share = build_energy(scenario), np.linspace(0.0, 1.0, 21)
    ours_w: F64 = scenario.energy.unit_w * np.array([transmit_units(float(s), 1.0, energy) for s in share])
    idle_w = np.full(len(share), scenario.energy.unit_w * energy.units[ACTIVE])
    return Plot(
        name="energy-load",
        title="Power of a cell over the share of its PRBs in use",
        x_label="PRBs in use [1]",
        y_label="power [W]",
        series=(
            Series(name="TR 38.864, a slot with data", x=share, y=ours_w),
            Series(name="TR 38.864, a slot without: micro sleep", x=share, y=idle_w),
            Series(
                name="EARTH macro transceiver: not the same model",
                x=share,
                y=EARTH_IDLE_W + EARTH_SLOPE * EARTH_MAX_SENT_W * share,
            ),
        ),
    )


def _gap_plot() -> Plot:
    series = []
    for state, (power, transition_ms, extra) in SLEEP.items():
        gap_ms = np.linspace(max(transition_ms, 1.0), 100.0, 50)
        series.append(Series(name=STATE_NAMES[state], x=gap_ms, y=power * gap_ms + extra))
    return Plot(
        name="energy-gap",
        title="Energy of a gap without traffic, from the shortest that each state fits in",
        x_label="gap [ms]",
        y_label="energy [unit ms]",
        series=tuple(series),
    )
