"""The power model against TR 38.864's figures and closed forms; what sleep does to a cell, its UEs and its neighbours."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ran_sim.core import counters as count
from ran_sim.core.jit import bound
from ran_sim.core.state import Cells
from ran_sim.energy.power import (
    ACTIVE,
    DEEP_SLEEP,
    LIGHT_SLEEP,
    MICRO_SLEEP,
    OFF,
    active_units,
    build_energy,
    command_state,
    spend_slot,
    transmit_units,
)
from ran_sim.engine import Engine
from ran_sim.engine.link_powers import serving_sinr
from ran_sim.engine.radio_state import no_ailments
from ran_sim.measure.score import score
from ran_sim.mobility.handover import (
    ATTEMPTS,
    CONNECTED,
    LINK_FAILURES,
    PREPARING,
    REESTABLISHMENTS,
    SEARCHING,
    TARGETS_LOST,
)
from ran_sim.scenario import Scenario, ScenarioError, load_scenario

ONE_CELL = load_scenario("one-cell").with_overrides({"warmup_s": 0.0, "energy.ssb_period_ms": 0})
IN_THE_STREET = ONE_CELL.with_overrides({"radio.indoor_share": 0.0})  # nobody is out of the cell's reach
SEVEN_SITES = load_scenario("seven-sites").with_overrides({"warmup_s": 0.0})
# 51 PRBs: 12 RBGs of 4 and one of 3
RBG_PRB = np.array([4] * 12 + [3])
SLOT_MS = 0.5


class Meter:
    """One idle cell with nothing but its power model."""

    def __init__(self, scenario: Scenario = ONE_CELL) -> None:
        n_cell = 1
        self.energy = build_energy(scenario)
        self.cells = Cells(
            x_m=np.zeros(n_cell),
            y_m=np.zeros(n_cell),
            azimuth_rad=np.zeros(n_cell),
            site=np.zeros(n_cell, np.int32),
            tx_power_dbm=np.full(n_cell, scenario.layout.tx_power_dbm),
            cio_db=np.zeros(n_cell),
            activity=np.zeros((n_cell, len(RBG_PRB)), np.float32),
            load=np.full(n_cell, 0.5, np.float32),
            ailments=no_ailments(n_cell),
            state=np.zeros(n_cell, np.int32),
        )
        self.slot = 0
        self._spend = bound(spend_slot, 0, self.cells, RBG_PRB, self.energy)

    def run(self, slots: int) -> float:
        """Energy of the next slots of cell 0, unit ms."""
        before = self.energy.used[0]
        for _ in range(slots):
            self._spend(self.slot, self.cells, RBG_PRB, self.energy)
            self.slot += 1
        return float(self.energy.used[0] - before)

    def command(self, state: int) -> None:
        command_state(self.slot, 0, state, self.cells, self.energy)

    def slots_until(self, state: int) -> int:
        start = self.slot
        while self.cells.state[0] != state:
            self.run(1)
        return self.slot - start


# -- power --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("band_share", "power_share", "units"),
    [
        (1.0, 1.0, 280.0),  # TR 38.864 Table 5.1-3, category 1, set 1: active downlink
        (0.0, 1.0, 145.0),  # 55 + 225 x 0.4: what merely being on costs
        (0.5, 1.0, 212.5),  # 55 + 225 (0.4 + 0.6 / 2)
        (1.0, 0.5, 212.5),  # the amplifier sees the product
        (0.5, 0.5, 178.75),
    ],
)
def test_active_power_follows_band_and_transmit_power(
    band_share: float, power_share: float, units: float
) -> None:
    assert transmit_units(band_share, power_share, build_energy(ONE_CELL)) == pytest.approx(units)


def test_the_highest_power_of_a_slot_is_kept_and_an_ssb_counts() -> None:
    meter = Meter()
    meter.cells.activity[0, :6] = 1.0  # 24 of 51 PRBs
    meter.run(1)
    meter.cells.activity[0, :3] = 0.0
    meter.run(1)
    assert meter.energy.peak_share[0] == pytest.approx(24 / 51)
    meter.cells.activity[0] = 1.0
    meter.cells.tx_power_dbm[0] -= 10.0
    meter.run(1)
    assert meter.energy.peak_share[0] == pytest.approx(24 / 51)  # a tenth of the power on all PRBs is less
    idle = Meter(ONE_CELL.with_overrides({"energy.ssb_period_ms": 20.0}))
    idle.run(1)
    assert idle.energy.peak_share[0] == pytest.approx(20 / 51)


def test_second_reference_configuration_has_its_own_figures() -> None:
    energy = build_energy(ONE_CELL.with_overrides({"energy.reference_set": 2}))
    assert transmit_units(1.0, 1.0, energy) == pytest.approx(200.0)
    assert [energy.units[s] for s in (MICRO_SLEEP, LIGHT_SLEEP, DEEP_SLEEP)] == [50.0, 25.0, 1.0]


def test_a_slot_without_transmission_is_micro_sleep_and_one_with_it_is_not() -> None:
    meter = Meter()
    assert meter.run(10) == pytest.approx(10 * 55 * SLOT_MS)
    meter.cells.activity[0, :6] = 1.0  # 24 of 51 PRBs
    assert meter.run(1) == pytest.approx((55 + 225 * (0.4 + 0.6 * 24 / 51)) * SLOT_MS)
    meter.cells.activity[0] = 1.0
    assert meter.run(1) == pytest.approx(280 * SLOT_MS)
    meter.cells.activity[0] = 0.0
    assert meter.run(1) == pytest.approx(55 * SLOT_MS)


def test_half_the_transmit_power_halves_what_depends_on_it() -> None:
    meter = Meter()
    meter.cells.activity[0] = 1.0
    meter.cells.tx_power_dbm[0] -= 10 * math.log10(2)
    assert meter.run(1) == pytest.approx((55 + 225 * (0.4 + 0.6 / 2)) * SLOT_MS)


def test_an_idle_cell_sends_its_ssb_every_20_ms() -> None:
    # 4 of 14 symbols on 20 of 51 PRBs, once in 40 slots
    ssb_units = 4 / 14 * 225 * (0.4 + 0.6 * 20 / 51)
    assert active_units(0.0, 1.0, True, build_energy(ONE_CELL)) == pytest.approx(55 + ssb_units)
    meter = Meter(ONE_CELL.with_overrides({"energy.ssb_period_ms": 20}))
    assert meter.run(1) == pytest.approx((55 + ssb_units) * SLOT_MS)
    assert meter.run(79) == pytest.approx((79 * 55 + ssb_units) * SLOT_MS)
    # Data in the same slot keep the cell up anyway.
    busy = Meter(ONE_CELL.with_overrides({"energy.ssb_period_ms": 20}))
    busy.cells.activity[0] = 1.0
    assert busy.run(80) == pytest.approx(80 * 280 * SLOT_MS)


# -- sleep and transitions ----------------------------------------------------------------------------------------

# Power of the settled state, total transition time in ms, energy on top of it: TR 38.864 Tables 5.1-3 to 5.1-5; of
# "off" the scenario's defaults.
SLEEP = {
    MICRO_SLEEP: (55.0, 0.0, 0.0),
    LIGHT_SLEEP: (25.0, 6.0, 90.0),
    DEEP_SLEEP: (1.0, 50.0, 1000.0),
    OFF: (1.0, 1000.0, 20_000.0),
}


@pytest.mark.parametrize("scs_khz", [15, 30, 60])
@pytest.mark.parametrize("gap_ms", [1000.0, 1003.0, 1750.0])
@pytest.mark.parametrize("state", SLEEP)
def test_a_known_gap_costs_its_power_and_one_transition(state: int, gap_ms: float, scs_khz: int) -> None:
    """The cell is commanded to sleep at the start of the gap and to wake in time to be active at its end."""
    power, transition_ms, extra = SLEEP[state]
    meter = Meter(ONE_CELL.with_overrides({"carrier.scs_khz": scs_khz}))
    gap, slot_ms = round(gap_ms * scs_khz / 15), 15 / scs_khz
    way_out = int(meter.energy.leave_slots[state])
    meter.command(state)
    used = meter.run(gap - way_out)
    meter.command(ACTIVE)
    assert way_out == 0 or meter.cells.state[0] == state
    used += meter.run(way_out)
    assert meter.cells.state[0] == ACTIVE
    assert meter.energy.active_slots[0] == 0
    assert used == pytest.approx(power * gap_ms + extra, rel=1e-12)
    assert meter.run(1) == pytest.approx(55 * slot_ms)
    assert meter.energy.enter_slots[state] + way_out == round(transition_ms / slot_ms)


@pytest.mark.parametrize("state", [LIGHT_SLEEP, DEEP_SLEEP, OFF])
def test_the_shortest_sleep_lasts_as_long_as_its_transitions(state: int) -> None:
    power, transition_ms, extra = SLEEP[state]
    meter = Meter()
    meter.command(state)
    meter.command(ACTIVE)  # regretted at once
    assert meter.slots_until(ACTIVE) == transition_ms / SLOT_MS
    assert meter.energy.used[0] == pytest.approx(power * transition_ms + extra)


def gap_energy(state: int, gap_ms: float) -> float:
    """Simulated energy of a gap, which must hold the transition."""
    meter = Meter()
    meter.command(state)
    used = meter.run(round(gap_ms / SLOT_MS) - int(meter.energy.leave_slots[state]))
    meter.command(ACTIVE)
    return used + meter.run(int(meter.energy.leave_slots[state]))


def break_even_ms(deeper: int, lighter: int) -> float:
    """Gap at which two states cost the same: power_l T + extra_l = power_d T + extra_d; from the model's own arrays."""
    energy = build_energy(ONE_CELL)
    slots = energy.enter_slots + energy.leave_slots
    extra = (energy.transition_units - energy.units) * slots * energy.slot_ms
    return float((extra[deeper] - extra[lighter]) / (energy.units[lighter] - energy.units[deeper]))


