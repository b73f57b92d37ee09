"""What traffic_steering knows of the network: how its cells fare, and which reports are stuck."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
PATIENCE = 3  # reports


class Cell(NamedTuple):
    """How a cell fares; NaN is no value."""

    crowding_db: float  # smoothed, see `policy.crowding_db`
    active_ues: float
    offset_db: float  # in force


UNKNOWN = Cell(np.nan, np.nan, np.nan)


class Crowds:
    """The newest word of each node on its cells, by the names of these.

    Nodes have clocks of their own. A node counts as silent once all nodes together have told `PATIENCE` times as often as
    there are nodes, without it.
    """

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, dict[str, Cell]]] = {}
        self._count = 0

    def tell(self, node: str, cells: dict[str, Cell]) -> None:
        """Take in the cells of a node."""
        self._count += 1
        self._told[node] = self._count, cells

    def forget(self, node: str) -> None:
        """Know nothing of a node any more."""
        self._told.pop(node, None)

    def median_db(self) -> float:
        """The crowding of the median cell; NaN where nothing is known."""
        known = [cell.crowding_db for cells in self._heard() for cell in cells.values()]
        known = [crowding_db for crowding_db in known if not np.isnan(crowding_db)]
        return float(np.median(known)) if known else float("nan")

    def of(self, names: Sequence[str]) -> tuple[F32, F32]:
        """Active UEs and offsets of cells, shape [n] each; NaN of a cell that no node has told of."""
        known = {name: cell for cells in self._heard() for name, cell in cells.items()}
        cells = [known.get(name, UNKNOWN) for name in names]
        active_ues = np.array([cell.active_ues for cell in cells], np.float32)
        return active_ues, np.array([cell.offset_db for cell in cells], np.float32)

    def _heard(self) -> Iterator[dict[str, Cell]]:
        oldest = self._count - PATIENCE * len(self._told)
        return (cells for at, cells in self._told.values() if at > oldest)


class Stuck:
    """Notices a collector that has got stuck: its reports come in time and say the same to the bit."""

    def __init__(self) -> None:
        self._last = b""
        self._times = 0

    def look(self, values: F32) -> bool:
        """Whether this report is one too many of the same. One of zeros and empty values alone is none: nobody is there."""
        said = values.tobytes() if np.nan_to_num(values).any() else b""
        self._times = self._times + 1 if said and said == self._last else 0
        self._last = said
        return self._times >= PATIENCE
