"""The decisions of my_xapp: NumPy in, NumPy out. A NaN is "no value" and satisfies no comparison."""

from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


class Heard(NamedTuple):
    """One row per UE and cell that it measures, shape [n] each; the serving cell is one of them."""

    ue: I32
    cell: I32  # serving
    measured_cell: I32
    rsrp_dbm: F32
    load_pct: F32  # of the measured cell
    budget_ms: F32  # of the UE


def moves(
    heard: Heard, allowed: AbstractSet[tuple[int, int]], within_db: float, relief_pct: float
) -> tuple[list[int], list[int]]:
    """UEs and their target cells: at most one UE out of each cell, as long as no report shows what it changed.

    A handover interrupts a UE, so only those without a delay budget move. A target lies at most `within_db` below the serving
    cell and uses at least `relief_pct` fewer of its PRBs. Of a cell's UEs the one with the emptiest target goes.
    """
    serving = {
        int(ue): row
        for row, ue in enumerate(heard.ue.tolist())
        if heard.measured_cell[row] == heard.cell[row]
    }
    may_move = np.isnan(heard.budget_ms)
    best: dict[int, int] = {}  # serving cell -> row of the UE and its target
    for row, ue in enumerate(heard.ue.tolist()):
        own, cell = serving.get(ue), int(heard.cell[row])
        if (
            own is None
            or own == row
            or not may_move[row]
            or (cell, int(heard.measured_cell[row])) not in allowed
        ):
            continue
        is_near = heard.rsrp_dbm[row] >= heard.rsrp_dbm[own] - within_db
        has_room = heard.load_pct[row] <= heard.load_pct[own] - relief_pct
        if is_near and has_room and (cell not in best or heard.load_pct[row] < heard.load_pct[best[cell]]):
            best[cell] = row
    rows = list(best.values())
    return heard.ue[rows].tolist(), heard.measured_cell[rows].tolist()
