"""A model called with a report, beside `session.run` with a ready matrix: the cost of binding features by name.

100 rows, 8 features of a report of 12 measurements in which 5 % have no value; trained on noise, because only the
shapes matter. The card has what the inputs were in training, so each call is held to it; a budget and a ladder are set. The session of the
peer has the same options.
"""

from __future__ import annotations

import itertools
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from benchmarks.measure import Row, in_turns, latency_row
from benchmarks.still_world import N_UE, NAMES, PERIOD_MS
from ranloop.inference import Feature, Output, load_model
from ranloop.inference.export import Estimator, export_package
from ranloop.inference.ladder import LastAnswers
from ranloop.inference.session import open_session
from ranloop.vocabulary import ID_COLUMNS, measurement
from ranloop.wire import Report
from ranloop.wire.messages import F32

SAMPLES = 20_000
BAR = 2.0
# Not the report's first eight and not in its order: the model has its own.
_FEATURES = tuple(reversed(NAMES))[:8]


def _estimators() -> dict[str, Any]:
    return {
        "gradient boosting, 100 trees of depth 3": GradientBoostingRegressor(n_estimators=100, max_depth=3),
        "MLP 8-32-32-1": MLPRegressor(hidden_layer_sizes=(32, 32), max_iter=20),
    }


def _report(rng: np.random.Generator) -> Report:
    block: F32 = rng.random((N_UE, 2 + len(NAMES)), np.float32)
    block[rng.random(block.shape) < 0.05] = np.nan
    block[:, 0], block[:, 1] = np.arange(N_UE), 0
    return Report(
        node="gnb-1",
        level="ue",
        period_ms=PERIOD_MS,
        seq=0,
        ran_time_ns=0,
        ids=ID_COLUMNS["ue"],
        names=NAMES,
        block=block,
    )


def _row(name: str, estimator: Estimator, rng: np.random.Generator, folder: Path) -> Row:
    card = export_package(
        estimator,
        folder,
        name="noise",
        version="1",
        summary="Trained on noise.",
        period_ms=PERIOD_MS,
        features=[Feature(measurement=name, unit=measurement(name).unit) for name in _FEATURES],
        outputs=[Output(name="y", unit="1", low=-10.0, high=10.0)],
        samples=rng.random((N_UE, len(_FEATURES)), np.float32),
        trained_on=np.concatenate([_report(rng).block[:, -len(NAMES) :][:, :8] for _ in range(10)]),
        training={},
        metrics={},
    )
    # Two reports in turns: of one and the same the matrix would be known from the call before.
    model, reports = load_model(folder), itertools.cycle([_report(rng), _report(rng)])
    model.budget_ns = 1_000_000_000
    model.put_ladder({"last": LastAnswers(300)})
    session = open_session((folder / card.file).read_bytes(), "noise")
    name_in = session.get_inputs()[0].name
    inputs = itertools.cycle([{name_in: rng.random((N_UE, len(_FEATURES)), np.float32)} for _ in range(2)])
    outputs = [session.get_outputs()[0].name]
    took_us = in_turns(
        {"model": lambda: model(next(reports)), "bare": lambda: session.run(outputs, next(inputs))},
        samples=SAMPLES,
    )
    return latency_row(
        f"model call, {name}", took_us["model"], peer="session.run", peer_took=took_us["bare"], bar=BAR
    )


def run() -> list[Row]:
    """One row per kind of model."""
    rng = np.random.default_rng(1)
    rows = []
    for name, estimator in _estimators().items():
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # noise is not learnt, and need not be
            estimator.fit(rng.random((500, len(_FEATURES)), np.float32), rng.random(500))
            rows.append(_row(name, estimator, rng, Path(folder)))
    return rows
