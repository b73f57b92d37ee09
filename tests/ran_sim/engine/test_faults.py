"""Faults hold on the slots that they say, do what their closed forms say, and leave nothing of themselves behind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ran_sim.core import counters as count
from ran_sim.core.state import F64
from ran_sim.energy.power import ACTIVE, MICRO_SLEEP
from ran_sim.engine import Engine
from ran_sim.engine.saved import leaves
from ran_sim.measure import layer1
from ran_sim.mobility.handover import COMMAND_LOST
from ran_sim.radio.propagation import UMA, los_path_loss_db
from ran_sim.scenario import Scenario, load_scenario
from ran_sim.traffic.queues import ARRIVAL, DUE, FIRST_RING

SEVEN_SITES = load_scenario("seven-sites").with_overrides({"warmup_s": 0.0})
START, END = (
    2125,
    2550,
)  # in the middle of radio ticks, which come every 100 slots; walkers' path gains are older then
CELL = 3
ALL_KINDS: Sequence[Mapping[str, Any]] = (
    {"kind": "sleeping-cell", "cells": [CELL]},
    {"kind": "power-loss", "cells": [CELL, 7], "loss_db": 6.0},
    {"kind": "tilt-shift", "cells": [CELL, 8], "shift_deg": 4.0},
    {"kind": "interference", "position_m": [60.0, 20.0], "eirp_dbm": 40.0},
    {"kind": "backhaul-delay", "cells": [CELL, 5], "delay_ms": 20.0, "jitter_ms": 3.0},
    {"kind": "faulty-counters", "cells": [CELL], "measurements": ["DRB.UEThpDl"], "effect": "stuck"},
)


def engine_with(*faults: Mapping[str, Any], scenario: Scenario = SEVEN_SITES, seed: int = 1) -> Engine:
    """An engine whose faults hold in [START, END), unless they say otherwise."""
    times = {"start_s": START / 2000, "end_s": END / 2000}
    return Engine(scenario.with_overrides({"faults": [{**times, **fault} for fault in faults]}), seed)


def arrays_of(engine: Engine) -> dict[str, NDArray[Any]]:
    """All state but the sources' own and that of shifted antennas, which a network without the fault does not have."""
    engine.snapshot()  # brings the counters of cells up to date
    found = {path: value for path, value in leaves(engine._network) if isinstance(value, np.ndarray)}
    return {path: value for path, value in found.items() if "sources" not in path and "spread" not in path}


def same_state(a: Engine, b: Engine) -> bool:
    others = arrays_of(b)
    maps = (
        "los.values",
        "nlos.values",
        "o2i.values",
        "state.values",
    )  # those of a source stand behind those of the sites
    return a.slot == b.slot and all(
        np.array_equal(array, others[path], equal_nan=array.dtype.kind == "f")
        for path, array in arrays_of(a).items()
        if not path.endswith(maps)
    )


def ran(engine: Engine, slot: int) -> Engine:
    engine.run_until(slot)
    return engine


@pytest.fixture(scope="module")
def healthy() -> Engine:
    """Up to the slot in which the faults of others begin; never run on."""
    return ran(Engine(SEVEN_SITES, 1), START)


def layer1_of(engine: Engine) -> layer1.Layer1Values:
    u = np.flatnonzero(engine.ues.connected)
    cell = engine.ues.cell[u].astype(np.int64)
    return layer1.report(engine.cells, engine.links, u, cell, n_prb=51, rbg_prb=4, slot_ms=0.5)


# -- when ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ALL_KINDS, ids=lambda fault: fault["kind"])
def test_a_fault_changes_no_bit_before_its_first_slot(fault: Mapping[str, Any], healthy: Engine) -> None:
    engine = ran(engine_with(fault), START - 1)
    assert not engine.faults
    engine.run_until(START)
    assert [f.kind for f in engine.faults] == [fault["kind"]]  # in the slot that is next
    assert same_state(engine, healthy)


