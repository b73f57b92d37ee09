"""The least cost of each stage of a slot: the work that it cannot avoid, at the rate of this machine.

Work is counted by hand from the kernels, per UE, block or channel report, for the given network. Rates are measured by loops
that do one kind of work and nothing else, on data in the cache. Branches, waits for one value before the next, and rows of 18
RBGs that fill no whole vectors are left out, so a floor is too low and never too high.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from typing import Any, cast

import numba
import numpy as np

from benchmarks.measure import F64, Row
from ran_sim.core import random
from ran_sim.core.counters import TB_TOTAL
from ran_sim.engine import Engine
from ran_sim.engine.radio_state import RadioState
from ran_sim.radio.fading import STANDING_WAVES, TAPS

_ROUNDS = 7
_N = 4096  # float32 and int64 numbers that a loop goes through: 16 and 32 kB
_N_ROWS = 512  # of 16 numbers: about as many as S1 has UEs
_REPEAT = 200
_SAMPLED_STEPS = 50  # grid steps of fading that work is counted over
_N_MCS, _N_CQI = 28, 15

_STANDING_WAVE = 17  # operations: phase 4, sine 9, its two products and sums 4
_COMBINE_TAPS = (
    36  # operations a process and RBG: eight products and their sum for each of two parts, the power
)
_EXPONENTIAL = 20  # operations of 2^x: split 6, polynomial 12, join 2
_MEASURED_LINK = (
    1.5  # functions a UE and cell: a logarithm, a sine and a cosine make two cells' errors of one draw
)
_PATH_GAIN = (
    14  # functions a moved UE and site: chance and state of sight 4, path losses 5, directions and antenna 5
)
_MAP_VALUES = 12  # three maps, four corners each


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The number of times that each kind of work is done in a slot, or the time of one such piece of work in ns."""

    vector_op: float = 0.0  # multiplications and additions of float32 in loops that are vectors
    function: float = 0.0  # log, cos, erfc or power of one number
    draw: float = 0.0  # counter-based random numbers
    touch: float = 0.0  # numbers read and written in rows here and there
    read: float = 0.0  # numbers read one after the other and compared
    claim: float = 0.0  # a product compared with the largest so far

    def times(self, rates_ns: Work) -> float:
        """Microseconds."""
        return float(np.dot(astuple(self), astuple(rates_ns))) / 1e3

    def in_words(self) -> str:
        """The amount of each kind of work, in words."""
        kinds = ("vector operations", "functions", "draws", "touches", "reads", "claims")
        return ", ".join(f"{n:.0f} {kind}" for n, kind in zip(astuple(self), kinds, strict=True) if n)


def _vector_op(x: Any, y: Any, rows: Any) -> None:
    one, two = np.float32(0.4), np.float32(0.3)
    for i in range(x.size):
        a = x[i]
        y[i] = one + a * (two + a * (one + a * (two + a * (one + a * (two + a * (one + a * (two + a)))))))


def _function(x: Any, y: Any, rows: Any) -> None:
    total = 0.0
    for i in range(x.size):
        total += math.log(float(x[i]) + 1.0)
    y[0] = total


def _draw(x: Any, y: Any, rows: Any) -> None:
    total = 0.0
    for i in range(x.size):
        total += random.uniform(1, 2, 3, i)
    y[0] = total


def _touch(x: Any, y: Any, rows: Any) -> None:
    for i in range(x.size):
        rows[(i * 211) & (_N_ROWS - 1), i & 15] += 1


def _read(x: Any, y: Any, rows: Any) -> None:
    flat = rows.reshape(-1)
    due = 0
    for i in range(x.size):
        due += flat[i] <= 0
    y[0] = due


def _claim(x: Any, y: Any, rows: Any) -> None:
    for i in range(0, x.size, 4):
        best, largest = -1, np.float32(0.0)
        for k in range(4):
            value = x[i + k] * y[k]
            if value > largest:
                best, largest = k, value
        rows[0, 0] += best


# Name in `Work`, the loop, and how many of it one number of `x` takes.
_LOOPS: tuple[tuple[str, Callable[..., None], int], ...] = (
    ("vector_op", _vector_op, 16),
    ("function", _function, 1),
    ("draw", _draw, 1),
    ("touch", _touch, 1),
    ("read", _read, 1),
    ("claim", _claim, 1),
)


def measured_ns() -> Work:
    """The time of one piece of each kind of work on this machine, in ns: the fastest of some rounds."""
    return Work(**{name: _fastest_ns(loop) / per_number for name, loop, per_number in _LOOPS})


