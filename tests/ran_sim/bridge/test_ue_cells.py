"""What UEs measure of cells, and the cells' neighbours: the level `ue_cell` of the simulator's nodes.

Expected values come from the engine's arrays, from closed forms, or from the tables of TS 38.133.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from ran_sim.bridge import SimWorld
from ran_sim.energy.power import ACTIVE, LIGHT_SLEEP
from ran_sim.measure import kpm, layer1
from ran_sim.measure.kpm import Rows
from ran_sim.mobility.handover import EXECUTING, l3_filter_share
from ran_sim.scenario import Scenario, ScenarioError, load_scenario
from ranloop.vocabulary import Handover, Level
from ranloop.wire.codec import decode_catalogue, encode
from ranloop.wire.messages import Report

MS = 1_000_000
TICK_MS = 50
NAMES = frozenset({"RSRP", "RSRQ", "SINR"})
DRIVER = {
    "name": "driver", "five_qi": 9, "model": "full-buffer", "ues": 12, "idle_s": 0.0, "session_s": (600.0, 600.0),
}  # fmt: skip
NO_FAILURE = {"qout_db": -20.0, "qin_db": -19.0, "n310": 20}  # no link is lost, no command either
TWO_SITES = {"positions_m": [[0.0, 0.0], [400.0, 0.0]], "sectors": 1, "isd_m": 400.0}


def two_cells(**sections: Any) -> SimWorld:
    """Two cells of two nodes, cars between them, exact values unless said otherwise."""
    scenario: dict[str, Any] = {
        "name": "two-cells",
        "traffic": [DRIVER],
        "layout": TWO_SITES,
        "radio": {"k_interferers": 1, "indoor_share": 0.0},
        "mobility": {"speeds_kmh": (120.0,), "speed_shares": (1.0,)},
        "reports": {"rounding": False, "periods_ms": (TICK_MS,)},
    }
    for section, fields in sections.items():
        scenario[section] = scenario.get(section, {}) | fields
    return SimWorld(Scenario.model_validate(scenario), seed=1)


def wanted(world: SimWorld, *levels: Level, names: frozenset[str] = NAMES) -> dict[Any, frozenset[str]]:
    return {
        (catalogue.node, level, period_ms): names & frozenset(catalogue.measurements[level])
        for catalogue in world.catalogues
        for level in levels or ("ue_cell",)
        for period_ms in catalogue.periods_ms
    }


def steps(world: SimWorld, until_ms: float, *levels: Level) -> list[list[Report]]:
    """The reports that leave at each moment up to `until_ms`."""
    out: list[list[Report]] = []
    asked = wanted(world, *levels)
    while world.now_ns < until_ms * MS:
        world.advance(min(world.next_report_ns(), int(until_ms * MS)))
        if reports := world.reports(asked):
            out.append(reports)
    return out


def values(reports: Sequence[Report], name: str) -> dict[tuple[int, int], float]:
    """(UE, cell) -> value, of the reports of one moment."""
    return {
        (ue, cell): value
        for report in reports
        for ue, cell, value in zip(
            report.ue.tolist(), report.measured_cell.tolist(), report[name].tolist(), strict=True
        )
    }


# -- who is measured ----------------------------------------------------------------------------------------------


def test_the_first_report_has_the_serving_cell_first_and_the_strongest_neighbours_in_their_order() -> None:
    scenario = load_scenario("seven-sites").with_overrides({"reports.rounding": False})
    world = SimWorld(scenario, seed=1)
    (reports,) = steps(world, 100)
    ues, l3_dbm = world.engine.ues, world.engine.links.rsrp_l3_dbm
    seen = [ue for report in reports for ue, _ in report.by_ue()]
    assert sorted(seen) == sorted(ues.id[ues.connected > 0].tolist())
    for report in reports:
        for ue, rows in report.by_ue():
            u = ue % world.engine.n_ue
            others = [cell for cell in np.argsort(-l3_dbm[u]).tolist() if cell != ues.cell[u]]
            assert report.cell[rows].tolist() == [ues.cell[u]] * 9
            assert report.measured_cell[rows].tolist() == [ues.cell[u], *others[:8]]
            assert report["RSRP"][rows] == pytest.approx(
                np.maximum(l3_dbm[u][report.measured_cell[rows]], -156)
            )


def test_a_ue_is_in_the_report_of_its_node_with_the_names_of_all_nodes_cells() -> None:
    for report in steps(two_cells(), TICK_MS)[0]:
        assert set(report.cell.tolist()) == {int(report.node.removeprefix("site"))}
        assert dict(report.labels["measured_cell"]) == {0: "site0/0", 1: "site1/0"}


@pytest.mark.parametrize("most", [1, 3])
def test_a_report_has_no_more_neighbours_than_max_report_cells(most: int) -> None:
    scenario = load_scenario("seven-sites").with_overrides({"reports.max_report_cells": most})
    (reports,) = steps(SimWorld(scenario, seed=1), 100)
    assert {len(rows) for report in reports for _, rows in report.by_ue()} == {1 + most}


@pytest.mark.parametrize("most", [0, 9])
def test_max_report_cells_is_that_of_ts_38_331(most: int) -> None:
    with pytest.raises(ScenarioError, match="max_report_cells"):
        load_scenario("one-cell").with_overrides({"reports.max_report_cells": most})


def test_a_cell_that_sleeps_is_nobodys_neighbour_and_a_lone_cell_has_none() -> None:
    world = two_cells()
    steps(world, 100)
    world.engine.set_cell_state(1, LIGHT_SLEEP)
    reports = steps(world, 400)[-1]
    assert world.engine.cells.state.tolist() == [ACTIVE, LIGHT_SLEEP]
    assert {cell for _, cell in values(reports, "RSRP")} == {0}
    world.engine.set_cell_state(1, ACTIVE)
    assert {cell for _, cell in values(steps(world, 800)[-1], "SINR")} == {0, 1}


def test_a_ue_reports_nothing_while_it_is_handed_over() -> None:
    world = two_cells(handover={"execution_ms": 140.0})
    steps(world, 200)
    ues = world.engine.ues
    u = int(np.flatnonzero(ues.connected & (ues.cell == 0))[0])
    ue = int(ues.id[u])
    world.apply("site0", Handover(ue=ue, target_cell=1))
    during, after = steps(world, 300), steps(world, 600)
    assert all(ue not in report.ue for reports in during for report in reports)
    assert ue in {ue for report in after[-1] for ue, _ in report.by_ue()}


# -- what is measured ---------------------------------------------------------------------------------------------


def test_rsrp_is_the_one_of_the_ue_report() -> None:
    reports = steps(two_cells(), 1000, "ue", "ue_cell")[-1]
    of_ues = {
        ue: value
        for r in reports
        if r.level == "ue"
        for ue, value in zip(r.ue.tolist(), r["RSRP"].tolist(), strict=True)
    }
    served = {
        ue: r["RSRP"][rows[0]]
        for r in reports
        if r.level == "ue_cell"
        for ue, rows in r.by_ue()
    }  # fmt: skip
    assert len(served) > 6
    assert served == {ue: of_ues[ue] for ue in served}


def test_rsrq_and_sinr_of_two_cells_without_shadowing_are_their_closed_forms() -> None:
    """k = 0: a report has the last sample. RSRP p_c, RSSI of a PRB 12 (sum p_c a_c + n), SINR p_c / (p_other + n)."""
    world = two_cells(
        radio={"k_interferers": 1, "shadowing": False, "measurement_error_db": 0.0, "indoor_share": 0.0},
        handover={"l3_filter_k": 0},
    )
    reports = steps(world, 1000)[-1]
    rsrp, rsrq, sinr = (values(reports, name) for name in ("RSRP", "RSRQ", "SINR"))
    scenario, load = world.engine.scenario, world.engine.cells.load
    noise_mw = float(world.engine.links.noise_mw[0]) / (12 * scenario.rbg_prb)
    block_share = 4 / 140  # four symbols of the 140 in 5 ms at 30 kHz
    activity = block_share + (1 - block_share) * load.astype(np.float64)
    assert len({ue for ue, _ in rsrp}) > 6
    for ue, cell in rsrp:
        power_mw = [10 ** (rsrp[ue, c] / 10) for c in (0, 1)]
        rssi_mw = 12 * (sum(p * a for p, a in zip(power_mw, activity, strict=True)) + noise_mw)
        rsrq_db = 10 * math.log10(power_mw[cell] / rssi_mw)
        sinr_db = 10 * math.log10(power_mw[cell] / (power_mw[1 - cell] + noise_mw))
        assert rsrq[ue, cell] == pytest.approx(np.clip(rsrq_db, -43, 20), abs=2e-3)
        assert sinr[ue, cell] == pytest.approx(np.clip(sinr_db, -23, 40), abs=2e-3)


def test_rsrq_and_sinr_follow_a_step_as_the_layer_3_filter_of_ts_38_331_does() -> None:
    """UEs that stand still; cell 1 falls by 10 dB. F_n = M + (F_0 - M) (1 - a)^n; k = 4 has a = 1/2 at 200 ms, so 0.159 at 50 ms."""
    world = two_cells(
        mobility={"speeds_kmh": (0.0,), "speed_shares": (1.0,)},
        radio={"measurement_error_db": 0.0, "k_interferers": 1, "indoor_share": 0.0},
        handover={"l3_filter_k": 4, "ttt_ms": 60_000.0, **NO_FAILURE},
    )
    before = steps(world, 500)[-1]
    world.engine.set_tx_power(1, world.engine.cells.tx_power_dbm[1] - 10.0)
    share = l3_filter_share(4, TICK_MS)
    assert share == pytest.approx(1 - 0.5 ** (50 / 200))
    after = steps(world, 500 + 3 * TICK_MS)
    settled = steps(world, 500 + 200 * TICK_MS)[-1]
    old, new = values(before, "SINR"), values(settled, "SINR")
    stayed = old.keys() & new.keys()  # a session ends on the way
    moved = [key for key in stayed if abs(new[key] - old[key]) > 1.0 and min(old[key], new[key]) > -22]
    assert moved
    for n, reports in enumerate(after, 1):
        # The power changes on a slot that is a tick: SINR is sampled with it from the first tick on.
        now = values(reports, "SINR")
        for key in moved:
            assert now[key] == pytest.approx(new[key] + (old[key] - new[key]) * (1 - share) ** n, abs=0.02)


def test_a_new_reader_starts_the_filter_and_the_last_one_ends_it() -> None:
    world = two_cells()
    world.advance(TICK_MS * MS)
    world.reports({})
    assert world._meter._quality is None
    first = steps(world, 2 * TICK_MS)[0]
    samples = layer1.of_every_cell(
        world.engine.cells, world.engine.links, np.arange(12), n_prb=51, rbg_prb=world.engine.scenario.rbg_prb, slot_ms=0.5
    )[1]  # fmt: skip
    for (ue, cell), sinr_db in values(first, "SINR").items():
        assert sinr_db == pytest.approx(np.clip(samples[ue % 12, cell], -23, 40), abs=1e-3)
    world.advance(3 * TICK_MS * MS)
    world.reports(wanted(world, "ue"))
    assert world._meter._quality is None


def test_a_report_that_was_under_way_when_the_first_reader_came_is_empty() -> None:
    world = two_cells(reports={"rounding": False, "periods_ms": (TICK_MS,), "delay_ms": 20.0})
    reports = steps(world, 200)
    assert [sum(map(len, moment)) > 0 for moment in reports] == [False, True, True]
    assert [report.seq for moment in reports for report in moment] == [0, 0, 1, 1, 2, 2]


def test_reading_changes_no_bit_of_the_network() -> None:
    read, unread = two_cells(), two_cells()
    steps(read, 1000)
    for until_ms in range(TICK_MS, 1001, TICK_MS):
        unread.advance(until_ms * MS)
    for one, two in zip(read.engine.links, unread.engine.links, strict=True):
        assert one.tobytes() == two.tobytes()


def test_a_fork_goes_on_with_filters_of_its_own() -> None:
    world = two_cells()
    steps(world, 300)
    twin = world.fork()
    mine = steps(world, 600)
    assert [[encode(r) for r in moment] for moment in steps(twin, 600)] == [
        [encode(r) for r in moment] for moment in mine
    ]


# -- steps and ranges of TS 38.133 --------------------------------------------------------------------------------


def rows_of(**state: list[float]) -> Rows:
    arrays = {
        f"measured_{name}": np.array(column, np.float32).astype(float) for name, column in state.items()
    }
    n = len(next(iter(arrays.values())))
    return Rows(counts=np.zeros((n, 0), np.int64), slots=1, slot_ms=0.5, n_prb=51, state=arrays)  # type: ignore[arg-type]  # because the keys are made here


# Table 10.1.6.1-1: RSRP_0 below -156, RSRP_1 from -156 to below -155, …, RSRP_126 from -31 on. Table 10.1.11.1-1: RSRQ_0
# below -43, RSRQ_1 from -43 to below -42.5, …, RSRQ_127 from 20 on. Table 10.1.16.1-1: SINR_0 below -23, …, SINR_127 from 40 on.
@pytest.mark.parametrize(
    ("name", "state", "measured", "reported"),
    [
        ("RSRP", "rsrp_dbm", [-200, -156.01, -156, -155.01, -155], [-156, -156, -156, -156, -155]),
        ("RSRP", "rsrp_dbm", [-90.01, -90, -89.01, -32.01, -31.01, -31, -10], [-91, -90, -90, -33, -32, -31, -31]),
        ("RSRQ", "rsrq_db", [-60, -43, -42.51, -42.5, -10.79], [-43, -43, -43, -42.5, -11]),
        ("RSRQ", "rsrq_db", [19.49, 19.5, 19.99, 20, 30], [19, 19.5, 19.5, 20, 20]),
        ("SINR", "sinr_db", [-40, -23, -22.51, -22.5, -0.01, 0], [-23, -23, -23, -22.5, -0.5, 0]),
        ("SINR", "sinr_db", [39.49, 39.5, 40, 55], [39, 39.5, 40, 40]),
    ],
)  # fmt: skip
def test_a_measurement_has_the_steps_and_the_range_of_its_table(
    name: str, state: str, measured: list[float], reported: list[float]
) -> None:
    column = kpm.LEVELS["ue_cell"][name](rows_of(**{state: measured}))
    assert kpm.in_steps(name, column).tolist() == reported


@pytest.mark.parametrize(
    ("name", "limits", "step", "n"),
    [
        ("RSRP", layer1.RSRP_RANGE_DBM, 1.0, 126),
        ("RSRQ", layer1.RSRQ_RANGE_DB, 0.5, 127),
        ("SINR", layer1.SINR_RANGE_DB, 0.5, 127),
    ],
)
def test_there_are_as_many_steps_as_reported_values(
    name: str, limits: tuple[float, float], step: float, n: int
) -> None:
    """RSRP_1 to RSRP_126, RSRQ_1 to RSRQ_127, SINR_1 to SINR_127; number 0 shares the lowest value with number 1."""
    fine = np.arange(limits[0], limits[1] + step / 8, step / 8)
    assert len(np.unique(kpm.in_steps(name, fine))) == n


def test_reports_are_in_steps_unless_the_scenario_shows_exact_values() -> None:
    exact, stepped = (two_cells(reports={"rounding": rounding}) for rounding in (False, True))
    for one, two in zip(steps(exact, 500)[-1], steps(stepped, 500)[-1], strict=True):
        assert one.measured_cell.tolist() == two.measured_cell.tolist()  # ranked before they are rounded
        for name, step in (("RSRP", 1.0), ("RSRQ", 0.5), ("SINR", 0.5)):
            assert two[name].tolist() == (np.floor(one[name] / step) * step).tolist()
            assert not np.array_equal(one[name], two[name])


# -- reports and handovers ----------------------------------------------------------------------------------------


def test_event_a3_decides_by_what_is_reported() -> None:
    """A3 worked out from the reports alone, tick by tick, says which UE is handed over when, and where to.

    Mn + Ocn - Hys > Mp + Ocp + Off on the tick that it begins and on two more (TTT of 100 ms), then 50 ms of preparation.
    A report of a tick leaves at the end of the tick's 50 ms.
    """
    world = two_cells(handover={"ttt_ms": 100.0, "preparation_ms": 50.0, "execution_ms": 40.0, **NO_FAILURE})
    world.engine.set_cio(1, 2.0)
    held: dict[int, int] = {}
    expected: dict[int, list[int]] = {}  # UE -> ticks on which its command is sent
    commanded: dict[int, list[int]] = {}
    engine, before = world.engine, np.full(12, -1)
    for tick, reports in enumerate(steps_with_cells(world, 20_000, before)):
        moved, moment = reports
        for ue in moved:
            commanded.setdefault(ue, []).append(tick)
        rsrp = values(moment, "RSRP")
        here = {ue for ue, _ in rsrp}
        held = {ue: n for ue, n in held.items() if ue in here}
        for report in moment:
            for ue, rows in report.by_ue():
                serving, other = report.measured_cell[rows].tolist()
                ocp, ocn = engine.cells.cio_db[serving], engine.cells.cio_db[other]
                if np.float32(rsrp[ue, other]) + ocn > np.float32(rsrp[ue, serving]) + ocp + 3.0:
                    held[ue] = held.get(ue, -1) + 1
                    if held[ue] == 2:
                        expected.setdefault(ue, []).append(tick + 1)
                else:
                    held.pop(ue, None)
    assert sum(map(len, commanded.values())) >= 5
    assert commanded == expected


def steps_with_cells(
    world: SimWorld, until_ms: float, before: np.ndarray[Any, Any]
) -> list[tuple[list[int], list[Report]]]:
    """Per tick: the UEs that a command was sent to on it, and the reports about it."""
    out = []
    ues, handover = world.engine.ues, world.engine._network.radio.handover
    for until in range(TICK_MS, int(until_ms) + 1, TICK_MS):
        (reports,) = steps(world, until)
        moved = (handover.phase == EXECUTING) & (before != ues.cell) & (before >= 0)
        out.append((ues.id[moved].tolist(), reports))
        before[:] = ues.cell
    return out


# -- neighbour relations and the map ------------------------------------------------------------------------------


def test_every_other_cell_is_a_neighbour_the_nearest_first_and_any_handover_is_allowed() -> None:
    world = SimWorld(load_scenario("seven-sites"), seed=1)
    tables: Mapping[int, Any] = {}
    for catalogue in world.catalogues:
        assert set(catalogue.neighbours) == set(catalogue.cells)
        assert decode_catalogue(encode(catalogue)) == catalogue
        tables = {**tables, **catalogue.neighbours}
    for cell, relations in tables.items():
        assert sorted([cell, *(relation.cell for relation in relations)]) == list(range(21))
        assert {relation.cell // 3 for relation in relations[:2]} == {cell // 3}  # its own site's
        assert all(relation.is_ho_allowed for relation in relations)
        assert all(relation.name == f"site{relation.cell // 3}/{relation.cell % 3}" for relation in relations)


def test_neighbours_are_near_by_the_places_of_the_catalogue() -> None:
    layout = {"positions_m": [[0, 0], [900, 0], [200, 0], [0, 500]], "sectors": 1}
    world = two_cells(layout=layout)
    order = [relation.cell for relation in world.catalogues[0].neighbours[0]]
    assert order == [2, 3, 1]


def test_under_wrap_around_all_sites_of_seven_are_equally_near() -> None:
    world = SimWorld(load_scenario("seven-sites"), seed=1)
    relations = world.catalogues[1].neighbours[3]
    assert [relation.cell for relation in relations[2:]] == [0, 1, 2, *range(6, 21)]


def test_a_map_with_links_can_be_drawn_from_catalogues_and_reports_alone() -> None:
    """Each UE at its place, a line to each cell that it measures, an arrow per sector: no line ends nowhere, and the cell that a UE
    without walls and shadows hears best is the nearest on the map."""
    world = two_cells(
        radio={"shadowing": False, "k_interferers": 1, "indoor_share": 0.0, "line_of_sight": "always"},
        handover={"l3_filter_k": 0},
        mobility={"speeds_kmh": (3.0,), "speed_shares": (1.0,)},
    )
    asked = wanted(world, "ue", "ue_cell", names=NAMES | {"X.UE.PosX", "X.UE.PosY"})
    world.advance(TICK_MS * MS)
    reports = world.reports(asked)
    places = {cell: place for c in world.catalogues for cell, place in c.geometry.items()}
    names = {cell: name for c in world.catalogues for cell, name in c.cells.items()}
    at = {
        ue: (x_m, y_m)
        for r in reports
        if r.level == "ue"
        for ue, x_m, y_m in zip(r.ue.tolist(), r["X.UE.PosX"].tolist(), r["X.UE.PosY"].tolist(), strict=True)
    }
    lines = 0
    for report in (r for r in reports if r.level == "ue_cell"):
        assert report.names_of("measured_cell").tolist() == [
            names[cell] for cell in report.measured_cell.tolist()
        ]
        for ue, rows in report.by_ue():
            cells = report.measured_cell[rows].tolist()
            distance_m = {c: math.dist(at[ue], (places[c].x_m, places[c].y_m)) for c in cells}
            if abs(distance_m[0] - distance_m[1]) > 40.0 and min(distance_m.values()) > 60.0:
                best = cells[int(np.argmax(report["RSRP"][rows]))]
                assert best == min(distance_m, key=lambda c: distance_m[c])
                lines += len(cells)
    assert lines >= 8
