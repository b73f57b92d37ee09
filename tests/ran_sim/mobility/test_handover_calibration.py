"""Handover counters balance, commands are lost where T310 runs, and cell individual offsets move load."""

from __future__ import annotations

import pytest

from ran_sim.calibration.handover_place import command_place_m, crossing_m
from ran_sim.calibration.handover_rates import PARAMETER_SETS, command_outcomes, mobility_rates
from ran_sim.core.counters import PRB_USED
from ran_sim.engine import Engine
from ran_sim.mobility.handover import build_handover
from ran_sim.scenario import load_scenario


def test_three_db_of_offset_move_it_by_the_closed_form_s_distance() -> None:
    moved_m = command_place_m(0.0) - command_place_m(3.0)
    assert moved_m == pytest.approx(crossing_m(0.0) - crossing_m(3.0), abs=0.2)  # one tick of 10 ms at 20 m/s
    assert moved_m > 10.0


@pytest.mark.parametrize("number", PARAMETER_SETS)
def test_parameter_sets_are_scenarios(number: int) -> None:
    scenario = load_scenario("seven-sites").with_overrides(PARAMETER_SETS[number])
    assert scenario.handover.hysteresis_db == 0.0
    # 480, 160, 160, 80, 40 ms, not rounded up to a tick.
    assert build_handover(scenario).ttt_ticks * scenario.radio.tick_ms == scenario.handover.ttt_ms


def test_counters_balance() -> None:
    """Every attempt ends in one way, and who lost its link is searching or came back."""
    rates = mobility_rates(
        {"layout.isd_m": 200.0, "handover.ttt_ms": 500.0}, speed_mps=30.0, seconds=15.0, ues=42
    )
    ended = rates["successes"] + rates["commands_lost"] + rates["targets_lost"]
    lost = rates["link_failures"] + rates["targets_lost"]
    assert lost > 1.0
    assert 0.0 <= rates["attempts"] - ended <= 0.1 * rates["attempts"]
    assert 0.8 * lost <= rates["reestablishments"] <= lost
    blamed = rates["too_early"] + rates["too_late"] + rates["wrong_cell"]
    assert blamed <= rates["reestablishments"] + 1e-9  # counts divided by a time
    assert rates["ping_pongs"] <= rates["short_stays"] <= rates["successes"]


def test_three_db_of_offset_pull_users_and_load_into_the_cell() -> None:
    """A researcher's load balancing must have something to pull on: by 3 dB, users and PRBs follow."""
    scenario = load_scenario("seven-sites").with_overrides(
        {"radio.indoor_share": 0.0, "mobility.speeds_kmh": [60.0], "mobility.speed_shares": [1.0]}
    )
    users, prbs = [], []
    for cio_db in (-3.0, 0.0, 3.0):
        engine = Engine(scenario, seed=2)
        for cell in range(3):  # one site: more UEs than one cell has, for less noise
            engine.set_cio(cell, cio_db)
        engine.run_until(4000)
        before = engine.snapshot()
        engine.run_until(16_000)
        after = engine.snapshot()
        period = after.since(before)
        users.append(
            sum(
                int((snapshot.cell < 3).sum()) - int((snapshot.cell < 0).sum())
                for snapshot in (before, after)
            )
        )
        prbs.append(int(period.cell_class[:3, :, PRB_USED].sum()))
    assert users[0] < users[1] < users[2]
    assert prbs[0] < prbs[1] < prbs[2]


def test_most_lost_links_are_late_commands() -> None:
    """What the report says of the failures' cause: T310 ran when their command came, below Qout of -8 dB."""
    share, arrived_db, unheard_db = command_outcomes(seconds=10.0)
    assert share > 0.9
    assert unheard_db < -8.0 < arrived_db
