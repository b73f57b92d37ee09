"""Small model packages for the tests, trained on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.linear_model import LinearRegression

from ranloop.inference import Feature, Output
from ranloop.inference.export import export_package

FEATURES = (Feature(measurement="DRB.UEThpDl", unit="kbit/s"), Feature(measurement="CQI", unit="1"))


def write_model(
    folder: Path, *, features: tuple[Feature, ...] = FEATURES, more: float = 0.0, mmac_per_row: float = 0.0
) -> Path:
    """A model package that gives the sum of its features, and `more`."""
    samples = np.random.default_rng(7).normal(size=(50, len(features))).astype(np.float32)
    export_package(
        LinearRegression().fit(samples, samples.sum(axis=1) + more),
        folder,
        name=folder.name,
        version="1",
        summary="test",
        period_ms=100,
        features=features,
        outputs=(Output(name="sum", unit="1"),),
        samples=samples,
        training={},
        metrics={"mmac_per_row": mmac_per_row},
    )
    return folder
