"""The rows of each report level, with their counts and states.

One table holds the rows of the whole network, site after site. A measurement is therefore computed once for all nodes, and
each node takes its own part of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ran_sim.core.counters import Snapshot
from ran_sim.core.state import F64, I64
from ran_sim.engine import Engine
from ran_sim.measure.kpm import HANDOVER_STATES, Rows, StateName
from ran_sim.measure.periods import Period
from ran_sim.measure.ue_cells import no_reports


class Table(NamedTuple):
    """All rows of one level, ordered by site."""

    ids: F64  # [n_rows, n_id_columns]
    rows: Rows
    start: I64  # [n_site + 1] first row of each site


class Tables:
    """Makes the tables of a network.

    Attributes:
        site: Site of each cell, shape [n_cell].
        n_site: Number of sites.
        slices: S-NSSAI by dense slice id.
        five_qi: 5QI of each traffic class, shape [n_class].
    """

    def __init__(self, engine: Engine) -> None:
        classes = engine.classes
        self.site: I64 = engine.cells.site.astype(np.int64)
        self.n_site = int(self.site.max()) + 1
        self.slices = engine.slice_names
        self.five_qi: I64 = np.array([cls.five_qi for cls in classes])
        self._engine = engine
        self._slot_ms = engine.slot_ns / 1e6
        self._most_neighbours = engine.scenario.reports.max_report_cells
        self._cells_by_site: I64 = np.argsort(self.site, kind="stable")
        self._slice_of_class: I64 = np.array([self.slices.index(cls.slice) for cls in classes])
        self._budget_ms: F64 = np.array([cls.budget_ms if cls.delay_bound else np.nan for cls in classes])

    def table(self, level: str, period: Period) -> Table:
        """The rows of "cell", "slice", "ue", "qos_flow" or "ue_cell" reports about `period`."""
        if level == "cell":
            return self._cells(period)
        if level == "slice":
            return self._slices_of_cells(period)
        if level == "ue_cell":
            return self._cells_of_ues(period)
        return self._ues(period, with_flow=level == "qos_flow")

    def _by_site(self, end: Snapshot, u: I64) -> tuple[I64, I64]:
        """UE rows in the order of a report, by site, then by id, and their sites; shape [n] each."""
        site = self.site[end.cell[u]]
        order = np.lexsort((end.ue_id[u], site))
        return u[order], site[order]

    def _ues(self, period: Period, *, with_flow: bool) -> Table:
        """UEs that are connected at the period's end; a UE has one QoS flow."""
        end = period.end
        u, site = self._by_site(end, np.flatnonzero(end.connected))
        cls = self._engine.class_of[u]
        ids: list[NDArray[np.int64] | NDArray[np.int32]] = [end.ue_id[u], end.cell[u]]
        if with_flow:
            ids += [self.five_qi[cls], self._slice_of_class[cls]]
        state: dict[StateName, F64] = {
            "backlog_bytes": end.backlog_bytes[u].astype(np.float64),
            "active_share": period.active_share[end.cell[u]],
            "cqi": np.where(end.cqi[u] >= 0, end.cqi[u], np.nan),
            "hol_ms": np.where(end.hol_slots[u] >= 0, end.hol_slots[u] * self._slot_ms, np.nan),
            "budget_ms": self._budget_ms[cls],
            "rsrp_dbm": period.rsrp_dbm[u],
            "rsrq_db": period.rsrq_db[u],
            "l1_rsrp_dbm": period.l1_rsrp_dbm[u],
            "l1_sinr_db": period.l1_sinr_db[u],
            "weight": period.weight[u],
            "olla_target": period.olla_target[u],
            "x_m": period.x_m[u],
            "y_m": period.y_m[u],
        }
        return self._table(np.stack(ids, axis=1), period, period.ue[u], state, self._first_of_site(site))

    def _cells_of_ues(self, period: Period) -> Table:
        """Cells that UEs report, TS 38.331 5.5.5: of each UE the serving cell, then its strongest neighbours by filtered RSRP.

        UEs without a link over which they could report have no rows, neighbours that send nothing neither.
        """
        end = period.end
        seen = period.ue_cells or no_reports(self._engine.n_ue, self._engine.n_cell)
        u, site = self._by_site(end, np.flatnonzero(seen.reports & (end.connected > 0)))
        serving = end.cell[u].astype(np.int64)
        by_rank = seen.rsrp_dbm[u]
        by_rank[np.arange(len(u)), serving] = np.inf
        measured = np.argsort(-by_rank, axis=1, kind="stable")[:, : 1 + self._most_neighbours]
        row, rank = np.nonzero(np.take_along_axis(by_rank, measured, axis=1) > -np.inf)
        at = u[row], measured[row, rank]
        ids = np.stack((end.ue_id[u][row], serving[row], at[1]), axis=1)
        rsrp_dbm = seen.rsrp_dbm[at].astype(np.float64)
        state: dict[StateName, F64] = {
            "measured_rsrp_dbm": np.where(np.isfinite(rsrp_dbm), rsrp_dbm, np.nan),
            "measured_rsrq_db": seen.rsrq_db[at],
            "measured_sinr_db": seen.sinr_db[at],
        }
        counts = np.zeros((len(ids), 0), np.int64)
        return self._table(ids, period, counts, state, self._first_of_site(site[row]))

    def _cells(self, period: Period) -> Table:
        cell = self._cells_by_site
        one_kind = np.zeros(self._engine.n_ue, np.int64)
        state: dict[StateName, F64] = {
            "backlog_bytes": self._backlog_bytes(period, one_kind, 1)[cell, 0],
            "active_share": period.active_share[cell],
            "connected_max": period.connected_max[cell].astype(np.float64),
            "tx_power_dbm": period.tx_power_dbm[cell],
            "peak_power_dbm": period.peak_power_dbm[cell],
            "cio_db": period.cio_db[cell],
            "cell_state": period.cell_state[cell].astype(np.float64),
            "energy_j": period.energy_j[cell],
        }
        state.update(zip(HANDOVER_STATES, period.handover[:, cell].astype(np.float64), strict=True))
        counts = period.cell_class[cell].sum(axis=1)
        return self._table(cell[:, None], period, counts, state, self._first_of_site(self.site[cell]))

    def _slices_of_cells(self, period: Period) -> Table:
        """Every slice of every cell, by cell, then by slice."""
        cell, n_slice = self._cells_by_site, len(self.slices)
        of_slice = [self._slice_of_class == s for s in range(n_slice)]
        counts = np.stack([period.cell_class[cell][:, own].sum(axis=1) for own in of_slice], axis=1)
        slice_of_ue = self._slice_of_class[self._engine.class_of]
        backlog_bytes = self._backlog_bytes(period, slice_of_ue, n_slice)[cell].reshape(-1)
        ids = np.stack((np.tile(np.arange(n_slice), len(cell)), np.repeat(cell, n_slice)), axis=1)
        start = self._first_of_site(self.site[cell]) * n_slice
        low, high, dedicated = period.slice_quota_pct[:, cell].reshape(3, -1)
        state: dict[StateName, F64] = {
            "backlog_bytes": backlog_bytes,
            "min_pct": low,
            "max_pct": high,
            "dedicated_pct": dedicated,
            "active_share": np.repeat(period.active_share[cell], n_slice),
        }
        return self._table(ids, period, counts.reshape(len(ids), -1), state, start)

    def _backlog_bytes(self, period: Period, kind_of_ue: I64, n_kinds: int) -> F64:
        """Unsent bytes by cell and kind of UE, shape [n_cell, n_kinds]."""
        end, n_cell = period.end, self._engine.n_cell
        u = np.flatnonzero(end.connected)
        at = end.cell[u] * n_kinds + kind_of_ue[u]
        sums = np.bincount(at, end.backlog_bytes[u], minlength=n_cell * n_kinds).astype(np.float64)
        return sums.reshape(n_cell, n_kinds)

    def _first_of_site(self, site_of_row: I64) -> I64:
        return np.searchsorted(site_of_row, np.arange(self.n_site + 1)).astype(np.int64)

    def _table(
        self,
        ids: NDArray[np.integer],
        period: Period,
        counts: I64,
        state: dict[StateName, F64],
        start: I64,
    ) -> Table:
        rows = Rows(
            counts=counts,
            slots=period.slots,
            slot_ms=self._slot_ms,
            n_prb=self._engine.n_prb,
            state=state,
        )
        return Table(ids.astype(np.float64), rows, start)
