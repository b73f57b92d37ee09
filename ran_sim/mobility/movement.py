"""Presence and places of UEs: sessions in every UE row, random waypoint motion within a session, or a route from a file.

A UE row alternates between sessions of uniform length and exponential pauses, in equilibrium from the first slot of
a run. With a load of the day, the rate that pauses end at is the one that would keep the share of busy UE rows at the
factor of the moment; candidates for a start are thinned (see `scenario.load`), and a candidate within a session starts none. The UE
of a session is new: its own id, place, speed, and building or none. With wrap-around a waypoint is approached on the shortest way over the torus, which keeps UEs evenly spread; without, they thin out at the edge as
random waypoint does. UEs in buildings keep their place. Every draw is keyed by the UE's id.

A UE row with a route has its UEs where the route is at that RAN time, outdoors; a session that starts at some time of a route
starts where the route is then. Doppler follows the route's mean speed.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.random import LOAD, MOBILITY, SESSION, exponential, uniform
from ran_sim.core.state import F64, I64, U8, Ues
from ran_sim.radio.propagation import (
    OUTDOOR_HEIGHT_M,
    car_loss_db,
    floor_height_m,
    penetration_loss_db,
    way_inside_m,
)
from ran_sim.radio.topology import Topology, drop_point, nearest_copy
from ran_sim.scenario import Scenario
from ran_sim.scenario.load import day_curve, factor_at
from ran_sim.scenario.routes import Routes, load_routes, no_routes
from ran_sim.scenario.traffic_class import Traffic

_LATEST_S: Final = 1e12  # a session that is due later does not come: the time of day is lost in rounding
_NOBODY_KMH: Final = 1e9
# Indices of the draws of one session
_LENGTH, _PAUSE, _STARTS_BUSY, _AGE, _TAKEN = 0, 1, 2, 3, 4
_INDOOR, _SPEED, _FIRST_WAYPOINT = 0, 1, 16


class Sessions(NamedTuple):
    """Session process per UE row; times in slots, sessions start and end on radio ticks."""

    number: I64  # [n_ue] of the current session, or of the next one during a pause
    shortest_s: F64
    longest_s: F64
    mean_pause_s: F64
    ticks_per_s: float
    tick_slots: int
    curve: F64  # [n_corner, 2] load of the day, time in s, see `load`
    busy_share: F64  # at factor 1
    candidates_per_s: F64  # 0 where pauses do not follow the load
    candidate_s: F64  # when session `number` would start, whether the load lets it or not


class Motion(NamedTuple):
    """Properties of UEs besides place and velocity, per UE row."""

    home_cell: I64  # in whose home area sessions start
    goal_x_m: F64
    goal_y_m: F64
    waypoints: I64  # drawn so far in this session
    speed_mps: F64
    indoor: U8
    height_m: F64
    penetration_db: F64
    speeds_mps: F64  # [n_speed] of the scenario
    speed_limits: F64  # [n_speed] cumulative shares
    routes: Routes
    routes_loop: bool
    indoor_speed_mps: float
    car_from_mps: float  # UEs this fast sit in cars
    indoor_share: float
    fixed_height_m: float  # of UEs in buildings; 0: on floors
    by_building: bool  # whether walls are low-loss or high-loss, else those of older models
    high_loss_share: float
    frequency_ghz: float


def build_sessions(scenario: Scenario) -> Sessions:
    """Session parameters of every UE row, from its traffic class."""
    per_ue = [scenario.traffic[i] for i in scenario.traffic_of_ue]
    return Sessions(
        number=np.zeros(scenario.n_ue, np.int64),
        shortest_s=np.array([traffic.session_s[0] for traffic in per_ue]),
        longest_s=np.array([traffic.session_s[1] for traffic in per_ue]),
        mean_pause_s=np.array([scenario.mean_idle_s(traffic) for traffic in per_ue]),
        ticks_per_s=1e3 / scenario.radio.tick_ms,
        tick_slots=scenario.slots(scenario.radio.tick_ms),
        curve=day_curve(scenario.load_profile, 1.0),
        busy_share=np.array([scenario.busy_share(traffic) for traffic in per_ue]),
        candidates_per_s=np.array([_candidates_per_s(scenario, traffic) for traffic in per_ue]),
        candidate_s=np.zeros(scenario.n_ue),
    )


def _candidates_per_s(scenario: Scenario, traffic: Traffic) -> float:
    """Rate of candidates: the day's highest, rounded up to 2^k times that at load 1, so that loads share candidates."""
    profile, session_s = scenario.load_profile, sum(traffic.session_s) / 2.0
    if profile is None or profile.peak == 0.0 or traffic.idle_s == 0.0:
        return 0.0
    share = scenario.busy_share(traffic) * profile.peak
    octaves = math.ceil(math.log2(share / (1.0 - share) / session_s * traffic.idle_s) - 1e-9)
    return float(2.0**octaves / traffic.idle_s)