def test_what_was_wrong_with_the_network_is_gone_to_the_bit_after_the_last_slot() -> None:
    """Cells' settings, antennas, path gains of UEs in the same session, and what comes from outside."""
    ill, well = ran(engine_with(*ALL_KINDS), END), ran(engine_with(), END)
    assert len(ill.faults) == 0
    assert ill.cells.ailments.loss_db[CELL] == 6.0
    assert not np.array_equal(ill.links.gain_db, well.links.gain_db)
    ill.run_until(END + 1)
    well.run_until(END + 1)
    assert all((values == 0).all() for values in ill.cells.ailments)
    there = np.flatnonzero(ill.ues.connected)
    assert np.array_equal(there, np.flatnonzero(well.ues.connected))
    assert np.array_equal(ill.links.gain_db[there], well.links.gain_db[there])
    assert np.array_equal(ill._network.radio.gain[there], well._network.radio.gain[there])
    assert np.array_equal(ill._network.radio.sent_mw, well._network.radio.sent_mw)
    assert (ill.links.outside_mw == 0.0).all()
    assert np.array_equal(ill.cells.tx_power_dbm, well.cells.tx_power_dbm)


def test_faults_of_no_size_change_no_bit_at_all() -> None:
    nothing = engine_with(
        {"kind": "power-loss", "cells": [CELL], "loss_db": 0.0},
        {"kind": "tilt-shift", "cells": [CELL], "shift_deg": 0.0},
        {"kind": "backhaul-delay", "cells": [CELL], "delay_ms": 0.0},
        {"kind": "faulty-counters", "cells": [CELL], "measurements": ["PEE.Energy"], "effect": "missing"},
    )
    assert same_state(ran(nothing, END + 200), ran(engine_with(), END + 200))


def test_a_fault_without_an_end_stays() -> None:
    engine = engine_with({"kind": "power-loss", "cells": [CELL], "loss_db": 6.0, "end_s": None})
    assert [fault.kind for fault in ran(engine, 4 * END).faults] == ["power-loss"]
    assert engine.cells.ailments.loss_db.tolist() == [6.0 if cell == CELL else 0.0 for cell in range(21)]


def test_faults_do_not_depend_on_how_a_run_is_cut_forked_or_saved(tmp_path: Path) -> None:
    whole = ran(engine_with(*ALL_KINDS), END + 300)
    parts = engine_with(*ALL_KINDS)
    for slot in (1, START - 1, START, START + 1, 2400):
        parts.run_until(slot)
    fork = parts.fork()
    parts.run_until(END)
    parts.save(tmp_path / "state")
    loaded = Engine.load(tmp_path / "state")
    for engine in (parts, fork, loaded):
        assert same_state(ran(engine, END + 300), whole)


def test_two_networks_with_and_without_a_fault_meet_the_same_arrivals_places_and_fading() -> None:
    ill, well = ran(engine_with(*ALL_KINDS), END + 600), ran(engine_with(), END + 600)
    assert not np.array_equal(
        ill.snapshot().ue[:, count.DELIVERED_BYTES], well.snapshot().ue[:, count.DELIVERED_BYTES]
    )
    for path in ("ues.id", "ues.x_m", "ues.y_m", "links.gain_db", "queues.next_packet", "queues.next_bytes"):
        section, name = path.split(".")
        one, other = (getattr(getattr(engine._network, section), name) for engine in (ill, well))
        there = well.ues.connected > 0
        assert np.array_equal(one[there], other[there]), path


# -- what ---------------------------------------------------------------------------------------------------------


