"""Which alarms stand: raised where false alarms as sure as this are seldom, cleared a while after that is over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from ranloop.wire.messages import Severity

from .signs import F32, KINDS, NAMES, OF_KIND

FAULTY: Final = "faulty-reports"
SILENT_TIMERS: Final = 2
STUCK_S: Final = 10
NEVER: Final = 1e-6
SEVERITY: Final[dict[str, Severity]] = {
    "sleeping-cell": "critical",
    "degraded-coverage": "major",
    "interference": "major",
    FAULTY: "minor",
}


class At(NamedTuple):
    """What an alarm is about."""

    kind: str
    cell: str


class Sure(NamedTuple):
    """How sure an alarm is: as a false one, it would come `per_day` times per cell and day.

    Attributes:
        is_new: Whether the alarm has just been raised; an alarm that stands is told again when it is ten times as sure.
    """

    per_day: float
    is_new: bool

    def __str__(self) -> str:
        return f"confidence {max(1.0 - self.per_day, 0.0):.4g} (1 less false alarms per cell and day at this score)"


class News(NamedTuple):
    """What has changed."""

    raised: dict[At, Sure]
    over: list[At]


class Board:
    """The alarms of a node."""

    def __init__(self) -> None:
        self.standing: dict[At, float] = {}  # -> RAN time at which it was last sure enough
        self._told: dict[At, int] = {}  # -> decades of 1 / per_day

    def take(self, cells: Sequence[str], per_day: F32, now_s: float, *, most: float, hold_s: float) -> News:
        """Take in a second.

        Args:
            cells: Names.
            per_day: False alarms at such scores, shape [n_cell, len(KINDS)].
            most: Per cell and day; an alarm is raised at or below.
            hold_s: How long an alarm stands without that.
        """
        raised: dict[At, Sure] = {}
        for row, k in np.argwhere(per_day <= most).tolist():
            at, rate = At(KINDS[k], cells[row]), float(per_day[row, k])
            decades, is_new = int(-math.log10(rate)), at not in self.standing
            self.standing[at] = now_s
            if is_new or decades > self._told[at]:
                self._told[at] = decades
                raised[at] = Sure(rate, is_new)
        over = [at for at, last_s in self.standing.items() if now_s - last_s > hold_s]
        for at in over:
            del self.standing[at], self._told[at]
        return News(raised, over)


def surely_stuck(signs: F32, per_day: F32) -> F32:
    """False alarms per cell and day, shape [n_cell, len(KINDS)], where a volume that has been the same for `STUCK_S` is no chance."""
    stuck = signs[:, NAMES.index("repeats")] >= STUCK_S
    return np.where(stuck[:, None] & (np.array(KINDS) == FAULTY), np.float32(NEVER), per_day)


def reason(signs: F32, kind: str) -> str:
    """The signs of a kind that a cell shows, shape [len(NAMES)], for a person."""
    places = OF_KIND[KINDS.index(kind)]
    return ", ".join(f"{NAMES[i]} {signs[i]:.3g}" for i in places if not np.isnan(signs[i]))