@pytest.mark.parametrize(
    ("deeper", "lighter", "energy_alone_ms", "gap_from_ms"),
    [
        (LIGHT_SLEEP, MICRO_SLEEP, 3.0, 6.0),  # 90 / 30; there and back takes 6 ms
        (DEEP_SLEEP, MICRO_SLEEP, 18.5, 50.0),  # 1000 / 54
        (DEEP_SLEEP, LIGHT_SLEEP, 37.9, 50.0),  # 910 / 24
    ],
)
def test_sleep_pays_from_the_break_even_or_the_transition_time_whichever_is_longer(
    deeper: int, lighter: int, energy_alone_ms: float, gap_from_ms: float
) -> None:
    break_even = break_even_ms(deeper, lighter)
    assert break_even == pytest.approx(energy_alone_ms, abs=0.05)
    # Below `gap_from_ms` the cell is not back in time (see the shortest sleep above); from there on sleep pays.
    assert break_even < SLEEP[deeper][1] == gap_from_ms
    for gap_ms in (gap_from_ms, gap_from_ms + SLOT_MS, 200.0):
        saved = gap_energy(lighter, gap_ms) - gap_energy(deeper, gap_ms)
        slope = SLEEP[lighter][0] - SLEEP[deeper][0]
        assert saved == pytest.approx(slope * (gap_ms - break_even), rel=1e-9)
        assert saved > 0


