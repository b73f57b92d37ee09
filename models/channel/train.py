"""Trains `channel`: weights of the last reports by their age and change, beside rules that are tuned on the same series.

    python -m models.channel.train           # model.onnx, card.toml, contenders.json and offline.json
    python -m models.channel.train windows   # how long averages over reports should be: errors on the training series
    python -m models.channel.train levels    # what reports beyond the ends of the offsets stand for

Series of one speed each are recorded from the simulator. Those of `TRAINING` tune and fit everything, those of `HELD_OUT` judge; no seed
is in both. What is compared in a running network is in contenders.json; `evaluate` runs it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.channel import shape
from models.channel.series import (
    TABLES,
    Samples,
    Series,
    at_speed,
    deviations,
    error_db,
    error_rate,
    exact_report,
    fresh,
    held,
    predicted,
    record,
    samples_of,
    together,
)
from ran_sim.core.state import F32, F64
from ran_sim.link.prediction import FEATURES, ORDER
from ranloop.inference import Card, Feature, Output

FOLDER: Final = Path(__file__).resolve().parent
TRAINING: Final = {1.0: 6101, 3.0: 6102, 10.0: 6103, 30.0: 6104, 60.0: 6105, 120.0: 6106}  # km/h: seed
HELD_OUT: Final = {3.0: (6201, 6202), 30.0: (6203, 6204), 60.0: (6205, 6206), 120.0: (6207, 6208)}
DURATION_S: Final = 10.0
NEWEST, KEEP = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), (0.0, 0.3, 0.5, 0.7)  # of `shape.smoothing`
NOISES: Final = (0.02, 0.05, 0.1, 0.2)
SHIPPED_ORDER: Final = 2
MLP_ROWS: Final = 120_000
Guess = Callable[[Samples], F32]  # [n, n_rbg] of samples


# -- fitting ------------------------------------------------------------------------------------------------------


def wanted(samples: Samples) -> F32:
    """What is to be predicted: the deviation from the mean of the reports, less each UE's own mean of it, [n, n_rbg]."""
    off = samples.truth_db - samples.mean_db[:, None]
    _, of_ue = np.unique(samples.ue, return_inverse=True)
    own = np.bincount(of_ue, off.mean(axis=1)) / np.bincount(of_ue)
    return np.asarray(off - own[of_ue][:, None], np.float32)


