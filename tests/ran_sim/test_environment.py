"""The Gymnasium environment keeps Gymnasium's rules, and its numbers are the engine's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from ran_sim.core import counters as count
from ran_sim.engine import Engine
from ran_sim.environment import CellEnv
from ran_sim.measure.score import score
from ran_sim.scenario import load_scenario

ROOT = Path(__file__).parents[2]
# Three cells of one site, so that offsets and weights differ between cells.
THREE_CELLS = load_scenario("one-cell").with_overrides(
    {"layout.sectors": 3, "duration_s": 1.2, "warmup_s": 0.5, "radio.k_interferers": 2}
)
N_CLASS = 3  # 5QI 2, 3, 9


@pytest.fixture
def env() -> CellEnv:
    return CellEnv(THREE_CELLS)


def rollout(env: CellEnv, seed: int, **options: Any) -> list[tuple[Any, ...]]:
    """Every observation, reward and end of an episode under random actions."""
    actions = np.random.default_rng(0)
    observation, _ = env.reset(seed=seed, options=options)
    steps: list[tuple[Any, ...]] = [(observation.tobytes(),)]
    truncated = False
    while not truncated:
        action = actions.uniform(-1, 1, env.action_shape).astype(np.float32)
        observation, reward, terminated, truncated, _ = env.step(action)
        assert env.observation_space.contains(observation)
        steps.append((observation.tobytes(), reward, terminated, truncated))
    return steps


def test_gymnasium_finds_nothing_to_complain_about(env: CellEnv) -> None:
    check_env(env, skip_render_check=True)  # warnings are errors here


def test_it_is_made_by_its_name_in_a_process_that_imported_nothing_else() -> None:
    code = """
