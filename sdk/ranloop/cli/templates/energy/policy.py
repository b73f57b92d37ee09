"""The decisions of my_xapp: NumPy in, NumPy out, one entry per cell of a site. A NaN is "no value"."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Limits(NamedTuple):
    """The operator's settings; see the manifest."""

    sleep_pct: float
    wake_pct: float
    most_asleep: int


def sleepers(load_pct: NDArray[np.float32], asleep: NDArray[np.bool_], limits: Limits) -> NDArray[np.intp]:
    """Rows of the cells that are to sleep, of one site.

    Cells fall asleep while every awake cell of the site is below `sleep_pct`, the emptiest first. They stay asleep until
    one is above `wake_pct`. At least one cell stays awake. A cell without a value counts as full.
    """
    load = np.where(asleep, 0.0, np.nan_to_num(load_pct, nan=100.0))
    busiest_pct = load[~asleep].max(initial=0.0)
    if busiest_pct > limits.wake_pct:
        return np.empty(0, np.intp)
    may_sleep = asleep | (busiest_pct < limits.sleep_pct)
    emptiest_first = np.lexsort((load, ~asleep))  # those that sleep already come first
    most = min(limits.most_asleep, len(load) - 1)
    return np.sort(emptiest_first[may_sleep[emptiest_first]][:most])
