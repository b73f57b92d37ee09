"""The network as a Gymnasium environment: cells are steered by offset and class weights, every 100 ms.

`gymnasium.make("ran_sim.environment:ranloop/Cell-v0")` or `CellEnv(...)`; the extra `gym` brings Gymnasium. The import of this
module registers the name. Gymnasium imports the module before the colon by itself, also in a process of its own. Guard,
leases, report delay and rounding are left out: a policy that is trained here goes behind the guard later.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ran_sim.core import counters as count
from ran_sim.core.counters import Snapshot
from ran_sim.engine import Engine
from ran_sim.measure.score import score
from ran_sim.scenario import Scenario, load_scenario

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise ImportError("ran_sim.environment needs gymnasium: pip install 'ranloop[gym]'") from error

__all__ = ("CIO_SPAN_DB", "WEIGHT_SPAN", "CellEnv")

F32 = NDArray[np.float32]

STEP_MS: Final = 100.0
CIO_SPAN_DB: Final = 6.0  # of an action of 1
WEIGHT_SPAN: Final = 8.0  # factor on the scenario's class weight of an action of 1
_BITS_PER_RE: Final = 8  # 256-QAM without coding, which no cell exceeds
_MOST_BACKLOG_MB: Final = 1000.0
_CELL_COLUMNS: Final = 8  # of the observation, before those of the classes


class CellEnv(gymnasium.Env[F32, F32]):
    """All cells of a simulated network under one policy.

    **Observation**: float32 [n_cell, 8 + 2 n_class], measurements of each cell over the step, and its settings. Classes are
    the scenario's 5QIs, ascending (`five_qi`).

    | column | meaning | unit | min | max |
    |---|---|---|---|---|
    | 0 | PRBs in use, mean over the step | share | 0 | 1 |
    | 1 | UEs in RRC_CONNECTED at its end | UE | 0 | UE rows of the scenario |
    | 2 | delivered to UEs, all classes | Mb/s | 0 | 8 bits on every resource element |
    | 3 | delivered, best effort | Mb/s | 0 | same |
    | 4 | wideband CQI, mean over reports (0: none) | index | 0 | 15 |
    | 5 | delay-bound packets in budget, of those with an outcome (1: none) | share | 0 | 1 |
    | 6 | bytes in the buffers at its end | MB | 0 | 1000 |
    | 7 | cell individual offset in force | dB | -6 | 6 |
    | 8 + i | class weight in force over the scenario's | log2 | -3 | 3 |
    | 8 + n_class + i | packets of class i in budget, of those with an outcome (1: none) | share | 0 | 1 |

    **Action**: float32 [n_cell, 1 + n_class] in [-1, 1]; 0 is the scenario's own setting. It holds until the next step.

    | column | sets | as |
    |---|---|---|
    | 0 | cell individual offset of event A3 | 6 dB times the action |
    | 1 + i | class weight of 5QI i in the cell | the scenario's weight times 8 to the power of the action |

    **Reward** of a step: share of the network's delay-bound packets with an outcome in it that were in budget (1 where
    there were none), plus `best_effort_worth` per Mb/s that best effort got in the whole network.

    **Episode**: the scenario's `run.duration_s` from the end of `run.warmup_s` on, in steps of 100 ms, then *truncated*;
    nothing terminates it. The last `info` holds the run's `score`.

    Args:
        scenario: A scenario, its name, or a TOML file.
        best_effort_worth: Reward per Mb/s of best effort.

    Attributes:
        engine: The network of this episode, for experiments to read; None before `reset`.
        five_qi: 5QI of each class column.
        action_shape: (n_cell, 1 + n_class).
    """

    def __init__(
        self, scenario: Scenario | str | Path = "seven-sites", *, best_effort_worth: float = 0.001
    ) -> None:
        if not math.isfinite(best_effort_worth):
            raise ValueError(f"best_effort_worth {best_effort_worth}: want a finite number")
        self._scenario = _as_scenario(scenario)
        self._best_effort_worth = best_effort_worth
        self.five_qi = _five_qi(self._scenario)
        self.engine: Engine | None = None
        self._warm: tuple[Scenario, int, Engine] | None = None  # the last network, where its warm-up ended
        n_cell, n_class = self._scenario.n_cell, len(self.five_qi)
        self.action_shape = (n_cell, 1 + n_class)
        self.action_space = spaces.Box(-1.0, 1.0, self.action_shape, np.float32)
        self._low, self._high = low, high = _bounds(self._scenario, n_class)
        self.observation_space = spaces.Box(
            np.tile(low, (n_cell, 1)), np.tile(high, (n_cell, 1)), dtype=np.float32
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[F32, dict[str, Any]]:
        """Begin an episode at the end of the warm-up.

        Args:
            seed: Of the network; later episodes without one draw theirs from it.
            options: "scenario" in place of the constructor's, with as many cells, the same 5QIs, no more UE rows and no
                wider a carrier; every other name is a path into it and its value, such as {"load": 1.5, "run.duration_s": 20.0}.

        Returns:
            The first observation, and {"seed": of this network, "scenario": its name, "ran_time_s": 0 at its slot 0}.

        Raises:
            ValueError: Options that do not fit (ScenarioError), or do not fit the observation space.
        """
        super().reset(seed=seed)
        changes = dict(options or {})
        scenario = _as_scenario(changes.pop("scenario", self._scenario)).with_overrides(changes)
        self._check_fit(scenario)
        network_seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self.engine = self._warmed_up(scenario, network_seed)
        self._step_slots = scenario.slots(STEP_MS)
        self._end_slot = scenario.slots(scenario.run.duration_s * 1e3)
        if self.engine.slot + self._step_slots > self._end_slot:
            raise ValueError(
                f"run.duration_s {scenario.run.duration_s:g}: want a step of {STEP_MS:g} ms after the warm-up"
            )
        self._held: F32 = np.zeros(self.action_shape, np.float32)
        self._class_of_column = _column_of_class(self.engine, self.five_qi)
        self._before = self.engine.snapshot()
        info = {"seed": network_seed, "scenario": scenario.name, "ran_time_s": self.engine.now_ns / 1e9}
        return self._observation(self._before), info

    def _check_fit(self, scenario: Scenario) -> None:
        """Refuse a scenario that does not fit the observation space, which is fixed."""
        same = scenario.n_cell == self._scenario.n_cell and _five_qi(scenario) == self.five_qi
        if not same or scenario.n_ue > self._scenario.n_ue:
            raise ValueError(
                f"scenario {scenario.name} has {scenario.n_cell} cells, {scenario.n_ue} UE rows and 5QIs {_five_qi(scenario)}; "
                f"this environment was made for {self._scenario.n_cell}, at most {self._scenario.n_ue} and {self.five_qi}"
            )
        if _peak_mbps(scenario) > _peak_mbps(
            self._scenario
        ):  # else throughput would be cut at the space's bound
            own, made_for = scenario.carrier, self._scenario.carrier
            raise ValueError(
                f"scenario {scenario.name} has {own.bandwidth_prb} PRBs at {own.scs_khz} kHz; this environment was made for "
                f"{made_for.bandwidth_prb} at {made_for.scs_khz} kHz, or less: make it with the widest carrier"
            )

    def _warmed_up(self, scenario: Scenario, seed: int) -> Engine:
        """A network at the end of its warm-up; the last one is kept, so that it costs nothing to begin it again."""
        if self._warm is None or self._warm[:2] != (scenario, seed):
            engine = Engine(scenario, seed)
            engine.run_until(engine.warmup_slot)
            self._warm = scenario, seed, engine
        return self._warm[2].fork()

    def step(self, action: F32) -> tuple[F32, float, bool, bool, dict[str, Any]]:
        """Put `action` in force, simulate 100 ms.

        Raises:
            ValueError: An action that is not in the action space.
            RuntimeError: There is no episode to go on with.
        """
        engine = self.engine
        if engine is None or engine.slot + self._step_slots > self._end_slot:
            raise RuntimeError("no episode is under way: call reset() first")
        self._put_in_force(engine, np.asarray(action, np.float32))
        engine.run_until(engine.slot + self._step_slots)
        now = engine.snapshot()
        observation = self._observation(now)
        reward = self._reward(now)
        self._before = now
        truncated = engine.slot + self._step_slots > self._end_slot
        info: dict[str, Any] = {"ran_time_s": engine.now_ns / 1e9}
        if truncated:
            info["score"] = score(engine)
        return observation, reward, False, truncated, info

    def _put_in_force(self, engine: Engine, action: F32) -> None:
        if action.shape != self.action_shape or not (np.abs(action) <= 1.0).all():
            raise ValueError(
                f"action of shape {action.shape}: want {self.action_shape} in [-1, 1]; ClipAction brings it there"
            )
        default = {cls.five_qi: cls.weight for cls in engine.classes}
        for cell, row in enumerate(action.astype(np.float64)):
            engine.set_cio(cell, CIO_SPAN_DB * row[0])
            for five_qi, power in zip(self.five_qi, row[1:], strict=True):
                engine.set_class_weight(cell, five_qi, default[five_qi] * WEIGHT_SPAN**power)
        self._held = action

    def _observation(self, now: Snapshot) -> F32:
        engine = self.engine
        assert engine is not None
        period = now.since(self._before)
        sums = period.cell_class.sum(axis=1).astype(np.float64)  # [n_cell, N]
        slots = max(period.slots, 1)
        to_mbps = 8 / 1e6 / (slots * engine.slot_ns / 1e9)
        bound = np.array([cls.delay_bound for cls in engine.classes])
        connected, cell = now.connected > 0, now.cell
        columns = [
            sums[:, count.PRB_USED] / (engine.n_prb * slots),
            np.bincount(cell[connected], minlength=engine.n_cell),
            sums[:, count.DELIVERED_BYTES] * to_mbps,
            period.cell_class[:, ~bound, count.DELIVERED_BYTES].sum(axis=1) * to_mbps,
            sums[:, count.CQI_SUM] / np.maximum(sums[:, count.CQI_REPORTS], 1),
            _in_budget(period.cell_class[:, bound].sum(axis=1)),
            np.bincount(cell[connected], now.backlog_bytes[connected], engine.n_cell) / 1e6,
            CIO_SPAN_DB * self._held[:, 0],
            *(np.log2(WEIGHT_SPAN) * self._held[:, 1:]).T,
            *(_in_budget(period.cell_class[:, of].sum(axis=1)) for of in self._class_of_column),
        ]
        values = np.stack(columns, axis=1).astype(np.float32)
        return np.clip(values, self._low, self._high)

    def _reward(self, now: Snapshot) -> float:
        engine = self.engine
        assert engine is not None
        period = now.since(self._before)
        bound = np.array([cls.delay_bound for cls in engine.classes])
        step_s = period.slots * engine.slot_ns / 1e9
        best_effort_mbps = period.cell_class[:, ~bound, count.DELIVERED_BYTES].sum() * 8 / 1e6 / step_s
        in_budget = _in_budget(period.cell_class[:, bound].sum(axis=(0, 1)))
        return float(in_budget + self._best_effort_worth * best_effort_mbps)

    def close(self) -> None:
        """Release the networks."""
        self.engine = self._warm = None


def _as_scenario(scenario: Scenario | str | Path) -> Scenario:
    return scenario if isinstance(scenario, Scenario) else load_scenario(scenario)


def _five_qi(scenario: Scenario) -> tuple[int, ...]:
    return tuple(sorted({traffic.five_qi for traffic in scenario.traffic}))


def _column_of_class(engine: Engine, five_qi: tuple[int, ...]) -> list[NDArray[np.bool_]]:
    """Which traffic classes belong to each 5QI, shape [n_class] each; best effort has no budget to miss."""
    of = np.array([cls.five_qi for cls in engine.classes])
    bound = np.array([cls.delay_bound for cls in engine.classes])
    return [(of == value) & bound for value in five_qi]


def _in_budget(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the packets with an outcome that were in budget, 1 where there are none; last axis [N]."""
    happy = counts[..., count.PACKETS_IN_BUDGET].astype(np.float64)
    outcomes = happy + counts[..., count.PACKETS_LATE] + counts[..., count.PACKETS_DROPPED]
    return np.where(outcomes > 0, happy / np.maximum(outcomes, 1), 1.0)


def _peak_mbps(scenario: Scenario) -> float:
    """A rate in Mb/s that no cell of the carrier exceeds."""
    elements_per_s = 12 * 14 * scenario.carrier.bandwidth_prb / (scenario.slot_ns * 1e-9)
    return _BITS_PER_RE * elements_per_s / 1e6


def _bounds(scenario: Scenario, n_class: int) -> tuple[F32, F32]:
    """Bounds of one cell's row."""
    peak_mbps = _peak_mbps(scenario)
    log2_span = float(np.log2(WEIGHT_SPAN))
    low = [0.0] * (_CELL_COLUMNS - 1) + [-CIO_SPAN_DB] + [-log2_span] * n_class + [0.0] * n_class
    high = [1.0, scenario.n_ue, peak_mbps, peak_mbps, 15.0, 1.0, _MOST_BACKLOG_MB, CIO_SPAN_DB]
    return np.array(low, np.float32), np.array(high + [log2_span] * n_class + [1.0] * n_class, np.float32)


if "ranloop/Cell-v0" not in gymnasium.registry:
    gymnasium.register(id="ranloop/Cell-v0", entry_point="ran_sim.environment:CellEnv")
