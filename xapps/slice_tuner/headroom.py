"""How much better quotas could be: `python -m xapps.slice_tuner.headroom FIRST LAST`, the seeds of the drops.

Of each drop it prints the broken promises and best effort under the tuned static quotas, under the best of `TRIED` in hindsight,
in all cells for the whole drop, and under an oracle. Every `STEP_S` the oracle tries all of these on forks of the network,
looks at what became of each cell, and keeps for each cell the quotas under which the fewest promises broke there. It knows the
future of a step and nothing beyond it, so it is no upper bound; a tuner that sees reports alone can hardly do better.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from ran_sim.core.state import F64
from ran_sim.engine import Engine
from ran_sim.measure.score import score
from ran_sim.scenario import Scenario, load_scenario
from ranloop.training import read_plan, tuned_arm

FOLDER: Final = Path(__file__).resolve().parent
STEP_S: Final = 0.5
SLICES: Final = ("1-000002", "1-000003", "1-000004")
TRIED: Final = (
    (30, 30, 10),
    (45, 35, 10),
    (75, 5, 10),
    (5, 75, 10),
    (60, 25, 5),
    (25, 60, 5),
    (2, 2, 2),
)  # %
SESSION_S: Final = 8.0  # mean, by which packets may be late in a session that keeps its promise
BEST_EFFORT_MBIT: Final = 60.0  # count as much as a broken promise: about what `train.worth` says


def main() -> None:
    """Print a line per drop and the means."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    asked = parser.parse_args()
    scenario = scenario_of_the_plan()
    quotas = [
        tuned_static(),
        *({name: float(pct) for name, pct in zip(SLICES, each, strict=True)} for each in TRIED),
    ]
    print(
        f"{'drop':>6}  {'tuned static':>16}  {'best in hindsight':>18}  {'oracle':>16}   violations, Mb/s of best effort"
    )
    rows = []
    for seed in range(asked.first, asked.last + 1):
        begun = Engine(scenario, seed)
        begun.run_until(begun.warmup_slot)
        fixed = [judged(ran(begun, each)) for each in quotas]
        found = (fixed[0], min(fixed), judged(by_oracle(begun, quotas)))
        rows.append(found)
        print(
            f"{seed:>6}  " + "  ".join(f"{broken:>9.0f} {mbps:>6.0f}" for broken, mbps in found), flush=True
        )
    means = np.mean(rows, axis=0)
    print(f"{'mean':>6}  " + "  ".join(f"{broken:>9.1f} {mbps:>6.0f}" for broken, mbps in means))


def scenario_of_the_plan() -> Scenario:
    """The world of the held-out drops."""
    held_out = read_plan(FOLDER).held_out
    drop = held_out.drop(held_out.worlds[0], held_out.seeds[0], 1.0)
    return load_scenario(drop.world.node.partition(":")[2]).with_overrides(drop.overrides)


def tuned_static() -> dict[str, float]:
    """Minima by slice, in percent, of the contender `static`."""
    overrides = tuned_arm(FOLDER, "static").overrides
    return {name: float(str(overrides[f"slices.{name}.min_pct"])) for name in SLICES}


def put(engine: Engine, cell: int, minima: Mapping[str, float]) -> None:
    """Let these minima hold in a cell, all at once."""
    rows = [engine.slice_names.index(name) for name in minima]
    engine.set_slice_quota(cell, rows, list(minima.values()), [100.0] * len(rows), [0.0] * len(rows))


def ran(begun: Engine, minima: Mapping[str, float]) -> Engine:
    """The rest of the drop with the same minima in all cells."""
    engine = begun.fork()
    for cell in range(engine.n_cell):
        put(engine, cell, minima)
    engine.run_until(engine.scenario.slots(engine.scenario.run.duration_s * 1e3))
    return engine


def by_oracle(begun: Engine, quotas: list[dict[str, float]]) -> Engine:
    """The rest of the drop with the quotas that turn out best for each cell, step by step."""
    engine, step = begun.fork(), begun.scenario.slots(STEP_S * 1e3)
    end = engine.scenario.slots(engine.scenario.run.duration_s * 1e3)
    while engine.slot < end:
        until = min(engine.slot + step, end)
        losses = []
        for minima in quotas:
            fork = engine.fork()
            for cell in range(fork.n_cell):
                put(fork, cell, minima)
            fork.run_until(until)
            losses.append(losses_of_cells(fork))
        for cell, best in enumerate(np.argmin(losses, axis=0)):
            put(engine, cell, quotas[best])
        engine.run_until(until)
    return engine


def losses_of_cells(engine: Engine) -> F64:
    """How much of its sessions' promises each cell has broken so far, less a little for its best effort; shape [n_cell].

    A session with a delay budget counts by its late packets, up to the hundredth of a mean session's that may be late, beyond which
    it is lost and more of them change nothing. One with a promised throughput counts by what it is short of, up to a quarter.
    """
    rows, slot_s = engine.sessions(), engine.slot_ns / 1e9
    lost = np.zeros(len(rows))
    for i, traffic in enumerate(engine.scenario.traffic):
        own = rows["traffic_class"] == i
        of_class = rows[own]
        if traffic.delay_bound:
            late = of_class["packets_late"] + of_class["packets_dropped"]
            lost[own] = np.minimum(late / (0.01 * SESSION_S / traffic.interval_s), 1.0)
        elif traffic.promised_mbps is not None:
            due_bytes = traffic.promised_mbps * 1e6 / 8 * of_class["active_slots"] * slot_s
            short = 1.0 - of_class["delivered_bytes"] / np.maximum(due_bytes, 1.0)
            lost[own] = np.clip(4.0 * short, 0.0, 1.0)
        else:
            lost[own] = -of_class["delivered_bytes"] * 8e-6 / BEST_EFFORT_MBIT
    return np.bincount(rows["cell"], lost, engine.n_cell).astype(np.float64)


def judged(engine: Engine) -> tuple[float, float]:
    """Broken promises, and best effort in Mb/s."""
    found = score(engine)
    return found["violations"], found["best_effort_mbps"]


if __name__ == "__main__":
    main()
