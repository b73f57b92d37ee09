"""Tensors of a cut as rows of the wire, and back.

A row is of float32 words, as in any question. With "f32" the words are the tensors' values, one tensor after the other. With "u8"
each tensor of each row has its own affine code: two words for its lowest value and its step, then a byte for each value, value =
lowest + step x byte. The bytes of all tensors follow each other, filled up to whole words, which go over the wire bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np

from ranloop.errors import ModelError
from ranloop.placement.graph import Tensor
from ranloop.wire.messages import F32

__all__ = ("Packing", "Wire")

Wire = Literal["f32", "u8"]
_STEPS = 255
_WORD = 4  # bytes


class Packing:
    """The form of a cut's rows on the wire.

    Args:
        tensors: Of the cut.
        wire: Form of their values.

    Attributes:
        words: Of a row.
    """

    def __init__(self, tensors: Sequence[Tensor], wire: Wire) -> None:
        self._tensors, self._wire = tensors, wire
        size = sum(tensor.size for tensor in tensors)
        self.words = size if wire == "f32" else 2 * len(tensors) + -(-size // _WORD)

    def pack(self, values: Sequence[F32]) -> F32:
        """Rows [n, words] of the tensors' values, each [n, *shape].

        Raises:
            ModelError: A value is not finite, and the wire is u8.
        """
        flat = [value.reshape(len(value), -1) for value in values]
        if self._wire == "f32":
            return np.concatenate(flat, axis=1)
        coded = [_code(tensor.name, value) for tensor, value in zip(self._tensors, flat, strict=True)]
        scales = np.concatenate([scale for scale, _ in coded], axis=1)
        rows = np.zeros((len(scales), self.words), np.float32)
        rows[:, : scales.shape[1]] = scales
        codes = np.concatenate([code for _, code in coded], axis=1)
        rows.view(np.uint8)[:, _WORD * scales.shape[1] :][:, : codes.shape[1]] = codes
        return rows

    def unpack(self, rows: F32) -> list[F32]:
        """The values of each tensor, [n, *shape], of rows [n, words]."""
        sizes = [tensor.size for tensor in self._tensors]
        ends = np.cumsum(sizes)[:-1]
        if self._wire == "f32":
            flat = np.split(rows, ends, axis=1)
        else:
            n_scales = 2 * len(sizes)
            codes = np.ascontiguousarray(rows[:, n_scales:]).view(np.uint8)[:, : sum(sizes)]
            flat = [
                rows[:, 2 * at, None] + rows[:, 2 * at + 1, None] * code.astype(np.float32)
                for at, code in enumerate(np.split(codes, ends, axis=1))
            ]
        return [
            np.ascontiguousarray(value).reshape(len(rows), *tensor.shape)
            for tensor, value in zip(self._tensors, flat, strict=True)
        ]


def _code(name: str, flat: F32) -> tuple[F32, np.ndarray]:
    """Lowest value and step of each row, [n, 2], and the code of each value, uint8 [n, size]."""
    low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    step = (high - low) / np.float32(_STEPS)
    if not np.isfinite(step).all():
        raise ModelError(
            f"{name} has a value that is not finite, or too wide a range: it cannot be sent as u8"
        )
    code = np.rint((flat - low) / np.where(step > 0, step, 1))
    return np.concatenate((low, step), axis=1), cast("np.ndarray", code.clip(0, _STEPS).astype(np.uint8))