def test_a_power_loss_of_6_db_takes_6_db_off_what_ues_hear_of_the_cell_at_once(healthy: Engine) -> None:
    ill = ran(engine_with({"kind": "power-loss", "cells": [CELL], "loss_db": 6.0}), START + 1)
    well = ran(healthy.fork(), START + 1)
    serving = ill.ues.cell[ill.ues.connected > 0] == CELL
    rsrp_db = layer1_of(ill).rsrp_dbm - layer1_of(well).rsrp_dbm
    assert serving.sum() == 4
    assert rsrp_db[serving] == pytest.approx(-6.0, abs=1e-4)
    assert (rsrp_db[~serving] == 0.0).all()
    assert (
        layer1_of(ill).sinr_db[~serving] >= layer1_of(well).sinr_db[~serving]
    ).all()  # one interferer is weaker
    rows = np.flatnonzero(ill.ues.connected)[serving]
    assert ill.links.rx_mw[rows, 0] == pytest.approx(well.links.rx_mw[rows, 0] * 10**-0.6, rel=1e-5)


def test_the_cell_does_not_know_of_a_loss_behind_its_amplifier() -> None:
    """The setting, the highest power that was sent with and the drawn power are those of a cell that is well."""
    loud = SEVEN_SITES.with_overrides({"traffic.best-effort.model": "full-buffer", "traffic.best-effort.rate_mbps": None,
                                       "traffic.best-effort.file_kb": None})  # fmt: skip
    ill = ran(engine_with({"kind": "power-loss", "cells": [CELL], "loss_db": 6.0}, scenario=loud), END)
    well = ran(engine_with(scenario=loud), END)
    assert ill.cells.tx_power_dbm[CELL] == well.cells.tx_power_dbm[CELL] == 44.0
    assert ill.take_peak_power_dbm()[CELL] == pytest.approx(44.0)
    assert ill.energy_j()[CELL] == pytest.approx(well.energy_j()[CELL], rel=1e-3)


def test_a_tilt_shift_moves_the_column_s_beam_and_nothing_else(healthy: Engine) -> None:
    ill = ran(engine_with({"kind": "tilt-shift", "cells": [CELL], "shift_deg": 4.0}), START + 1)
    well = ran(healthy.fork(), START + 1)
    tilted = ran(Engine(SEVEN_SITES.with_overrides({"layout.tilt_deg": 16.0}), 1), START + 1)
    here = well.ues.connected > 0
    assert here.sum() > 50
    assert ill.links.gain_db[here, CELL] == pytest.approx(tilted.links.gain_db[here, CELL], abs=1e-3)
    assert np.abs(ill.links.gain_db[here, CELL] - well.links.gain_db[here, CELL]).max() > 3.0
    others = np.arange(21) != CELL
    assert np.array_equal(ill.links.gain_db[:, others], well.links.gain_db[:, others])


def test_a_source_adds_to_the_noise_what_its_path_leaves_of_its_power() -> None:
    """One cell, sight everywhere, no shadows: SINR = S / (N + I) with I = EIRP - path loss, over the RBG's share."""
    scenario = load_scenario("one-cell").with_overrides({
        "radio.shadowing": False, "radio.line_of_sight": "always", "radio.indoor_share": 0.0,
        "mobility.speeds_kmh": [0.0, 0.0], "layout.tx_power_dbm": 4.0,  # SS-SINR ends at 40 dB
    })  # fmt: skip
    source = {"kind": "interference", "position_m": [80.0, -50.0], "eirp_dbm": 0.0}
    ill, well = (ran(engine_with(*faults, scenario=scenario), START + 1) for faults in ((source,), ()))
    u = np.flatnonzero(well.ues.connected)
    loss_db = np.array([
        los_path_loss_db(max(math.hypot(well.ues.x_m[i] - 80.0, well.ues.y_m[i] + 50.0), 10.0), 3.5, 25.0, 1.5, 1.0, UMA)
        for i in u
    ])  # fmt: skip
    outside_mw: F64 = 10 ** ((0.0 + 10 * math.log10(4 / 51) - loss_db) / 10)  # an RBG has 4 of 51 PRBs
    assert ill.links.outside_mw[u] == pytest.approx(outside_mw, rel=1e-4)
    noise_mw = 10 ** ((-174 + 9 + 10 * math.log10(4 * 12 * 30e3)) / 10)
    rise = (noise_mw + outside_mw) / noise_mw
    assert rise.min() < 10
    assert rise.max() > 100
    sinr = layer1.mean_sinr(well.cells.load, well.links)[u], layer1.mean_sinr(ill.cells.load, ill.links)[u]
    assert sinr[1] == pytest.approx(sinr[0] / rise, rel=1e-4)
    unclipped = (layer1_of(well).sinr_db < 39.9) & (layer1_of(ill).sinr_db > -22.9)
    assert unclipped.sum() > 10
    drop_db = (layer1_of(well).sinr_db - layer1_of(ill).sinr_db)[unclipped]
    assert drop_db == pytest.approx(10 * np.log10(rise[unclipped]), abs=1e-3)
    # RSRP is of the cell alone
    assert np.array_equal(layer1_of(well).rsrp_dbm, layer1_of(ill).rsrp_dbm)


