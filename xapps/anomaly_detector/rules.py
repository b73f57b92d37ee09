"""Two rules that make scores of signs: thresholds and EWMA-CUSUM. NumPy in, NumPy out; a row per cell, a column per kind of fault.

The higher a score, the surer; alarms are raised where it reaches a limit. A sign without a value says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from .signs import F32, KINDS, NAMES, OF_KIND

MOST_S: Final = 8  # seconds in a row that a threshold may ask for
MOST_DEVIATIONS: Final = 10.0  # to which one second counts in a CUSUM
MOST_SUM: Final = 1000.0
MOST_TAILS: Final = 10.0  # beyond its limit, at which a sum stops: an alarm is to end soon after its fault
Memory = Mapping[str, F32]


def thresholds_start() -> dict[str, Any]:
    """What the thresholds remember of a cell that has told nothing yet."""
    return {"last": np.zeros((MOST_S, len(KINDS)), np.float32)}


def thresholds(signs: F32, memory: Memory, tuned: Mapping[str, float]) -> tuple[F32, dict[str, F32]]:
    """The greatest sign of each kind, in units of `scale_SIGN`, that has held for `seconds_KIND` in a row.

    Args:
        signs: Shape [n_cell, len(NAMES)].
        memory: As `thresholds_start` has it.
        tuned: `scale_SIGN` of each sign, `seconds_KIND` of each kind.

    Returns:
        Scores, shape [n_cell, len(KINDS)], and what is to be remembered.
    """
    scale = np.array([tuned[f"scale_{name}"] for name in NAMES], np.float32)
    now = _by_kind(np.nan_to_num(signs / scale, nan=0.0))
    last = np.concatenate((now[:, None], memory["last"][:, :-1]), axis=1)
    seconds = [min(max(round(tuned[f"seconds_{kind}"]), 1), MOST_S) for kind in KINDS]
    held = [last[:, :n, k].min(axis=1) for k, n in enumerate(seconds)]
    return np.stack(held, axis=1), {"last": last}


def cusum_start() -> dict[str, Any]:
    """What the CUSUM remembers of a cell that has told nothing yet."""
    zero = np.zeros(len(NAMES), np.float32)
    return {"mean": np.full_like(zero, np.nan), "square": zero, "sum": zero}


def cusum(signs: F32, memory: Memory, tuned: Mapping[str, float]) -> tuple[F32, dict[str, F32]]:
    """The sums of deviations of each sign from its own past beyond a slack (Page, Biometrika 41, 1954), the greatest of each kind.

    Mean and variance of the past are exponentially weighted, over `past_s`, and stand still while a sum is above 0: a fault is
    no past. A deviation counts in units of the past's, of at least `least_SIGN`.

    Args:
        signs: Shape [n_cell, len(NAMES)].
        memory: As `cusum_start` has it.
        tuned: `past_s`, `least_SIGN` of each sign, `slack_KIND` of each kind.

    Returns:
        Scores, shape [n_cell, len(KINDS)], and what is to be remembered.
    """
    least = np.array([tuned[f"least_{name}"] for name in NAMES], np.float32)
    slack, most = np.zeros(len(NAMES), np.float32), np.full(len(NAMES), MOST_SUM, np.float32)
    for kind, places in zip(KINDS, OF_KIND, strict=True):
        slack[list(places)] = tuned[f"slack_{kind}"]
        if f"limit_{kind}" in tuned:  # not while it is searched
            most[list(places)] = tuned[f"limit_{kind}"] + MOST_TAILS * tuned[f"tail_{kind}"]
    known = ~np.isnan(signs)
    mean = np.where(np.isnan(memory["mean"]), signs, memory["mean"])
    off = np.where(known, signs - mean, 0.0)
    deviations = off / np.sqrt(memory["square"] + least * least)
    grown = memory["sum"] + np.minimum(deviations, MOST_DEVIATIONS) - slack
    sums = np.where(known, np.clip(grown, 0.0, most), memory["sum"]).astype(np.float32)
    gain = np.where(sums > 0, 0.1, 1.0) * -np.expm1(-1.0 / tuned["past_s"])
    after = {
        "mean": (mean + gain * off).astype(np.float32),
        "square": (memory["square"] + gain * (np.minimum(off * off, 9 * (memory["square"] + least * least)) - memory["square"])).astype(np.float32),
        "sum": sums,
    }  # fmt: skip
    return _by_kind(sums), after


def _by_kind(signs: F32) -> F32:
    """The greatest of the signs of each kind; [n, len(NAMES)] -> [n, len(KINDS)]."""
    return np.maximum.reduceat(signs, [places[0] for places in OF_KIND], axis=1)
