"""The values of each input in training, for a card: range and deciles.

Values that the node will fill are looked at as it fills them, because these are what the model meets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ranloop.inference.card import Feature, Seen
from ranloop.wire.messages import F32

__all__ = ("with_seen",)

_DECILES = np.arange(0.1, 0.95, 0.1)


def with_seen(features: Sequence[Feature], rows: F32) -> tuple[Feature, ...]:
    """The features, each with what it was in `rows`.

    Args:
        features: Of a card.
        rows: The inputs that the model learned from, shape [n >= 1, ..., n_features], NaN where a value is missing.

    Raises:
        ValueError: Another number of columns, or a column with no value at all.
    """
    if rows.ndim < 2 or rows.shape[-1] != len(features) or not len(rows):
        raise ValueError(f"rows have shape {list(rows.shape)}, want [n >= 1, {len(features)}]")
    flat = rows.reshape(-1, len(features))
    return tuple(
        feature.model_copy(update={"seen": _seen(feature, column)})
        for feature, column in zip(features, flat.T, strict=True)
    )


def _seen(feature: Feature, column: F32) -> Seen:
    filled = np.where(np.isnan(column), np.float32(feature.fill), column)
    known = filled[np.isfinite(filled)]
    if not len(known):
        raise ValueError(f"{feature.label} has no value in any row")
    low, high = known.min(), known.max()
    deciles = {float(f"{edge:.6g}") for edge in np.quantile(known, _DECILES, method="inverted_cdf")}
    edges = sorted(edge for edge in deciles if low < edge <= high)
    shares = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1) / len(filled)
    return Seen(
        low=float(str(low)),
        high=float(str(high)),
        edges=tuple(edges),
        shares=tuple(round(float(share), 4) for share in shares),
        missing=round(1 - len(known) / len(filled), 4),
    )