def test_interference_lowers_the_cqi_that_ues_report() -> None:
    source = {"kind": "interference", "position_m": [60.0, 20.0], "eirp_dbm": 50.0}
    ill, well = (
        ran(engine_with(source), START + 60),
        ran(engine_with(), START + 60),
    )  # CQI comes every 20 slots
    near = (well.ues.connected > 0) & (np.hypot(well.ues.x_m - 60.0, well.ues.y_m - 20.0) < 200.0)
    cqi = well.snapshot().cqi[near], ill.snapshot().cqi[near]
    known = (cqi[0] > 3) & (cqi[1] >= 0)
    assert known.sum() > 5
    assert (cqi[1] <= cqi[0])[known].all()
    assert (cqi[1] < cqi[0])[known].mean() > 0.8


def test_a_sleeping_cell_sends_no_byte_while_it_looks_up_and_others_go_on() -> None:
    engine = ran(
        engine_with({"kind": "sleeping-cell", "cells": [CELL]}), START + 8
    )  # feedback on what was sent
    before = engine.snapshot()
    inside = np.flatnonzero((before.cell == CELL) & (before.connected > 0))
    engine.run_until(END)
    after = engine.snapshot()
    stayed = inside[(after.ue_id[inside] == before.ue_id[inside]) & (after.cell[inside] == CELL)]
    grown = after.ue - before.ue
    assert len(stayed) == 4
    assert (grown[stayed, count.OFFERED_BYTES] > 0).sum() > 1
    assert not grown[stayed][:, [count.DELIVERED_BYTES, count.PRB_USED, count.TB_TOTAL]].any()
    cells = after.cell_class.sum(axis=1) - before.cell_class.sum(axis=1)
    assert cells[CELL, count.PRB_USED] == 0
    assert (np.delete(cells[:, count.DELIVERED_BYTES], CELL) > 0).all()
    # it looks up: active, measured, told the channel, and drawing the power of an active cell that sends no data
    assert engine.cells.state[CELL] == ACTIVE
    assert np.isfinite(engine.links.rsrp_l3_dbm[stayed, CELL]).all()
    assert (grown[stayed, count.CQI_REPORTS] > 5).all()
    # 0.8 W a unit: micro sleep's 55 units, and 4 of 14 symbols with an SSB on 20 of 51 PRBs every 20 ms
    blocks = sum(slot % 40 == 0 for slot in range(START + 8, END))
    ssb = 55 + 4 / 14 * 225 * (0.4 + 0.6 * 20 / 51)
    slots = END - START - 8
    expected_j = 0.8 * 0.5e-3 * (55 * slots + (ssb - 55) * blocks)
    assert after.energy_j[CELL] - before.energy_j[CELL] == pytest.approx(expected_j)


