"""The decisions of my_xapp: NumPy in, NumPy out. A NaN is "no value" and satisfies no comparison."""

import numpy as np
from numpy.typing import NDArray


def busy(prb_pct: NDArray[np.float32], busy_pct: float) -> NDArray[np.intp]:
    """Rows of the cells that use at least `busy_pct` of their PRBs, the busiest first."""
    rows = np.flatnonzero(prb_pct >= busy_pct)
    return rows[np.argsort(-prb_pct[rows], kind="stable")]
