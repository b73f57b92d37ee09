"""The decisions of my_xapp: NumPy in, NumPy out, one entry per cell and slice. A NaN is "no value"."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


class Shares(NamedTuple):
    """Of each slice in each cell, in percent of the cell's PRBs."""

    cell: I32
    min_pct: F32  # of the node's configuration, also while something else is in force
    max_pct: F32
    dedicated_pct: F32


def looked_up(by_id: Mapping[int, float], ids: I32) -> F32:
    """The value of each id, NaN where there is none."""
    return np.array([by_id.get(each, np.nan) for each in ids.tolist()], np.float32)


def raised(shares: Shares, late: NDArray[np.bool_], extra_pct: float) -> tuple[NDArray[np.intp], F32]:
    """Rows of the late slices, and their new minima: `extra_pct` more, at most their maximum.

    The minima of a cell sum up to at most 100 %; where there is less room than the late slices want, they share it. A
    cell in which a value is missing, or lies outside dedicated <= min <= max, is left alone.
    """
    sound = (shares.dedicated_pct <= shares.min_pct) & (shares.min_pct <= shares.max_pct)  # no value is not
    rows, minima = [], []
    for cell in np.unique(shares.cell).tolist():
        here = np.flatnonzero(shares.cell == cell)
        wants = np.flatnonzero((shares.cell == cell) & late)
        if not sound[here].all() or not len(wants):
            continue
        extra = np.clip(shares.max_pct[wants] - shares.min_pct[wants], 0, extra_pct)
        room = max(0.0, 100.0 - float(shares.min_pct[here].sum()))
        scale = min(1.0, room / max(float(extra.sum()), 1e-9))
        rows += wants.tolist()
        minima += (shares.min_pct[wants] + scale * extra).tolist()
    return np.array(rows, np.intp), np.array(minima, np.float32)
