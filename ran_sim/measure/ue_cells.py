"""Measurements of all cells by UEs, for periodical measurement reports: RSRP, RSRQ and SINR after the layer-3 filter.

RSRP is that of event A3: `links.rsrp_l3_dbm`, measured for every UE at all times. RSRQ and SINR (`layer1`) decide
nothing in the network, so UEs measure them only while somebody reads these reports, as a measurement configuration would ask
them to (TS 38.331 5.5.2). Their filter is that of RSRP (TS 38.331 5.5.3.2), on the same radio ticks, and its first sample is its
first value. UEs go on measuring while they are handed over or search for a cell; they report only while they have a link.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ran_sim.core.state import F32, F64, I64
from ran_sim.engine import Engine
from ran_sim.measure import layer1
from ran_sim.mobility.handover import l3_filter_share


class UeCells(NamedTuple):
    """Filtered measurements at one moment; copies, safe to keep."""

    rsrp_dbm: F32  # [n_ue, n_cell]; -inf of a cell that sends nothing
    rsrq_db: F64  # [n_ue, n_cell]; NaN of one
    sinr_db: F64
    reports: NDArray[np.bool_]  # [n_ue] whether the UE had a link to report over since the last radio tick


def no_reports(n_ue: int, n_cell: int) -> UeCells:
    """The measurements while UEs are asked for none: NaN, and no UE reports."""
    nothing = np.full((n_ue, n_cell), np.nan)
    return UeCells(np.full((n_ue, n_cell), -np.inf, np.float32), nothing, nothing, np.zeros(n_ue, np.bool_))


class CellQuality:
    """The layer-3 filter of RSRQ and SINR, per UE row and cell."""

    def __init__(self, engine: Engine) -> None:
        scenario = engine.scenario
        self._share = l3_filter_share(scenario.handover.l3_filter_k, scenario.radio.tick_ms)
        self._ue_id: I64 = np.full(engine.n_ue, -1, np.int64)
        self._rsrq_db: F64 = np.full((engine.n_ue, engine.n_cell), np.nan)
        self._sinr_db: F64 = self._rsrq_db.copy()

    def sample(self, engine: Engine) -> None:
        """Filter one sample of every cell by every connected UE; a new UE and a cell that wakes begin with it."""
        ues = engine.ues
        u = np.flatnonzero(ues.connected)
        new = u[self._ue_id[u] != ues.id[u]]
        self._ue_id[new] = ues.id[new]
        self._rsrq_db[new] = self._sinr_db[new] = np.nan
        samples = layer1.of_every_cell(
            engine.cells, engine.links, u,
            n_prb=engine.n_prb, rbg_prb=engine.scenario.rbg_prb, slot_ms=engine.slot_ns / 1e6,
        )  # fmt: skip
        for filtered, sample in zip((self._rsrq_db, self._sinr_db), samples, strict=True):
            before = filtered[u]
            filtered[u] = np.where(np.isnan(before), sample, before + self._share * (sample - before))

    def now(self, engine: Engine) -> UeCells:
        """All measurements at the engine's slot."""
        ues = engine.ues
        return UeCells(
            rsrp_dbm=engine.links.rsrp_l3_dbm.copy(),
            rsrq_db=self._rsrq_db.copy(),
            sinr_db=self._sinr_db.copy(),
            reports=(ues.connected > 0) & (ues.reachable_slot < engine.slot),
        )
