"""Judges `channel` in running networks, beside tuned rules and the ceiling of fresh reports without error.

    python -m models.channel.evaluate run      # what is missing in held_out.jsonl; --world and --seeds limit it
    python -m models.channel.evaluate show     # the tables of README.md, from offline.json and held_out.jsonl
    python -m models.channel.evaluate cost     # CPU time of a slot with and without the model

Each line of `held_out.jsonl` is one arm on one drop; all arms run the same drops. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from models.channel.series import at_speed
from models.channel.train import FOLDER, SHIPPED_ORDER, tables
from ran_sim.core.state import F32
from ran_sim.engine import Engine
from ran_sim.measure.score import score
from ran_sim.scenario import load_scenario
from ranloop.statistics import paired_difference
from ranloop.training import tuned_arm

RESULTS: Final = FOLDER / "held_out.jsonl"
README: Final = FOLDER / "README.md"
SHIPPED: Final = f"wiener {SHIPPED_ORDER}"
ARMS: Final = ("hold", "hold, levels", "clarke", SHIPPED, "ceiling")
SPEEDS_KMH: Final = (3.0, 30.0, 60.0, 120.0)
WORLDS: Final[Mapping[str, Mapping[str, object]]] = {
    "seven-sites": {},
    **{f"all at {kmh:g} km/h": at_speed(kmh) for kmh in SPEEDS_KMH},
}
SEEDS: Final = range(6301, 6313)
WARMUP_S, MEASURED_S = 2.0, 6.0
KEPT: Final = ("users", "satisfied", "best_effort_mbps", "user_p5_mbps")
# One slot old in every slot; at more than 30 km/h even that misses a part of what changes from one step of the fading, 2 ms, to the next
CEILING: Final = {"radio.cqi_period_ms": 0.5, "radio.cqi_delay_ms": 0.5, "radio.cqi_error_db": 0.0}


def run_arm(arm: str, overrides: Mapping[str, object], seed: int, table: F32 | None) -> dict[str, float]:
    """The score of one drop under the best tuned rule of the slot scheduler."""
    chosen = {
        **tuned_arm(FOLDER.parent / "slot_metric", "rule").overrides,
        **overrides,
        "run.warmup_s": WARMUP_S,
    }
    if arm == "ceiling":
        chosen |= CEILING
    elif arm != "hold":
        chosen["scheduler.channel_model"] = str(FOLDER)
    engine = Engine(load_scenario("seven-sites").with_overrides(chosen), seed)
    if table is not None:
        engine.set_channel_weights(table)
    engine.run_until(engine.scenario.slots((WARMUP_S + MEASURED_S) * 1e3))
    found = score(engine)
    return {key: round(float(found[key]), 3) for key in KEPT}


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()] if RESULTS.exists() else []


def run(worlds: Sequence[str], seeds: Sequence[int]) -> None:
    """Run what `held_out.jsonl` has no line of, seed by seed."""
    by_arm = tables(json.loads((FOLDER / "contenders.json").read_text("utf-8")))
    known = {(row["world"], row["arm"], row["seed"]) for row in lines()}
    began_s = time.monotonic()
    for seed in seeds:
        for world in worlds:
            for arm in ARMS:
                if (world, arm, seed) in known:
                    continue
                row = {"world": world, "arm": arm, "seed": seed}
                row |= run_arm(arm, WORLDS[world], seed, by_arm.get(arm))
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{time.monotonic() - began_s:.0f} s  {row}", flush=True)


def cost() -> None:
    """CPU time of a slot of seven-sites with and without the model, in turns."""
    plain = load_scenario("seven-sites")
    engines = [
        Engine(scenario, 1)
        for scenario in (plain, plain.with_overrides({"scheduler.channel_model": str(FOLDER)}))
    ]
    took_us: list[list[float]] = [[], []]
    for turn in range(12):
        for engine, of in zip(engines, took_us, strict=True):
            began_s = time.thread_time()
            engine.run_until(engine.slot + 1000)
            if turn > 0:
                of.append((time.thread_time() - began_s) / 1000 * 1e6)
    without, model = (float(np.median(of)) for of in took_us)
    print(f"{without:.1f} us a slot without, {model:.1f} us with the model: {model / without:.2f} times")


# -- the page -----------------------------------------------------------------------------------------------------


def part_won(value: float, hold: float, ceiling: float) -> str:
    """Of the way from hold to the ceiling."""
    return f"{100.0 * (value - hold) / (ceiling - hold):.0f} %"


def offline() -> list[str]:
    """The table of errors on recorded series."""
    errors = json.loads((FOLDER / "offline.json").read_text("utf-8"))
    speeds = list(errors["db"]["hold"])
    found = [f"| predictor | {' | '.join(f'{kmh} km/h' for kmh in speeds)} |", f"|---|{'---|' * len(speeds)}"]
    for name, in_db in errors["db"].items():
        cells = []
        for kmh in speeds:
            parts = (
                part_won(of[name][kmh], of["hold"][kmh], of["fresh"][kmh])
                for of in (errors["db"], errors["rate"])
            )
            cells.append(
                f"{in_db[kmh]:.2f} dB" + ("" if name in ("hold", "fresh") else f", {', '.join(parts)}")
            )
        found.append(f"| {name} | {' | '.join(cells)} |")
    return found


def gains(world: str) -> list[str]:
    """One world: the arms, what each gains over hold, and the part of the ceiling's gain that this is."""
    rows = [row for row in lines() if row["world"] == world]
    seeds = set.intersection(*({row["seed"] for row in rows if row["arm"] == arm} for arm in ARMS))
    if len(seeds) < 2:
        return []
    of = {
        arm: {
            key: [row[key] for row in sorted(rows, key=lambda row: row["seed"]) if row["arm"] == arm and row["seed"] in seeds]
            for key in KEPT
        }
        for arm in ARMS
    }  # fmt: skip
    found = [
        f"### {world}, load 1, {len(seeds)} drops, {np.mean(of['hold']['users']):.1f} users",
        "",
        "| arm | satisfied | less hold [95 %] | of the ceiling's | best effort Mb/s | less hold, % [95 %] | of the ceiling's | its 5th percentile | less hold, % [95 %] |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in ARMS:
        cells = []
        for key in ("satisfied", "best_effort_mbps", "user_p5_mbps"):
            mean, hold, ceiling = (float(np.mean(of[which][key])) for which in (arm, "hold", "ceiling"))
            scale = 1.0 if key == "satisfied" else 100.0 / hold
            less, most = (
                paired_difference([scale * v for v in of[which][key]], [scale * v for v in of["hold"][key]])
                for which in (arm, "ceiling")
            )
            part = part_won(mean, hold, ceiling) if most.low > 0.0 else "no gain there"
            cells += [
                f"{mean:.2f}" if key == "user_p5_mbps" else f"{mean:.1f}",
                "" if arm == "hold" else f"{less:+.1f}",
            ]
            if key != "user_p5_mbps":
                cells.append("" if arm in ("hold", "ceiling") else part)
        found.append(f"| {arm} | {' | '.join(cells)} |")
    return [*found, ""]


def show() -> None:
    """Print the tables, and put them into the page."""
    text = README.read_text("utf-8")
    for mark, table in (
        ("offline", offline()),
        ("gain", [line for world in WORLDS for line in gains(world)]),
    ):
        print("\n".join(table))
        head, _, rest = text.partition(f"<!-- {mark} -->")
        _, _, tail = rest.partition(f"<!-- /{mark} -->")
        body = "\n".join(table).strip()
        text = f"{head}<!-- {mark} -->\n{body}\n<!-- /{mark} -->{tail}"
    README.write_text(text, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "show", "cost"))
    parser.add_argument("--world", action="append", default=[], choices=tuple(WORLDS))
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of the held-out drops")
    arguments = parser.parse_args()
    if arguments.what == "show":
        show()
    elif arguments.what == "cost":
        cost()
    else:
        run(arguments.world or list(WORLDS), SEEDS[: arguments.seeds])


if __name__ == "__main__":
    main()