def test_from_one_sleep_to_another_leads_out_and_in() -> None:
    meter = Meter()
    meter.command(LIGHT_SLEEP)
    meter.run(100)
    meter.command(DEEP_SLEEP)
    assert meter.cells.state[0] == LIGHT_SLEEP
    # 3 ms out of light sleep at 25 + 90 / 6, then 25 ms into deep sleep at 1 + 1000 / 50
    assert meter.slots_until(DEEP_SLEEP) == 3 / SLOT_MS
    assert meter.run(50) == pytest.approx(25 * 21)
    assert meter.run(10) == pytest.approx(10 * SLOT_MS)
    assert meter.energy.active_slots[0] == 0


def test_a_wake_up_that_is_withdrawn_leads_back_to_sleep_without_a_slot_on_air() -> None:
    meter = Meter()
    meter.command(DEEP_SLEEP)
    meter.run(200)
    meter.command(ACTIVE)
    used = meter.run(10)
    meter.command(DEEP_SLEEP)
    used += meter.run(200)
    # The way out is finished, then comes the way in: 50 ms at 21 units, the rest at one
    assert used == pytest.approx(50 * 21 + (210 * SLOT_MS - 50))
    assert meter.cells.state[0] == DEEP_SLEEP
    assert meter.energy.active_slots[0] == 0
    meter.command(ACTIVE)
    assert meter.slots_until(ACTIVE) == 25 / SLOT_MS


