"""Where UEs and cells are: dense ids of messages beside rows of the engine's arrays, site by site.

A UE's dense id is the engine's id modulo the number of ids that fit a report. An id comes again after some 2**24 sessions of the
whole network (docs/decisions/0014). Every cell has one dense id in the whole network.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ran_sim.core.state import I64
from ran_sim.engine import Engine
from ranloop.errors import NodeError
from ranloop.wire.messages import MAX_ID

_Number = TypeVar("_Number", np.float64, np.int64)


class Places:
    """The sites of one network.

    Args:
        engine: The network.
        site: Site of each cell, shape [n_cell].

    Attributes:
        nodes: Name of the node of each site.
        cell_names: Name of each cell.
    """

    def __init__(self, engine: Engine, site: I64) -> None:
        self.site = site
        self.nodes = tuple(f"site{number}" for number in range(int(site.max()) + 1))
        first = np.searchsorted(site, site)  # cells stand site by site
        self.cell_names = tuple(
            f"{self.nodes[own]}/{cell - begin}"
            for cell, (own, begin) in enumerate(zip(site, first, strict=True))
        )
        self._engine = engine
        # All sessions that one UE row can have before an id comes again.
        self._n_ids = MAX_ID // engine.n_ue * engine.n_ue

    def of(self, node: str) -> int:
        """The number of a node's site.

        Raises:
            NodeError: There is no such node.
        """
        try:
            return self.nodes.index(node)
        except ValueError:
            raise NodeError(f"no node {node!r} here, only {self.nodes[0]} to {self.nodes[-1]}") from None

    def dense(self, ue_ids: NDArray[_Number]) -> NDArray[_Number]:
        """Dense ids of the engine's ids of UEs, same shape."""
        return ue_ids % self._n_ids

    def ue_rows(self, site: int, ids: I64) -> I64:
        """Row of each dense id, -1 where no such UE is served at `site`; shape [n]."""
        ues = self._engine.ues
        rows = ids % self._engine.n_ue
        here = (
            (ids >= 0)
            & (self.dense(ues.id[rows]) == ids)
            & (ues.connected[rows] > 0)
            & (self.site[ues.cell[rows]] == site)
        )
        return np.where(here, rows, -1)

    def cells(self, site: int, ids: I64) -> I64:
        """The dense cell ids, -1 where no such cell is at `site`; shape [n]."""
        exists = (ids >= 0) & (ids < self._engine.n_cell)
        here = exists & (self.site[np.where(exists, ids, 0)] == site)
        return np.where(here, ids, -1)