def test_a_sleeping_cell_serves_again_in_the_slot_of_its_end() -> None:
    fault = {"kind": "sleeping-cell", "cells": [CELL]}
    engine = ran(engine_with(fault), END)
    assert engine.cells.activity[CELL].sum() == 0
    engine.run_until(END + 1)
    assert engine.cells.activity[CELL].sum() == 13  # all RBGs: 0.2 s of data wait


@pytest.mark.parametrize("fault", ALL_KINDS[:5], ids=lambda fault: fault["kind"])
def test_bytes_are_conserved_through_a_fault(fault: Mapping[str, Any]) -> None:
    engine = engine_with(fault)
    for slot in (START + 3, END - 1, END, END + 9):
        engine.run_until(slot)
        snapshot, queues = engine.snapshot(), engine._network.queues
        there = snapshot.connected > 0
        ue = snapshot.ue
        settled = ue[:, count.DELIVERED_BYTES] + ue[:, count.DROPPED_BYTES] + ue[:, count.ABANDONED_BYTES]
        open_bytes = queues.backlog_bytes + queues.in_flight_bytes
        assert np.array_equal((ue[:, count.OFFERED_BYTES] - settled)[there], open_bytes[there])


# -- backhaul -----------------------------------------------------------------------------------------------------

ONE_UE = load_scenario("one-cell").with_overrides({
    "warmup_s": 0.0,
    "traffic": [{"name": "meter", "five_qi": 9, "model": "cbr", "ues": 1, "rate_mbps": 0.96, "packet_bytes": 60,
                 "idle_s": 0.0, "session_s": [600.0, 600.0]}],  # a packet of one SDU each 0.5 ms: each slot
})  # fmt: skip


def offered(engine: Engine, first: int, end: int) -> list[int]:
    """Bytes offered before the end of each slot, by slot."""
    return [int(ran(engine, slot + 1).snapshot().ue[0, count.OFFERED_BYTES]) for slot in range(first, end)]


def test_a_backhaul_s_delay_moves_arrivals_by_just_that_and_its_end_lets_all_come() -> None:
    delay = 40  # slots: 20 ms
    ill = engine_with({"kind": "backhaul-delay", "cells": [0], "delay_ms": 20.0}, scenario=ONE_UE)
    first, end = START - 100, END + 100
    late, prompt = offered(ill, first, end), offered(engine_with(scenario=ONE_UE), first, end)
    for slot in range(first, end):
        i = slot - first
        if slot < START or slot >= END:
            assert late[i] == prompt[i], slot
        else:
            assert late[i] == prompt[max(i - delay, START - first - 1)], slot


def test_a_backhaul_s_delay_counts_in_the_sdu_delay_and_not_in_that_of_the_rlc() -> None:
    """TS 28.552 5.1.3.3.3 begins with the arrival at RLC; the packet's budget begins before."""
    ill = engine_with({"kind": "backhaul-delay", "cells": [0], "delay_ms": 20.0}, scenario=ONE_UE)
    totals = []
    for engine in (ill, engine_with(scenario=ONE_UE)):
        engine._network.links.noise_mw[0] *= 1e-6  # no block errors
        begin = ran(engine, START + 100).snapshot().ue[0]
        totals.append(ran(engine, END - 100).snapshot().ue[0] - begin)
    n = totals[1][count.SDUS_DELIVERED]
    assert n > 200
    assert totals[0][count.SDUS_DELIVERED] == n
    assert totals[0][count.TB_ERRORS] == 0
    assert totals[0][count.SDU_DELAY_SLOTS] - totals[1][count.SDU_DELAY_SLOTS] == 40 * n
    assert totals[0][count.SDU_WAIT_SLOTS] == totals[1][count.SDU_WAIT_SLOTS]
    assert totals[0][count.SDU_AIR_SLOTS] == totals[1][count.SDU_AIR_SLOTS]


