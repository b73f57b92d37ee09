"""Granularity periods against the same engine looked at on every radio tick."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from ran_sim.core import counters as count
from ran_sim.core.state import I64
from ran_sim.engine import Engine
from ran_sim.measure import layer1
from ran_sim.measure.periods import Period, PeriodMeter
from ran_sim.scenario import load_scenario

TICK_SLOTS = 100  # 50 ms of 0.5 ms slots
UNTIL_SLOT = 6000


class Tick(NamedTuple):
    """What happened from one radio tick to the next, shape [n_ue] unless said otherwise."""

    ue_id: I64
    site: I64  # that served the UE, -1 while not connected
    offered_bytes: I64
    connected: I64  # [n_cell]


def a_busy_network() -> Engine:
    """Seven sites where three cells pull UEs away from the other sites, and sessions begin and end."""
    scenario = load_scenario("seven-sites").with_overrides(
        {"traffic.best-effort.session_s": (1.0, 3.0), "traffic.voice.idle_s": 1.0}
    )
    engine = Engine(scenario, 5)
    for cell in (0, 7, 14):
        engine.set_cio(cell, 24.0)
    return engine


def tick_by_tick(engine: Engine) -> list[Tick]:
    ticks = []
    before = engine.snapshot()
    for slot in range(TICK_SLOTS, UNTIL_SLOT + 1, TICK_SLOTS):
        engine.run_until(slot)
        after = engine.snapshot()
        offered = after.since(before).ue[:, count.OFFERED_BYTES]
        site = np.where(after.cell >= 0, engine.cells.site[after.cell], -1)
        connected = np.bincount(after.cell[after.cell >= 0], minlength=engine.n_cell).astype(np.int64)
        ticks.append(Tick(after.ue_id, site, offered, connected))
        before = after
    return ticks


def offered_since_arrival(ticks: list[Tick], u: int) -> int:
    """Of the UE that is in slot `u` at the end of the last tick, at the site that serves it then."""
    total = 0
    for tick in reversed(ticks):
        if (tick.ue_id[u], tick.site[u]) != (ticks[-1].ue_id[u], ticks[-1].site[u]):
            break
        total += int(tick.offered_bytes[u])
    return total


@pytest.fixture(scope="module")
def ticks() -> list[Tick]:
    return tick_by_tick(a_busy_network())


@pytest.fixture(scope="module")
def periods() -> list[Period]:
    return PeriodMeter(a_busy_network(), (100, 1000), TICK_SLOTS).run_until(UNTIL_SLOT)


def ticks_of(period: Period, ticks: list[Tick]) -> list[Tick]:
    last = period.end.slot // TICK_SLOTS
    return ticks[last - period.slots // TICK_SLOTS : last]


def test_periods_come_in_the_order_of_their_end(periods: list[Period]) -> None:
    ends = [(period.end.slot, period.period_ms) for period in periods]
    assert ends == sorted(ends)
    assert len(ends) == 30 + 3


def test_a_ue_counts_from_its_arrival_at_the_node_that_serves_it(
    periods: list[Period], ticks: list[Tick]
) -> None:
    moved = renewed = 0
    for period in periods:
        own = ticks_of(period, ticks)
        u = np.flatnonzero(period.end.connected)
        expected = [offered_since_arrival(own, i) for i in u.tolist()]
        assert period.ue[u, count.OFFERED_BYTES].tolist() == expected
        first, last = own[0], own[-1]
        same = first.ue_id[u] == last.ue_id[u]
        moved += int(np.count_nonzero(same & (first.site[u] != last.site[u]) & (first.site[u] >= 0)))
        renewed += int(np.count_nonzero(~same & (first.ue_id[u] >= 0)))
    assert moved > 10  # else nothing was tested
    assert renewed > 20


def test_connected_max_is_the_highest_sample(periods: list[Period], ticks: list[Tick]) -> None:
    for period in periods:
        samples = np.array([tick.connected for tick in ticks_of(period, ticks)])
        np.testing.assert_array_equal(period.connected_max, samples.max(axis=0))


def test_short_periods_add_up_to_the_long_one(periods: list[Period]) -> None:
    for second in (period for period in periods if period.period_ms == 1000):
        parts = [
            period
            for period in periods
            if period.period_ms == 100 and second.end.slot - 2000 < period.end.slot <= second.end.slot
        ]
        assert len(parts) == 10
        np.testing.assert_array_equal(sum(part.cell_class for part in parts), second.cell_class)
        np.testing.assert_array_equal(sum(part.handover for part in parts), second.handover)


def test_cells_keep_what_ues_take_to_another_node(periods: list[Period], ticks: list[Tick]) -> None:
    offered_by_all = sum(int(tick.offered_bytes.sum()) for tick in ticks)
    offered_to_cells = sum(
        int(period.cell_class[..., count.OFFERED_BYTES].sum())
        for period in periods
        if period.period_ms == 1000
    )
    # A session that ends is counted by its cell up to the end, by the tick's look afterwards no more.
    assert offered_by_all <= offered_to_cells < 1.1 * offered_by_all


# -- layer 1 and transmit power -----------------------------------------------------------------------------------


class Heard(NamedTuple):
    """What one UE reported on one tick."""

    cell: int
    rsrp_dbm: float
    rsrq_db: float
    sinr_db: float


def reported_on_tick(engine: Engine, slot: int) -> dict[int, Heard]:
    """By UE row, of those that had a link over the tick that ends at `slot`."""
    ues = engine.ues
    out = {}
    for u in np.flatnonzero((ues.connected > 0) & (ues.reachable_slot < slot)).tolist():
        cell = int(ues.cell[u])
        heard = layer1.report(
            engine.cells, engine.links, np.array([u]), np.array([cell]),
            n_prb=engine.n_prb, rbg_prb=engine.scenario.rbg_prb, slot_ms=0.5,
        )  # fmt: skip
        out[u] = Heard(cell, *(float(values[0]) for values in heard))
    return out


def of_the_present_cell(ticks: list[dict[int, Heard]], ids: list[I64], u: int, cell: int) -> list[Heard]:
    """What the UE that is in slot `u` at the end, in `cell`, reported of it since it came there."""
    reports: list[Heard] = []
    for tick, ue_id in zip(ticks, ids, strict=True):
        heard = tick.get(u)
        if ue_id[u] != ids[-1][u] or (heard is not None and heard.cell != cell):
            reports.clear()
        elif heard is not None:
            reports.append(heard)
    return reports


def test_layer_1_is_the_mean_of_the_ticks_in_the_present_cell() -> None:
    engine = a_busy_network()
    meter = PeriodMeter(a_busy_network(), [500], TICK_SLOTS)
    whole = some = 0
    for end in range(1000, UNTIL_SLOT + 1, 1000):
        ticks, ids = [], []
        for slot in range(end - 1000 + TICK_SLOTS, end + 1, TICK_SLOTS):
            engine.run_until(slot)
            ticks.append(reported_on_tick(engine, slot))
            ids.append(engine.ues.id.copy())
        (period,) = meter.run_until(end)
        for u in np.flatnonzero(period.end.connected).tolist():
            reports = of_the_present_cell(ticks, ids, u, int(period.end.cell[u]))
            measured = period.l1_rsrp_dbm[u], period.l1_sinr_db[u], period.rsrq_db[u]
            whole, some = whole + (len(reports) == 10), some + (len(reports) < 10)
            if not reports:
                assert np.isnan(measured).all()
                continue
            means = np.mean([(r.rsrp_dbm, r.sinr_db) for r in reports], axis=0)
            assert measured == pytest.approx((*means, reports[-1].rsrq_db), abs=1e-6)
    assert min(whole, some) > 10


def test_the_highest_power_is_that_of_the_period_and_of_no_other() -> None:
    scenario = load_scenario("one-cell").with_overrides({"warmup_s": 0.0, "energy.ssb_period_ms": 0})
    engine = Engine(scenario, 1)
    meter = PeriodMeter(engine, [50, 100], TICK_SLOTS)
    full_dbm = scenario.layout.tx_power_dbm
    for period in meter.run_until(4000):
        sent = period.cell_class[0, :, count.PRB_USED].sum() > 0
        peak_dbm = period.peak_power_dbm[0]
        assert np.isnan(peak_dbm) if not sent else peak_dbm <= full_dbm + 1e-9
    assert peak_dbm == pytest.approx(full_dbm)  # some slot of a busy cell is full
    engine.set_tx_power(0, full_dbm - 6.0)
    low = meter.run_until(4400)
    assert [p.peak_power_dbm[0] for p in low] == pytest.approx([full_dbm - 6.0] * len(low))
