"""A model on the node: an ONNX file run by onnxruntime in this process, bound to its card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import ArrayLike

from ranloop.errors import ModelError
from ranloop.inference.card import Card, load_card
from ranloop.inference.features import FeatureBinder
from ranloop.wire.messages import F32, Report

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ("Model", "load_model", "open_session")


class Model:
    """Callable on reports; one per xApp instance, because it remembers their history."""

    def __init__(self, card: Card, session: ort.InferenceSession) -> None:
        self.card = card
        self._session = session
        self._binder = FeatureBinder(card)
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]
        low = np.array([output.low for output in card.outputs], np.float32)
        high = np.array([output.high for output in card.outputs], np.float32)
        self._bounded = bool(np.isfinite(low).any() or np.isfinite(high).any())
        self._n_outputs = len(card.outputs)
        # A single output is a column of its own, and a number is compared faster than an array of one.
        self._low: F32 | np.float32 = low if self._n_outputs > 1 else low[0]
        self._high: F32 | np.float32 = high if self._n_outputs > 1 else high[0]

    @property
    def tag(self) -> str:
        """`name@` and the first 12 hex digits of the file's hash, as the audit log names it."""
        return f"{self.card.name}@{self.card.sha256[:12]}"

    def __call__(self, report: Report, extra: Mapping[str, ArrayLike] | None = None) -> F32:
        """Outputs for each row of a report: shape [n_rows] for one output column, else [n_rows, n_outputs].

        Raises:
            ModelError: The report or `extra` lacks something that the card asks for.
        """
        return self.predict(self._binder.matrix(report, extra))

    def predict(self, matrix: F32) -> F32:
        """Outputs for a ready matrix [n, n_features] in the card's column order."""
        if not len(matrix):
            return np.empty((0,) if self._n_outputs == 1 else (0, self._n_outputs), np.float32)
        if matrix.dtype != np.float32 or not matrix.flags.c_contiguous:
            matrix = np.ascontiguousarray(matrix, np.float32)
        out = cast(F32, self._session.run(self._outputs, {self._input: matrix})[0])
        if self._n_outputs == 1:
            out = out[:, 0]
        if self._bounded:
            out = np.minimum(np.maximum(out, self._low), self._high)  # half the time of np.clip
        return out


def load_model(folder: Path) -> Model:
    """Load a model package and check the file against its card.

    Raises:
        ModelError: Card missing or wrong, file missing, altered or truncated, shapes that differ from the card.
    """
    card = load_card(folder)
    path = folder / card.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}; make it again with {folder}/train.py"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.sha256:
        raise ModelError(
            f"{path} is not the file its card describes: sha256 {digest[:12]}…, the card says {card.sha256[:12]}…; "
            "restore the file or train again"
        )
    session = open_session(content, str(path))
    _check_shapes(card, session, path)
    return Model(card, session)


def open_session(content: bytes, name: str) -> ort.InferenceSession:
    """An onnxruntime session for small models: one thread, sequential, no spinning, CPU only.

    At the batch sizes of a cell one thread is as fast as several, and spinning burns twice the CPU for no latency.

    Raises:
        ModelError: The bytes are not an ONNX model that this onnxruntime can run.
    """
    import onnxruntime as ort  # 0.15 s: only who has a model pays

    ort.set_default_logger_severity(4)  # a refused model is reported by our error, not twice on stderr
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public base class
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{name} is not a runnable ONNX model: {reason}") from error


def _check_shapes(card: Card, session: ort.InferenceSession, path: Path) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    width = len(card.features)
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or list(inputs[0].shape[1:]) != [width]:
        got = ", ".join(f"{i.name!r} {i.type} {list(i.shape)}" for i in inputs)
        raise ModelError(
            f"{path} takes {got} but its card lists {width} features: want one tensor(float) [?, {width}]"
        )
    if len(outputs) != 1 or outputs[0].type != "tensor(float)":
        got = ", ".join(f"{o.name!r} {o.type} {list(o.shape)}" for o in outputs)
        raise ModelError(f"{path} gives {got}: want one tensor(float) [?, {len(card.outputs)}]")
    probe = session.run(None, {inputs[0].name: np.zeros((2, width), np.float32)})[0]
    if probe.shape != (
        2,
        len(card.outputs),
    ):  # shapes in the file may be symbolic: look at what it really does
        raise ModelError(
            f"{path} turns [2, {width}] into {list(probe.shape)} but its card lists {len(card.outputs)} outputs: "
            f"want [2, {len(card.outputs)}]"
        )
