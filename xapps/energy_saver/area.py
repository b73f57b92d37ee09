"""What energy_saver knows of a network: which cells take over from which, learned from what UEs hear, and how these fare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FADES_S = 30.0  # in which what was heard loses 63 % of its weight


class Heard(NamedTuple):
    """The UEs of one site and the cells that they hear, shape [n_ue] each.

    Attributes:
        time_s: RAN time of the report.
        as_it_came: The bits of all that was measured.
    """

    time_s: float
    as_it_came: bytes
    cell: NDArray[np.object_]  # name of the serving cell
    rsrp_dbm: NDArray[np.float32]  # of the serving cell
    next_cell: NDArray[np.object_]  # name of the strongest neighbour, "" where no neighbour is heard
    next_rsrp_dbm: NDArray[np.float32]  # -inf where no neighbour is heard

    @classmethod
    def of(
        cls,
        time_s: float,
        ue: NDArray[np.int32],
        cell: NDArray[np.object_],
        measured: NDArray[np.object_],
        rsrp_dbm: NDArray[np.float32],
    ) -> Heard:
        """From one row per UE and cell that it measures, shape [n] each; cells by name."""
        heard = np.where(np.isnan(rsrp_dbm), np.float32(-np.inf), rsrp_dbm)
        own = measured == cell
        order = np.lexsort((-heard, ~own, ue))  # each UE: its own cell, then the strongest neighbour
        first = np.flatnonzero(np.diff(ue[order], prepend=-1))
        size = np.diff(np.append(first, len(order)))
        serving, neighbour = order[first], order[np.minimum(first + 1, len(order) - 1)]
        alone = (size < 2) | ~np.isfinite(heard[neighbour])
        measures = own[serving]  # a UE whose serving cell is not among its rows is as good as not heard
        return cls(
            time_s,
            rsrp_dbm.tobytes(),
            cell[serving][measures],
            heard[serving][measures],
            np.where(alone, "", measured[neighbour])[measures],
            np.where(alone, -np.inf, heard[neighbour])[measures].astype(np.float32),
        )

    def uncovered(self, cells: Sequence[str], floor_dbm: float) -> NDArray[np.float32]:
        """Of each cell, its UEs that hear no neighbour at `floor_dbm` or above, shape [n_cell]."""
        lost = self.next_rsrp_dbm < floor_dbm
        return np.array([np.count_nonzero(lost & (self.cell == cell)) for cell in cells], np.float32)


class Takers(NamedTuple):
    """The cells that would take over from a cell, as one."""

    load: float  # of those that are awake, 0 to 1; a cell that nobody has told of counts as full
    weak: float  # UEs of those that hear their cell too weakly
    asleep: float  # share of all


NOBODY = Takers(load=1.0, weak=0.0, asleep=1.0)


class Area:
    """The memory of a network, by the names of its cells."""

    def __init__(self) -> None:
        self._borders: dict[str, dict[str, float]] = defaultdict(
            dict
        )  # cell -> neighbour -> UEs between them
        self._load: dict[str, float] = {}
        self._asleep: dict[str, bool] = {}
        self._weak: dict[str, int] = {}

    def tell(self, cells: Iterable[str], load: Iterable[float], asleep: Iterable[bool]) -> None:
        """Take in how the cells of a site fare."""
        for cell, share, sleeps in zip(cells, load, asleep, strict=True):
            self._load[cell] = 1.0 if np.isnan(share) else min(max(share, 0.0), 1.0)
            self._asleep[cell] = bool(sleeps)

    def hear(self, cells: Sequence[str], heard: Heard, weak_dbm: float, period_s: float) -> None:
        """Take in what the UEs of a site hear; those that hear their cell below `weak_dbm` are weak."""
        kept = np.exp(-period_s / FADES_S)
        for cell in cells:
            self._weak[cell] = 0
            if not self._asleep.get(cell):  # nothing is heard of a cell that sleeps: what was known stays
                borders = self._borders[cell]
                for other in borders:
                    borders[other] *= 1.0 if self._asleep.get(other) else kept
        for cell, rsrp_dbm, other in zip(heard.cell, heard.rsrp_dbm, heard.next_cell, strict=True):
            self._weak[cell] = self._weak.get(cell, 0) + bool(rsrp_dbm < weak_dbm)
            if other:
                self._borders[cell][other] = self._borders[cell].get(other, 0.0) + period_s
                self._borders[other][cell] = self._borders[other].get(cell, 0.0) + period_s

    def weak(self, cell: str) -> int:
        """UEs that hear this cell, which serves them, too weakly."""
        return self._weak.get(cell, 0)

    def takers(self, cell: str, sisters: Sequence[str]) -> Takers:
        """Those of a cell, each as often as UEs heard it as the next best; its sisters alike where no UE was ever there."""
        borders = self._borders.get(cell) or dict.fromkeys((name for name in sisters if name != cell), 1.0)
        awake = {other: weight for other, weight in borders.items() if not self._asleep.get(other)}
        total, carried = sum(borders.values()), sum(awake.values())
        if not carried:
            return NOBODY
        load = sum(weight * self._load.get(other, 1.0) for other, weight in awake.items())
        weak = sum(weight * self._weak.get(other, 0) for other, weight in awake.items())
        return Takers(load / carried, weak / carried, 1.0 - carried / total)
