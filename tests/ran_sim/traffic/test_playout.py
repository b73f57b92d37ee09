"""The player of a stream: stalls worked out by hand, and time that always adds up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ran_sim.bridge import SimWorld
from ran_sim.core import counters as count
from ran_sim.core.state import F64, I64
from ran_sim.engine import Engine
from ran_sim.measure.score import score
from ran_sim.scenario import Scenario, load_scenario
from ran_sim.traffic.playout import N_PLAYER, run_player, start_player, take_segment

TIMES = [count.STARTUP_SLOTS, count.PLAYING_SLOTS, count.STALLED_SLOTS]


def a_player(slot: int = 0) -> tuple[F64, I64]:
    player, counts = np.zeros(N_PLAYER), np.zeros(count.N, np.int64)
    start_player(player, slot, True)
    return player, counts


def times(counts: I64) -> list[int]:
    """Slots of waiting for the start, of playing and of stalls, and the number of stalls."""
    return [int(counts[i]) for i in (*TIMES, count.STALLS)]


def test_player_starts_with_enough_content_and_stalls_when_it_is_shown() -> None:
    player, counts = a_player()
    take_segment(player, counts, 10, 20.0, 40.0, 20.0)  # half of what it starts with
    take_segment(player, counts, 30, 20.0, 40.0, 20.0)  # 40 slots: until 70
    run_player(player, counts, 70)
    assert times(counts) == [30, 40, 0, 0]
    run_player(player, counts, 75)
    assert times(counts) == [30, 40, 5, 1]
    take_segment(player, counts, 80, 20.0, 40.0, 20.0)  # enough to go on: until 100
    run_player(player, counts, 101)
    assert times(counts) == [30, 60, 11, 2]


def test_player_goes_on_only_with_the_content_that_a_stall_asks_for() -> None:
    player, counts = a_player()
    take_segment(player, counts, 0, 10.0, 10.0, 30.0)  # until 10
    for slot in (20, 30, 40):
        take_segment(player, counts, slot, 10.0, 10.0, 30.0)
    run_player(player, counts, 45)
    assert times(counts) == [0, 15, 30, 1]  # stalled from 10 until there were 30 slots of content, at 40


def test_segment_that_comes_as_the_buffer_runs_dry_is_in_time() -> None:
    player, counts = a_player()
    take_segment(player, counts, 5, 10.0, 10.0, 10.0)
    take_segment(player, counts, 15, 10.0, 10.0, 10.0)
    run_player(player, counts, 25)
    assert times(counts) == [5, 20, 0, 0]


def test_a_slot_that_content_lasts_into_is_played() -> None:
    player, counts = a_player()
    take_segment(player, counts, 0, 10.4, 10.0, 10.0)
    run_player(player, counts, 20)
    assert times(counts) == [0, 11, 9, 1]


def test_session_without_a_stream_has_no_player() -> None:
    player, counts = a_player()
    start_player(player, 0, False)
    run_player(player, counts, 100)
    assert times(counts) == [0, 0, 0, 0]


@given(
    gaps=st.lists(st.integers(0, 60), max_size=30),
    looks=st.lists(st.integers(1, 1500), max_size=30),
    content=st.floats(0.3, 50.0),
    start=st.integers(1, 4),
    resume=st.integers(1, 4),
)
def test_every_slot_is_counted_once_whoever_looks_when(
    gaps: list[int], looks: list[int], content: float, start: int, resume: int
) -> None:
    arrivals = np.cumsum(gaps, dtype=np.int64).tolist()
    end = 2000
    ran = []
    for moments in ([], looks):
        player, counts = a_player()
        events = sorted([(slot, 1) for slot in arrivals] + [(slot, 0) for slot in moments])
        for slot, is_segment in events:
            if is_segment:
                take_segment(player, counts, slot, content, start * content, resume * content)
            else:
                run_player(player, counts, slot)
        run_player(player, counts, end)
        ran.append(times(counts))
    assert ran[0] == ran[1]
    assert sum(ran[0][:3]) == end
    assert ran[0][1] <= len(gaps) * content + len(
        gaps
    )  # content is shown once; each run may end in a slot's middle


def a_stream(**fields: object) -> Scenario:
    """Streams of 0.2 s segments in one cell, one of them per UE row, always in session."""
    stream = {
        "name": "film", "five_qi": 6, "model": "streaming", "ues": 6, "rate_mbps": 4.0, "segment_s": 0.2,
        "start_s": 0.4, "idle_s": 0.0, "session_s": [3.0, 5.0], **fields,
    }  # fmt: skip
    return load_scenario("one-cell").with_overrides({"traffic": [stream], "warmup_s": 0.0})


def test_times_of_a_session_s_player_add_up_to_the_session() -> None:
    engine = Engine(a_stream(rate_mbps=30.0), seed=2)
    engine.run_until(16_000)
    rows = engine.sessions()
    ended = rows[rows["end_slot"] < engine.slot]
    in_session = ended["end_slot"] - ended["start_slot"]
    counted = ended["startup_slots"] + ended["playing_slots"] + ended["stalled_slots"]
    assert len(ended) >= 6
    assert np.array_equal(counted, in_session)
    assert ended["stalls"].sum() > 0  # six times 30 Mb/s, where the largest block in every slot is 100 Mb/s
    figures = score(engine)
    played = rows["playing_slots"].sum() + rows["stalled_slots"].sum()
    assert figures["stall_pct"] == pytest.approx(100 * rows["stalled_slots"].sum() / played)
    assert 0 < figures["stall_pct"] < 100
    assert figures["streams"] <= len(rows)


def test_stream_that_the_cell_can_carry_never_stalls() -> None:
    engine = Engine(a_stream(ues=1, rate_mbps=0.2), seed=1)
    engine.run_until(6000)
    figures = score(engine)
    assert figures["stall_pct"] == 0.0
    assert figures["stalled_streams_pct"] == 0.0


def test_reports_of_stalls_add_up_and_say_nothing_of_other_traffic() -> None:
    scenario = a_stream(rate_mbps=30.0)
    both = [*(t.model_dump() for t in scenario.traffic), load_scenario("one-cell").traffic[0].model_dump()]
    world = SimWorld(scenario.with_overrides({"traffic": both, "traffic.film.session_s": [1e3, 1e3]}), seed=2)
    names = frozenset({"X.UE.StallTime", "X.UE.Stalls"})
    wanted = {("site0", "ue", 100): names, ("site0", "ue", 1000): names}
    short: list[NDArray[np.float32]] = []
    long: list[NDArray[np.float32]] = []
    while world.now_ns < 3_000_000_000:
        world.advance(3_000_000_000)
        for report in world.reports(wanted):
            (short if report.period_ms == 100 else long).append(report.block[:, 2:])
    stalls_s = sum(short[20:30])
    assert np.array_equal(stalls_s, long[2], equal_nan=True)
    films = world.engine.class_of == 0
    assert np.isfinite(long[2][films]).all()
    assert np.isnan(long[2][~films]).all()
    assert (long[2][films][:, 0] <= 1000).all()
    assert long[2][films].sum() > 0
