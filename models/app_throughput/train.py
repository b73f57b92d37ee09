"""Trains `app_throughput_1s` and `app_throughput_5s`: how a phone's throughput will change within 1 s and 5 s.

Without `--data` it simulates drive tests (`drives`; seeds 5000 and up, which no evaluation uses) and writes the models
that ship. With `--data DIR` it trains on the G-NetTrack logs in DIR, writes the models to `--out`, and measures them,
the shipped ones and two simple rules on the days held out, by running the xApp itself on their replay. Run it from the
project's root: `python -m models.app_throughput.train`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor

from models.app_throughput.drives import BANDWIDTHS_PRB, OTHERS_MBPS, SCENARIO, Drive, simulate
from models.app_throughput.samples import FEATURES, OUTPUTS, PERIOD_MS, Samples, join, logged, pair_up
from ranloop.embedded import run_embedded
from ranloop.inference.export import export_package
from ranloop.node.replay import open_replay

MODELS = Path(__file__).parents[1]
XAPP = MODELS.parent / "xapps" / "throughput_forecaster"
HORIZONS_S = (1, 5)
TIME_CONSTANTS_S = (0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0)
HELD_OUT_EVERY = 3  # of the days in order, the third, sixth, ...
FIRST_SEED, FIRST_HELD_OUT_SEED = 5000, 5900
GROUPS = {"all": "all seconds", "on_5g": "on 5G", "downloading": "downloading"}


def split_days(days: Sequence[date]) -> tuple[list[date], list[date]]:
    """Days to train and tune on, and every third day in order to hold out; the logs of a day stay together.

    Raises:
        ValueError: Too few days to hold one out.
    """
    ordered = sorted(set(days))
    if len(ordered) < HELD_OUT_EVERY:
        raise ValueError(f"logs of {len(ordered)} days; want {HELD_OUT_EVERY} or more, to hold one out")
    held_out = ordered[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    return [day for day in ordered if day not in held_out], held_out


def fit(samples: Samples, horizon: int) -> tuple[GradientBoostingRegressor, float]:
    """A model of the change within `HORIZONS_S[horizon]`, and the time constant of the best moving average.

    The median is what absolute errors want, and the median change of an idle phone is exactly none.
    """
    known = ~np.isnan(samples.truth_kbps[:, horizon])
    truth, now = samples.truth_kbps[known, horizon], samples.now_kbps[known]
    errors = np.abs(samples.ewma_kbps[known] - truth[:, None]).mean(axis=0)
    model = GradientBoostingRegressor(
        loss="absolute_error",
        n_estimators=150,
        max_depth=5,
        learning_rate=0.1,
        subsample=0.5,
        max_features=0.4,
        min_samples_leaf=30,
        random_state=1,
    )
    model.fit(samples.inputs[known], truth - now)
    return model, TIME_CONSTANTS_S[int(errors.argmin())]


def measure(
    model: GradientBoostingRegressor, samples: Samples, horizon: int, ewma_s: float
) -> dict[str, Any]:
    """Mean absolute errors on rows that were not learned from."""
    known = ~np.isnan(samples.truth_kbps[:, horizon])
    truth, now = samples.truth_kbps[known, horizon], samples.now_kbps[known]
    expected = {
        "model": np.maximum(now + model.predict(samples.inputs[known]), 0.0),
        "persistence": now,
        "ewma": samples.ewma_kbps[known, TIME_CONSTANTS_S.index(ewma_s)],
    }
    maes = {
        f"mae_{name}_kbps": round(float(np.abs(kbps - truth).mean()), 1) for name, kbps in expected.items()
    }
    return {"held_out_rows": len(truth), **maes}


def write_models(
    train: Samples, test: Samples, out: Path, training: Mapping[str, Any], metrics: Mapping[str, Any]
) -> None:
    """Fit, measure and export one package per horizon into `out`."""
    for horizon, seconds in enumerate(HORIZONS_S):
        model, ewma_s = fit(train, horizon)
        errors = measure(model, test, horizon, ewma_s)
        card = export_package(
            model,
            out / f"app_throughput_{seconds}s",
            name=f"app_throughput_{seconds}s",
            version="0.1.0",
            summary=f"By how much a phone's application throughput will change within {seconds} s.",
            period_ms=PERIOD_MS,
            features=FEATURES,
            outputs=OUTPUTS,
            samples=test.inputs[:5000],
            training={**training, "rows": len(train.inputs), "ewma_s": ewma_s},
            metrics={**metrics, **errors},
        )
        print(
            f"{card.name} {card.sha256[:12]}, moving average of {ewma_s:g} s; held out: {errors}", flush=True
        )


def drive_samples(drive: Drive) -> Samples:
    return pair_up(simulate(drive), HORIZONS_S, TIME_CONSTANTS_S)


def train_on_simulation(out: Path, *, drives: int, duration_s: int, processes: int) -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + drives)
    held_out = range(FIRST_HELD_OUT_SEED, FIRST_HELD_OUT_SEED + max(1, drives // 4))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(drive_samples, [Drive(seed, duration_s) for seed in (*seeds, *held_out)]))
    write_models(
        join(parts[: len(seeds)]),
        join(parts[len(seeds) :]),
        out,
        training={
            "command": f"python -m models.app_throughput.train --drives {drives} --duration {duration_s}",
            "scenario": f"models/app_throughput/{SCENARIO.name}",
            "bandwidths_prb": list(BANDWIDTHS_PRB),
            "others_mbps": list(OTHERS_MBPS),
            "seeds": [seeds.start, seeds.stop - 1],
        },
        metrics={"held_out_seeds": [held_out.start, held_out.stop - 1]},
    )


def train_on_logs(data: Path, out: Path) -> None:
    days, held_out = split_days(list(open_replay(data).days.values()))
    print(f"training days: {', '.join(map(str, days))}")
    print(
        f"held-out days: {', '.join(map(str, held_out))} (every {HELD_OUT_EVERY}rd of all days in order)",
        flush=True,
    )
    train, test = (
        join(pair_up(log, HORIZONS_S, TIME_CONSTANTS_S) for log in logged(open_replay(data, days=those)))
        for those in (days, held_out)
    )
    training = {
        "command": "python -m models.app_throughput.train --data DIR",
        "days": [str(day) for day in days],
    }
    write_models(train, test, out, training, {"held_out_days": [str(day) for day in held_out]})
    simulated, real = (score(data, held_out, folder) for folder in (MODELS, out))
    print(table(simulated, real))


def score(data: Path, days: Sequence[date], folder: Path) -> Mapping[str, Any]:
    """What the xApp finds on these days with the models in `folder`, all logs together."""
    models = {f"app_throughput_{seconds}s": folder / f"app_throughput_{seconds}s" for seconds in HORIZONS_S}
    run = run_embedded(open_replay(data, days=days), [XAPP], models={XAPP.name: models})
    overall: Mapping[str, Any] = run.xapps[XAPP.name]["overall"]
    return overall


def table(simulated: Mapping[str, Any], real: Mapping[str, Any]) -> str:
    """Errors on the held-out days; the moving average is the one tuned on the days of the real training."""
    lines = [
        "MAE in kbit/s | seconds | trained on simulation | trained on logs | persistence | EWMA",
        "---|---|---|---|---|---",
    ]
    for seconds in HORIZONS_S:
        for group, label in GROUPS.items():
            sim, own = simulated[f"{seconds}s"][group], real[f"{seconds}s"][group]
            maes = (
                sim["mae_model_kbps"],
                *(own[f"mae_{name}_kbps"] for name in ("model", "persistence", "ewma")),
            )
            shown = " | ".join("-" if mae is None else f"{mae:.0f}" for mae in maes)
            lines.append(f"{seconds} s, {label} | {own['n']} | {shown}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="folder of G-NetTrack logs to train on instead of simulated drives"
    )
    parser.add_argument(
        "--out", type=Path, help="where the packages go; default: models/, with --data runs/app_throughput"
    )
    parser.add_argument("--drives", type=int, default=12, help="simulated drives to learn from")
    parser.add_argument("--duration", type=int, default=200, help="seconds per simulated drive")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    if given.data:
        train_on_logs(given.data, given.out or MODELS.parent / "runs" / "app_throughput")
    else:
        train_on_simulation(
            given.out or MODELS, drives=given.drives, duration_s=given.duration, processes=given.processes
        )


if __name__ == "__main__":
    main()
