"""The decisions of my_xapp: NumPy in, NumPy out, one entry per cell and slice. A NaN is "no value"."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def used_pct(used_prb: F32, available_prb: F32) -> F32:
    """Share of the cell's PRBs that each slice used, in percent; NaN where either is not known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 100 * used_prb / available_prb
    return np.where(np.isfinite(share), share, np.nan).astype(np.float32)


def lent(
    used_pct: F32, dedicated_pct: F32, headroom: float, least_pct: float
) -> tuple[NDArray[np.intp], F32]:
    """Rows whose dedicated share is larger than needed, and the share that they keep: `headroom` times what they use.

    Shares only shrink here. A slice that needs more than it has now is left out, and gets its configuration back.
    """
    kept_pct = np.maximum(headroom * used_pct, least_pct)
    rows = np.flatnonzero(kept_pct <= dedicated_pct)
    return rows, kept_pct[rows].astype(np.float32)
