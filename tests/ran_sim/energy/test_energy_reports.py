"""Energy and sleep as an xApp meets them: PEE measurements, SetCellState, and the lease that wakes a forgotten cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ran_sim.bridge import SimWorld, open_world
from ran_sim.core import counters as count
from ran_sim.energy.power import ACTIVE, DEEP_SLEEP, LIGHT_SLEEP, OFF
from ran_sim.scenario import Scenario
from ranloop.embedded import run_embedded
from ranloop.node.outlets import Event
from ranloop.vocabulary import CellState, SetCellState
from ranloop.wire.messages import Report
from tests.builders import write_xapp

MS = 1_000_000
MEASUREMENTS = frozenset(
    {
        "PEE.AvgPower", "PEE.Energy", "RRC.ConnMax", "RRC.ConnMean", "DRB.MeanActiveUeDl", "RRU.PrbAvailDl",
        "RRU.PrbTotDl", "RRU.PrbUsedDl", "X.Cell.State", "X.Cell.TxPower", "DRB.RlcSduTransmittedVolumeDL",
    }
)  # fmt: skip
FILES = {
    "name": "files", "five_qi": 9, "model": "poisson-file", "ues": 9, "rate_mbps": 1.0, "file_kb": 100.0,
    "idle_s": 0.0, "session_s": (600.0, 600.0),
}  # fmt: skip


def a_site(**sections: Any) -> SimWorld:
    """Three cells of one site, exact values."""
    scenario: dict[str, Any] = {
        "name": "small",
        "traffic": [FILES],
        "layout": {"sites": 1, "sectors": 3},
        "radio": {"k_interferers": 2},
        "reports": {"rounding": False},
        **sections,
    }
    return SimWorld(Scenario.model_validate(scenario), seed=1)


def cell_reports(world: SimWorld, until_ms: int) -> dict[int, list[Report]]:
    """Cell reports by granularity period."""
    wanted = {(c.node, "cell", ms): MEASUREMENTS for c in world.catalogues for ms in (100, 1000)}
    out: dict[int, list[Report]] = {100: [], 1000: []}
    while world.now_ns < until_ms * MS:
        world.advance(until_ms * MS)
        for report in world.reports(wanted):
            out[report.period_ms].append(report)
    return out


def test_states_have_the_numbers_of_the_action() -> None:
    assert (ACTIVE, LIGHT_SLEEP, DEEP_SLEEP, OFF) == (
        CellState.ACTIVE,
        CellState.LIGHT_SLEEP,
        CellState.DEEP_SLEEP,
        CellState.OFF,
    )


def test_energies_of_short_periods_add_up_and_power_is_energy_over_time() -> None:
    reports = cell_reports(a_site(), 2000)
    for second, long in enumerate(reports[1000]):
        short = reports[100][10 * second : 10 * second + 10]
        total = np.sum([report["PEE.Energy"] for report in short], axis=0)
        np.testing.assert_allclose(total, long["PEE.Energy"], rtol=1e-5)
        np.testing.assert_allclose(long["PEE.AvgPower"], long["PEE.Energy"] * 3.6e6, rtol=1e-6)
    # Between micro sleep and full load, 0.8 W a unit
    power_w = reports[1000][0]["PEE.AvgPower"]
    assert ((power_w > 55 * 0.8) & (power_w < 280 * 0.8)).all()


def test_a_cell_that_sleeps_has_no_radio_figures_and_a_partial_period_counts_its_awake_part() -> None:
    world = a_site()
    cell_reports(world, 500)
    assert world.apply("site0", SetCellState(cell=[1], state=[DEEP_SLEEP])).tolist() == [[3.0]]
    reports = cell_reports(world, 1000)
    asleep, second = reports[100][-1], reports[1000][0]
    assert asleep["X.Cell.State"].tolist() == [0.0, 3.0, 0.0]
    for name in ("RRU.PrbAvailDl", "RRU.PrbTotDl", "RRU.PrbUsedDl", "RRC.ConnMean", "RRC.ConnMax"):
        assert np.isnan(asleep[name]).tolist() == [False, True, False], name
    assert asleep["PEE.AvgPower"][1] == pytest.approx(0.8)  # one unit
    assert asleep["DRB.RlcSduTransmittedVolumeDL"][1] == 0.0
    assert asleep["RRC.ConnMean"][[0, 2]].sum() == 9  # all of the site's UEs are with the other two
    # Awake for the first half of the second
    assert second["RRU.PrbAvailDl"].tolist() == [51.0, 25.5, 51.0]
    np.testing.assert_allclose(
        second["RRU.PrbTotDl"], 100 * second["RRU.PrbUsedDl"] / second["RRU.PrbAvailDl"], rtol=1e-5
    )


def test_no_value_wakes_the_cell_and_a_cell_elsewhere_is_left_alone() -> None:
    world = a_site()
    cell_reports(world, 100)
    applied = world.apply("site0", SetCellState(cell=[0, 7], state=[OFF, OFF]))
    np.testing.assert_array_equal(applied, [[4.0], [np.nan]])
    report = cell_reports(world, 200)[100][-1]
    assert report["X.Cell.State"].tolist() == [4.0, 0.0, 0.0]
    assert np.isnan(report["X.Cell.TxPower"]).tolist() == [True, False, False]
    assert world.apply("site0", SetCellState(cell=[0], state=[np.nan])).tolist() == [[0.0]]
    # 500 ms in and 500 ms out; what is in force is what was commanded, the report says what is.
    assert [r["X.Cell.State"][0] for r in cell_reports(world, 1100)[100]] == [4.0] * 8 + [0.0]


def test_ues_that_a_sleeping_site_hands_over_count_at_their_new_node_from_then() -> None:
    world = open_world("seven-sites", overrides={"reports.rounding": False})
    world.advance(100 * MS)
    while world.now_ns < 150 * MS:
        world.advance(150 * MS)
    ues, site = world.engine.ues, world.engine.cells.site
    of_site = np.flatnonzero((ues.connected > 0) & (site[ues.cell] == 0))
    world.apply("site0", SetCellState(cell=[0, 1, 2], state=DEEP_SLEEP))
    assert (site[ues.cell[of_site]] != 0).mean() > 0.8  # the others could not be reached any more
    before = world.engine.snapshot()
    world.advance(200 * MS)
    wanted = {(f"site{s}", "ue", 100): frozenset({"X.DRB.OfferedVolDl"}) for s in range(7)}
    reports = world.reports(wanted)
    offered = world.engine.snapshot().since(before).ue[:, count.OFFERED_BYTES] * 8e-3
    there = 0
    for report in reports:
        for ue, volume in zip(report.ue.tolist(), report["X.DRB.OfferedVolDl"].tolist(), strict=True):
            u = ue % world.engine.n_ue
            if u in of_site and report.node != "site0":
                assert volume == pytest.approx(offered[u], rel=1e-6)
                there += 1
    assert there >= 0.8 * len(of_site)


MANIFEST = """\
name = "night"
version = "0.1.0"
summary = "Puts cell 1 to sleep on its first reports and then forgets about it."

