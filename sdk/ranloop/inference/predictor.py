"""The port behind a model: a matrix in; outputs out, or word that none came in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ranloop.wire.messages import F32

__all__ = ("Late", "Predictor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """No outputs came by the deadline; all times are RAN time in nanoseconds.

    Attributes:
        asked_ns: Time of the report that the model was asked about.
        deadline_ns: Time by which the outputs were wanted.
        due_ns: Time at which they are there, None if that is not known.
    """

    asked_ns: int
    deadline_ns: int
    due_ns: int | None = None


class Predictor(Protocol):
    """Where a model is computed: a session in this process, another tier's host, a cascade or a split of both.

    An answer depends on the arguments alone, so that a run in lockstep is the same each time: a predictor of another
    tier knows from RAN time, not from a clock, whether it is late.
    """

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        """Outputs [n, n_outputs] for a matrix [n >= 1, n_features] or [n >= 1, n_steps, n_features].

        Args:
            matrix: float32, C-contiguous.
            asked_ns: RAN time at which the question is put.
            deadline_ns: RAN time by which the answer is of use.

        Raises:
            ModelError: The model cannot be computed at all.
        """
        ...
