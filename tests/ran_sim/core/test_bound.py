"""Kernels bound to the types of a world's arrays are the same kernels, without a look at the types of each call."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from ran_sim.core.jit import bare_kernel, bound
from ran_sim.core.state import F64
from ran_sim.engine import Engine
from ran_sim.engine.kernels import for_slots, run_slots
from ran_sim.scenario import load_scenario


@bare_kernel
def _add(numbers: F64, more: float) -> float:
    numbers += more
    return float(numbers.sum())


def test_a_bound_kernel_does_what_the_kernel_does() -> None:
    numbers = np.zeros(3)
    add = bound(_add, numbers, 0.5)
    assert add(numbers, 2.0) == 6.0
    assert add(np.ones(4), 1.0) == 8.0
    assert _add(numbers, 1.0) == 9.0


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_a_bound_kernel_refuses_arrays_of_another_type() -> None:
    with pytest.raises(TypeError):
        bound(_add, np.zeros(3), 0.5)(np.zeros(3, np.float32), 1.0)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_a_call_of_an_engine_does_not_look_at_types() -> None:
    engine = Engine(load_scenario("one-cell"), 1)
    engine.run_until(1)
    took_s = []
    for _ in range(20):
        began_s = time.thread_time()
        engine._call(run_slots, 1, 1, for_slots(engine._network))
        took_s.append(time.thread_time() - began_s)
    assert min(took_s) < 200e-6  # 1 ms where numba looks at the types
