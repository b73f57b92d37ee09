"""Golden inputs of a card: some rows with the outputs that the model gave at its export, to be the same wherever it runs."""

from __future__ import annotations

import math

import numpy as np

from ranloop.errors import ModelError
from ranloop.inference.card import MOST_GOLDEN, Card, Golden
from ranloop.inference.predictor import Late, Predictor
from ranloop.wire.messages import F32, FOR_EVER_NS

__all__ = ("SAME", "difference", "golden_of")

SAME = 1e-5  # relative to 1, or to the output where that is larger
_ROWS = 8


def golden_of(inputs: F32, outputs: F32) -> Golden | None:
    """The first rows of what a model was asked and said; None if a single row has too many numbers for a card.

    Args:
        inputs: Shape [n, ...], as the model gets them.
        outputs: Shape [n, n_outputs], as the file gives them.
    """
    flat = inputs.reshape(len(inputs), -1)
    rows = min(_ROWS, MOST_GOLDEN // (flat.shape[1] + outputs.shape[1]), len(flat))
    if not rows:
        return None
    return Golden(inputs=_numbers(flat[:rows]), outputs=_numbers(outputs[:rows]))


def difference(card: Card, predictor: Predictor) -> float | None:
    """The largest difference of a predictor's outputs from the card's, relative as `SAME` is; None if the card has no golden inputs.

    Infinite where one of the two is no number, or where no answer comes.

    Raises:
        ModelError: The predictor cannot compute them, or they are not of this card's sizes.
    """
    golden, width, n_outputs = card.golden, math.prod(card.row_shape), len(card.outputs)
    if golden is None:
        return None
    if {*map(len, golden.inputs)} != {width} or {*map(len, golden.outputs)} != {n_outputs}:
        raise ModelError(
            f"{card.name}: the card's golden rows: want {width} inputs and {n_outputs} outputs in each"
        )
    if len(golden.inputs) != len(golden.outputs):
        raise ModelError(
            f"{card.name}: the card has {len(golden.inputs)} golden rows of inputs and {len(golden.outputs)} of outputs"
        )
    inputs = np.array(golden.inputs, np.float32).reshape(-1, *card.row_shape)
    want = np.array(golden.outputs, np.float32)
    got = predictor.predict(inputs, 0, FOR_EVER_NS)
    if isinstance(got, Late) or got.shape != want.shape or (np.isnan(got) != np.isnan(want)).any():
        return float("inf")
    off = np.abs(got - want) / np.maximum(np.abs(want), 1)
    return float(np.nan_to_num(off, nan=0.0).max())


def _numbers(rows: F32) -> tuple[tuple[float, ...], ...]:
    """Shortest decimals that are the same float32."""
    return tuple(tuple(float(str(value)) for value in row) for row in np.asarray(rows, np.float32))
