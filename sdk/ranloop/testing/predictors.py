"""Predictors that answer late or fail, for tests of an xApp without its model's answer."""

from __future__ import annotations

from ranloop.errors import ModelError
from ranloop.inference import Late, Predictor
from ranloop.wire.messages import F32

__all__ = ("DelayedPredictor", "FailingPredictor")


class DelayedPredictor:
    """Answers as `inner` does, but `delay_ms` of RAN time later, which may be too late."""

    def __init__(self, inner: Predictor, *, delay_ms: float) -> None:
        self._inner = inner
        self._delay_ns = round(delay_ms * 1e6)

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        """Outputs for each row, see `Predictor`."""
        due_ns = asked_ns + self._delay_ns
        if due_ns > deadline_ns:
            return Late(asked_ns=asked_ns, deadline_ns=deadline_ns, due_ns=due_ns)
        return self._inner.predict(matrix, asked_ns, deadline_ns)


class FailingPredictor:
    """Raises, as a runtime does that has lost its device."""

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        """See `Predictor`.

        Raises:
            ModelError: Always.
        """
        raise ModelError("the model fails, as the test wants it")
