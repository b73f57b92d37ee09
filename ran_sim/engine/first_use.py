"""The first use of a version on a machine: its kernels are compiled, in two processes at once, and kept.

numba compiles in one thread. The slot's kernels and those of the radio tick are about as much work and meet only in
small functions, so a second process that compiles the ticks into the same cache halves the wait. A lock lets only one
user of the cache folder compile; others, such as the workers of a test run, wait and load.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from typing import Final

import numpy as np

from ran_sim.core.jit import CACHE_FOLDER, COMPILED, compiled_before
from ran_sim.engine.kernels import Network, for_slots, run_slots

_CHILD = "RAN_SIM_COMPILES_TICKS"
# Compile time of all kernels, both processes one after the other, over that of `_sample`: 600 to 1200, more on a busy machine.
_SAMPLES: Final = 700


def _sample(values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    total = 0.0
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            total += values[i, j] * np.exp(-values[i, j])
    return total


def compile_notice() -> str | None:
    """One line for whoever is about to wait for the first compilation; None if there is none."""
    if compiled_before():
        return None
    about_s = 5 * max(1, round(_expected_compile_s() / 5))
    return f"compiling the simulator's kernels, once per version: some {about_s} s on this machine, as busy as it is"


def _expected_compile_s() -> float:
    """Expected compile time in seconds, from that of a small function now."""
    import numba

    def compile_sample() -> None:
        numba.njit(numba.float64(numba.float64[:, :]))(_sample)

    compile_sample()  # with what numba does once in a process
    begin = time.perf_counter()
    for _ in range(3):
        compile_sample()
    at_once = min(2, len(os.sched_getaffinity(0)))
    return (time.perf_counter() - begin) / 3 * _SAMPLES / at_once


def compile_kernels(network: Network) -> None:
    """Have the kernels of a run compiled and kept, if they are not; `network` gives the types, nothing is simulated.

    Without a folder to keep them in, or with numba's JIT switched off, kernels are left to compile when they are called.
    """
    import numba

    if compiled_before() or CACHE_FOLDER is None or numba.config.DISABLE_JIT or _CHILD in os.environ:  # type: ignore[attr-defined]  # because numba sets its options at run time
        return
    with contextlib.suppress(OSError), (CACHE_FOLDER / "lock").open("w") as lock:  # a full disk keeps nothing
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (CACHE_FOLDER / COMPILED).exists():
            return
        ticks = subprocess.Popen(
            [sys.executable, "-m", "ran_sim.engine.compile_ticks"],
            env=os.environ | {_CHILD: "1", "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            run_slots(0, 0, for_slots(network))
        finally:
            ticks.wait()
        if ticks.returncode == 0:
            (CACHE_FOLDER / COMPILED).touch()
