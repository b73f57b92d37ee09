"""The same scenario, seed and settings give the same bits: however a run is cut, forked or kept, and in any process."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ran_sim.engine import Engine
from ran_sim.engine.provenance import platform_provenance, scenario_hash
from ran_sim.engine.saved import leaves
from ran_sim.scenario import load_scenario

ROOT = Path(__file__).parents[3]
END = 450
ACTED_AT = 230
SCENARIO = load_scenario("one-cell").with_overrides({"warmup_s": 0.1})


def act(engine: Engine) -> None:
    engine.set_class_weight(0, 2, 4.0)
    engine.set_ue_weight(3, 2.0)
    engine.set_tx_power(0, 41.0)


def digest(engine: Engine) -> str:
    """Of every bit of the state."""
    engine.snapshot()  # brings the counters of cells up to date
    found = hashlib.sha256(engine.sessions().tobytes())
    for path, value in leaves(engine._network):
        if isinstance(value, np.ndarray):
            found.update(path.encode() + np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


@functools.cache
def whole() -> str:
    engine = Engine(SCENARIO, seed=11)
    engine.run_until(ACTED_AT)
    act(engine)
    engine.run_until(END)
    return digest(engine)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, END), max_size=6),
    forks=st.sets(st.integers(0, END), max_size=2),
    saved_at=st.none() | st.integers(0, END),
)
def test_cuts_forks_and_files_change_no_bit(
    tmp_path: Path, cuts: list[int], forks: set[int], saved_at: int | None
) -> None:
    engine = Engine(SCENARIO, seed=11)
    for slot in sorted({*cuts, *forks, ACTED_AT, END, *([] if saved_at is None else [saved_at])}):
        engine.run_until(slot)
        if slot in forks:
            engine, left_behind = engine.fork(), engine
            left_behind.run_until(slot + 50)
            act(left_behind)
        if slot == saved_at:
            engine.save(tmp_path / "state")
            engine = Engine.load(tmp_path / "state")
        if slot == ACTED_AT:
            act(engine)
    assert digest(engine) == whole()


def test_another_process_gives_the_same_bits() -> None:
    code = "from tests.ran_sim.engine.test_determinism import whole; print(whole())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == whole()


def test_provenance_names_all_that_bits_depend_on() -> None:
    engine = Engine(SCENARIO, seed=11, scheduler="rr")
    assert engine.provenance() == {
        **platform_provenance(),
        "scenario": "one-cell",
        "scenario_hash": scenario_hash(SCENARIO),
        "scheduler": "rr",
        "seed": 11,
    }
    wanted = {"ran_sim", "code", "python", "numpy", "numba", "llvmlite", "cpu", "cpu_features"}
    assert set(platform_provenance()) == wanted
    assert all(platform_provenance().values())


def test_every_field_of_a_scenario_is_in_its_hash() -> None:
    assert scenario_hash(SCENARIO) == scenario_hash(SCENARIO.with_overrides({"load": 1.0}))
    for change in ({"load": 0.9}, {"traffic.gaming.rate_mbps": 7.9}, {"scheduler.class_weight": {2: 2.0}}):
        assert scenario_hash(SCENARIO.with_overrides(change)) != scenario_hash(SCENARIO)
