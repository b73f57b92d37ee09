"""A worth for schedulers: satisfied users first, best effort as far as it is not paid for by them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ("UsersFirst",)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersFirst:
    """What a point is worth against the reference on the same drops of one load.

    Satisfied users count in percent of the users, best effort and its 5th percentile in percent of the reference's (of the logarithm).

    Attributes:
        best_effort: Weight of a percent of best effort.
        most: Percent of best effort beyond which more counts nothing.
        loss: Weight on top, of a percent of best effort less than the reference has.
        users_loss: Weight on top, of a percent of users less than under the reference.
        edge_loss: Weight of a percent of the 5th percentile less than the reference's.
    """

    best_effort: float
    most: float
    loss: float
    users_loss: float = 0.0
    edge_loss: float = 0.0

    def __call__(
        self, found: Sequence[Mapping[str, float]], reference: Sequence[Mapping[str, float]]
    ) -> float:
        """The worth of the scores `found`."""
        users = _mean(reference, "users")
        satisfied = 100.0 * (_mean(found, "satisfied") - _mean(reference, "satisfied")) / users
        best_effort = 100.0 * (
            _log_mean(found, "best_effort_mbps") - _log_mean(reference, "best_effort_mbps")
        )
        edge = 100.0 * (_log_mean(found, "user_p5_mbps") - _log_mean(reference, "user_p5_mbps"))
        worth = satisfied + self.users_loss * min(satisfied, 0.0)
        worth += self.best_effort * min(best_effort, self.most) + self.loss * min(best_effort, 0.0)
        return worth + self.edge_loss * min(edge, 0.0)


def _mean(rows: Sequence[Mapping[str, float]], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


def _log_mean(rows: Sequence[Mapping[str, float]], key: str) -> float:
    """ln of a mean in Mb/s, of at least 1 kb/s."""
    return math.log(max(_mean(rows, key), 1e-3))