def fit(samples: Samples, inputs: F32) -> F64:
    """Coefficients [N_BASIS, k] of weights for `inputs` [n, k, n_rbg], least squares with a slight ridge."""
    functions, target = shape.basis(samples.age, samples.change), wanted(samples)
    k, n_basis = inputs.shape[1], functions.shape[1]
    gram, right = np.zeros((n_basis**2, k**2)), np.zeros((n_basis, k))
    for rows in np.array_split(np.arange(len(target)), max(1, len(target) // 10_000)):
        part, of_part = inputs[rows], functions[rows]
        pairs = np.einsum("nib,njb->nij", part, part).reshape(len(rows), k * k)
        gram += (of_part[:, :, None] * of_part[:, None, :]).reshape(len(rows), -1).T @ pairs
        right += of_part.T @ np.einsum("nib,nb->ni", part, target[rows])
    matrix = gram.reshape(n_basis, n_basis, k, k).transpose(0, 2, 1, 3).reshape(n_basis * k, n_basis * k)
    ridge = 1e-6 * np.trace(matrix) / len(matrix)
    found = np.linalg.solve(matrix + ridge * np.eye(len(matrix)), right.ravel())
    return np.asarray(found.reshape(n_basis, k))


def wiener(samples: Samples, order: int) -> F64:
    """Coefficients [N_BASIS, ORDER] that use the last `order` reports."""
    coefficients = np.zeros((shape.N_BASIS, ORDER))
    coefficients[:, :order] = fit(samples, deviations(samples)[:, :order])
    return coefficients


def more_inputs(samples: Samples) -> F32:
    """The deviations of the sub-band itself, of the mean over sub-bands, and of the two neighbours, [n, 2 ORDER + 2, n_rbg]."""
    own = deviations(samples)
    wideband = np.broadcast_to(own.mean(axis=2, keepdims=True), own.shape)
    left = np.concatenate((own[:, :1, :1], own[:, :1, :-1]), axis=2)
    right = np.concatenate((own[:, :1, 1:], own[:, :1, -1:]), axis=2)
    return np.concatenate((own, wideband, left, right), axis=1)


def wide_wiener(samples: Samples) -> Guess:
    """As `wiener`, with more inputs."""
    coefficients = fit(samples, more_inputs(samples))

    def guess(of: Samples) -> F32:
        weights = shape.basis(of.age, of.change) @ coefficients
        weighed = np.einsum("nk,nkb->nb", weights.astype(np.float32), more_inputs(of))
        return np.asarray(of.mean_db[:, None] + weighed, np.float32)

    return guess


def mlp(samples: Samples) -> Guess:
    """A network of two hidden layers with all these inputs, age and change, and the spread of the last report."""
    from sklearn.neural_network import MLPRegressor

    def rows_of(of: Samples) -> F32:
        inputs = more_inputs(of)
        state = np.stack((of.age, of.change, inputs[:, 0].std(axis=1) / 4.0), axis=1).astype(np.float32)
        wide = np.broadcast_to(state[:, :, None], (*state.shape, inputs.shape[2]))
        both = np.concatenate((inputs / 4.0, wide), axis=1)
        return np.asarray(both.transpose(0, 2, 1).reshape(-1, both.shape[1]))

    every, target = rows_of(samples), wanted(samples).ravel()
    chosen = np.random.default_rng(1).permutation(len(target))[:MLP_ROWS]
    network = MLPRegressor(
        hidden_layer_sizes=(32, 32),
        batch_size=512,
        early_stopping=True,
        n_iter_no_change=3,
        max_iter=30,
        random_state=1,
    )
    network.fit(every[chosen], target[chosen])

    def guess(of: Samples) -> F32:
        off = network.predict(rows_of(of)).reshape(of.truth_db.shape)
        return np.asarray(of.mean_db[:, None] + off, np.float32)

    return guess


def best(candidates: Mapping[tuple[float, ...], F32], samples: Samples) -> tuple[float, ...]:
    """The parameters whose table has the least error."""
    return min(candidates, key=lambda point: error_db(samples, predicted(candidates[point], samples)))


# -- the whole way ------------------------------------------------------------------------------------------------


def training_series() -> list[Series]:
    return [record(at_speed(kmh), seed, DURATION_S) for kmh, seed in TRAINING.items()]


def contenders(samples: Samples) -> dict[str, Any]:
    """Everything that is a table of weights, by its parameters."""
    smooth: dict[tuple[float, ...], F32] = {point: shape.smoothing(*point) for point in product(NEWEST, KEEP)}
    of_theory: dict[tuple[float, ...], F32] = {
        (order, noise): shape.clarke(order, noise) for order in range(1, ORDER + 1) for noise in NOISES
    }
    return {
        "smoothing": best(smooth, samples),
        "clarke": best(of_theory, samples),
        **{f"wiener {order}": wiener(samples, order).tolist() for order in range(1, ORDER + 1)},
    }


def tables(found: Mapping[str, Any]) -> dict[str, F32]:
    """Name -> table of weights; the rules first."""
    order, noise = found["clarke"]
    return {
        "hold, levels": shape.hold(),
        "mean": shape.smoothing(0.0, 0.0),
        "smoothing": shape.smoothing(*found["smoothing"]),
        "clarke": shape.clarke(int(order), noise),
        **{name: shape.learned(np.array(found[name])) for name in found if name.startswith("wiener")},
    }


def judged(found: Mapping[str, Any], others: Mapping[str, Guess]) -> dict[str, dict[str, dict[str, float]]]:
    """Errors on the held-out series: "db" and "rate" (bit/s/Hz) -> name -> speed in km/h -> error."""
    errors: dict[str, dict[str, dict[str, float]]] = {"db": {}, "rate": {}}
    for kmh, seeds in HELD_OUT.items():
        samples = together([samples_of(record(at_speed(kmh), seed, DURATION_S), every=9) for seed in seeds])
        guesses = {"hold": held(samples)}
        guesses |= {name: predicted(table, samples) for name, table in tables(found).items()}
        guesses |= {name: guess(samples) for name, guess in others.items()} | {"fresh": fresh(samples)}
        for name, guess in guesses.items():
            for kind, error in (("db", error_db(samples, guess)), ("rate", error_rate(samples, guess))):
                errors[kind].setdefault(name, {})[f"{kmh:g}"] = round(error, 3)
    return errors


def levels() -> None:
    """Means of what lies beyond the ends of the offsets, on the training series: `BELOW_DB` and `ABOVE_DB` of `link.prediction`."""
    at_db = TABLES.cqi_t10_db
    for kmh, series in zip(TRAINING, training_series(), strict=True):
        truth = series.sinr_db[np.isfinite(series.age)][::9]
        cqi, wideband = exact_report(truth)
        below = np.where(cqi < wideband, at_db[wideband] - truth, np.nan)
        above = np.where((cqi >= wideband + 2) & (cqi < 15), truth - at_db[cqi], np.nan)
        print(
            f"{kmh:5g} km/h  below {np.nanmean(below):5.2f} dB  above {np.nanmean(above):5.2f} dB", flush=True
        )


def windows() -> None:
    """Errors on the training series by the lengths of the averages, in reports."""
    series = training_series()
    for mean_reports, change_reports in ((8, 32), (16, 32), (32, 32), (64, 32), (16, 16), (16, 64)):
        by_speed = [
            samples_of(each, mean_reports=mean_reports, change_reports=change_reports, every=7)
            for each in series
        ]
        table = shape.learned(wiener(together(by_speed), SHIPPED_ORDER))
        errors = [error_db(samples, predicted(table, samples)) for samples in by_speed]
        print(
            f"mean {mean_reports:4}  change {change_reports:4}  ",
            *(f"{error:6.3f}" for error in errors),
            flush=True,
        )


def write_package(
    folder: Path, coefficients: F64, training: Mapping[str, Any], metrics: Mapping[str, Any]
) -> None:
    """`model.onnx` and `card.toml`."""
    import tomli_w

    content = shape.onnx_file(coefficients)
    card = Card(
        name="channel",
        version="0.1.0",
        summary="Weights of a UE's last channel reports, for each sub-band's SNR at the moment of use.",
        sha256=hashlib.sha256(content).hexdigest(),
        period_ms=1,
        features=tuple(
            Feature(name=name, unit=unit) for name, unit in zip(FEATURES, ("report period", "1"), strict=True)
        ),
        outputs=tuple(Output(name=f"weight_{i + 1}", unit="1", low=-4.0, high=4.0) for i in range(ORDER)),
        training=dict(training),
        metrics=dict(metrics),
    )
    (folder / card.file).write_bytes(content)
    (folder / "card.toml").write_text(tomli_w.dumps(card.model_dump(exclude_defaults=True)), "utf-8")


def train() -> None:
    began_s = time.process_time()
    samples = together([samples_of(each, every=9) for each in training_series()])
    found = contenders(samples)
    others = {"wiener, more inputs": wide_wiener(samples), "mlp, more inputs": mlp(samples)}
    trained_s = time.process_time() - began_s
    print(f"trained in {trained_s:.0f} s of CPU", flush=True)
    errors = judged(found, others)
    for name, by_speed in errors["db"].items():
        of_rate = errors["rate"][name].values()
        print(f"{name:24}", *(f"{error:7.3f}" for error in (*by_speed.values(), *of_rate)))
    (FOLDER / "contenders.json").write_text(json.dumps(found) + "\n", "utf-8")
    (FOLDER / "offline.json").write_text(json.dumps(errors, indent=2) + "\n", "utf-8")
    name = f"wiener {SHIPPED_ORDER}"
    facts = {
        "command": "python -m models.channel.train",
        "method": f"least squares, the last {SHIPPED_ORDER} reports",
        "scenario": "seven-sites",
        "speeds_kmh": list(TRAINING),
        "seeds": list(TRAINING.values()),
        "held_out_seeds": [seed for seeds in HELD_OUT.values() for seed in seeds],
        "samples": len(samples.age),
        "cpu_minutes": round(trained_s / 60.0, 1),
    }
    metrics = {
        f"error_db {which}, {kmh} km/h": errors["db"][which][kmh]
        for which in (name, "clarke", "hold", "fresh")
        for kmh in errors["db"][which]
    }
    write_package(FOLDER, np.array(found[name]), facts, metrics)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", default="train", choices=("train", "windows", "levels"))
    {"train": train, "windows": windows, "levels": levels}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
