"""Granularity periods: drives an engine and cuts its counts into the periods of reports.

Each length of period has its own base, so the periods of 100 ms and of 1 s do not disturb each other, and ten of the former
add up to one of the latter. A UE that another node handed over counts from its arrival; its earlier counts belong to the other
node. A UE that leaves takes its row along; cells and slices keep their counts.

The cuts of `run_until` change no measurement, because the engine also stops at every radio tick, where UEs come and go, and at
every end of a period.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ran_sim.core.counters import Snapshot
from ran_sim.core.state import F64, I32, I64
from ran_sim.energy.power import ACTIVE
from ran_sim.engine import Engine
from ran_sim.measure import layer1
from ran_sim.measure.kpm import drop_outcomes_without_budget
from ran_sim.measure.ue_cells import CellQuality, UeCells


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Period:
    """One granularity period of the whole network: counts over it, and the state at its end. Copies, safe to keep."""

    period_ms: int
    slots: int
    end: Snapshot
    ue: I64  # [n_ue, counters.N] counts of the UE that is in the row at the end, at its present node
    cell_class: I64  # [n_cell, n_class, counters.N]
    handover: I64  # [len(handover.COUNTERS), n_cell]
    connected_max: I64  # [n_cell] highest sample at a radio tick or a period's end
    rsrp_dbm: F64  # [n_ue] of the serving cell after the layer-3 filter; NaN while it sleeps
    l1_rsrp_dbm: F64  # [n_ue] mean of the layer-1 reports of the present cell, see `layer1`; NaN without
    l1_sinr_db: F64  # [n_ue] the same
    rsrq_db: F64  # [n_ue] the latest of these reports
    weight: F64  # [n_ue]
    olla_target: F64  # [n_ue]
    x_m: F64  # [n_ue] where the UE is at the end, as the engine moved it at its last radio tick
    y_m: F64  # [n_ue]
    tx_power_dbm: F64  # [n_cell]
    peak_power_dbm: F64  # [n_cell] highest in a slot; NaN where nothing was sent
    cio_db: F64  # [n_cell]
    cell_state: I32  # [n_cell] power state; see `energy.power`
    energy_j: F64  # [n_cell] drawn over the period
    active_share: F64  # [n_cell] of the period's slots, in which the cell was active
    slice_quota_pct: F64  # [3, n_cell, n_slice] minimum, maximum, dedicated
    ue_cells: UeCells | None  # measurements of all cells by UEs, while `PeriodMeter.watch_cells` asks for it


@dataclass(slots=True, eq=False)
class _Base:
    """Counters when the current period of one length began; of a UE that came later, when it came."""

    period_slots: int
    snapshot: Snapshot
    ue_id: I64
    ue: I64
    connected_max: I64
    peak_power_dbm: F64
    layer1: _Layer1


@dataclass(slots=True, eq=False)
class _Layer1:
    """Layer-1 reports of one period, one a radio tick; a UE that came to another cell begins anew. Shape [n_ue]."""

    ue_id: I64
    cell: I64
    reports: I64
    rsrp_dbm: F64  # sums
    sinr_db: F64
    rsrq_db: F64  # latest

    @classmethod
    def without_reports(cls, n_ue: int) -> _Layer1:
        return cls(
            ue_id=np.full(n_ue, -1, np.int64),
            cell=np.full(n_ue, -1, np.int64),
            reports=np.zeros(n_ue, np.int64),
            rsrp_dbm=np.zeros(n_ue),
            sinr_db=np.zeros(n_ue),
            rsrq_db=np.full(n_ue, np.nan),
        )

    def add(self, u: I64, ue_id: I64, cell: I64, report: layer1.Layer1Values) -> None:
        """Take in the reports of the UEs in rows `u`; shape [n] each."""
        new = u[(self.ue_id[u] != ue_id) | (self.cell[u] != cell)]
        self.reports[new] = 0
        self.rsrp_dbm[new] = self.sinr_db[new] = 0.0
        self.ue_id[u], self.cell[u] = ue_id, cell
        self.reports[u] += 1
        self.rsrp_dbm[u] += report.rsrp_dbm
        self.sinr_db[u] += report.sinr_db
        self.rsrq_db[u] = report.rsrq_db

    def means(self, ue_id: I64, cell: I64) -> tuple[F64, F64, F64]:
        """RSRP, SINR and the latest RSRQ of the UEs that are in their rows and cells at the end; NaN without a report."""
        here = (self.reports > 0) & (self.ue_id == ue_id) & (self.cell == cell)
        n = np.where(here, self.reports, 1)
        return (
            np.where(here, self.rsrp_dbm / n, np.nan),
            np.where(here, self.sinr_db / n, np.nan),
            np.where(here, self.rsrq_db, np.nan),
        )


class PeriodMeter:
    """Runs an engine and hands out the granularity periods that end on the way.

    Args:
        engine: To be driven by this meter alone from now on.
        periods_ms: Lengths of granularity periods, whole numbers of slots.
        tick_slots: Interval at which UEs come, go and are handed over by the network itself.
    """

    def __init__(self, engine: Engine, periods_ms: Sequence[int], tick_slots: int) -> None:
        self._engine = engine
        self._tick_slots = tick_slots
        engine.take_peak_power_dbm()  # earlier peaks do not belong to the first period
        start = engine.snapshot()
        self._bases = {ms: self._base(start, ms * 1_000_000 // engine.slot_ns) for ms in sorted(periods_ms)}
        self._delay_bound = np.array([cls.delay_bound for cls in engine.classes])
        self._quality: CellQuality | None = None

    def fork(self, engine: Engine) -> PeriodMeter:
        """The meter of a fork of its engine, in the middle of the same periods."""
        twin = copy.copy(self)
        twin._engine, twin._quality = engine, copy.deepcopy(self._quality)
        twin._bases = {
            ms: replace(
                base,
                ue_id=base.ue_id.copy(),
                ue=base.ue.copy(),
                connected_max=base.connected_max.copy(),
                peak_power_dbm=base.peak_power_dbm.copy(),
                layer1=copy.deepcopy(base.layer1),
            )
            for ms, base in self._bases.items()
        }
        return twin

    def run_until(self, slot: int) -> list[Period]:
        """Simulate up to, not including, `slot`; the periods that ended by then, in order of their end and length."""
        engine, ended = self._engine, list[Period]()
        while engine.slot < slot:
            now = engine.slot
            stops = [base.period_slots for base in self._bases.values()] + [self._tick_slots]
            stop = min(slot, *[now - now % every + every for every in stops])
            if now % self._tick_slots == 0:
                self._run_over_tick(stop)
            else:
                engine.run_until(stop)
            if any(stop % every == 0 for every in stops):
                ended += self._sample(stop)
        return ended

    def watch_cells(self, *, wanted: bool) -> None:
        """Let UEs measure all cells from now on, with a first sample at once, or no longer."""
        if not wanted:
            self._quality = None
        elif self._quality is None:
            self._quality = CellQuality(self._engine)
            self._quality.sample(self._engine)

    def cells_of(self, period: Period) -> UeCells | None:
        """Measurements of all cells by UEs at the end of `period`; None if it ended before UEs were asked for any."""
        if period.ue_cells is None and self._quality is not None and period.end.slot == self._engine.slot:
            return self._quality.now(self._engine)
        return period.ue_cells

    def arrived(self, u: I64 | I32) -> None:
        """Let the UEs in rows `u` count from now: a forced handover has just brought them to another node."""
        self._count_from(u, self._engine.snapshot())

    def _run_over_tick(self, stop: int) -> None:
        """Run from a radio tick, and let UEs that it handed over between nodes count from it."""
        before = self._engine.snapshot()
        self._engine.run_until(stop)
        ues, site = self._engine.ues, self._engine.cells.site
        stayed = (ues.id == before.ue_id) & (before.cell >= 0) & (ues.cell >= 0)
        moved = np.flatnonzero(stayed & (site[ues.cell] != site[before.cell]))
        if len(moved):
            self._count_from(moved, before)

    def _count_from(self, u: I64 | I32, moment: Snapshot) -> None:
        for base in self._bases.values():
            base.ue_id[u] = moment.ue_id[u]
            base.ue[u] = moment.ue[u]

    def _sample(self, slot: int) -> list[Period]:
        """Take the samples of this slot, and end the periods whose time has come."""
        ues = self._engine.ues
        connected = np.bincount(ues.cell[ues.connected > 0], minlength=self._engine.n_cell)
        peak_dbm = self._engine.take_peak_power_dbm()
        heard = self._layer1_reports(slot) if slot % self._tick_slots == 0 else None
        if self._quality is not None and heard is not None:
            self._quality.sample(self._engine)
        end: Snapshot | None = None
        ended = []
        for ms, base in self._bases.items():
            np.maximum(base.connected_max, connected, out=base.connected_max)
            np.fmax(base.peak_power_dbm, peak_dbm, out=base.peak_power_dbm)
            if heard is not None:
                base.layer1.add(*heard)
            if slot % base.period_slots == 0:
                end = end or self._engine.snapshot()
                ended.append(self._end(ms, base, end))
                self._bases[ms] = self._base(end, base.period_slots)
        return ended

    def _layer1_reports(self, slot: int) -> tuple[I64, I64, I64, layer1.Layer1Values]:
        """UE rows, ids and cells of those that had a link to a cell awake since the last tick, and what they reported of it."""
        engine, scenario = self._engine, self._engine.scenario
        ues, cells = engine.ues, engine.cells
        linked = (ues.connected > 0) & (ues.reachable_slot < slot)
        u = np.flatnonzero(linked & (cells.state[ues.cell] == ACTIVE))
        cell = ues.cell[u].astype(np.int64)
        heard = layer1.report(
            cells, engine.links, u, cell,
            n_prb=engine.n_prb, rbg_prb=scenario.rbg_prb, slot_ms=engine.slot_ns / 1e6,
        )  # fmt: skip
        return u, ues.id[u], cell, heard

    def _base(self, snapshot: Snapshot, period_slots: int) -> _Base:
        return _Base(
            period_slots=period_slots,
            snapshot=snapshot,
            ue_id=snapshot.ue_id.copy(),
            ue=snapshot.ue.copy(),
            connected_max=np.zeros(self._engine.n_cell, np.int64),
            peak_power_dbm=np.full(self._engine.n_cell, np.nan),
            layer1=_Layer1.without_reports(self._engine.n_ue),
        )

    def _end(self, period_ms: int, base: _Base, end: Snapshot) -> Period:
        engine, begin = self._engine, base.snapshot
        same = (end.ue_id == base.ue_id)[:, None]
        ue = end.ue - np.where(same, base.ue, 0)
        cell_class = end.cell_class - begin.cell_class
        drop_outcomes_without_budget(ue, self._delay_bound[engine.class_of])
        drop_outcomes_without_budget(cell_class, self._delay_bound)
        serving = np.maximum(end.cell, 0)
        rsrp_dbm = engine.links.rsrp_l3_dbm[np.arange(engine.n_ue), serving].astype(np.float64)
        l1_rsrp_dbm, l1_sinr_db, rsrq_db = base.layer1.means(end.ue_id, end.cell.astype(np.int64))
        return Period(
            period_ms=period_ms,
            slots=base.period_slots,
            end=end,
            ue=ue,
            cell_class=cell_class,
            handover=end.handover - begin.handover,
            connected_max=base.connected_max,
            rsrp_dbm=np.where(np.isfinite(rsrp_dbm), rsrp_dbm, np.nan),
            l1_rsrp_dbm=l1_rsrp_dbm,
            l1_sinr_db=l1_sinr_db,
            rsrq_db=rsrq_db,
            weight=engine.ues.weight.copy(),
            olla_target=engine.ues.olla_target.copy(),
            x_m=engine.ues.x_m.copy(),
            y_m=engine.ues.y_m.copy(),
            tx_power_dbm=engine.cells.tx_power_dbm.copy(),
            peak_power_dbm=base.peak_power_dbm,
            cio_db=engine.cells.cio_db.copy(),
            cell_state=engine.cells.state.copy(),
            energy_j=end.energy_j - begin.energy_j,
            active_share=(end.active_slots - begin.active_slots) / base.period_slots,
            slice_quota_pct=engine.slice_quota_pct,
            ue_cells=None if self._quality is None else self._quality.now(engine),
        )