def build_motion(scenario: Scenario) -> Motion:
    """Motion of UEs that are still to come."""
    n_ue = scenario.n_ue
    return Motion(
        home_cell=np.array(scenario.home_cell_of_ue, np.int64),
        goal_x_m=np.zeros(n_ue),
        goal_y_m=np.zeros(n_ue),
        waypoints=np.zeros(n_ue, np.int64),
        speed_mps=np.zeros(n_ue),
        indoor=np.zeros(n_ue, np.uint8),
        height_m=np.full(n_ue, OUTDOOR_HEIGHT_M),
        penetration_db=np.zeros(n_ue),
        speeds_mps=np.array(scenario.mobility.speeds_kmh) / 3.6,
        speed_limits=np.cumsum(scenario.mobility.speed_shares),
        routes=(
            load_routes(scenario.mobility.routes_file, n_ue)
            if scenario.mobility.routes_file is not None
            else no_routes(n_ue)
        ),
        routes_loop=scenario.mobility.routes_end == "loop",
        indoor_speed_mps=scenario.mobility.indoor_speed_kmh / 3.6,
        car_from_mps=(scenario.mobility.car_from_kmh or _NOBODY_KMH) / 3.6,
        indoor_share=scenario.radio.indoor_share,
        fixed_height_m=scenario.radio.indoor_height_m or 0.0,
        by_building=scenario.radio.wall_loss == "by-building",
        high_loss_share=scenario.radio.high_loss_share,
        frequency_ghz=scenario.carrier.frequency_ghz,
    )


@bare_kernel
def _in_slots(duration_s: float, sessions: Sessions) -> int:
    return math.ceil(duration_s * sessions.ticks_per_s) * sessions.tick_slots


@bare_kernel
def first_session(seed: int, u: int, ues: Ues, sessions: Sessions) -> None:
    """Draw whether UE row `u` is in a session at slot 0, and when its first session starts and ends.

    Equilibrium of the renewal process: a session in progress at a random time has a length weighted by itself and a
    uniform age; an exponential pause in progress forgets its past.
    """
    shortest_s, longest_s = sessions.shortest_s[u], sessions.longest_s[u]
    mean_s = (shortest_s + longest_s) / 2.0
    first_id = u  # session 0
    busy = uniform(seed, SESSION, first_id, _STARTS_BUSY) * (mean_s + sessions.mean_pause_s[u]) < mean_s
    if sessions.curve.shape[0] > 0 and sessions.mean_pause_s[u] > 0.0:
        share = sessions.busy_share[u] * factor_at(sessions.curve, 0.0)
        busy = uniform(seed, SESSION, first_id, _STARTS_BUSY) < share
        if busy and sessions.candidates_per_s[u] > 0.0:
            _next_candidate(seed, u, first_id, sessions)
    if busy:
        length = uniform(seed, SESSION, first_id, _LENGTH)
        length_s = math.sqrt(shortest_s**2 + length * (longest_s**2 - shortest_s**2))
        ues.start_slot[u] = 0
        ues.end_slot[u] = max(
            sessions.tick_slots,
            _in_slots(length_s * (1.0 - uniform(seed, SESSION, first_id, _AGE)), sessions),
        )
    else:
        _schedule(seed, u, first_id, 0, ues, sessions)


@bare_kernel
def next_session(seed: int, u: int, ues: Ues, sessions: Sessions) -> None:
    """End the session of UE row `u` and draw its next one, which starts after a pause."""
    ues.connected[u] = 0
    ues.cell[u] = -1
    sessions.number[u] += 1
    _schedule(seed, u, sessions.number[u] * ues.id.size + u, ues.end_slot[u], ues, sessions)


