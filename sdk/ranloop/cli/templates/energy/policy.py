"""The decisions of my_xapp: NumPy in, NumPy out, one entry per cell of a site. A NaN is "no value"."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Limits(NamedTuple):
    """The operator's settings; see the manifest."""

    sleep_pct: float
    most_ues: float
    wake_pct: float
    most_asleep: int


def sleepers(
    load_pct: NDArray[np.float32], ues: NDArray[np.float32], asleep: NDArray[np.bool_], limits: Limits
) -> NDArray[np.intp]:
    """Rows of the cells that are to sleep, of one site.

    Cells with at most `most_ues` fall asleep while every awake cell of the site is below `sleep_pct`. They stay asleep until
    one is above `wake_pct`. At least one cell stays awake. A cell without a value counts as full.
    """
    busiest_pct = np.nan_to_num(load_pct[~asleep], nan=100.0).max(initial=0.0)
    if busiest_pct > limits.wake_pct:
        return np.empty(0, np.intp)
    may_sleep = asleep | ((ues <= limits.most_ues) & (busiest_pct < limits.sleep_pct))
    emptiest_first = np.lexsort((ues, ~asleep))  # those that sleep already come first
    most = min(limits.most_asleep, len(load_pct) - 1)
    return np.sort(emptiest_first[may_sleep[emptiest_first]][:most])
