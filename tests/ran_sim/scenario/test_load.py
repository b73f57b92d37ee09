"""The load of a day: its curve, sessions that follow it, and worlds that differ in nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ran_sim.core.jit import bound
from ran_sim.engine.radio_state import init_radio
from ran_sim.mobility.movement import build_sessions, first_session, next_session
from ran_sim.scenario import Scenario, ScenarioError, load_scenario
from ran_sim.scenario.load import day_curve, factor_at
from ran_sim.scenario.routes import MOST_S
from ran_sim.scenario.sections import LoadProfile
from ran_sim.traffic.arrivals import init_traffic, next_packet

DAY_S = 2000.0
N_UE = 600


def scenario(*points: tuple[float, float], **overrides: object) -> Scenario:
    """Calls of 2 s on average in 600 UE rows, busy a quarter of the time at factor 1; a day of 2000 s."""
    call = {
        "name": "call", "five_qi": 1, "model": "voip", "ues": N_UE, "session_s": (1.0, 3.0), "idle_s": 6.0,
    }  # fmt: skip
    return load_scenario("one-cell").with_overrides(
        {"traffic": [call], "load_profile": {"points": points, "day_s": DAY_S}, **overrides}
    )


def sessions(world: Scenario, until_s: float, seed: int = 1) -> NDArray[np.int64]:
    """UE id, first and last slot of every session until a time, shape [n, 3]."""
    _, ues, _, _ = init_radio(world, seed)
    state = build_sessions(world)
    end = until_s * 1e9 / world.slot_ns
    first, following = (bound(kernel, seed, 0, ues, state) for kernel in (first_session, next_session))
    found = []
    for u in range(world.n_ue):
        first(seed, u, ues, state)
        while ues.start_slot[u] < end:
            found.append((state.number[u] * world.n_ue + u, ues.start_slot[u], ues.end_slot[u]))
            following(seed, u, ues, state)
    return np.array(found)


def test_curve_goes_straight_between_its_points_and_round_the_clock() -> None:
    curve = day_curve(LoadProfile(points=((6.0, 0.2), (18.0, 1.0)), day_s=2400.0), 1.0)
    hour = 100.0
    # From 18 to 6 the factor falls by 0.8 in 12 hours: at midnight half of it is gone.
    assert curve.tolist() == [[0, 0.6], [600, 0.2], [1800, 1.0], [2400, 0.6]]
    for h, factor in ((6, 0.2), (12, 0.6), (18, 1.0), (21, 0.8), (24, 0.6), (27, 0.4), (30, 0.2), (42, 1.0)):
        assert factor_at(curve, h * hour) == pytest.approx(factor)
    assert factor_at(day_curve(None, 1.0), 77.0) == 1.0


def test_mean_number_of_sessions_follows_the_curve() -> None:
    world = scenario((0, 0.4), (6, 0.4), (12, 2.0), (18, 2.0), (21, 0.8))
    found = sessions(world, 2 * DAY_S)
    profile = world.load_profile
    assert profile is not None
    curve = day_curve(profile, 1.0)
    slots_per_s = 1e9 / world.slot_ns
    # Means over an eighth of a day, some 60 sessions long, in both days; the curve's corners lie on their borders.
    for part in range(16):
        begin, end = part * DAY_S / 8, (part + 1) * DAY_S / 8
        overlap = np.minimum(found[:, 2], end * slots_per_s) - np.maximum(found[:, 1], begin * slots_per_s)
        mean = overlap[overlap > 0].sum() / slots_per_s / (end - begin)
        times = np.linspace(begin, end, 200)
        # Sessions end on average 1.08 s (E[S^2] / 2 E[S]) after the rate that they began with; start and end on ticks.
        share = 0.25 * np.mean([factor_at(curve, t - 1.08) for t in times])
        # Variance of a time average: 2 x share (1 - share) x correlation time (about 1 s) / time, per UE row.
        sigma = np.sqrt(N_UE * share * (1 - share) * 2 * 1.1 / (end - begin))
        assert mean == pytest.approx(N_UE * share, abs=3 * sigma), part


def test_level_profile_has_the_sessions_of_its_load() -> None:
    found = sessions(scenario((0, 1.0)), DAY_S)
    busy = (found[:, 2] - found[:, 1]).sum() / (N_UE * DAY_S * 2000)
    # 250 sessions in each of 600 UE rows; the busy share's deviation is below 1 %.
    assert busy == pytest.approx(0.25, rel=0.01)


def test_higher_load_adds_sessions_and_keeps_those_that_were_there() -> None:
    # Rarely busy UE rows, so that few added sessions stand in the way of an old one.
    rare = {"traffic.call.idle_s": 198.0}
    low, high = (
        {tuple(row) for row in sessions(scenario((0, f), (12, 0.9 * f), **rare), DAY_S)} for f in (0.6, 1.0)
    )
    assert len(low) > 1500
    assert len(high) == pytest.approx(len(low) / 0.6, rel=0.05)
    assert len(low & high) > 0.97 * len(low)  # same UEs, same starts, same ends


def test_nobody_comes_while_the_factor_is_0() -> None:
    found = sessions(scenario((0, 0.0), (8, 0.0), (8.01, 1.0), (16, 1.0), (16.01, 0.0)), DAY_S)
    hour = DAY_S / 24 * 2000
    starts = found[:, 1]
    assert len(starts) > 1000
    assert starts.min() >= 8 * hour
    assert starts.max() <= 16.1 * hour
    assert len(sessions(scenario((0, 0.0)), DAY_S)) == 0


def test_files_of_a_class_that_is_always_there_follow_the_load_if_it_says_so() -> None:
    best_effort = {
        "name": "files", "five_qi": 9, "model": "ftp3", "ues": 1, "rate_mbps": 8.0, "file_kb": 10.0, "idle_s": 0.0,
        "follows_load": True,
    }  # fmt: skip
    world = load_scenario("one-cell").with_overrides(
        {"traffic": [best_effort], "load_profile": {"points": [(0, 0.5), (12, 1.5)], "day_s": 200.0}}
    )
    traffic = init_traffic(world)
    index, due, arrivals = -1, 0.0, []
    following = bound(next_packet, traffic, 1, 0, 3, 0, due, 0)
    while due < 400_000:  # one day of 200 s
        index, due, size, _ = following(traffic, 1, 0, 3, index + 1, due, 0)
        assert size == 10_000
        arrivals.append(due)
    # 100 files a second at factor 1; the factor is 1 on average, 0.75 in the first and the last quarter of the day.
    hours = np.array(arrivals[:-1]) / 400_000 * 24
    assert len(hours) == pytest.approx(20_000, abs=3 * np.sqrt(20_000))
    assert ((hours < 6) | (hours >= 18)).sum() == pytest.approx(7_500, abs=3 * np.sqrt(7_500))


def test_a_session_or_file_later_than_any_run_never_comes() -> None:
    # At 10^20 s the float steps are longer than a day: the time of day would always be midnight, where the load is 0.
    rare = {"name": "call", "five_qi": 1, "model": "voip", "ues": 4, "session_s": (1.0, 3.0), "idle_s": 1e7}
    world = load_scenario("one-cell").with_overrides(
        {"traffic": [rare], "load_profile": {"points": [(0, 0), (6, 1e-6)]}, "load": 1e-6}
    )
    _, ues, _, _ = init_radio(world, 1)
    state = build_sessions(world)
    for u in range(world.n_ue):
        first_session(1, u, ues, state)
    assert ues.start_slot.min() > world.slots(MOST_S * 1e3)
    files = {
        "name": "files", "five_qi": 9, "model": "ftp3", "ues": 1, "rate_mbps": 1e-300, "file_kb": 10.0, "idle_s": 0.0,
        "follows_load": True,
    }  # fmt: skip
    traffic = init_traffic(
        load_scenario("one-cell").with_overrides(
            {"traffic": [files], "load_profile": {"points": [(0, 0), (6, 1)]}}
        )
    )
    assert next_packet(traffic, 1, 0, 3, 0, 0.0, 0)[1] == np.inf


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"load_profile": {"points": [(3, 1), (3, 2)]}}, "want points in the order of their hours"),
        ({"load_profile": {"points": [(24, 1)]}}, "load_profile.points.0.0: got 24, want less than 24"),
        ({"load_profile": {"points": []}}, "load_profile.points: got [], want"),
        (
            {"load_profile": {"points": [(0, 4.0)]}},
            "want load_profile.points below 4, where every UE row is busy",
        ),
        ({"traffic.call.follows_load": True}, "want follows_load with model 'poisson-file' and idle_s = 0"),
    ],
)
def test_profiles_that_cannot_be_are_refused(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario((0, 1.0)).with_overrides(overrides)
    assert message in str(caught.value)
