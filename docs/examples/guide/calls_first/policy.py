"""The decision of calls_first: NumPy in, NumPy out, one entry per QoS flow. A NaN is "no value"."""

import numpy as np
from numpy.typing import NDArray


def in_a_hurry(
    ue: NDArray[np.int32], budget_ms: NDArray[np.float32], missed: NDArray[np.float32], give_up: float
) -> NDArray[np.int32]:
    """The UEs, each once, with a flow that has a delay budget and misses it for less than `give_up` of its packets."""
    has_budget = budget_ms > 0  # best effort has none: NaN satisfies no comparison
    hopeless = missed >= give_up  # airtime for packets that come too late anyway is lost
    return np.unique(ue[has_budget & ~hopeless])
