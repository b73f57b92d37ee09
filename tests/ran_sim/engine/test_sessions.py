"""Channel reports where the link goes: none without a link or from a sleeping cell, and the first one after it as usual."""

from __future__ import annotations

from collections.abc import Iterator

from ran_sim.core import counters as count
from ran_sim.energy.power import ACTIVE, DEEP_SLEEP
from ran_sim.engine import Engine
from ran_sim.mobility.handover import SEARCHING
from ran_sim.scenario import Scenario, load_scenario

# Alone: where its cell sleeps or is not received there is no other. Deep sleep takes 50 ms out and in, half each way.
ONE_CELL = load_scenario("one-cell").with_overrides(
    {
        "warmup_s": 0.0,
        "traffic": [
            {
                "name": "always", "five_qi": 9, "model": "full-buffer", "ues": 1,
                "idle_s": 0.0, "session_s": [1000.0, 1000.0],
            }
        ],
    }
)  # fmt: skip
TICK = 100  # slots
DELAY = ONE_CELL.slots(ONE_CELL.radio.cqi_delay_ms)


def cqi_by_slot(engine: Engine, slots: int) -> Iterator[tuple[int, int]]:
    """Slot and the CQI of UE row 0 that the gNB knows at its end."""
    for slot in range(engine.slot, engine.slot + slots):
        engine.run_until(slot + 1)
        yield slot, int(engine.snapshot().cqi[0])


def settled(scenario: Scenario = ONE_CELL) -> Engine:
    engine = Engine(scenario, seed=1)
    engine.run_until(10 * TICK + 30)
    assert engine.snapshot().cqi[0] >= 0
    return engine


def test_a_cell_that_falls_asleep_forgets_what_it_knew_and_gets_no_reports() -> None:
    engine = settled()
    engine.set_cell_state(0, DEEP_SLEEP)
    assert {cqi for _, cqi in cqi_by_slot(engine, 300)} == {-1}


def test_the_first_report_after_a_sleep_is_measured_on_the_next_tick_and_known_after_the_usual_delay() -> (
    None
):
    engine = settled()
    engine.set_cell_state(0, DEEP_SLEEP)
    engine.run_until(11 * TICK + 30)
    engine.set_cell_state(0, ACTIVE)  # awake after 25 ms more, 11 x TICK + 80
    known = [slot for slot, cqi in cqi_by_slot(engine, 150) if cqi >= 0]
    assert known[0] == 12 * TICK + DELAY


def test_a_ue_without_a_link_reports_nothing_until_it_is_back() -> None:
    engine = settled()
    handover = engine._network.radio.handover
    engine.set_tx_power(0, -100.0)  # nobody is received: T310 after 200 ms, failure after another second
    engine.run_until(10 * TICK + 30 + 26 * TICK)
    assert handover.phase[0] == SEARCHING
    reports = int(engine.snapshot().ue[0, count.CQI_REPORTS])
    assert {cqi for _, cqi in cqi_by_slot(engine, 200)} == {-1}
    assert engine.snapshot().ue[0, count.CQI_REPORTS] == reports
    engine.set_tx_power(0, ONE_CELL.layout.tx_power_dbm)
    known = next(slot for slot, cqi in cqi_by_slot(engine, 600) if cqi >= 0)
    back = int(engine.ues.reachable_slot[0])
    assert back % TICK == 0
    assert known == back + DELAY


def test_a_new_ue_starts_without_the_link_adaptation_of_the_one_before() -> None:
    short = {
        "name": "short",
        "five_qi": 9,
        "model": "full-buffer",
        "ues": 1,
        "idle_s": 0.1,
        "session_s": [0.3, 0.3],
    }
    engine = Engine(ONE_CELL.with_overrides({"traffic": [short]}), seed=1)
    offsets_db = []
    ues, olla_db = engine.ues, engine._network.harq.olla_db
    for tick in range(60):
        engine.run_until(tick * TICK)
        before, before_db = int(ues.id[0]), float(olla_db[0])
        engine.run_until(tick * TICK + 1)
        if ues.id[0] != before and ues.id[0] >= 0:
            offsets_db.append(before_db)
            assert olla_db[0] == 0.0
    assert any(offset_db != 0.0 for offset_db in offsets_db)