def test_a_command_that_is_renewed_changes_nothing() -> None:
    once, renewed = Meter(), Meter()
    for meter in (once, renewed):
        meter.command(DEEP_SLEEP)
    for step in range(30):
        if step % 3 == 0:
            renewed.command(DEEP_SLEEP)
        once.run(7)
        renewed.run(7)
    assert once.energy.used[0] == renewed.energy.used[0]
    assert once.energy.until_slot[0] == renewed.energy.until_slot[0]


@given(st.lists(st.tuples(st.integers(ACTIVE, OFF), st.integers(0, 40)), max_size=8))
def test_no_sequence_of_commands_creates_energy_or_loses_a_slot(steps: list[tuple[int, int]]) -> None:
    """Each slot is booked once, at the power of a settled state or of a transition."""
    scenario = ONE_CELL.with_overrides({"energy.off_transition_ms": 20})
    meter, allowed = Meter(scenario), {55.0, 25.0, 1.0, 25 + 90 / 6, 1 + 1000 / 50}
    silent = 0
    for state, slots in steps:
        meter.command(state)
        for _ in range(slots):
            asleep = meter.cells.state[0] != ACTIVE
            units = meter.run(1) / SLOT_MS
            assert min(abs(units - power) for power in allowed) < 1e-6
            silent += asleep
    assert meter.energy.active_slots[0] + silent == meter.slot
    meter.run(400)
    # Whatever happened, the last command is what holds in the end.
    assert meter.cells.state[0] == meter.energy.wanted[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("energy.unit_w", 0.0),
        ("energy.reference_set", 3),
        ("energy.ssb_period_ms", 15),
        ("energy.off_units", -1.0),
        ("energy.off_transition_ms", -1.0),
    ],
)
def test_impossible_settings_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ScenarioError, match=field) as caught:
        ONE_CELL.with_overrides({field: value})
    assert "\n" not in str(caught.value)


# -- in the network -----------------------------------------------------------------------------------------------


def test_energy_is_that_of_what_was_sent_slot_by_slot() -> None:
    engine = Engine(SEVEN_SITES, seed=1)
    engine.run_until(2)
    engine.set_tx_power(4, 41.0)
    before = engine.snapshot()
    expected = np.zeros(21)
    for slot in range(2, 202):
        engine.run_until(slot + 1)
        used = engine.cells.activity @ RBG_PRB / 51
        units = 55 + 225 * (0.4 + 0.6 * used * np.where(np.arange(21) == 4, 10**-0.3, 1.0))
        ssb = slot % 40 == 0
        share = np.where(np.arange(21) == 4, 10**-0.3, 1.0)
        idle = 55 + ssb * 4 / 14 * 225 * (0.4 + 0.6 * 20 / 51 * share)
        expected += np.where(used > 0, units, idle) * SLOT_MS
    drawn_j = engine.snapshot().energy_j - before.energy_j
    assert drawn_j == pytest.approx(expected * 0.8e-3, rel=1e-6)  # 0.8 W a unit
    assert expected.max() / expected.min() > 1.5  # some cells are busy, some idle


def everything(engine: Engine) -> list[Any]:
    snapshot = engine.snapshot()
    return [
        *dataclasses.astuple(snapshot),
        *engine.cells,
        *engine.links,
        *engine.ues,
        engine._network.energy.until_slot,
    ]


def test_same_bits_however_a_night_is_cut_into_calls() -> None:
    whole, cut = Engine(SEVEN_SITES, seed=3), Engine(SEVEN_SITES, seed=3)
    for slot in (0, 1, 7, 100, 137, 400, 401, 449, 450, 600, 777, 1000):
        cut.run_until(slot)
        if slot in (137, 401, 777):
            states = {137: DEEP_SLEEP, 401: ACTIVE, 777: LIGHT_SLEEP}
            whole.run_until(slot)
            for engine in (whole, cut):
                engine.set_cell_state(np.array([3, 4, 11]), states[slot])
        cut.snapshot()
    whole.run_until(1000)
    for a, b in zip(everything(whole), everything(cut), strict=True):
        assert np.array_equal(a, b)


@pytest.fixture(scope="module")
def evening() -> Engine:
    """Seven sites at slot 1001, with all cells active; what runs on is a fork of it."""
    engine = Engine(SEVEN_SITES, seed=2)
    engine.run_until(1001)
    return engine


