"""Whether the reports of a site can be believed: those of a collector that has got stuck come in time and say nothing."""

from __future__ import annotations

from collections.abc import Iterable

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
        return not self.is_stuck and now_s >= self._until_s

    @property
    def has_ues(self) -> bool:
        """Whether a UE was heard in the newest reports."""
        return bool(self._heard)

    @property
    def is_stuck(self) -> bool:
        """Whether what UEs hear has repeated itself for too long."""
        return self._times_same >= PATIENCE


def all_stuck(sites: Iterable[Trust]) -> bool:
    """Whether every site that has UEs is stuck: then one without any UE is not to be believed either, though nothing of it could change."""
    heard = [site.is_stuck for site in sites if site.has_ues]
    return bool(heard) and all(heard)
