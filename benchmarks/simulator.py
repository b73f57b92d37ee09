"""UE·slots that one core simulates in a second, beside a floor.

The floor evaluates one Shannon rate per UE, resource block group and slot in a compiled loop, and does nothing else: no
fading, interference, traffic, HARQ or scheduler. Both wall clock and CPU time of the thread are measured. They differ on a busy
machine, and the CPU time is the engine's cost.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import numba
import numpy as np

from benchmarks import floors
from benchmarks.measure import F64, Row
from benchmarks.stages import stage_us
from benchmarks.worlds import full_buffer, mixed
from ran_sim.engine import Engine
from ran_sim.scenario import Scenario, load_scenario

SCENARIOS = ("one-cell", "seven-sites")
ROUNDS = 11
_SLOTS = {"one-cell": 4000, "seven-sites": 1000}
_WITH_FLOORS = "S1, full buffer"
_SETTLE_SLOTS = 400  # full buffers need no more than their first CQI and averages
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
    shape = f"{engine.n_ue} UE rows, {engine.n_cell} cells, {engine.n_rbg} RBGs; {ROUNDS} x {n_slots} slots"
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


def _bar_rows() -> list[Row]:
    """S1 to S4: CPU time of a slot, its bar, and where the time goes; in S1 each stage beside its floor."""
    rows = []
    for name, (scenario, bar_us) in _worlds_with_bars().items():
        engine = Engine(scenario, 1)
        engine.run_until(_SETTLE_SLOTS)
        took = stage_us(engine, ticks=2, rounds=ROUNDS)
        total = np.sum(list(took.values()), axis=0)
        slot_us, real_us = float(np.median(total)), engine.slot_ns / 1e3
        rows.append(
            Row(
                name=f"simulator, {name}: {engine.n_cell} cells, {engine.n_ue} UEs, {engine.n_rbg} RBGs",
                unit="us/slot, CPU",
                p50=slot_us,
                bar=bar_us,
                note=f"{engine.n_ue / slot_us:.2f} M UE·slot/s, {real_us / slot_us:.1f} x real time; "
                f"fastest round {total.min():.1f}; stages in %: "
                + ", ".join(f"{stage} {100 * np.median(us / total):.0f}" for stage, us in took.items()),
            )
        )
        if name == _WITH_FLOORS:
            rows += floors.rows("S1", engine, took)
    return rows


def learned_row() -> Row:
    """S4 under the shipped learned metric beside LOG: forks of one network run the same slots in turns."""
    models = [str(Path(__file__).parents[1] / "models" / "slot_metric")]
    engine = Engine(mixed(19, 0.5).with_overrides({"scheduler": "log", "scheduler.models": models}), 1)
    engine.run_until(_WARM_UP_SLOTS)
    took = np.empty((ROUNDS, 2))
    for at in np.ndindex(took.shape):
        fork = engine.fork()
        fork.set_slot_model(np.arange(fork.n_cell), at[1] - 1)  # first LOG, then the model
        took[at] = _timed(partial(fork.run_until, fork.slot + _SLOTS["seven-sites"]))[1]
    log_us, learned_us = np.median(took, axis=0) * 1e6 / _SLOTS["seven-sites"]
    return Row(
        name="simulator, S4 under the learned metric",
        unit="us/slot, CPU",
        p50=float(learned_us),
        peer="S4 under LOG",
        peer_p50=float(log_us),
        ratio_p50=float(np.median(took[:, 1] / took[:, 0])),
        bar=1.3,
        note=f"{ROUNDS} x {_SLOTS['seven-sites']} slots from one state",
    )


def _worlds_with_bars() -> dict[str, tuple[Scenario, float | None]]:
    return {
        _WITH_FLOORS: (full_buffer(19), 190.0),
        "S2, full buffer": (full_buffer(1), 10.0),
        "S3, full buffer": (full_buffer(7), None),
        "S4, QoS flows at load 0.5": (mixed(19, 0.5), 285.0),
    }


_START = """
import time
from pathlib import Path
began = time.perf_counter()
from benchmarks.worlds import full_buffer
from ran_sim.engine import Engine
engine = Engine(full_buffer({sites}, {ues}), {seed})
engine.run_until({settle})
started = time.perf_counter()
engine.run_until({settle} + {slots})
ended = time.perf_counter()
status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent's size, too
print(started - began, ended - started, int(status.split("VmHWM:")[1].split()[0]) * 1024, time.process_time())
"""


def _processes(count: int, *, sites: int, ues: int, slots: int, settle: int = 1, cache: str = "") -> F64:
    """Runs side by side, one seed each: seconds to the first slot, seconds of the rest, bytes resident, CPU seconds."""
    environment = os.environ | ({"XDG_CACHE_HOME": cache} if cache else {})
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                _START.format(sites=sites, ues=ues, slots=slots, seed=seed, settle=settle),
            ],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for seed in range(count)
    ]
    return np.array([[float(word) for word in process.communicate()[0].split()] for process in started])


def _process_rows() -> list[Row]:
    """Rows that need a process of their own: the start, warm and cold; two seeds at a time; memory."""
    with tempfile.TemporaryDirectory() as cache:
        cold = _processes(1, sites=1, ues=10, slots=1, cache=cache)[0]
    warm = [_processes(1, sites=1, ues=10, slots=1)[0, 0] for _ in range(3)]
    turns = [
        [_processes(n, sites=7, ues=10, slots=8000, settle=200)[:, 1].max() for n in (1, 2)] for _ in range(3)
    ]
    one_s, two_s = np.array(turns).T
    large = _processes(1, sites=19, ues=100, slots=200)[0]
    return [
        Row(
            name="simulator, first start ever, CPU",
            unit="s",
            p50=float(cold[3]),
            bar=30.0,
            note=f"compiles all kernels; {cold[0]:.0f} s of wall clock",
        ),
        Row(
            name="simulator, import to first slot",
            unit="s",
            p50=float(np.median(warm)),
            bar=3.0,
            note="3 cells",
        ),
        Row(
            name="simulator, two processes",
            unit="s",
            p50=float(np.median(two_s)),
            peer="one process, one seed",
            peer_p50=float(np.median(one_s)),
            ratio_p50=float(np.median(two_s / one_s)),
            bar=1.25,
            note="at 1.25 the two get through 1.6 times the seeds a second; S3, 8000 slots",
        ),
        Row(
            name="simulator, 57 cells and 5700 UEs, memory",
            unit="MB",
            p50=float(large[2] / 1e6),
            bar=1000.0,
            note="largest resident size of the process",
        ),
    ]


def run() -> list[Row]:
    """Rows of the bundled scenarios, of the four with a bar, and rows that need a process of their own."""
    return (
        [row for name in SCENARIOS for row in _rows(name)] + _bar_rows() + [learned_row()] + _process_rows()
    )
