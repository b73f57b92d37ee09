"""From a fitted scikit-learn regressor to a model package: ONNX file, card, and proof that both agree.

Needs the `train` extra. Known traps are checked rather than trusted: skl2onnx exports a multi-output MLP with a
flattened shape, and some estimators do not convert at all; a package whose outputs differ from the estimator's is
never written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ranloop.errors import MissingExtraError, ModelError
from ranloop.inference.card import CARD_FILE, Card, Feature, Output
from ranloop.inference.session import open_session
from ranloop.wire.messages import F32

__all__ = ("Regressor", "export_package")


class Regressor(Protocol):
    """What is asked of an estimator: scikit-learn's `predict`."""

    def predict(self, X: Any) -> Any: ...


def export_package(
    estimator: Regressor,
    folder: Path,
    *,
    name: str,
    version: str,
    summary: str,
    period_ms: int,
    features: Sequence[Feature],
    outputs: Sequence[Output],
    samples: F32,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any],
    tolerance: float = 1e-3,
) -> Card:
    """Convert, compare on `samples`, and write `model.onnx` and `card.toml` into `folder`.

    Args:
        samples: Shape [n >= 2, n_features]; the comparison runs on all of them. Use held-out data.
        tolerance: Largest accepted difference, relative to the standard deviation of the estimator's own output.

    Raises:
        ModelError: The estimator does not convert, or the ONNX file disagrees in shape or value; nothing is written.
        MissingExtraError: The `train` extra is not installed.
    """
    if samples.ndim != 2 or samples.shape[1] != len(features) or len(samples) < 2:
        raise ValueError(f"samples have shape {samples.shape}, want [n >= 2, {len(features)}]")
    try:
        import tomli_w
    except ModuleNotFoundError as error:
        raise MissingExtraError("exporting a model", "train") from error
    samples = np.ascontiguousarray(samples, np.float32)
    content = _convert(estimator, len(features), name)
    got = open_session(content, name).run(None, {"features": samples})[0]
    want = np.asarray(estimator.predict(samples), np.float64).reshape(len(samples), -1)
    if got.shape != (len(samples), len(outputs)) or want.shape != got.shape:
        raise ModelError(
            f"{name}: the ONNX file gives {list(got.shape)}, the estimator {list(want.shape)}, "
            f"the card {len(outputs)} outputs; export one model per output"
        )
    off = float(np.abs(got - want).max() / max(float(want.std()), 1e-9))
    if off > tolerance:
        raise ModelError(
            f"{name}: the ONNX file differs from the estimator by {off:.2e} of its spread (want <= {tolerance:.0e})"
        )
    card = Card(
        name=name,
        version=version,
        summary=summary,
        sha256=hashlib.sha256(content).hexdigest(),
        period_ms=period_ms,
        features=tuple(features),
        outputs=tuple(outputs),
        training=dict(training),
        metrics={**metrics, "export_difference": float(f"{off:.1e}")},
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / card.file).write_bytes(content)
    (folder / CARD_FILE).write_text(tomli_w.dumps(card.model_dump(exclude_defaults=True)), "utf-8")
    return card


def _convert(estimator: Regressor, width: int, name: str) -> bytes:
    try:
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType
    except ModuleNotFoundError as error:
        raise MissingExtraError("exporting a model", "train") from error
    try:
        proto = to_onnx(
            estimator, initial_types=[("features", FloatTensorType([None, width]))], target_opset=17
        )
    except Exception as error:  # the converter raises whatever it meets
        raise ModelError(f"{name}: {type(estimator).__name__} does not convert to ONNX: {error}") from error
    return bytes(proto.SerializeToString())