@bare_kernel
def _schedule(seed: int, u: int, ue_id: int, from_slot: int, ues: Ues, sessions: Sessions) -> None:
    if sessions.curve.shape[0] > 0 and sessions.mean_pause_s[u] > 0.0:
        ue_id = _await_load(seed, u, ue_id, from_slot, ues, sessions)
        pause_s = sessions.candidate_s[u] - from_slot / sessions.tick_slots / sessions.ticks_per_s
    else:
        pause_s = sessions.mean_pause_s[u] * exponential(seed, SESSION, ue_id, _PAUSE)
    length_s = sessions.shortest_s[u] + uniform(seed, SESSION, ue_id, _LENGTH) * (
        sessions.longest_s[u] - sessions.shortest_s[u]
    )
    ues.start_slot[u] = from_slot + _in_slots(pause_s, sessions)
    ues.end_slot[u] = ues.start_slot[u] + _in_slots(length_s, sessions)


@bare_kernel
def _next_candidate(seed: int, u: int, ue_id: int, sessions: Sessions) -> None:
    sessions.candidate_s[u] += exponential(seed, LOAD, ue_id, _PAUSE) / sessions.candidates_per_s[u]


@bare_kernel
def _await_load(seed: int, u: int, ue_id: int, from_slot: int, ues: Ues, sessions: Sessions) -> int:
    """Go on from session `ue_id` to the first candidate after `from_slot` that the load lets start; its UE id."""
    from_s = from_slot / sessions.tick_slots / sessions.ticks_per_s
    most = sessions.candidates_per_s[u]
    if most == 0.0:
        sessions.candidate_s[u] = _LATEST_S
        return ue_id
    mean_s = (sessions.shortest_s[u] + sessions.longest_s[u]) / 2.0
    while True:
        _next_candidate(seed, u, ue_id, sessions)
        if sessions.candidate_s[u] >= _LATEST_S:
            sessions.candidate_s[u] = _LATEST_S
            return ue_id
        share = sessions.busy_share[u] * factor_at(sessions.curve, sessions.candidate_s[u])
        rate = share / (1.0 - share) / mean_s
        if sessions.candidate_s[u] >= from_s and uniform(seed, LOAD, ue_id, _TAKEN) * most < rate:
            return ue_id
        sessions.number[u] += 1
        ue_id += ues.id.size


@bare_kernel
def place_ue(
    seed: int, u: int, ue_id: int, home_cell: int, ues: Ues, motion: Motion, topology: Topology
) -> None:
    """Draw a new UE's place in the home area of `home_cell`, its building or speed, and its first waypoint."""
    motion.waypoints[u] = 0
    inside_m = 0.0
    if uniform(seed, MOBILITY, ue_id, _INDOOR) < motion.indoor_share:
        inside_m = way_inside_m(seed, ue_id, motion.by_building)
        motion.indoor[u] = 1
        motion.speed_mps[u] = 0.0
        fixed_m = motion.fixed_height_m
        motion.height_m[u] = fixed_m if fixed_m > 0.0 else floor_height_m(seed, ue_id)
        motion.penetration_db[u] = penetration_loss_db(
            seed, ue_id, motion.frequency_ghz, motion.by_building, motion.high_loss_share
        )
    else:
        motion.indoor[u] = 0
        motion.height_m[u] = OUTDOOR_HEIGHT_M
        motion.penetration_db[u] = 0.0
        draw = uniform(seed, MOBILITY, ue_id, _SPEED)
        kind = 0
        while kind < motion.speeds_mps.size - 1 and draw >= motion.speed_limits[kind]:
            kind += 1
        motion.speed_mps[u] = motion.speeds_mps[kind]
        if motion.speed_mps[u] >= motion.car_from_mps:
            motion.penetration_db[u] = car_loss_db(seed, ue_id)
    ues.x_m[u], ues.y_m[u] = drop_point(seed, ue_id, 0, home_cell, topology, inside_m)
    _next_waypoint(seed, u, ue_id, ues, motion, topology)


@bare_kernel
def doppler_speed_mps(u: int, motion: Motion) -> float:
    """Speed that spreads the Doppler spectrum: the UE's own, or that of people around one in a building."""
    return motion.indoor_speed_mps if motion.indoor[u] else motion.speed_mps[u]