@pytest.fixture(scope="module")
def night(evening: Engine) -> tuple[Engine, Engine]:
    """The evening until slot 3000: as it is, and with site 0 (cells 0, 1, 2) in deep sleep."""
    plain, sleeping = evening.fork(), evening.fork()
    sleeping.set_cell_state(np.array([0, 1, 2]), DEEP_SLEEP)
    for engine in (plain, sleeping):
        engine.run_until(3000)
    return plain, sleeping


def test_cells_that_sleep_send_nothing_and_serve_nobody(night: tuple[Engine, Engine]) -> None:
    plain, sleeping = night
    assert (sleeping.cells.state[:3] == DEEP_SLEEP).all()
    assert (sleeping.cells.activity[:3] == 0).all()
    assert (sleeping.cells.load[:3] == 0).all()
    connected = sleeping.ues.connected > 0
    assert (sleeping.ues.cell[connected] > 2).all()
    assert not np.isin(sleeping.links.cell, (0, 1, 2)).any()
    assert np.isneginf(sleeping.links.rsrp_l3_dbm[connected][:, :3]).all()
    assert np.isfinite(sleeping.links.rsrp_l3_dbm[connected][:, 3:]).all()
    # Nobody is lost: the same UEs are there, and those of site 0 are served by others.
    assert np.array_equal(plain.ues.connected, sleeping.ues.connected)
    moved = connected & (plain.ues.cell <= 2)
    assert moved.sum() >= 10
    served = sleeping.snapshot().ue[moved, count.DELIVERED_BYTES] > 0
    assert served.mean() > 0.8


def test_a_site_in_deep_sleep_draws_one_unit_a_cell(evening: Engine, night: tuple[Engine, Engine]) -> None:
    sleeping = night[1]
    slots = 3000 - 1001
    entering = 25.0  # ms, at 1 + 1000 / 50 units
    expected = (slots * SLOT_MS - entering) * 1.0 + entering * 21.0
    used = sleeping._network.energy.used[:3] - evening._network.energy.used[:3]
    assert used == pytest.approx(expected, rel=1e-9)


def test_neighbours_of_cells_that_fall_asleep_hear_less_interference(evening: Engine) -> None:
    engine = evening.fork()
    cells, links = engine.cells, engine.links
    stay = np.flatnonzero((engine.ues.connected > 0) & (engine.ues.cell > 2))
    before_db = 10 * np.log10([serving_sinr(u, cells, links) for u in stay.tolist()])
    power_mw = 10 ** ((cells.tx_power_dbm + 10 * math.log10(4 / 51) + links.gain_db[stay]) / 10)
    load = cells.load.copy()
    engine.set_cell_state(np.array([0, 1, 2]), LIGHT_SLEEP)
    after_db = 10 * np.log10([serving_sinr(u, cells, links) for u in stay.tolist()])
    # In closed form: what they sent, with their load, is gone from the denominator.
    own = power_mw[np.arange(len(stay)), engine.ues.cell[stay]]
    heard = power_mw @ load - own * load[engine.ues.cell[stay]] + links.noise_mw[0]
    left = heard - power_mw[:, :3] @ load[:3]
    assert after_db - before_db == pytest.approx(10 * np.log10(heard / left), abs=0.01)
    assert (after_db > before_db - 1e-3).all()  # float32; who hears noise alone gains nothing
    assert (after_db - before_db).max() > 3.0


def test_a_cell_that_wakes_is_measured_and_serves_again(evening: Engine) -> None:
    engine = evening.fork()
    engine.set_cell_state(np.array([0, 1, 2]), DEEP_SLEEP)
    engine.run_until(2000)
    engine.set_cell_state(np.array([0, 1, 2]), ACTIVE)
    engine.run_until(2049)
    assert (engine.cells.state[:3] == DEEP_SLEEP).all()  # 25 ms out
    engine.run_until(2050)
    assert (engine.cells.state[:3] == ACTIVE).all()
    engine.run_until(2101)  # past the next radio tick
    connected = engine.ues.connected > 0
    assert np.isfinite(engine.links.rsrp_l3_dbm[connected]).all()
    before = engine.snapshot()
    engine.run_until(6000)
    assert (np.bincount(engine.ues.cell[engine.ues.connected > 0], minlength=21)[:3] > 0).all()
    served = engine.snapshot().since(before).cell_class[:3, :, count.DELIVERED_BYTES].sum(axis=1)
    assert (served > 0).all()


