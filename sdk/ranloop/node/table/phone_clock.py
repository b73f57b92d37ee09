"""The clock of one phone's log, whose rows are in the order of writing.

- Rows whose time goes back by less than a minute are left out.
- A clock that goes back by an hour less the usual pause has left summer time, or the phone its zone: the rows follow on.
- A clock that goes back by more than a minute, or ahead by more than a day, was set: the rows from there on are a later
  part, a minute after the row before. How long the phone paused is not known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ranloop.node.table.clock import HOUR_NS

__all__ = ("Told", "as_one_run")

_S = 1_000_000_000
_SET_BACK_NS, _SET_AHEAD_NS = 60 * _S, 86_400 * _S
_GAP_NS = 60 * _S  # after the clock was set: longer than xApps look back


@dataclass(slots=True)
class Told:
    """What was found about a clock: why rows are left out -> how many, and lines about the rest."""

    lost: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def as_one_run(times_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_], Told]:
    """Times that never go back.

    Returns:
        The times of the rows that count, in nanoseconds, from the first one on; which rows these are; and what was found.
    """
    told = Told()
    kept = np.ones(len(times_ns), np.bool_)
    run = []
    newest = now = int(times_ns[0])
    n_hours = n_set = 0
    for row, time in enumerate(times_ns.tolist()):
        ahead = time - newest
        if -HOUR_NS <= ahead <= _SET_BACK_NS - HOUR_NS:
            n_hours += 1
            ahead += HOUR_NS
        elif not -_SET_BACK_NS <= ahead <= _SET_AHEAD_NS:
            n_set += 1
            ahead = _GAP_NS
        elif ahead < 0:
            kept[row] = False
            told.lost["with a time that goes back"] += 1
            continue
        newest, now = time, now + ahead
        run.append(now)
    if n_hours:
        told.notes.append(f"the clock goes back an hour ({n_hours} x); the rows from there on follow on")
    if n_set:
        told.notes.append(
            f"the clock was set ({n_set} x); the rows from there on come a minute after the row before"
        )
    return np.array(run, np.int64), kept, told