@bare_kernel
def _next_waypoint(seed: int, u: int, ue_id: int, ues: Ues, motion: Motion, topology: Topology) -> None:
    motion.waypoints[u] += 1
    index = motion.waypoints[u]
    draw = uniform(seed, MOBILITY, ue_id, _FIRST_WAYPOINT + index)
    cell = math.floor(draw * topology.azimuth_rad.size)  # all home areas are equally large
    motion.goal_x_m[u], motion.goal_y_m[u] = drop_point(seed, ue_id, index, cell, topology)
    _head_for_goal(u, ues, motion, topology)


@bare_kernel
def _head_for_goal(u: int, ues: Ues, motion: Motion, topology: Topology) -> float:
    """Set the velocity towards the waypoint; the distance to it in metres."""
    dx_m, dy_m = nearest_copy(motion.goal_x_m[u] - ues.x_m[u], motion.goal_y_m[u] - ues.y_m[u], topology)
    distance_m = math.hypot(dx_m, dy_m)
    speed_mps = motion.speed_mps[u] if distance_m > 0.0 else 0.0
    ues.vx_mps[u] = speed_mps * dx_m / max(distance_m, 1e-9)
    ues.vy_mps[u] = speed_mps * dy_m / max(distance_m, 1e-9)
    return distance_m


@bare_kernel
def move_ue(seed: int, u: int, dt_s: float, ues: Ues, motion: Motion, topology: Topology) -> None:
    """Move a UE on for `dt_s` seconds, through as many waypoints as lie within its reach."""
    left_m = motion.speed_mps[u] * dt_s
    while left_m > 0.0:
        distance_m = _head_for_goal(u, ues, motion, topology)
        stride_m = min(left_m, distance_m)
        x_m = ues.x_m[u] + stride_m / motion.speed_mps[u] * ues.vx_mps[u]
        y_m = ues.y_m[u] + stride_m / motion.speed_mps[u] * ues.vy_mps[u]
        ues.x_m[u], ues.y_m[u] = nearest_copy(x_m, y_m, topology)
        left_m -= stride_m
        if stride_m == distance_m:
            _next_waypoint(seed, u, ues.id[u], ues, motion, topology)


@bare_kernel
def has_route(u: int, motion: Motion) -> bool:
    """Whether the UEs of row `u` follow a route."""
    return bool(motion.routes.start[u + 1] > motion.routes.start[u])


@bare_kernel
def take_route(u: int, motion: Motion) -> None:
    """Let the new UE in row `u`, placed already, be one that follows its row's route."""
    motion.indoor[u] = 0
    motion.height_m[u] = OUTDOOR_HEIGHT_M
    motion.penetration_db[u] = 0.0
    motion.speed_mps[u] = motion.routes.speed_mps[u]


@bare_kernel
def follow_route(u: int, time_s: float, ues: Ues, motion: Motion, topology: Topology) -> None:
    """Put a UE where its row's route is at RAN time `time_s`, with the velocity of that leg.

    Before its first row a route waits there; after its last it stays, or with `routes_loop` begins again.
    """
    routes = motion.routes
    first, last = routes.start[u], routes.start[u + 1] - 1
    begin_s, end_s = routes.time_s[first], routes.time_s[last]
    if motion.routes_loop and time_s > end_s > begin_s:
        time_s = begin_s + (time_s - begin_s) % (end_s - begin_s)
    ues.vx_mps[u] = ues.vy_mps[u] = 0.0
    if time_s <= begin_s or time_s >= end_s:
        row = first if time_s <= begin_s else last
        x_m, y_m = routes.x_m[row], routes.y_m[row]
    else:
        low, high = first, last  # time_s[low] <= time_s < time_s[high]
        while high - low > 1:
            middle = (low + high) // 2
            if routes.time_s[middle] <= time_s:
                low = middle
            else:
                high = middle
        leg_s = routes.time_s[high] - routes.time_s[low]
        ues.vx_mps[u] = (routes.x_m[high] - routes.x_m[low]) / leg_s
        ues.vy_mps[u] = (routes.y_m[high] - routes.y_m[low]) / leg_s
        since_s = time_s - routes.time_s[low]
        x_m = routes.x_m[low] + ues.vx_mps[u] * since_s
        y_m = routes.y_m[low] + ues.vy_mps[u] * since_s
    ues.x_m[u], ues.y_m[u] = nearest_copy(x_m, y_m, topology)