[[streams]]
level = "cell"
every_ms = 100
measurements = ["PEE.AvgPower", "X.Cell.State"]

[[actions]]
name = "SetCellState"
ranges = { state = [0, 4] }
rate_per_s = 1000
"""
APP = """
from ranloop import Report, SetCellState, XApp
app = XApp()

@app.on_report("PEE.AvgPower", "X.Cell.State", level="cell", every_ms=100)
def sleep_and_forget(report: Report) -> SetCellState | None:
    if report.ran_time_ns > 500_000_000:
        return None
    return SetCellState(cell=[1], state=[3])
"""


class Watch:
    def __init__(self) -> None:
        self.state: dict[int, float] = {}
        self.power_w: dict[int, float] = {}

    def take(self, event: Event) -> None:
        if isinstance(event, Report):
            ms = event.ran_time_ns // MS
            self.state[ms] = float(event["X.Cell.State"][1])
            self.power_w[ms] = float(event["PEE.AvgPower"][1])


def test_a_cell_whose_lease_lapses_wakes_and_serves_again(tmp_path: Path) -> None:
    world, watch = a_site(run={"duration_s": 2.0, "warmup_s": 0.0}), Watch()
    run_embedded(world, [write_xapp(tmp_path / "night", app=APP, text=MANIFEST)], outlets=[watch])
    # In force 10 ms after the report of 100 ms; last renewed by that of 500 ms, for three of its periods: until 810 ms
    # at the latest. Then 25 ms out of deep sleep.
    slept = [ms for ms, state in watch.state.items() if state == DEEP_SLEEP]
    assert slept == list(range(200, 900, 100))
    assert watch.power_w[500] == pytest.approx(0.8)
    assert watch.power_w[1000] > 55 * 0.8 * 0.999
    engine = world.engine
    assert engine.cells.state.tolist() == [ACTIVE] * 3
    assert (engine.ues.cell == 1).any()


def test_a_night_saves_what_the_model_says_and_costs_little() -> None:
    """Seven sites at low load: three cells sleep, their users move, the others' throughput stays about the same."""
    quiet: Mapping[str, object] = {
        "load": 0.2,
        "traffic.best-effort.rate_mbps": 0.5,
        "reports.rounding": False,
        "radio.indoor_share": 0.0,
    }
    plain, night = (open_world("seven-sites", seed=3, overrides=quiet) for _ in range(2))
    for world in (plain, night):
        cell_reports(world, 1000)
    engine = plain.engine
    users = np.bincount(engine.ues.cell[engine.ues.connected > 0], minlength=21).reshape(7, 3)
    # Of three sites the cell with the most users
    asleep = [3 * site + int(np.argmax(users[site])) for site in (1, 3, 5)]
    assert users.reshape(-1)[asleep].min() >= 3
    for cell in asleep:
        night.apply(f"site{cell // 3}", SetCellState(cell=[cell], state=DEEP_SLEEP))
    before = [world.engine.snapshot() for world in (plain, night)]
    for world in (plain, night):
        cell_reports(world, 4000)
    after = [world.engine.snapshot() for world in (plain, night)]
    saved_j = np.subtract(
        *[late.energy_j - early.energy_j for early, late in zip(before, after, strict=True)]
    )
    # What a sleeping cell drew itself: 3 s at one unit and half a transition
    slept_j = (after[1].energy_j - before[1].energy_j)[asleep]
    assert slept_j == pytest.approx((3000 * 1.0 + 500) * 0.8e-3, rel=1e-9)
    # The network saves what those cells drew before, less what the users that moved cost elsewhere.
    drew_j = (after[0].energy_j - before[0].energy_j)[asleep]
    assert (drew_j > 3000 * 55 * 0.8e-3 * 0.999).all()
    assert 0.3 * (drew_j - slept_j).sum() < saved_j.sum() < (drew_j - slept_j).sum()
    # The users are still there and get what they ask for.
    ues = night.engine.ues
    assert np.array_equal(ues.connected, plain.engine.ues.connected)
    assert not np.isin(ues.cell[ues.connected > 0], asleep).any()
    delivered = [
        (late.cell_class - early.cell_class)[:, :, count.DELIVERED_BYTES].sum()
        for early, late in zip(before, after, strict=True)
    ]
    assert delivered[1] > 0.9 * delivered[0]
