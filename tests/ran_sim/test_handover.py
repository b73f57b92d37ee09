"""Event A3 against closed forms, the layer-3 filter, and what a command does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ran_sim.handover import (
    Handover,
    a3_target,
    build_handover,
    due_target,
    execute_handover,
    l3_filter_share,
    measure,
    reset_handover,
)
from ran_sim.radio import init_radio
from ran_sim.scenario import load_scenario
from ran_sim.state import F32, Ues

TICK_SLOTS = 100
QUIET = {"radio.measurement_error_db": 0.0, "handover.l3_filter_k": 0}


def state(**overrides: float) -> tuple[Ues, Handover]:
    scenario = load_scenario("seven-sites").with_overrides(
        {**QUIET, **{f"handover.{key}": value for key, value in overrides.items()}}
    )
    _, ues, _, _ = init_radio(scenario, 1)
    ues.connected[0], ues.cell[0] = 1, 0
    return ues, build_handover(scenario)


def two_cells(serving_dbm: float, neighbour_dbm: float) -> F32:
    return np.array([serving_dbm, neighbour_dbm] + [-150.0] * 19, np.float32)


@pytest.mark.parametrize("cio_db", [0.0, 3.0, -3.0])
def test_handover_position_between_two_cells_follows_the_closed_form(cio_db: float) -> None:
    """A UE drives from one cell to another, each of them losing 35 dB per decade.

    Entering condition at d2 = D - d1: 35 log10(d1 / d2) = off + hys - CIO; the command comes after the first tick on
    which it holds, the time to trigger and the preparation.
    """
    speed_mps, between_m, tick_s, off_hys_db = 20.0, 500.0, 0.05, 3.0
    ues, handover = state(a3_offset_db=2.0, hysteresis_db=1.0, ttt_ms=200.0, preparation_ms=50.0)
    cio = np.zeros(21)
    cio[1] = cio_db
    ratio = 10 ** ((off_hys_db - cio_db) / 35)
    crossing_m = between_m * ratio / (1 + ratio)
    command_m = math.nan
    for tick in range(500):
        d1_m = 10.0 + speed_mps * tick_s * tick
        if d1_m >= between_m:
            break
        rsrp = two_cells(-50 - 35 * math.log10(d1_m), -50 - 35 * math.log10(between_m - d1_m))
        if due_target(0, tick * TICK_SLOTS, rsrp, cio, ues, handover) == 1:
            command_m = d1_m
            break
    delay_s = 0.200 + 0.050
    # Up to one tick until the crossing is seen.
    assert 0.0 <= command_m - (crossing_m + speed_mps * delay_s) <= speed_mps * tick_s


def test_time_to_trigger_starts_again_when_the_condition_breaks() -> None:
    _, handover = state(ttt_ms=100.0)
    cio = np.zeros(21)
    strong, weak = two_cells(-90, -86), two_cells(-90, -88)
    pattern = [strong, strong, weak, strong, strong, strong]
    assert [a3_target(0, 0, rsrp, cio, handover) for rsrp in pattern] == [-1, -1, -1, -1, -1, 1]


def test_entering_condition_is_strict() -> None:
    _, handover = state(ttt_ms=0.0)
    cio = np.zeros(21)
    assert a3_target(0, 0, two_cells(-90, -87), cio, handover) == -1  # exactly off + hys
    assert a3_target(0, 0, two_cells(-90, -86.9), cio, handover) == 1


def test_best_of_several_triggered_cells_is_chosen_with_its_offset() -> None:
    _, handover = state(ttt_ms=0.0)
    rsrp = two_cells(-90, -80)
    rsrp[2] = -81
    cio = np.zeros(21)
    assert a3_target(0, 0, rsrp, cio, handover) == 1
    cio[2] = 2.0
    assert a3_target(0, 0, rsrp, cio, handover) == 2


@pytest.mark.parametrize(("k", "share"), [(0, 1.0), (4, 0.5), (8, 0.25)])
def test_filter_at_the_standard_rate_is_the_standards(k: int, share: float) -> None:
    assert l3_filter_share(k, 200.0) == pytest.approx(share)


def test_four_fast_samples_weigh_as_much_as_one_at_the_standard_rate() -> None:
    assert (1 - l3_filter_share(4, 50.0)) ** 4 == pytest.approx(0.5)


def test_measurement_follows_a_step_exponentially() -> None:
    scenario = load_scenario("seven-sites").with_overrides({**QUIET, "handover.l3_filter_k": 4})
    handover = build_handover(scenario)
    filtered = np.zeros(21, np.float32)
    power = np.full(21, 44.0)
    measure(1, 0, 0, np.full(21, -100, np.float32), power, True, filtered, handover)
    level_dbm = 44 - 10 * math.log10(12 * 51) - 100  # per resource element
    assert filtered == pytest.approx(level_dbm, abs=1e-4)
    for tick in range(1, 9):
        measure(1, 0, tick, np.full(21, -90, np.float32), power, False, filtered, handover)
    assert filtered == pytest.approx(level_dbm + 10 * (1 - 0.5**2), abs=1e-4)  # 8 x 50 ms = 2 x 200 ms


def test_measurement_error_has_its_standard_deviation() -> None:
    scenario = load_scenario("seven-sites").with_overrides({"radio.measurement_error_db": 2.0})
    handover = build_handover(scenario)
    samples = np.zeros((400, 21), np.float32)
    for tick in range(400):
        measure(1, 0, tick, np.zeros(21, np.float32), np.zeros(21), True, samples[tick], handover)
    assert samples.std() == pytest.approx(2.0, rel=4 / math.sqrt(2 * samples.size))


def test_success_moves_the_ue_and_blocks_it_for_the_execution_time() -> None:
    ues, handover = state(execution_ms=40.0)
    execute_handover(1000, 0, 1, 0.0, two_cells(-90, -85), ues, handover)
    assert (ues.cell[0], ues.blocked_until[0]) == (1, 1000 + 80)
    assert (handover.attempts[0], handover.successes[0], handover.failures[0]) == (1, 1, 0)


def test_command_below_qout_is_lost_and_the_ue_re_establishes_on_its_strongest_cell() -> None:
    ues, handover = state(reestablishment_ms=200.0)
    rsrp = two_cells(-90, -85)
    rsrp[7] = -84
    # Two branches add 3.01 dB: Qout of -8 dB is -11.01 dB on one of them.
    execute_handover(1000, 0, 1, -11.1, rsrp, ues, handover)
    assert (ues.cell[0], ues.blocked_until[0]) == (7, 1000 + 400)
    assert (handover.attempts[0], handover.successes[0], handover.failures[0]) == (1, 0, 1)


def test_command_just_above_qout_arrives() -> None:
    ues, handover = state()
    execute_handover(1000, 0, 1, -10.9, two_cells(-90, -85), ues, handover)
    assert (ues.cell[0], handover.successes[0]) == (1, 1)


@pytest.mark.parametrize(("below_db", "succeeds"), [(7.9, 1), (8.1, 0)])
def test_a_target_weaker_than_the_strongest_cell_by_more_than_qout_cannot_be_reached(
    below_db: float, succeeds: int
) -> None:
    ues, handover = state()
    execute_handover(1000, 0, 1, 20.0, two_cells(-80, -80 - below_db), ues, handover)
    assert handover.successes[0] == succeeds
    assert ues.cell[0] == (1 if succeeds else 0)


@pytest.mark.parametrize(("stay_slots", "ping_pong"), [(1999, 1), (2000, 0)])  # 1 s of 0.5 ms
def test_a_quick_return_is_ping_pong(stay_slots: int, ping_pong: int) -> None:
    ues, handover = state()
    reset_handover(0, 0, handover)
    execute_handover(5000, 0, 1, 0.0, two_cells(-90, -85), ues, handover)
    execute_handover(5000 + stay_slots, 0, 0, 0.0, two_cells(-85, -90), ues, handover)
    assert handover.ping_pong[1] == ping_pong
    assert handover.ping_pong.sum() == ping_pong
