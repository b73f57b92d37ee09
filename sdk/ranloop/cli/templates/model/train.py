"""Trains the model of my_xapp: the bits that one PRB will carry for a QoS flow over the next half second.

Simulated drops of `seven-sites`, seeds 1000 and up; the features are built as the xApp builds them. It needs
`pip install 'ranloop[sim,train]'`. Run it from anywhere: `python my_xapp/train.py`.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor

from ranloop.inference import Card, Feature, FeatureBinder, Output
from ranloop.inference.export import export_package
from ranloop.node import open_world
from ranloop.wire.messages import Report

FOLDER = Path(__file__).parent / "rate"
RECENT = "X.UE.SpectralEffDl"
FEATURES = (
    Feature(measurement=RECENT, unit="bit/PRB", window=10, stat="mean", fill=-1.0),
    Feature(measurement=RECENT, unit="bit/PRB", fill=-1.0),
    Feature(measurement="CQI", unit="1", window=5, stat="mean"),
    Feature(measurement="X.UE.MeanMcsDl", unit="1", fill=-1.0),
    Feature(measurement="RSRP", unit="dBm", fill=-140.0),
)
OUTPUTS = (Output(name="bits_per_prb", unit="bit/PRB", low=0.0, high=1200.0),)
LOADS = (0.5, 1.0, 1.5)
AHEAD = 5  # reports of 100 ms

F32 = NDArray[np.float32]


def collect(seed: int, load: float, duration_s: float) -> tuple[F32, F32]:
    """Features [n, n_features] and truth [n] of one drop."""
    world = open_world("sim:seven-sites", seed=seed, overrides={"duration_s": duration_s, "load": load})
    names = frozenset(feature.measurement for feature in FEATURES)
    wanted = {(catalogue.node, "qos_flow", 100): names for catalogue in world.catalogues}
    reports: defaultdict[str, list[Report]] = defaultdict(list)
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        for report in world.reports(wanted):
            reports[report.node].append(report)
    world.close()
    inputs, truth = zip(*(pair for node in reports.values() for pair in pairs(node)), strict=True)
    return np.concatenate(inputs), np.concatenate(truth)


def pairs(reports: list[Report]) -> Iterable[tuple[F32, F32]]:
    """The features of each report, and the mean rate in the `AHEAD` reports after it, of flows that were served in them."""
    empty = Card(name="rate", version="0", summary="", sha256="0" * 64, period_ms=100, features=FEATURES, outputs=OUTPUTS)  # fmt: skip
    binder = FeatureBinder(empty)
    matrices = [binder.matrix(report) for report in reports]
    for now, report in enumerate(reports[:-AHEAD]):
        later: defaultdict[int, list[float]] = defaultdict(list)
        for other in reports[now + 1 : now + 1 + AHEAD]:
            for ue, bits in zip(other.ue.tolist(), other[RECENT].tolist(), strict=True):
                later[ue] += [] if np.isnan(bits) else [bits]
        truth = np.array(
            [np.mean(later[ue]) if later[ue] else np.nan for ue in report.ue.tolist()], np.float32
        )
        yield matrices[now][~np.isnan(truth)], truth[~np.isnan(truth)]


def gather(seeds: range, duration_s: float) -> tuple[F32, F32]:
    inputs, truth = zip(*(collect(seed, load, duration_s) for seed in seeds for load in LOADS), strict=True)
    return np.concatenate(inputs), np.concatenate(truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drops", type=int, default=2, help="training seeds per load")
    parser.add_argument("--duration", type=float, default=8.0, help="simulated seconds per drop")
    arguments = parser.parse_args()
    seeds, held_out = range(1000, 1000 + arguments.drops), range(1900, 1901)
    learned, truth = gather(seeds, arguments.duration)
    model = GradientBoostingRegressor(n_estimators=40, max_depth=3, loss="absolute_error", random_state=1)
    model.fit(learned, truth)
    inputs, truth = gather(held_out, arguments.duration)
    known = inputs[:, 0] >= 0
    mae = float(np.abs(model.predict(inputs[known]) - truth[known]).mean())
    rule = float(np.abs(inputs[known, 0] - truth[known]).mean())
    export_package(
        model,
        FOLDER,
        name="rate",
        version="0.1.0",
        summary="Bits that one PRB will carry for a QoS flow over the next half second.",
        period_ms=100,
        features=FEATURES,
        outputs=OUTPUTS,
        samples=inputs[:5000],
        trained_on=learned,
        training={
            "command": f"python train.py --drops {arguments.drops} --duration {arguments.duration:g}",
            "scenario": "seven-sites",
            "loads": list(LOADS),
            "seeds": list(seeds),
        },
        metrics={
            "held_out_seeds": list(held_out),
            "mae_bits_per_prb": round(mae, 2),
            "mae_mean_of_last_second_bits_per_prb": round(rule, 2),
        },
    )
    print(f"MAE {mae:.1f} bit/PRB on held-out drops; the mean of the last second: {rule:.1f}")


if __name__ == "__main__":
    main()
