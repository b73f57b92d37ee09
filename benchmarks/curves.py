"""The cost of a slot against UEs, cells and load: CPU time, each point in turns with S1 (57 cells, 570 full buffers)."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.measure import Row
from benchmarks.worlds import Sites, full_buffer, mixed
from ran_sim.engine import Engine
from ran_sim.scenario import Scenario

UES_PER_CELL = (20, 50, 100)
SITES: tuple[Sites, ...] = (1, 7)
LOADS = (0.25, 0.5, 1.0)
_ROUNDS = 5
_TICKS = 2  # radio ticks a round
_SETTLE_SLOTS = 1000


def _points() -> dict[str, Scenario]:
    by_ues = {f"UEs: 57 cells, {57 * n} UEs, full buffer": full_buffer(19, n) for n in UES_PER_CELL}
    by_cells = {f"cells: {3 * n} cells, {30 * n} UEs, full buffer": full_buffer(n) for n in SITES}
    by_load = {f"load: 57 cells, QoS flows at load {load:g}": mixed(19, load) for load in LOADS}
    return by_ues | by_cells | by_load


def _us_per_slot(engine: Engine, n_slots: int) -> float:
    began_s = time.thread_time()
    engine.run_until(engine.slot + n_slots)
    return (time.thread_time() - began_s) * 1e6 / n_slots


def run() -> list[Row]:
    """A row per point; `ratio` is the cost of a slot, in slots of S1."""
    base = Engine(full_buffer(19), 1)
    base.run_until(_SETTLE_SLOTS)
    n_slots = _TICKS * int(base._network.radio.tick_slots)
    rows = []
    for name, scenario in _points().items():
        engine = Engine(scenario, 1)
        engine.run_until(_SETTLE_SLOTS)
        us, base_us = np.array(
            [(_us_per_slot(engine, n_slots), _us_per_slot(base, n_slots)) for _ in range(_ROUNDS)]
        ).T
        rows.append(
            Row(
                name=f"cost by {name}",
                unit="us/slot, CPU",
                p50=float(np.median(us)),
                peer="S1: 57 cells, 570 UEs",
                peer_p50=float(np.median(base_us)),
                ratio_p50=float(np.median(us / base_us)),
                note=f"{engine.n_ue / np.median(us):.2f} M UE·slot/s, {engine.slot_ns / 1e3 / np.median(us):.1f} x real time",
            )
        )
    return rows
