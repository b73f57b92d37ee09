"""Whether the reports of a site can be believed: those of a collector that has got stuck come in time and say nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PATIENCE = 3  # reports in a row
DISTRUST_S = 60.0


class Trust:
    """Judges one site, report by report.

    Two things do not happen to real reports. What UEs hear does not stay the same to the bit, for it is measured anew each
    time. A cell that was told to sleep does not go on reporting that it is awake, unless the node has refused.
    """

    def __init__(self) -> None:
        self._heard = b""
        self._times_same = 0
        self._times_ignored = 0
        self._until_s = -np.inf

    def believes(
        self, heard: bytes, told_to_sleep: NDArray[np.bool_], asleep: NDArray[np.bool_], now_s: float
    ) -> bool:
        """Whether to act on the newest reports.

        Args:
            heard: What UEs hear, as it came; empty where no UE reports.
            told_to_sleep: After the reports before, shape [n_cell].
            asleep: By the newest report, shape [n_cell].
            now_s: RAN time.
        """
        self._times_same = self._times_same + 1 if heard and heard == self._heard else 0
        self._times_ignored = self._times_ignored + 1 if (told_to_sleep & ~asleep).any() else 0
        self._heard = heard
        if self._times_ignored >= PATIENCE:
            self._times_ignored, self._until_s = 0, now_s + DISTRUST_S
        return self._times_same < PATIENCE and now_s >= self._until_s