def test_packets_that_the_backhaul_holds_beyond_their_budget_are_late() -> None:
    voice = ONE_UE.with_overrides({"traffic.meter.five_qi": 3})  # 30 ms for the radio
    for delay_ms, missed in ((20.0, False), (40.0, True)):
        fault = {"kind": "backhaul-delay", "cells": [0], "delay_ms": delay_ms}
        engine = engine_with(fault, scenario=voice)
        engine._network.links.noise_mw[0] *= 1e-6
        begin = ran(engine, START + 100).snapshot().ue[0]
        grown = ran(engine, END).snapshot().ue[0] - begin
        outcomes = grown[[count.PACKETS_IN_BUDGET, count.PACKETS_LATE, count.PACKETS_DROPPED]]
        assert (outcomes > 0).tolist() == [not missed, missed, False]


def test_jitter_spreads_delays_up_to_its_limit_and_keeps_the_order() -> None:
    fault = {"kind": "backhaul-delay", "cells": [0], "delay_ms": 10.0, "jitter_ms": 5.0}
    sparse = ONE_UE.with_overrides(
        {"traffic.meter.rate_mbps": 0.024}
    )  # a packet each 20 ms: none waits for another
    delays: list[int] = []
    for seed in range(1, 7):
        engine = engine_with({**fault, "end_s": None}, scenario=sparse, seed=seed)
        queues = ran(engine, START + 8000)._network.queues
        numbers = np.arange(queues.tail[0] - FIRST_RING + 1, queues.tail[0])  # all that the ring still holds
        packets = queues.packet[queues.ring_start[0] + numbers % FIRST_RING]
        late = packets[:, ARRIVAL] - packets[:, DUE]
        assert (np.diff(packets[:, ARRIVAL]) > 0).all()
        delays += late.tolist()
    assert set(delays) == set(range(20, 30))  # 10 ms, and whole slots of 0 up to 5 ms more
    assert np.mean(delays) == pytest.approx(24.5, abs=3 * 2.9 / math.sqrt(len(delays)))


# -- with actions -------------------------------------------------------------------------------------------------


def test_an_action_and_a_fault_compose_and_the_fault_s_end_undoes_no_action() -> None:
    engine = ran(engine_with({"kind": "power-loss", "cells": [CELL], "loss_db": 6.0}), START + 10)
    engine.set_tx_power(CELL, 40.0)
    engine.run_until(START + 11)
    sent_dbm = engine._network.radio.sent_dbm
    assert sent_dbm[CELL] == 34.0
    assert engine.cells.tx_power_dbm[CELL] == 40.0
    engine.run_until(END + 1)
    assert sent_dbm[CELL] == engine.cells.tx_power_dbm[CELL] == 40.0


def test_a_cell_told_to_sleep_in_its_fault_sleeps_on_after_it_and_one_woken_in_it_stays_mute() -> None:
    engine = ran(engine_with({"kind": "sleeping-cell", "cells": [CELL, 4]}), START + 10)
    n_before = int(((engine.ues.connected > 0) & (engine.ues.cell == CELL)).sum())
    engine.set_cell_state(np.array([CELL, 4]), MICRO_SLEEP)
    engine.run_until(START + 20)
    # Its signalling works: UEs were sent away, but for those who cannot hear the command.
    left = (engine.ues.connected > 0) & (engine.ues.cell == CELL)
    assert (engine._network.radio.handover.phase[left] == COMMAND_LOST).all()
    assert left.sum() < n_before / 2
    engine.set_cell_state(4, ACTIVE)
    engine.run_until(END)
    assert engine.cells.state[[CELL, 4]].tolist() == [MICRO_SLEEP, ACTIVE]
    assert engine.cells.activity[[CELL, 4]].sum() == 0
    engine.run_until(END + 500)
    assert engine.cells.state[[CELL, 4]].tolist() == [MICRO_SLEEP, ACTIVE]
    assert engine.snapshot().cell_class[4].sum(axis=0)[count.PRB_USED] > 0
