"""How many UE·slots a second one core simulates, and how far that is from a floor.

The floor evaluates one Shannon rate per UE, resource block group and slot in a compiled loop, and does nothing else: no
fading, interference, traffic, HARQ or scheduler. Wall clock and CPU time of the thread: on a busy machine they differ,
and the CPU time is what the engine costs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import cast

import numba
import numpy as np

from benchmarks.measure import F64, Row
from ran_sim.engine import Engine
from ran_sim.scenario import load_scenario

SCENARIOS = ("one-cell", "seven-sites")
ROUNDS = 11
_SLOTS = {"one-cell": 4000, "seven-sites": 1000}
_WARM_UP_SLOTS = 2000  # 1 s of RAN time: UEs have arrived, queues have filled


def _shannon(snr: F64, n_slots: int) -> float:
    total = 0.0
    for slot in range(n_slots):
        for u in range(snr.shape[0]):
            for rbg in range(snr.shape[1]):
                total += math.log2(1.0 + snr[u, rbg] * (1.0 + slot))
    return total


_floor = cast(Callable[[F64, int], float], numba.njit(_shannon))


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall clock and of CPU."""
    wall_s, cpu_s = time.perf_counter(), time.thread_time()
    call()
    return time.perf_counter() - wall_s, time.thread_time() - cpu_s


def _rows(name: str) -> list[Row]:
    engine, n_slots = Engine(load_scenario(name), 1), _SLOTS[name]
    snr = np.random.default_rng(1).exponential(10.0, (engine.n_ue, engine.n_rbg))
    _floor(snr, 1)
    engine.run_until(_WARM_UP_SLOTS)
    took = np.array(
        [
            (
                *_timed(lambda: engine.run_until(engine.slot + n_slots)),
                *_timed(lambda: _floor(snr, n_slots)),
            )
            for _ in range(ROUNDS)
        ]
    )
    wall, cpu, _, floor_cpu = (engine.n_ue * n_slots / 1e6 / took).T  # million UE·slots a second, [round]
    shape = f"{engine.n_ue} UE slots, {engine.n_cell} cells, {engine.n_rbg} RBGs; {ROUNDS} x {n_slots} slots"
    per_s = "M UE·slot/s"
    return [
        Row(name=f"simulator, {name}, wall clock", unit=per_s, p50=float(np.median(wall)), note=shape),
        Row(
            name=f"simulator, {name}, CPU",
            unit=per_s,
            p50=float(np.median(cpu)),
            peer="floor: a Shannon rate per UE, RBG and slot",
            peer_p50=float(np.median(floor_cpu)),
            ratio_p50=float(np.median(floor_cpu / cpu)),
            note="ratio: how many times the floor's time the engine takes",
        ),
    ]


def run() -> list[Row]:
    """Two rows per scenario that ships."""
    return [row for name in SCENARIOS for row in _rows(name)]
