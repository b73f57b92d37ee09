"""Event A3 against closed forms, the layer-3 filter, what a command does, when a link fails and where a UE returns to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ran_sim.core.state import F32, Ues
from ran_sim.engine.radio_state import no_ues
from ran_sim.mobility.handover import (
    COMMAND_LOST,
    CONNECTED,
    COUNTERS,
    EXECUTING,
    PING_PONGS,
    PREPARING,
    SEARCHING,
    SHORT_STAYS,
    SUCCESSES,
    HandoverArrays,
    a3_target,
    advance_mobility,
    build_handover,
    due_target,
    l3_filter_share,
    link_fails,
    measure,
    reestablish,
    reset_handover,
    send_command,
)
from ran_sim.scenario import load_scenario

TICK_SLOTS = 100
QUIET = {"radio.measurement_error_db": 0.0, "handover.l3_filter_k": 0}


def state(**overrides: float) -> tuple[Ues, HandoverArrays]:
    scenario = load_scenario("seven-sites").with_overrides(
        {**QUIET, **{f"handover.{key}": value for key, value in overrides.items()}}
    )
    ues = no_ues(scenario.n_ue)
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


def test_a_neighbour_between_entering_and_leaving_condition_starts_anew() -> None:
    # A3-2 (leaving) would need Mn + Hys < Mp + Off: -88.5 is 1.5 dB above serving, neither entering nor leaving.
    _, handover = state(ttt_ms=100.0)
    for rsrp in (two_cells(-90, -86), two_cells(-90, -86), two_cells(-90, -88.5)):
        a3_target(0, 0, rsrp, np.zeros(21), handover)
    assert handover.held_ticks[0, 1] == -1


def test_time_to_trigger_is_rounded_up_to_ticks() -> None:
    assert [state(ttt_ms=ttt)[1].ttt_ticks for ttt in (0.0, 40.0, 50.0, 51.0, 160.0)] == [0, 1, 1, 2, 4]


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
    # Cells share a counter in pairs: neither these nor ticks have errors in common. 400 values: sd 0.05, 210 pairs of cells.
    between_cells = np.corrcoef(samples.T) - np.eye(21)
    assert np.abs(between_cells).max() < 0.2
    assert np.array(np.corrcoef(samples[:-1].ravel(), samples[1:].ravel()))[0, 1] == pytest.approx(
        0.0, abs=0.05
    )


# -- the command and its execution --------------------------------------------------------------------------------

GOOD, BAD = 1.0, 0.01  # serving SINR of one branch: 0 and -20 dB
QUIET_RSRP = two_cells(-90, -90)


def ticks(ues: Ues, handover: HandoverArrays, sinrs: Sequence[float], *, first: int = 0) -> None:
    """One tick after another with these serving SINRs and nothing to hand over to."""
    for tick, sinr in enumerate(sinrs, start=first):
        advance_mobility(0, tick * TICK_SLOTS, sinr, QUIET_RSRP, np.zeros(21), ues, handover)


def count(handover: HandoverArrays) -> dict[str, dict[int, int]]:
    """Counters that are not zero, by name and cell."""
    return {
        name: {int(cell): int(row[cell]) for cell in np.flatnonzero(row)}
        for name, row in zip(COUNTERS, handover.counts, strict=True)
        if row.any()
    }


@pytest.mark.parametrize(
    ("slot", "execution_ms", "until"),
    # Ticks of 100 slots of 0.5 ms. Of 40 ms after slot 1000, 80 slots, the next tick is 1100; from 1021 on it is too early.
    [
        (1000, 40.0, 1100),
        (1020, 40.0, 1100),
        (1021, 40.0, 1200),
        (1000, 50.0, 1100),
        (1000, 0.0, 1100),
        (1099, 0.0, 1100),
    ],
)
def test_a_command_moves_the_ue_and_blocks_it_until_the_tick_that_ends_the_execution(
    slot: int, execution_ms: float, until: int
) -> None:
    ues, handover = state(execution_ms=execution_ms)
    assert send_command(0, slot, 1, ues, handover)
    assert (ues.cell[0], ues.reachable_slot[0], handover.phase[0]) == (1, until, EXECUTING)
    assert count(handover) == {"attempts": {0: 1}}


@given(slot=st.integers(0, 1000), execution_ms=st.floats(0.0, 300.0), good=st.booleans())
def test_the_interruption_ends_when_its_outcome_is_known_and_not_before(
    slot: int, execution_ms: float, good: bool
) -> None:
    ues, handover = state(execution_ms=execution_ms)
    send_command(0, slot, 1, ues, handover)
    until = int(ues.reachable_slot[0])
    assert until >= slot + handover.execution_slots
    for tick in range(slot // TICK_SLOTS + 1, until // TICK_SLOTS + 1):
        assert handover.phase[0] == EXECUTING
        ticks(ues, handover, [GOOD if good else BAD], first=tick)
    assert handover.phase[0] == (CONNECTED if good else SEARCHING)
    assert (ues.reachable_slot[0] == until) == good


def test_success_is_counted_at_the_source_on_the_tick_after_the_execution() -> None:
    ues, handover = state(execution_ms=60.0)
    send_command(0, 0, 1, ues, handover)
    ticks(ues, handover, [GOOD], first=1)  # 50 ms
    assert count(handover) == {"attempts": {0: 1}}
    ticks(ues, handover, [GOOD], first=2)
    assert count(handover) == {"attempts": {0: 1}, "successes": {0: 1}}
    assert (handover.phase[0], handover.previous_cell[0], handover.changed_slot[0]) == (CONNECTED, 0, 200)


@pytest.mark.parametrize(("sinr_db", "arrived"), [(-10.9, True), (-11.1, False)])
def test_a_target_below_qout_at_the_end_of_execution_is_lost(sinr_db: float, arrived: bool) -> None:
    # Two branches add 3.01 dB: Qout of -8 dB is -11.01 dB on one of them.
    ues, handover = state(execution_ms=40.0)
    send_command(0, 0, 1, ues, handover)
    ticks(ues, handover, [10 ** (sinr_db / 10)], first=1)
    assert count(handover) == {"attempts": {0: 1}, "successes" if arrived else "targets_lost": {0: 1}}
    assert handover.phase[0] == (CONNECTED if arrived else SEARCHING)


def test_a_command_is_lost_while_t310_runs_and_not_repeated_until_it_stops() -> None:
    ues, handover = state(ttt_ms=0.0, preparation_ms=0.0)
    better = two_cells(-90, -80)
    handover.t310_end[0] = 10_000
    for tick in range(3):
        advance_mobility(0, tick * TICK_SLOTS, BAD, better, np.zeros(21), ues, handover)
    assert (ues.cell[0], handover.phase[0]) == (0, COMMAND_LOST)
    assert count(handover) == {"attempts": {0: 1}, "commands_lost": {0: 1}}
    # In sync on average over 100 ms, two ticks: T310 stops, and the event is measured anew.
    advance_mobility(0, 3 * TICK_SLOTS, GOOD, better, np.zeros(21), ues, handover)
    assert (ues.cell[0], handover.phase[0]) == (1, EXECUTING)


@pytest.mark.parametrize(("stay_slots", "short"), [(1900, 1), (2000, 0)])  # 1 s of 0.5 ms
@pytest.mark.parametrize("third_cell", [False, True])
def test_a_short_stay_is_counted_and_is_ping_pong_if_it_leads_back(
    stay_slots: int, short: int, third_cell: bool
) -> None:
    ues, handover = state(execution_ms=0.0)
    reset_handover(0, 0, handover)
    for slot, target in ((5000, 1), (5000 + stay_slots, 2 if third_cell else 0)):
        send_command(0, slot, target, ues, handover)
        advance_mobility(0, slot + TICK_SLOTS, GOOD, QUIET_RSRP, np.zeros(21), ues, handover)
    assert handover.counts[SUCCESSES].tolist()[:2] == [1, 1]
    assert handover.counts[SHORT_STAYS].sum() == handover.counts[SHORT_STAYS, 1] == short
    assert handover.counts[PING_PONGS].sum() == handover.counts[PING_PONGS, 1] == short * (not third_cell)


def test_the_first_handover_of_a_session_ends_no_short_stay() -> None:
    ues, handover = state(execution_ms=0.0)
    send_command(0, 0, 1, ues, handover)
    ticks(ues, handover, [GOOD], first=1)
    assert count(handover) == {"attempts": {0: 1}, "successes": {0: 1}}


# -- radio link monitoring ----------------------------------------------------------------------------------------


def failure_tick(handover: HandoverArrays, sinrs: Sequence[float]) -> int | None:
    """First tick on which T310 expires."""
    return next(
        (tick for tick, sinr in enumerate(sinrs) if link_fails(0, tick * TICK_SLOTS, sinr, handover)), None
    )


def test_a_link_fails_after_the_window_and_t310() -> None:
    # Four samples of 50 ms fill Qout's window on tick 3; T310 of 1 s are 20 ticks more.
    _, handover = state()
    assert failure_tick(handover, [BAD] * 30) == 23


def test_a_faster_tick_samples_the_same_times() -> None:
    scenario = load_scenario("seven-sites").with_overrides({"radio.tick_ms": 10.0})
    handover = build_handover(scenario)
    assert (handover.qout_ticks, handover.qin_ticks, handover.sinr.shape[1]) == (20, 10, 20)
    failed = [slot for slot in range(0, 4000, 20) if link_fails(0, slot, BAD, handover)]
    assert failed[0] * 0.5 == 190 + 1000  # ms: the window is full with the 20th sample, at 190 ms


def test_n310_indications_in_a_row_start_t310() -> None:
    _, handover = state(n310=3)
    assert failure_tick(handover, [BAD] * 40) == 25
    _, handover = state(n310=3)
    # A good sample lifts the mean over Qout for as long as the window holds it: the row starts again after it.
    assert failure_tick(handover, [*[BAD] * 5, GOOD, *[BAD] * 40]) == 5 + 4 + 2 + 20


def test_n311_indications_in_a_row_stop_t310() -> None:
    # T310 runs from tick 3. Two samples are Qin's window: each good one keeps it in sync for two ticks.
    for n311, fails in ((2, False), (3, True)):
        _, handover = state(n311=n311, qout_window_ms=50.0)
        outcome = failure_tick(handover, [*[BAD] * 10, GOOD, *[BAD] * 12])
        # Without a stop it fails 20 ticks after tick 0; a new T310 runs from tick 12 on.
        assert (outcome == 20) == fails


def test_qin_above_qout_keeps_a_link_between_them_from_recovering() -> None:
    between = 10 ** (-7 / 10) / 2  # -7 dB after combining
    _, handover = state()
    assert failure_tick(handover, [between] * 60) is None
    _, handover = state()
    assert failure_tick(handover, [*[BAD] * 4, *[between] * 60]) == 23


def test_sinr_is_averaged_linearly_over_the_window() -> None:
    # One sample in four of twice Qout's value and three of two thirds of it: the mean is Qout itself.
    _, handover = state()
    above, below = handover.qout * (2.0 + 0.1), handover.qout * (2.0 / 3.0)
    assert failure_tick(handover, [above, below, below, below] * 15) is None
    _, handover = state()
    above = handover.qout * (2.0 - 0.1)
    assert failure_tick(handover, [above, below, below, below] * 15) == 23


@given(st.lists(st.sampled_from([GOOD, BAD, 0.1]), max_size=80))
def test_a_link_that_fails_was_bad_for_the_window_before_t310_and_never_recovered(sinrs: list[float]) -> None:
    _, handover = state()
    tick = failure_tick(handover, sinrs)
    if tick is not None:
        started = tick - 20
        assert np.mean(sinrs[started - 3 : started + 1]) < handover.qout
        assert all(np.mean(sinrs[i - 1 : i + 1]) <= handover.qin for i in range(started + 1, tick + 1))


# -- re-establishment ---------------------------------------------------------------------------------------------


def lost(*, preparing: bool = False, **overrides: float) -> tuple[Ues, HandoverArrays]:
    """A UE whose link has failed in cell 0 at tick 23."""
    ues, handover = state(**overrides)
    ticks(ues, handover, [BAD] * 23)
    if preparing:
        handover.phase[0], handover.target[0], handover.due_slot[0] = PREPARING, 1, 23 * TICK_SLOTS + 1
    ticks(ues, handover, [BAD], first=23)
    return ues, handover


def test_a_lost_link_leaves_the_ue_in_its_cell_and_blocked() -> None:
    ues, handover = lost()
    assert count(handover) == {"link_failures": {0: 1}}
    assert (ues.cell[0], handover.phase[0], handover.due_slot[0]) == (0, SEARCHING, 23 * TICK_SLOTS + 400)
    assert ues.reachable_slot[0] > 1 << 60


def test_a_link_that_fails_under_preparation_fails_the_handover_too() -> None:
    _, handover = lost(preparing=True)
    # State 2 of TR 36.839, but no command was sent: no execution was requested (TS 28.552 5.1.1.6.5.1).
    assert count(handover) == {"preparations_lost": {0: 1}, "link_failures": {0: 1}}


def test_nothing_is_found_up_to_qin() -> None:
    ues, handover = lost()
    assert not reestablish(0, 3000, 1, handover.qin, ues, handover)
    assert (ues.cell[0], handover.phase[0], ues.reestablished[0]) == (0, SEARCHING, 0)
    assert reestablish(0, 3100, 1, handover.qin * 1.001, ues, handover)
    assert (ues.cell[0], ues.reachable_slot[0], handover.phase[0], ues.reestablished[0]) == (
        1,
        3100,
        CONNECTED,
        1,
    )
    assert count(handover)["reestablishments"] == {1: 1}


@pytest.mark.parametrize(
    ("source", "found", "blamed"),
    # The link failed in cell 0; `source` is where a recent handover came from, -1 without one. TS 38.300 15.5.2.
    [
        (-1, 1, {"too_late": {0: 1}}),
        (-1, 0, {}),
        (5, 5, {"too_early": {5: 1}}),
        (5, 1, {"wrong_cell": {5: 1}}),
        (5, 0, {}),
    ],
)
def test_where_the_ue_returns_to_tells_what_was_wrong(
    source: int, found: int, blamed: dict[str, dict[int, int]]
) -> None:
    ues, handover = state()
    handover.previous_cell[0] = source
    ticks(ues, handover, [BAD] * 24)
    reestablish(0, 4000, found, GOOD, ues, handover)
    assert count(handover) == {"link_failures": {0: 1}, "reestablishments": {found: 1}, **blamed}


def test_a_link_failure_long_after_a_handover_is_not_laid_to_it() -> None:
    ues, handover = state(mro_recent_s=1.0)
    handover.previous_cell[0] = 5  # 1.15 s before T310 expires
    ticks(ues, handover, [BAD] * 24)
    reestablish(0, 4000, 5, GOOD, ues, handover)
    assert count(handover) == {"link_failures": {0: 1}, "reestablishments": {5: 1}, "too_late": {0: 1}}


def test_a_handover_whose_target_is_lost_was_too_early_if_the_ue_returns() -> None:
    ues, handover = state()
    send_command(0, 0, 1, ues, handover)
    ticks(ues, handover, [BAD], first=1)
    reestablish(0, 1000, 0, GOOD, ues, handover)
    assert count(handover) == {
        "attempts": {0: 1}, "targets_lost": {0: 1}, "reestablishments": {0: 1}, "too_early": {0: 1},
    }  # fmt: skip