def _fastest_ns(loop: Callable[..., None]) -> float:
    compiled = cast(Callable[..., None], numba.njit(error_model="numpy")(loop))

    def repeat(x: Any, y: Any, rows: Any) -> None:
        for _ in range(_REPEAT):
            compiled(x, y, rows)

    run = cast(Callable[..., None], numba.njit(error_model="numpy")(repeat))
    x = np.random.default_rng(1).random(_N).astype(np.float32)
    arrays = (x, x.copy(), np.zeros((_N_ROWS, 16), np.int64))
    run(*arrays)
    took_s = []
    for _ in range(_ROUNDS):
        began_s = time.thread_time()
        run(*arrays)
        took_s.append(time.thread_time() - began_s)
    return min(took_s) * 1e9 / (_REPEAT * _N)


def stage_work(engine: Engine) -> dict[str, Work]:
    """Work of each stage in a mean slot of a world of full buffers; the engine runs on while it is counted.

    A scheduler like ours finds every UE's best rate over the RBGs, the best UEs by it, one of them for each RBG, and the
    MCS of each block; touches are the rows of arrays that a block or report has to do with.
    """
    blocks, fades, used_rbgs = _per_slot(engine)
    world = engine._network
    ues, cells, n_rbg = engine.n_ue, engine.n_cell, engine.n_rbg
    reports, dcis = ues / world.csi.reports.period_slots, world.settings.max_dci
    k = world.links.fading.shape[1] - 1
    processes = world.radio.fading.cell.shape[1]
    links, tick_slots = ues * cells, int(world.radio.tick_slots)
    moved_to = _renewals(world.radio) * world.radio.topology.site_x_m.size
    fade_ops = STANDING_WAVES * TAPS * processes * _STANDING_WAVE + processes * n_rbg * _COMBINE_TAPS
    return {
        "arrivals_and_reports": Work(read=4 * ues + 3 * reports * n_rbg, touch=3 * reports),
        "feedback": Work(touch=10 * blocks),
        "schedule_cells": Work(
            read=6 * ues,
            vector_op=2 * ues * n_rbg,  # float64: half a vector each
            claim=ues * dcis + cells * n_rbg * dcis + blocks * math.log2(_N_MCS),
            touch=20 * blocks,
        ),
        "fade": Work(vector_op=fades * fade_ops),
        "receive": Work(
            vector_op=used_rbgs * (3 * k + 4 + _EXPONENTIAL),
            function=3 * blocks,
            draw=blocks,
            touch=8 * blocks,
        ),
        "measure": Work(
            vector_op=reports * n_rbg * (2 * k + 9 + 2 * _N_CQI),
            function=6 * reports,
            draw=reports,
            read=2 * ues,
        ),
        "average": Work(read=8 * ues, vector_op=cells * n_rbg),
        "spend_slot": Work(vector_op=2 * cells * n_rbg),
        "radio tick": Work(
            function=(_MEASURED_LINK * links + _PATH_GAIN * moved_to) / tick_slots,
            draw=0.5 * links / tick_slots,
            touch=_MAP_VALUES * moved_to / tick_slots,
        ),
    }


def _renewals(radio: RadioState) -> float:
    """UEs whose path gains are renewed on a mean tick: those who have gone on far enough since the last time."""
    stride_m = radio.motion.speed_mps[radio.motion.speed_mps > 0.0] * radio.tick_s
    return float(np.sum(1.0 / np.ceil(radio.renew_m / stride_m)))


def _per_slot(engine: Engine) -> tuple[float, float, float]:
    """Blocks sent, UEs whose fading is evaluated, and RBGs in use, in a mean slot."""
    world, began = engine._network, engine.slot
    grid_slots = int(world.radio.grid_slots)
    blocks_before = world.counts.ue[:, TB_TOTAL].sum()
    evaluated, used = 0, 0.0
    for _ in range(_SAMPLED_STEPS):
        step = engine.slot // grid_slots
        engine.run_until((step + 1) * grid_slots)
        evaluated += int((world.radio.fading.grid_step == step).sum())
        used += float(world.cells.activity.sum())
    n_slots = engine.slot - began
    blocks = float(world.counts.ue[:, TB_TOTAL].sum() - blocks_before) / n_slots
    return blocks, evaluated / n_slots, used / _SAMPLED_STEPS


def rows(name: str, engine: Engine, took_us: Mapping[str, F64]) -> list[Row]:
    """Measured cost of each stage, [round] us per slot, beside its floor."""
    rates_ns = measured_ns()
    return [
        Row(
            name=f"simulator, {name}, stage {stage}",
            unit="us/slot, CPU",
            p50=float(np.median(took_us[stage])),
            peer="floor: its least work",
            peer_p50=work.times(rates_ns),
            ratio_p50=float(np.median(took_us[stage])) / work.times(rates_ns),
            note=work.in_words(),
        )
        for stage, work in stage_work(engine).items()
    ] + [
        Row(
            name="floors, one vector operation",
            unit="ns",
            p50=rates_ns.vector_op,
            note=f"a function {rates_ns.function:.2g}, a draw {rates_ns.draw:.2g}, a touch {rates_ns.touch:.2g}, "
            f"a read {rates_ns.read:.2g}, a claim {rates_ns.claim:.2g}",
        )
    ]
