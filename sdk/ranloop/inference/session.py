"""The predictor in this process: an ONNX file run by onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from ranloop.errors import ModelError
from ranloop.inference.predictor import Late
from ranloop.inference.probe import new_session, reason
from ranloop.wire.messages import F32

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ("SessionPredictor", "open_session")


def open_session(content: bytes, name: str) -> ort.InferenceSession:
    """An onnxruntime session, see `new_session`.

    Raises:
        ModelError: The bytes are not an ONNX model that this onnxruntime can run.
    """
    try:
        return new_session(content)
    except Exception as error:  # onnxruntime's errors share no public base class
        raise ModelError(f"{name} is not a runnable ONNX model: {reason(error)}") from error


class SessionPredictor:
    """Answers at once, so it is never late.

    Args:
        session: The ONNX file, opened.
        name: The file's name in errors.
        output: Name of the output to read, "" for the first.
        batch: Number of rows that the file takes at a time, 0 for any number.
    """

    def __init__(self, session: ort.InferenceSession, name: str, *, output: str = "", batch: int = 0) -> None:
        self._session = session
        self._name = name
        self._input: str = session.get_inputs()[0].name
        self._outputs: list[str] = [output or session.get_outputs()[0].name]
        self._batch = batch

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        """Outputs for each row, see `Predictor`.

        Raises:
            ModelError: onnxruntime cannot run the file on this matrix.
        """
        try:
            if self._batch:
                return self._in_batches(matrix)
            return cast(F32, self._session.run(self._outputs, {self._input: matrix})[0])
        except Exception as error:  # onnxruntime's errors share no public base class
            raise ModelError(
                f"{self._name} cannot be run on {list(matrix.shape)}: {reason(error)}"
            ) from error

    def _in_batches(self, matrix: F32) -> F32:
        """The last batch is filled up with zeros, whose outputs are dropped."""
        n, size = len(matrix), self._batch
        filled = np.zeros((-(-n // size) * size, *matrix.shape[1:]), np.float32)
        filled[:n] = matrix
        parts = [
            self._session.run(self._outputs, {self._input: filled[at : at + size]})[0]
            for at in range(0, len(filled), size)
        ]
        return np.concatenate(parts)[:n]
