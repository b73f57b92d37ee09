"""From a fitted scikit-learn estimator to a model package: ONNX file, card, and proof that both agree.

It needs the `train` extra. Known traps are checked: skl2onnx exports a multi-output MLP with a flattened shape, some estimators do
not convert at all, and the node's filling for a missing value may differ from the values that the estimator learned from. A
package whose outputs differ from the estimator's is never written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ranloop.errors import MissingExtraError, ModelError
from ranloop.inference.card import CARD_FILE, Card, Feature, Golden, Output
from ranloop.inference.golden import golden_of
from ranloop.inference.onnx_file import refused
from ranloop.inference.package import rows_at_a_time
from ranloop.inference.predictor import Late
from ranloop.inference.probe import reason
from ranloop.inference.seen import with_seen
from ranloop.inference.session import SessionPredictor, open_session
from ranloop.inference.signature import SIGNATURE_FILE
from ranloop.toml import parse_toml, toml_bytes
from ranloop.wire.messages import F32, FOR_EVER_NS

__all__ = ("Estimator", "export_file", "export_package")

_GOLDEN = 8  # rows
_PROBABILITIES = "probabilities"  # as skl2onnx calls the output
_ON_FILLED = " on the samples as the node fills them; an estimator that learned from missing values wants fill = nan on its features"


class Estimator(Protocol):
    """An estimator as in scikit-learn: it has `predict`, and a classifier also `predict_proba`."""

    def predict(self, X: Any) -> Any: ...


def export_package(
    estimator: Estimator,
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
    trained_on: F32 | None = None,
    licence: str = "",
    data_licence: str = "",
    tolerance: float = 1e-3,
) -> Card:
    """Convert, compare on `samples`, and write `model.onnx` and `card.toml` into `folder`.

    A classifier gives the probability of each class: one output per class, in the order of `classes_`.

    Args:
        samples: Shape [n >= 2, n_features], as the estimator learned from, NaN where a value is missing; the
            comparison runs on all of them. Use held-out data.
        trained_on: Shape [n, n_features], what the estimator learned from. The card gets the range and the histogram of each input,
            so that inputs outside of them are flagged while the model runs.
        licence: Of the model, and `data_licence` of the data it learned from.
        tolerance: Largest accepted difference, relative to the standard deviation of the estimator's own output.

    Raises:
        ModelError: The estimator does not convert, or the ONNX file disagrees in shape or value, on the samples as the
            node fills them; nothing is written.
        MissingExtraError: The `train` extra is not installed.
    """
    if samples.ndim != 2 or samples.shape[1] != len(features) or len(samples) < 2:
        raise ValueError(f"samples have shape {samples.shape}, want [n >= 2, {len(features)}]")
    _tomli_w()
    fill = np.array([feature.fill for feature in features], np.float32)
    samples = _with_missing(np.ascontiguousarray(samples, np.float32), np.isnan(fill))
    classifies = hasattr(estimator, "classes_")
    want = _outputs_of(estimator, samples, classifies, name)
    content = _convert(estimator, len(features), classifies, name)
    output = _PROBABILITIES if classifies else ""
    filled = np.where(np.isnan(samples), fill, samples)
    got = open_session(content, name).run([output] if output else None, {"features": filled})[0]
    if got.shape != (len(samples), len(outputs)) or want.shape != got.shape:
        raise ModelError(
            f"{name}: the ONNX file gives {list(got.shape)}, the estimator {list(want.shape)}, "
            f"the card {len(outputs)} outputs; {'list one output per class' if classifies else 'export one model per output'}"
        )
    off = float(np.abs(got - want).max() / max(float(want.std()), 1e-9))
    if not off <= tolerance:  # NaN, too
        raise ModelError(
            f"{name}: the ONNX file differs from the estimator by {off:.2e} of its spread (want <= {tolerance:.0e})"
            f"{_ON_FILLED if np.isnan(samples).any() else ''}"
        )
    card = Card(
        name=name,
        version=version,
        summary=summary,
        sha256=hashlib.sha256(content).hexdigest(),
        period_ms=period_ms,
        features=tuple(features) if trained_on is None else with_seen(features, trained_on),
        outputs=tuple(outputs),
        output=output,
        licence=licence,
        data_licence=data_licence,
        training=_plain(training),
        metrics={**_plain(metrics), "export_difference": float(f"{off:.1e}")},
        golden=golden_of(filled, got),
    )
    _write(folder, card, content)
    return card


def export_file(content: bytes, facts: Path, folder: Path, *, trained_on: F32 | None = None) -> Card:
    """Make a package of an ONNX file of any framework: try it out, and write it with its card into `folder`.

    Args:
        content: The ONNX file.
        facts: A TOML file with the fields of a card; its file and its hash are filled in.
        folder: Where the package goes; made if it does not exist.
        trained_on: The inputs that the model learned from, see `with_seen`; None leaves the card's ranges as they are.

    Raises:
        ModelError: The facts are no card, or the file is refused, does not run or has other shapes; nothing is written.
        MissingExtraError: The `models` or the `train` extra is not installed.
    """
    of_facts = toml_bytes(
        facts, missing=f"{facts} is not there; want the card's fields", error_type=ModelError
    )
    also = {"file": "model.onnx", "sha256": hashlib.sha256(content).hexdigest()}
    card = parse_toml(of_facts, facts, Card, error_type=ModelError, also=also)
    if why := refused(content):
        raise ModelError(f"{card.name}: the ONNX file is refused: {why}")
    batch = rows_at_a_time(card, content, Path(card.name))
    if trained_on is not None:
        try:
            features = with_seen(card.features, trained_on)
            card = card.model_copy(
                update={"features": features, "golden": _golden(card, content, batch, trained_on)}
            )
        except ValueError as error:
            raise ModelError(f"{card.name}: of what it was trained on, {error}") from error
    _write(folder, card, content)
    return card


def _golden(card: Card, content: bytes, batch: int, rows: F32) -> Golden | None:
    """Of the first rows, as the node fills them."""
    fill = np.array([feature.fill for feature in card.features], np.float32)
    inputs = np.ascontiguousarray(np.where(np.isnan(rows), fill, rows)[:_GOLDEN], np.float32)
    session = open_session(content, card.name)
    said = SessionPredictor(session, card.name, output=card.output, batch=batch).predict(
        inputs, 0, FOR_EVER_NS
    )
    return None if isinstance(said, Late) else golden_of(inputs, said)


def _write(folder: Path, card: Card, content: bytes) -> None:
    tomli_w = _tomli_w()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SIGNATURE_FILE).unlink(missing_ok=True)  # of what was here before
        (folder / card.file).write_bytes(content)
        (folder / CARD_FILE).write_text(tomli_w.dumps(card.model_dump(exclude_defaults=True)), "utf-8")
    except OSError as error:
        raise ModelError(f"{error.filename or folder} cannot be written: {error.strerror}") from error


def _tomli_w() -> Any:
    try:
        import tomli_w
    except ModuleNotFoundError as error:
        raise MissingExtraError("exporting a model", "train") from error
    return tomli_w


def _plain(value: Any) -> Any:
    """The numbers and arrays of NumPy as those of Python, which a card can hold."""
    match value:
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case np.ndarray() | np.generic():
            return value.tolist()
    return value


def _with_missing(samples: F32, may_miss: NDArray[np.bool_]) -> F32:
    """The samples, and once more without the values that a node may leave missing."""
    return (
        np.concatenate((samples, np.where(may_miss, np.float32(np.nan), samples)))
        if may_miss.any()
        else samples
    )


def _outputs_of(estimator: Any, samples: F32, classifies: bool, name: str) -> NDArray[np.float64]:
    """Outputs of the estimator itself, shape [n, n_outputs]."""
    kind = type(estimator).__name__
    if classifies and not hasattr(estimator, "predict_proba"):
        raise ModelError(f"{name}: {kind} gives no probabilities; a classifier needs predict_proba")
    try:
        said = estimator.predict_proba(samples) if classifies else estimator.predict(samples)
    except ValueError as error:
        if not np.isnan(samples).any():
            raise
        raise ModelError(
            f"{name}: {kind} takes no missing values; fill the samples as the card does, and give no feature fill = nan"
        ) from error
    return np.asarray(said, np.float64).reshape(len(samples), -1)


def _convert(estimator: Estimator, width: int, classifies: bool, name: str) -> bytes:
    try:
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType
    except ModuleNotFoundError as error:
        raise MissingExtraError("exporting a model", "train") from error
    try:
        proto = to_onnx(
            estimator,
            initial_types=[("features", FloatTensorType([None, width]))],
            options={"zipmap": False}
            if classifies
            else None,  # a tensor [n, n_classes], not a list of dictionaries
            target_opset=17,
        )
    except Exception as error:  # the converter may raise any error
        raise ModelError(
            f"{name}: {type(estimator).__name__} does not convert to ONNX: {reason(error)}"
        ) from error
    return bytes(proto.SerializeToString())