def test_a_first_sample_after_sleep_is_not_filtered_with_what_was_before() -> None:
    quiet = SEVEN_SITES.with_overrides({"radio.measurement_error_db": 0.0, "handover.l3_filter_k": 10})
    engine = Engine(quiet, seed=2)
    engine.run_until(501)
    engine.set_cell_state(7, MICRO_SLEEP)
    engine.run_until(701)
    engine.set_cell_state(7, ACTIVE)
    engine.run_until(801)
    u = np.flatnonzero(engine.ues.connected)
    sample_dbm = 44 - 10 * math.log10(12 * 51) + engine.links.gain_db[u, 7]
    assert engine.links.rsrp_l3_dbm[u, 7] == pytest.approx(sample_dbm, abs=1e-3)


def test_nobody_is_handed_over_to_or_from_a_cell_that_sleeps() -> None:
    engine = Engine(SEVEN_SITES, seed=1)
    engine.run_until(401)
    u = int(np.flatnonzero(engine.ues.connected & (engine.ues.cell != 5))[0])
    handover = engine._network.radio.handover
    handover.phase[u], handover.target[u], handover.due_slot[u] = PREPARING, 5, 500
    engine.set_cell_state(5, MICRO_SLEEP)
    assert (handover.phase[u], handover.target[u]) == (CONNECTED, -1)
    assert not engine.request_handover(u, 5)
    lost = handover.counts[TARGETS_LOST].sum()
    engine.run_until(1001)
    assert not (engine.ues.cell[engine.ues.connected > 0] == 5).any()
    assert handover.counts[TARGETS_LOST].sum() - lost < 5
    left = ONE_CELL.with_overrides({"layout.sectors": 3, "radio.k_interferers": 2})
    engine = Engine(left, seed=1)
    engine.run_until(401)
    engine.set_cell_state(np.arange(3), MICRO_SLEEP)
    engine.set_cell_state(2, ACTIVE)
    u = int(np.flatnonzero(engine.ues.connected & (engine.ues.cell != 2))[0])
    assert not engine.request_handover(u, 2)


def test_cells_that_fall_asleep_together_do_not_pass_their_ues_to_each_other(evening: Engine) -> None:
    engine = evening.fork()
    before = engine.snapshot()
    of_site = int((before.cell[before.connected > 0] <= 2).sum())
    reachable = engine._network.radio.handover.phase[before.cell <= 2] <= PREPARING
    engine.set_cell_state(np.array([0, 1, 2]), DEEP_SLEEP)
    commands = (engine.snapshot().handover - before.handover)[ATTEMPTS]
    assert reachable.all()
    assert commands.sum() == commands[:3].sum() == of_site


def test_who_hears_no_other_cell_loses_the_link_and_is_served_when_one_is_back() -> None:
    always = {"idle_s": 0.0, "session_s": (600.0, 600.0)}
    voice = {"name": "voice", "five_qi": 1, "model": "video", "rate_mbps": 0.024, "fps": 50.0, "ues": 5}
    engine = Engine(IN_THE_STREET.with_overrides({"traffic": [{**voice, **always}]}), seed=1)
    engine.run_until(1001)
    before = engine.snapshot()
    handover = engine._network.radio.handover
    engine.set_cell_state(0, LIGHT_SLEEP)
    engine.run_until(2001)
    assert (handover.phase == CONNECTED).all()  # T310 still runs
    engine.run_until(5001)
    outage = engine.snapshot().since(before)
    assert (handover.phase == SEARCHING).all()
    assert handover.counts[LINK_FAILURES].tolist() == [5]
    assert handover.counts[ATTEMPTS].tolist() == [0]  # there was nowhere to go
    assert outage.ue[:, count.PRB_USED].sum() == 0
    assert outage.ue[:, count.CONNECTED_SLOTS].tolist() == [4000] * 5  # their context is kept
    engine.set_cell_state(0, ACTIVE)
    engine.run_until(7001)
    assert (handover.phase == CONNECTED).all()
    assert handover.counts[REESTABLISHMENTS].tolist() == [5]
    found = engine.snapshot().since(before)
    assert (found.ue[:, count.PACKETS_IN_BUDGET] > 0).all()
    # Qout's 0.2 s are full on the fourth tick of 100 slots, 1400. T310 runs for 2000 more. The tick of 5100 finds the cell.
    assert found.ue[:, count.LOST_SLOTS].tolist() == [5100 - 3400] * 5
    assert score(engine)["outage_pct"] == pytest.approx(100 * 1700 / 7001)


