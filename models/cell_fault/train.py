"""Trains `cell_fault_small` and `cell_fault`: which fault a cell has, of the cell reports of a second, or of three seconds.

Simulated drops of `seven-sites` in which eight of 21 cells have a fault. Seeds 5000 and up train, 5900 and up calibrate and judge;
no drop does two of these. The features are built by the `FeatureBinder` that serves an xApp. The small model sees six measurements of
the last second and is for each node; the other one sees more of them, over three seconds. `held_out.npz` keeps the inputs of both and
the truth of the drops that judge. Run it from anywhere: `python models/cell_fault/train.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ranloop.inference import Card, Feature, FeatureBinder, Output
from ranloop.inference.export import export_package
from ranloop.node import open_world
from ranloop.placement.gate import write_calibration
from ranloop.vocabulary import measurement
from ranloop.wire.messages import F32

MODELS = Path(__file__).parents[1]
CLASSES = ("none", "sleeping-cell", "backhaul-delay", "power-loss", "tilt-shift")
N_CELLS, N_FAULTY = 21, 8
START_S, FIRST_S, DURATION_S = 1, 5, 9  # the windows of three seconds lie within the fault
LOADS = (0.5, 0.8, 1.2)
PERIOD_MS = 1000
BY_SECOND = (
    "X.DRB.BudgetMissRateDl",
    "RRU.PrbTotDl",
    "X.DRB.BufferedVolDl",
    "DRB.RlcSduDelayDl",
    "DRB.RlcSduTransmittedVolumeDL",
    "RRC.ConnMean",
)
OVER_SECONDS = (
    *BY_SECOND,
    "X.DRB.OfferedVolDl",
    "DRB.UEThpDl",
    "DRB.AirIfDelayDl",
    "DRB.RlcPacketDropRateDl",
    "DRB.MeanActiveUeDl",
    "TB.TotNbrDlInitial",
    "TB.IntialErrNbrDl",
    "TB.ResidualErrNbrDl",
    "PEE.AvgPower",
)


def _feature(name: str, **more: Any) -> Feature:
    return Feature(measurement=name, unit=measurement(name).unit, fill=-1.0, **more)


SMALL = tuple(_feature(name) for name in BY_SECOND)
LARGE = (
    *(_feature(name) for name in OVER_SECONDS),
    *(_feature(name, window=3, stat="mean") for name in OVER_SECONDS),
    *(_feature(name, window=3, stat="std") for name in BY_SECOND),
)
OUTPUTS = tuple(Output(name=name.replace("-", "_"), unit="1", low=0.0, high=1.0) for name in CLASSES)


class Samples(NamedTuple):
    """Inputs of both models [n, n_features], the class [n], and the seed of the drop [n]."""

    small: F32
    large: F32
    label: NDArray[np.int64]
    drop: NDArray[np.int64]


def faults_of(seed: int) -> tuple[list[dict[str, Any]], NDArray[np.int64]]:
    """Faults of a drop, two of each kind with drawn magnitudes, and the class of each cell."""
    rng = np.random.default_rng(seed)
    label = np.zeros(N_CELLS, np.int64)
    faults: list[dict[str, Any]] = []
    for at, cell in enumerate(rng.permutation(N_CELLS)[:N_FAULTY].tolist()):
        label[cell] = kind = 1 + at % (len(CLASSES) - 1)
        magnitude: dict[str, float] = {
            "backhaul-delay": {"delay_ms": float(rng.uniform(30, 200))},
            "power-loss": {"loss_db": float(rng.uniform(4, 12))},
            "tilt-shift": {"shift_deg": float(rng.uniform(5, 10) * rng.choice([-1, 1]))},
        }.get(CLASSES[kind], {})
        faults.append({"kind": CLASSES[kind], "cells": [cell], "start_s": START_S, **magnitude})
    return faults, label


def collect(seed: int) -> Samples:
    """One drop: both inputs of every cell and second from `FIRST_S` on."""
    faults, label = faults_of(seed)
    overrides = {
        "faults": faults,
        "load": LOADS[seed % len(LOADS)],
        "duration_s": float(DURATION_S),
        "reports.periods_ms": [PERIOD_MS],
    }
    world = open_world("sim:seven-sites", seed=seed, overrides=overrides)
    wanted = {(catalogue.node, "cell", PERIOD_MS): frozenset(OVER_SECONDS) for catalogue in world.catalogues}
    # The cells of a node, by its own ids, in the order of sites: the number of a cell through the network.
    first = {catalogue.node: 3 * at for at, catalogue in enumerate(world.catalogues)}
    binders = FeatureBinder(bare_card(SMALL)), FeatureBinder(bare_card(LARGE))
    rows: list[tuple[F32, F32, NDArray[np.int64]]] = []
    for second in range(1, DURATION_S + 1):
        world.advance(second * 10**9)
        for report in world.reports(wanted):
            small, large = (binder.matrix(report).copy() for binder in binders)
            if second >= FIRST_S:
                rows.append((small, large, label[first[report.node] + report.cell % 3]))
    world.close()
    small, large, labels = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Samples(small, large, labels, np.full(len(labels), seed))


def bare_card(features: Sequence[Feature]) -> Card:
    """A card that only serves to build features, before there is a model."""
    return Card(
        name="cell_fault",
        version="0",
        summary="",
        sha256="0" * 64,
        period_ms=PERIOD_MS,
        features=tuple(features),
        outputs=OUTPUTS,
    )


def gather(seeds: range, processes: int) -> Samples:
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(collect, seeds))
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drops", type=int, default=60, help="drops to train on")
    parser.add_argument(
        "--held-out", type=int, default=20, help="drops to calibrate on, and as many to judge on"
    )
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    n = arguments.held_out
    train_on, calibrate_on = range(5000, 5000 + arguments.drops), range(5900, 5900 + n)
    judge_on = range(5900 + n, 5900 + 2 * n)
    train, calibrate, judge = (
        gather(seeds, arguments.processes) for seeds in (train_on, calibrate_on, judge_on)
    )
    small = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    small.fit(train.small, train.label)
    large = GradientBoostingClassifier(n_estimators=80, max_depth=4, subsample=0.5, random_state=1)
    large.fit(train.large, train.label)
    right = [
        float((model.predict(inputs) == judge.label).mean())
        for model, inputs in ((small, judge.small), (large, judge.large))
    ]
    command = f"python models/cell_fault/train.py --drops {arguments.drops} --held-out {n}"
    facts = {
        "command": command,
        "scenario": "seven-sites",
        "loads": list(LOADS),
        "seeds": [train_on.start, train_on.stop - 1],
        "rows": len(train.label),
        "healthy_share": round(float((train.label == 0).mean()), 3),
    }
    for name, model, features, inputs, accuracy, words in (
        ("cell_fault_small", small, SMALL, judge.small, right[0], "of six measurements of the last second"),
        ("cell_fault", large, LARGE, judge.large, right[1], "of fifteen measurements over three seconds"),
    ):
        export_package(
            model,
            MODELS / name,
            name=name,
            version="0.1.0",
            summary=f"Which fault a cell has, {words}.",
            period_ms=PERIOD_MS,
            features=features,
            outputs=OUTPUTS,
            samples=inputs[:2000],
            training=facts,
            metrics={
                "held_out_seeds": [judge_on.start, judge_on.stop - 1],
                "held_out_rows": len(judge.label),
                "accuracy": round(accuracy, 4),
                "accuracy_of_always_none": round(float((judge.label == 0).mean()), 4),
            },
        )
    said = small.predict_proba(calibrate.small)
    above = large.predict(calibrate.large)
    write_calibration(
        MODELS / "cell_fault_small",
        confidence=said.max(axis=1),
        right=said.argmax(axis=1) == calibrate.label,
        agrees=said.argmax(axis=1) == above,
    )
    np.savez_compressed(MODELS / "cell_fault" / "held_out.npz", **judge._asdict())
    print(
        f"accuracy on held-out drops: small {right[0]:.3f}, large {right[1]:.3f}, none always {np.mean(judge.label == 0):.3f}"
    )


if __name__ == "__main__":
    main()
