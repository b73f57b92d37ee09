"""The learned detector: a weighted sum of all signs for each kind of fault, smoothed. NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from .signs import F32, KINDS, NAMES

# What the signs of cells seldom exceed while all is well, and to how many of these one second is cut.
USUAL: Final = np.array([3.0, 0.6, 4.0, 2.3, 5.0, 0.15, 0.3, 1.5, 1.5, 1.0, 0.5], np.float32)
LEAST, MOST = -3.0, 6.0


def start() -> dict[str, Any]:
    """What is remembered of a cell that has told nothing yet."""
    return {"smooth": np.zeros(len(KINDS), np.float32)}


def weighted(signs: F32, memory: Mapping[str, F32], tuned: Mapping[str, float]) -> tuple[F32, dict[str, F32]]:
    """The smoothed sums.

    Args:
        signs: Shape [n_cell, len(NAMES)]; no value counts as 0.
        memory: As `start` has it.
        tuned: `KIND.SIGN`, the weight of a sign, and `gain_KIND`, the share of the newest second.

    Returns:
        Scores, shape [n_cell, len(KINDS)], and what is to be remembered.
    """
    weights = np.array([[tuned[f"{kind}.{name}"] for kind in KINDS] for name in NAMES], np.float32)
    gain = np.array([tuned[f"gain_{kind}"] for kind in KINDS], np.float32)
    now = np.clip(np.nan_to_num(signs / USUAL, nan=0.0), LEAST, MOST) @ weights
    smooth = (memory["smooth"] + gain * (now - memory["smooth"])).astype(np.float32)
    return smooth, {"smooth": smooth}
