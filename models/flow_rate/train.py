"""Trains `flow_rate`: how many bits one PRB will carry for a QoS flow over the next half second.

Simulated drops of `seven-sites` at three loads; seeds 1000 and up, which no evaluation uses. The features are built by
the same `FeatureBinder` that serves the xApp. Run it from anywhere: `python models/flow_rate/train.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor

from ranloop.inference import Card, Feature, FeatureBinder, Output
from ranloop.inference.export import export_package
from ranloop.node import NodePort, open_world
from ranloop.wire.messages import F32, Report

FOLDER = Path(__file__).parent
AHEAD = 5  # periods of 100 ms
FEATURES = (
    Feature(measurement="CQI", unit="1"),
    Feature(measurement="CQI", unit="1", window=5, stat="mean"),
    Feature(measurement="X.UE.SpectralEffDl", unit="bit/PRB", fill=-1.0),
    Feature(measurement="X.UE.SpectralEffDl", unit="bit/PRB", window=5, stat="mean", fill=-1.0),
    Feature(measurement="X.UE.SpectralEffDl", unit="bit/PRB", window=10, stat="mean", fill=-1.0),
    Feature(measurement="X.UE.MeanMcsDl", unit="1", fill=-1.0),
    Feature(measurement="RSRP", unit="dBm", fill=-140.0),
)
OUTPUTS = (Output(name="bits_per_prb", unit="bit/PRB", low=0.0, high=1200.0),)
LOADS = (0.5, 1.0, 1.5)
CLASS_WEIGHTS = (1.0, 16.0)  # what the network is run with while the data is collected
WANTED = (
    "CQI",
    "RSRP",
    "X.UE.SpectralEffDl",
    "X.UE.MeanMcsDl",
    "RRU.PrbUsedDl",
    "DRB.RlcSduTransmittedVolumeDL",
)


class Drop(NamedTuple):
    """One simulated run to learn from."""

    seed: int
    load: float
    class_weight: float
    duration_s: float


class Samples(NamedTuple):
    """Inputs [n, n_features], truth [n], and what smoothing the past would have said [n]."""

    inputs: F32
    truth: F32
    smoothed: F32


def collect(drop: Drop) -> Samples:
    """Run one drop and pair each flow's features with what its PRBs then carried."""
    weights = {str(five_qi): drop.class_weight for five_qi in (1, 2, 3, 80)}
    overrides = {"duration_s": drop.duration_s, "load": drop.load, "scheduler.class_weight": weights}
    world = open_world("sim:seven-sites", seed=drop.seed, overrides=overrides)
    nodes = [catalogue.node for catalogue in world.catalogues]
    per_node: dict[str, list[Report]] = {node: [] for node in nodes}
    for report in reports_of(world, nodes):
        per_node[report.node].append(report)
    world.close()
    parts = [pair_up(reports, world.slot_ns) for reports in per_node.values()]
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def reports_of(world: NodePort, nodes: Sequence[str]) -> Iterator[Report]:
    wanted = {(node, "qos_flow", 100): frozenset(WANTED) for node in nodes}
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        yield from world.reports(wanted)


def pair_up(reports: Sequence[Report], slot_ns: int) -> Samples:
    """Features of each report beside the bits per PRB of the `AHEAD` periods after it."""
    binder = FeatureBinder(probe_card())
    matrices = [binder.matrix(report) for report in reports]
    slots = reports[0].period_ms * 1_000_000 / slot_ns
    inputs, truth, smoothed = [], [], []
    for now, report in enumerate(reports[:-AHEAD]):
        bits, prbs = (np.zeros(len(report)) for _ in range(2))
        for later in reports[now + 1 : now + 1 + AHEAD]:
            row = rows_of(report.ue, later.ue)
            here = row >= 0
            bits[here] += later["DRB.RlcSduTransmittedVolumeDL"][row[here]] * 1e3
            prbs[here] += later["RRU.PrbUsedDl"][row[here]] * slots
        served = prbs >= 100  # fewer say nothing about a rate
        inputs.append(matrices[now][served])
        truth.append((bits[served] / prbs[served]).astype(np.float32))
        smoothed.append(matrices[now][served, 4])
    return Samples(np.concatenate(inputs), np.concatenate(truth), np.concatenate(smoothed))


def rows_of(ue: NDArray[np.int32], in_ue: NDArray[np.int32]) -> NDArray[np.intp]:
    """Row of each UE in another report, -1 if it is not there."""
    if not len(in_ue):
        return np.full(len(ue), -1, np.intp)
    order = np.argsort(in_ue)
    place = order[np.searchsorted(in_ue, ue, sorter=order).clip(max=len(in_ue) - 1)]
    return np.where(in_ue[place] == ue, place, -1)


def probe_card() -> Card:
    """A card that only serves to build features, before there is a model."""
    return Card(
        name="flow_rate",
        version="0",
        summary="",
        sha256="0" * 64,
        period_ms=100,
        features=FEATURES,
        outputs=OUTPUTS,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drops", type=int, default=4, help="training seeds per load and class weight")
    parser.add_argument("--duration", type=float, default=12.0, help="simulated seconds per drop")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    train_seeds = range(1000, 1000 + arguments.drops)
    held_out = range(1900, 1902)
    train = gather(train_seeds, arguments.duration, arguments.processes)
    test = gather(held_out, arguments.duration, arguments.processes)
    model = GradientBoostingRegressor(
        n_estimators=120, max_depth=3, learning_rate=0.1, loss="absolute_error", subsample=0.5, random_state=1
    )
    model.fit(train.inputs, train.truth)
    known = test.smoothed >= 0
    mae = float(np.abs(model.predict(test.inputs[known]) - test.truth[known]).mean())
    rule = float(np.abs(test.smoothed[known] - test.truth[known]).mean())
    card = export_package(
        model,
        FOLDER,
        name="flow_rate",
        version="0.1.0",
        summary="Bits that one PRB will carry for a QoS flow over the next half second.",
        period_ms=100,
        features=FEATURES,
        outputs=OUTPUTS,
        samples=test.inputs[:5000],
        trained_on=train.inputs,
        licence="Apache-2.0",
        data_licence="Apache-2.0",  # made by ran_sim
        training={
            "command": f"python models/flow_rate/train.py --drops {arguments.drops} --duration {arguments.duration:g}",
            "scenario": "seven-sites",
            "loads": list(LOADS),
            "class_weights": list(CLASS_WEIGHTS),
            "seeds": [train_seeds.start, train_seeds.stop - 1],
            "rows": len(train.truth),
        },
        metrics={
            "held_out_seeds": [held_out.start, held_out.stop - 1],
            "held_out_rows": int(known.sum()),
            "mae_bits_per_prb": round(mae, 2),
            "mae_mean_of_last_second_bits_per_prb": round(rule, 2),
        },
    )
    print(
        f"MAE {mae:.1f} bit/PRB on held-out drops; the mean of the last second: {rule:.1f}; {card.sha256[:12]}"
    )


def gather(seeds: range, duration_s: float, processes: int) -> Samples:
    drops = [
        Drop(seed, load, weight, duration_s) for seed in seeds for load in LOADS for weight in CLASS_WEIGHTS
    ]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(collect, drops))
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


if __name__ == "__main__":
    main()