import gymnasium
made = gymnasium.make("ran_sim.environment:ranloop/Cell-v0", scenario="one-cell")
print(type(made.unwrapped).__name__, made.action_space.shape, made.observation_space.shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "CellEnv (1, 4) (1, 14)\n", (
        done.stderr
    )  # three 5QIs: 1 + 3 settings, 8 + 2 x 3 figures


def test_two_rollouts_of_one_seed_are_the_same_and_another_seed_is_another_world(env: CellEnv) -> None:
    first = rollout(env, 7)
    assert rollout(env, 7) == first  # from the world that was kept after its warm-up
    assert rollout(CellEnv(THREE_CELLS), 7) == first
    assert rollout(env, 8) != first


def test_an_episode_runs_from_the_end_of_the_warm_up_to_the_end_of_the_scenario(env: CellEnv) -> None:
    _, info = env.reset(seed=1)
    assert info == {"seed": 1, "scenario": "one-cell", "ran_time_s": 0.5}
    neutral = np.zeros(env.action_shape, np.float32)
    ends = [env.step(neutral) for _ in range(7)]  # 1.2 s - 0.5 s
    assert [(terminated, truncated) for _, _, terminated, truncated, _ in ends] == [(False, False)] * 6 + [
        (False, True)
    ]
    assert ends[-1][4]["ran_time_s"] == 1.2
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(neutral)


def test_the_neutral_action_leaves_the_scenario_as_it_is_and_the_numbers_are_the_engines(
    env: CellEnv,
) -> None:
    engine = Engine(THREE_CELLS, seed=3)
    engine.run_until(1000)
    observation, _ = env.reset(seed=3)
    while True:
        before = engine.snapshot()
        engine.run_until(engine.slot + 200)
        observation, reward, _, truncated, info = env.step(np.zeros(env.action_shape, np.float32))
        if truncated:
            break
    period = engine.snapshot().since(before)
    counts = period.cell_class.sum(axis=1)
    assert observation[:, 0] == pytest.approx(counts[:, count.PRB_USED] / (51 * 200))
    connected = engine.ues.cell[engine.ues.connected > 0]
    assert observation[:, 1].tolist() == np.bincount(connected, minlength=3).tolist()
    assert observation[:, 2] == pytest.approx(counts[:, count.DELIVERED_BYTES] * 8 / 1e6 / 0.1, rel=1e-5)
    best_effort = period.cell_class[:, 0, count.DELIVERED_BYTES] * 8 / 1e6 / 0.1
    assert observation[:, 3] == pytest.approx(best_effort, rel=1e-5)
    happy, late, dropped = (
        period.cell_class[:, 1:, column].sum()
        for column in (count.PACKETS_IN_BUDGET, count.PACKETS_LATE, count.PACKETS_DROPPED)
    )
    assert reward == pytest.approx(happy / (happy + late + dropped) + 0.001 * best_effort.sum())
    assert info["score"] == pytest.approx(score(engine), nan_ok=True)


def test_an_action_is_put_in_force_and_seen(env: CellEnv) -> None:
    env.reset(seed=1, options={"scheduler.class_weight": {2: 4.0}})
    action = np.zeros(env.action_shape, np.float32)
    action[1] = [0.5, 1.0, -1.0, 0.0]
    observation = env.step(action)[0]
    assert env.engine is not None
    assert env.five_qi == (2, 3, 9)
    assert env.engine.cells.cio_db.tolist() == [0.0, 3.0, 0.0]
    # Traffic classes of one-cell: best effort (9), video call (2), gaming (3).
    weights = env.engine._network.traffic.weight
    assert weights[1].tolist() == [1.0, 32.0, 0.125]
    assert weights[0].tolist() == [1.0, 4.0, 1.0]
    assert observation[:, 7].tolist() == [0.0, 3.0, 0.0]
    assert observation[1, 8:11].tolist() == [3.0, -3.0, 0.0]


def test_episodes_without_a_seed_follow_from_the_last_one(env: CellEnv) -> None:
    def seeds() -> list[int]:
        return [env.reset(seed=5)[1]["seed"], env.reset()[1]["seed"], env.reset()[1]["seed"]]

    first = seeds()
    assert first[0] == 5
    assert len(set(first)) == 3
    assert seeds() == first


def test_options_change_the_world_of_one_episode(env: CellEnv) -> None:
    assert len(rollout(env, 1, **{"run.duration_s": 0.8})) == 1 + 3
    assert len(rollout(env, 1)) == 1 + 7
    assert rollout(env, 1, load=0.5) != rollout(env, 1)
    _, info = env.reset(seed=1, options={"scenario": THREE_CELLS.model_copy(update={"name": "mine"})})
    assert info["scenario"] == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scenario": "two-cells"}, "two-cells: got no scenario"),
        ({"scenario": "one-cell"}, "has 1 cells, 30 UE rows and 5QIs"),
        ({"traffic.gaming.five_qi": 4}, r"5QIs \(2, 4, 9\)"),
        ({"traffic.gaming.ues": 9}, "31 UE rows"),
        (
            {"carrier.bandwidth_prb": 52},
            "has 52 PRBs at 30 kHz; this environment was made for 51 at 30 kHz, or less",
        ),
        (
            {"carrier.scs_khz": 60},
            "has 51 PRBs at 60 kHz; this environment was made for 51 at 30 kHz, or less",
        ),
        ({"load": float("nan")}, "load: got nan, want a finite number"),
        ({"lod": 1}, "lod: got 1, want no such field"),
        ({"run.duration_s": 0.55}, "want a step of 100 ms after the warm-up"),
    ],
)
def test_options_that_do_not_fit_are_refused(env: CellEnv, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        env.reset(seed=1, options=options)
    assert "\n" not in str(caught.value)


def test_a_narrower_carrier_stays_inside_the_space(env: CellEnv) -> None:
    assert rollout(env, 1, **{"carrier.bandwidth_prb": 24})  # which looks at every observation


@pytest.mark.parametrize("action", [np.zeros(3), np.full((3, 4), 1.01), np.full((3, 4), np.nan)])
def test_an_action_outside_its_space_is_refused(env: CellEnv, action: Any) -> None:
    env.reset(seed=1)
    with pytest.raises(ValueError, match=r"want \(3, 4\) in \[-1, 1\]"):
        env.step(action)


def test_a_reward_is_a_number() -> None:
    with pytest.raises(ValueError, match="best_effort_worth nan: want a finite number"):
        CellEnv(THREE_CELLS, best_effort_worth=float("nan"))


def test_a_step_needs_an_episode(env: CellEnv) -> None:
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros((3, 4), np.float32))
    env.reset(seed=1)
    env.close()
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros((3, 4), np.float32))


def test_without_gymnasium_the_import_says_how_to_get_it() -> None:
    code = "import sys; sys.modules['gymnasium'] = None; import ran_sim.environment"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: ran_sim.environment needs gymnasium: pip install 'ranloop[gym]'"
    )
