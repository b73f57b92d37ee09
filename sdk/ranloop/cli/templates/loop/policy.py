"""The decisions of my_xapp: NumPy in, NumPy out, one entry per QoS flow. A NaN is "no value".

The scheduler is proportional fair with weights. A boosted flow takes no more airtime than it needs, so a boost pays where
a flow can be served, and is lost on a flow that cannot.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Mask = NDArray[np.bool_]

SMOOTHING = np.float32(0.1)  # of 100 ms reports: a memory of one second


class Known(NamedTuple):
    """Of the UE of each row. Of a UE with several flows, the first one counts."""

    offered_kbps: F32
    bits_per_prb: F32  # that its transmissions carried
    missed: F32  # share of its packets that were late or dropped


def smoothed(known: Known, seen: Known) -> Known:
    """The means of the last second. Where one side has no value, the other one counts."""
    return Known(
        *(first_known(old + SMOOTHING * (new - old), new, old) for old, new in zip(known, seen, strict=True))
    )


def first_known(*columns: F32) -> F32:
    """Of each row the first value that there is."""
    known = columns[0]
    for column in columns[1:]:
        known = np.where(np.isnan(known), column, known)
    return known.astype(np.float32)


def needed_share(offered_kbps: F32, bits_per_prb: F32, prb_per_s: F32) -> F32:
    """Share of its cell's PRBs that each flow needs; inf where it is not known or no bit gets through."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = offered_kbps * 1e3 / (bits_per_prb * prb_per_s)
    return np.where(np.isnan(share), np.inf, share).astype(np.float32)


def fitting(cell: I32, need: F32, eligible: Mask, cap: float) -> Mask:
    """The eligible flows that fit: in each cell the cheapest first, until they need `cap` of it together."""
    fits = np.zeros(len(cell), bool)
    spent: dict[int, float] = {}
    for row in np.argsort(need, kind="stable").tolist():
        if eligible[row]:
            spent[cell[row]] = spent.get(cell[row], 0.0) + float(need[row])
            fits[row] = spent[cell[row]] <= cap
    return fits


def per_ue(ue: I32, fits: Mask) -> tuple[I32, Mask]:
    """Each UE once, and whether any of its flows fits: a weight is a UE's."""
    ues, row = np.unique(ue, return_inverse=True)
    any_fits = np.zeros(len(ues), bool)
    np.logical_or.at(any_fits, row, fits)
    return ues, any_fits


def weights(fits: Mask, boost: float, rest_weight: float) -> F32:
    """Scheduling weights: `boost` for what fits, `rest_weight` for the others; best effort has 1."""
    return np.where(fits, boost, rest_weight).astype(np.float32)
