"""The predictor in this process: an ONNX file run by onnxruntime, on the CPU unless another provider is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ranloop.errors import MissingExtraError, ModelError
from ranloop.inference.predictor import Late
from ranloop.inference.probe import new_session, reason
from ranloop.wire.messages import F32

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ("Provider", "SessionPredictor", "open_session")


Provider = Literal["cpu", "openvino", "cuda", "tensorrt", "reference"]
"""What computes a model: an execution provider of onnxruntime, or ONNX's own reference in NumPy, which is slow."""

_PROVIDERS: dict[str, tuple[str, str]] = {  # its name in onnxruntime, and the distribution that has it
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
}


def open_session(content: bytes, name: str, provider: Provider = "cpu") -> ort.InferenceSession:
    """A session, see `new_session`.

    Raises:
        ModelError: The bytes are not an ONNX model that this provider can run, or this machine has no such provider: it is never
            taken for another one.
    """
    if provider == "reference":
        return cast("ort.InferenceSession", _Reference(content, name))
    wanted, distribution = _PROVIDERS[provider]
    import onnxruntime as ort

    if wanted not in (known := ort.get_available_providers()):
        raise ModelError(
            f"{name}: this onnxruntime has no {wanted}, it has {', '.join(known)}; install {distribution}, or run on cpu"
        )
    try:
        session = new_session(content, wanted)
    except Exception as error:  # onnxruntime's errors share no public base class
        raise ModelError(f"{name} is not a runnable ONNX model: {reason(error)}") from error
    if session.get_providers()[0] != wanted:
        raise ModelError(
            f"{name}: {wanted} does not start on this machine, onnxruntime would take {session.get_providers()[0]}"
        )
    return cast("ort.InferenceSession", session)


class _Reference:
    """As much of a session as a predictor needs, by onnx's ReferenceEvaluator."""

    def __init__(self, content: bytes, name: str) -> None:
        try:
            import onnx
            from onnx.reference import ReferenceEvaluator
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"the reference of {name}", "train") from error
        try:
            self._evaluator = ReferenceEvaluator(onnx.load_model_from_string(content))
        except Exception as error:  # onnx may raise any
            raise ModelError(f"{name} cannot be computed by the reference: {reason(error)}") from error

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self._evaluator.input_names]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self._evaluator.output_names]

    def run(self, outputs: list[str] | None, inputs: dict[str, F32]) -> list[Any]:
        return list(self._evaluator.run(outputs, inputs))


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
