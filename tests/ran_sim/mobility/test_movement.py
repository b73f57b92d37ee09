"""Sessions in equilibrium, random waypoint motion, new UEs with properties of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ran_sim.core.state import Ues
from ran_sim.engine.radio_state import RadioState, init_radio
from ran_sim.engine.radio_tick import radio_tick
from ran_sim.mobility.movement import doppler_speed_mps, first_session, move_ue, next_session, place_ue
from ran_sim.radio.propagation import way_inside_m
from ran_sim.radio.topology import nearest_copy
from ran_sim.scenario import Scenario, ScenarioError, load_scenario

TICK_SLOTS = 100  # 50 ms of 0.5 ms


def world(name: str = "seven-sites", seed: int = 1, **overrides: object) -> tuple[Scenario, Ues, RadioState]:
    scenario = load_scenario(name).with_overrides({key.replace("__", "."): v for key, v in overrides.items()})
    _, ues, _, radio = init_radio(scenario, seed)
    return scenario, ues, radio


def test_share_of_busy_slots_at_the_start_is_the_long_run_one() -> None:
    # 147 delay-bound UE rows, half of them busy at load 1, over 30 seeds
    scenario, ues, radio = world()
    started = []
    for seed in range(30):
        for u in range(63, scenario.n_ue):
            first_session(seed, u, ues, radio.sessions)
        started.append(np.mean(ues.start_slot[63:] == 0))
    assert np.mean(started) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(147 * 30))


def test_sessions_in_progress_end_as_in_equilibrium() -> None:
    # Residual life of U(10, 60): mean E[L^2] / (2 E[L]) = (43000 / 30) / 70 = 20.48 s
    _, ues, radio = world()
    ends = []
    for seed in range(20):
        for u in range(63):  # best effort: always in session
            first_session(seed, u, ues, radio.sessions)
        ends.append(ues.end_slot[:63].mean() * 0.5e-3)
    assert np.mean(ends) == pytest.approx(20.48, abs=4 * 14 / math.sqrt(63 * 20))


def test_lengths_and_pauses_of_later_sessions() -> None:
    _, ues, radio = world()
    lengths_s, pauses_s = [], []
    for u in range(63, 210):
        first_session(1, u, ues, radio.sessions)
        for _ in range(20):
            end = ues.end_slot[u]
            next_session(1, u, ues, radio.sessions)
            pauses_s.append((ues.start_slot[u] - end) * 0.5e-3)
            lengths_s.append((ues.end_slot[u] - ues.start_slot[u]) * 0.5e-3)
            assert ues.start_slot[u] % TICK_SLOTS == 0
            assert ues.end_slot[u] % TICK_SLOTS == 0
    n = len(lengths_s)
    assert np.min(lengths_s) >= 10.0
    assert np.max(lengths_s) <= 60.05
    assert np.mean(lengths_s) == pytest.approx(35.0, abs=4 * 14.4 / math.sqrt(n))
    assert np.mean(pauses_s) == pytest.approx(35.0, abs=4 * 35 / math.sqrt(n))


def test_best_effort_sessions_follow_each_other_at_once() -> None:
    _, ues, radio = world()
    end = int(ues.end_slot[0])
    next_session(1, 0, ues, radio.sessions)
    assert ues.start_slot[0] == end


def test_a_ue_keeps_its_speed_and_changes_place_accordingly() -> None:
    _, ues, radio = world(radio__indoor_share=0.0, mobility__speeds_kmh=[30.0], mobility__speed_shares=[1.0])
    ues.id[0] = 0
    place_ue(1, 0, 0, 0, ues, radio.motion, radio.topology)
    steps = []
    for _ in range(400):
        x, y = ues.x_m[0], ues.y_m[0]
        move_ue(1, 0, 0.05, ues, radio.motion, radio.topology)
        steps.append(math.hypot(ues.x_m[0] - x, ues.y_m[0] - y))
    # 30 / 3.6 m/s for 50 ms; shorter where a waypoint was turned at, a cluster's length where the UE wrapped around.
    assert np.median(steps) == pytest.approx(30 / 3.6 * 0.05)
    assert np.mean(np.isclose(steps, 30 / 3.6 * 0.05)) > 0.95
    assert math.hypot(ues.vx_mps[0], ues.vy_mps[0]) == pytest.approx(30 / 3.6)


def test_one_long_move_ends_where_many_short_ones_do() -> None:
    _, ues, radio = world(radio__indoor_share=0.0)
    ends = []
    for steps in (1, 7, 100):
        ues.id[0] = 0
        place_ue(1, 0, 0, 0, ues, radio.motion, radio.topology)
        for _ in range(steps):
            move_ue(1, 0, 300.0 / steps, ues, radio.motion, radio.topology)
        ends.append((ues.x_m[0], ues.y_m[0]))
    assert ends[1] == pytest.approx(ends[0])
    assert ends[2] == pytest.approx(ends[0])


def test_ues_on_the_torus_stay_evenly_spread() -> None:
    scenario, ues, radio = world(
        radio__indoor_share=0.0, mobility__speeds_kmh=[120.0], mobility__speed_shares=[1.0]
    )
    counts = np.zeros(7)
    for u in range(scenario.n_ue):
        ues.id[u] = u
        place_ue(1, u, u, 0, ues, radio.motion, radio.topology)  # all from the centre
        for _ in range(10):
            move_ue(1, u, 60.0, ues, radio.motion, radio.topology)
            distances = np.hypot(ues.x_m[u] - radio.topology.site_x_m, ues.y_m[u] - radio.topology.site_y_m)
            counts[np.argmin(distances)] += 1
    assert counts[0] / counts.sum() == pytest.approx(1 / 7, abs=0.04)


def test_ues_without_wrap_around_stay_in_their_area() -> None:
    _, ues, radio = world("one-cell", radio__indoor_share=0.0)
    ues.id[0] = 0
    place_ue(1, 0, 0, 0, ues, radio.motion, radio.topology)
    for _ in range(500):
        move_ue(1, 0, 5.0, ues, radio.motion, radio.topology)
        assert math.hypot(ues.x_m[0], ues.y_m[0]) <= 500.0 / math.sqrt(3) + 1e-6


def test_half_of_the_ues_sit_in_buildings_and_keep_their_place() -> None:
    _, ues, radio = world()
    indoor, fast = [], []
    for ue_id in range(4000):
        ues.id[0] = ue_id
        place_ue(1, 0, ue_id, 0, ues, radio.motion, radio.topology)
        indoor.append(radio.motion.indoor[0])
        if radio.motion.indoor[0]:
            place = (ues.x_m[0], ues.y_m[0])
            move_ue(1, 0, 10.0, ues, radio.motion, radio.topology)
            assert (ues.x_m[0], ues.y_m[0]) == place
            assert radio.motion.penetration_db[0] != 0.0
            assert (radio.motion.height_m[0] - 1.5) % 3.0 == 0.0
            assert doppler_speed_mps(0, radio.motion) == pytest.approx(3 / 3.6)
        else:
            assert radio.motion.penetration_db[0] == 0.0
            fast.append(radio.motion.speed_mps[0] > 5.0)
    assert np.mean(indoor) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(4000))
    assert np.mean(fast) == pytest.approx(0.3, abs=4 * 0.46 / math.sqrt(2000))


def test_fast_ues_sit_in_cars_where_the_scenario_says_so() -> None:
    _, ues, radio = world(radio__indoor_share=0.0, mobility__car_from_kmh=30.0)
    losses = {True: list[float](), False: list[float]()}
    for ue_id in range(2000):
        ues.id[0] = ue_id
        place_ue(1, 0, ue_id, 0, ues, radio.motion, radio.topology)
        losses[bool(radio.motion.speed_mps[0] > 5.0)].append(float(radio.motion.penetration_db[0]))
    assert set(losses[False]) == {0.0}
    assert np.mean(losses[True]) == pytest.approx(9.0, abs=4 * 5 / math.sqrt(600))  # TR 38.901 7.4.3.2


def test_walls_of_ues_indoors_keep_the_minimum_distance() -> None:
    _, ues, radio = world(radio__indoor_share=1.0)
    nearest_m, inside_m = [], []
    for ue_id in range(4000):
        ues.id[0] = ue_id
        place_ue(1, 0, ue_id, 0, ues, radio.motion, radio.topology)
        inside_m.append(way_inside_m(1, ue_id, True))
        nearest_m.append(math.hypot(ues.x_m[0], ues.y_m[0]))
    assert np.min(np.subtract(nearest_m, inside_m)) >= 35.0


def test_ues_indoors_stand_at_a_fixed_height_if_a_scenario_has_one() -> None:
    _, ues, radio = world(radio__indoor_share=1.0, radio__indoor_height_m=4.5)
    place_ue(1, 0, 7, 0, ues, radio.motion, radio.topology)
    assert radio.motion.height_m[0] == 4.5


def test_ues_behind_older_walls_lose_what_their_way_inside_says() -> None:
    _, ues, radio = world(radio__indoor_share=1.0, radio__wall_loss="below-6-ghz")
    place_ue(1, 0, 7, 0, ues, radio.motion, radio.topology)
    assert radio.motion.penetration_db[0] == pytest.approx(20.0 + 0.5 * way_inside_m(1, 7, False))


def test_sessions_of_a_class_start_in_the_home_areas_that_it_names() -> None:
    """hot-spots: 42 UE rows of the crowd in cells 2, 9 and 16 in turn, then rows that are at home in cell u mod 21."""
    scenario = load_scenario("hot-spots")
    homes = scenario.home_cell_of_ue
    assert homes[:6] == (2, 9, 16, 2, 9, 16)
    assert homes[42:] == tuple(u % 21 for u in range(42, scenario.n_ue))
    cells, ues, links, radio = init_radio(scenario, 1)
    radio_tick(0, cells, ues, links, radio)
    assert ues.connected[:42].all()  # always in session
    # Cells 2, 9 and 16 are sectors of the sites 0, 3 and 5: they look to 270, 30 and 150 degrees.
    for u in range(42):
        site, boresight_deg = ((0, 270.0), (3, 30.0), (5, 150.0))[u % 3]
        topology = radio.topology
        x_m, y_m = ues.x_m[u] - topology.site_x_m[site], ues.y_m[u] - topology.site_y_m[site]
        dx_m, dy_m = nearest_copy(x_m, y_m, topology)
        off_deg = (math.degrees(math.atan2(dy_m, dx_m)) - boresight_deg + 180.0) % 360.0 - 180.0
        assert abs(off_deg) <= 60.0 + 1e-9
        assert math.hypot(dx_m, dy_m) <= 500.0 / math.sqrt(3) + 1e-9


def test_a_home_cell_that_is_not_there_is_refused_in_one_line() -> None:
    with pytest.raises(
        ScenarioError, match=r"want home_cells of traffic class crowd among the cells 0 to 20, not 21"
    ):
        load_scenario("hot-spots").with_overrides({"traffic.crowd.home_cells": [3, 21]})