def test_a_short_sleep_goes_unnoticed_by_t310() -> None:
    engine = Engine(IN_THE_STREET, seed=1)
    engine.run_until(1001)
    engine.set_cell_state(0, LIGHT_SLEEP)
    engine.run_until(1501)
    engine.set_cell_state(0, ACTIVE)
    engine.run_until(4001)
    assert engine._network.radio.handover.counts[LINK_FAILURES].sum() == 0


def test_sessions_begin_only_where_a_cell_is_awake() -> None:
    short = ONE_CELL.with_overrides({"traffic.gaming.session_s": [0.2, 0.4], "traffic.gaming.idle_s": 0.2})
    engine, twin = Engine(short, seed=8), Engine(short, seed=8)
    for each in (engine, twin):
        each.run_until(1001)
    engine.set_cell_state(0, DEEP_SLEEP)
    there = set(engine.ues.id[engine.ues.connected > 0].tolist())
    for slot in range(1100, 4001, 100):
        engine.run_until(slot)
        assert set(engine.ues.id[engine.ues.connected > 0].tolist()) <= there
    twin.run_until(6001)
    engine.set_cell_state(0, ACTIVE)
    engine.run_until(6001)
    # Sessions keep their times: who is there now is who would be there anyway.
    assert np.array_equal(engine.ues.connected, twin.ues.connected)
    present = engine.ues.connected > 0
    assert np.array_equal(engine.ues.id[present], twin.ues.id[present])


def test_sleep_leaves_the_world_alone() -> None:
    plain, steered = Engine(SEVEN_SITES, seed=4), Engine(SEVEN_SITES, seed=4)
    for engine in (plain, steered):
        engine.run_until(501)
    steered.set_cell_state(np.array([0, 1, 2, 9]), OFF)
    for engine in (plain, steered):
        engine.run_until(4000)
    assert np.array_equal(plain.ues.x_m, steered.ues.x_m)
    assert np.array_equal(plain.links.gain_db, steered.links.gain_db)
    offered, offered_too = (engine.snapshot().ue[:, count.PACKETS_OFFERED] for engine in (plain, steered))
    assert np.array_equal(offered, offered_too)


def test_nonsense_is_refused_with_the_states_by_name() -> None:
    engine = Engine(ONE_CELL, seed=1)
    with pytest.raises(ValueError, match=r"state 5: want 0 \(active\).*4 \(off\)"):
        engine.set_cell_state(0, 5)
    with pytest.raises(ValueError, match="cell 1: want 0 to 0"):
        engine.set_cell_state(1, ACTIVE)


# -- what it is worth ---------------------------------------------------------------------------------------------


def test_score_has_the_energy_since_the_warm_up_and_what_it_bought() -> None:
    engine = Engine(SEVEN_SITES.with_overrides({"warmup_s": 0.5}), seed=1)
    engine.run_until(1000)
    start = engine.snapshot()
    assert engine.energy_j().sum() == 0.0
    engine.run_until(3000)
    energy_j = (engine.snapshot().energy_j - start.energy_j).sum()
    found = score(engine)
    assert found["energy_kwh"] == pytest.approx(energy_j / 3.6e6)
    assert found["bits_per_joule"] == pytest.approx(found["delivered_mbps"] * 1e6 * 1.0 / energy_j)
    # 21 cells for 1 s between idle (55 units) and full load (280 units) at 0.8 W
    assert 21 * 55 * 0.8 < energy_j < 21 * 280 * 0.8


def test_periods_add_up_to_the_whole() -> None:
    engine = Engine(ONE_CELL, seed=2)
    readings = []
    for slot in range(0, 2001, 200):
        engine.run_until(slot)
        readings.append(engine.snapshot().energy_j)
    parts = [late - early for early, late in pairwise(readings)]
    assert sum(parts) == pytest.approx(readings[-1] - readings[0], rel=1e-12)
