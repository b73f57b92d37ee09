"""The simulator as RAN nodes: what reports say about the engine, and what actions do to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ran_sim.bridge import SimWorld, open_world
from ran_sim.core import counters as count
from ran_sim.energy.power import DEEP_SLEEP
from ran_sim.scenario import Scenario, load_scenario
from ranloop.errors import NodeError, VocabularyError
from ranloop.guard import ActionRight, AuditLog, Guard, Rights
from ranloop.vocabulary import (
    ACTIONS,
    ID_COLUMNS,
    Handover,
    Level,
    SetCellOffset,
    SetCellState,
    SetClassWeight,
    SetOllaTarget,
    SetSliceQuota,
    SetTxPower,
    SetUeWeight,
    measurement,
)
from ranloop.wire.codec import decode_report, encode
from ranloop.wire.messages import FOR_EVER_NS, MAX_ID, ActionBatch, Cause, Report

MS = 1_000_000
ALWAYS: Mapping[str, Any] = {"idle_s": 0.0, "session_s": (600.0, 600.0)}  # in session for the whole run
FULL_BUFFER = {"name": "full", "five_qi": 9, "model": "full-buffer", "ues": 1, **ALWAYS}
VOICE = {"name": "voice", "five_qi": 1, "model": "video", "ues": 1, "rate_mbps": 0.024, "fps": 50.0, **ALWAYS}
FILES = {
    "name": "files", "five_qi": 9, "model": "poisson-file", "ues": 4, "rate_mbps": 2.0, "file_kb": 100.0, **ALWAYS,
}  # fmt: skip
GAMING = {
    "name": "gaming", "five_qi": 3, "model": "xr", "ues": 4, "rate_mbps": 8.0, "fps": 60.0, "jitter_ms": 2.0,
    "slice": "1-000002", **ALWAYS,
}  # fmt: skip


def small_world(*traffic: Mapping[str, Any], seed: int = 1, sectors: int = 1, **sections: Any) -> SimWorld:
    """One site, exact values."""
    scenario = {
        "name": "small",
        "traffic": traffic,
        "layout": {"sites": 1, "sectors": sectors},
        "radio": {"k_interferers": sectors - 1},
        "reports": {"rounding": False},
        **sections,
    }
    return SimWorld(Scenario.model_validate(scenario), seed)


def everything(world: SimWorld) -> dict[tuple[str, str, int], frozenset[str]]:
    return {
        (catalogue.node, level, period_ms): frozenset(names)
        for catalogue in world.catalogues
        for level, names in catalogue.measurements.items()
        for period_ms in catalogue.periods_ms
    }


def run_to(world: SimWorld, until_ms: float) -> list[Report]:
    """All reports that leave by `until_ms`."""
    out: list[Report] = []
    while world.now_ns < until_ms * MS:
        world.advance(int(until_ms * MS))
        out += world.reports(everything(world))
    return out


def pick(reports: Sequence[Report], level: Level, period_ms: int = 100) -> list[Report]:
    return [r for r in reports if r.level == level and r.period_ms == period_ms]


def last(world: SimWorld, until_ms: float, level: Level, period_ms: int = 100) -> Report:
    return pick(run_to(world, until_ms), level, period_ms)[-1]


# -- what the nodes offer -----------------------------------------------------------------------------------------


def test_seven_sites_are_seven_nodes_of_three_cells() -> None:
    catalogues = open_world("seven-sites").catalogues
    assert [c.node for c in catalogues] == [f"site{i}" for i in range(7)]
    assert catalogues[2].cells == {6: "site2/0", 7: "site2/1", 8: "site2/2"}
    assert catalogues[0].slices == {0: "1-000001", 1: "1-000002"}
    assert catalogues[0].periods_ms == (100, 1000)
    assert catalogues[0].control_delay_ms == 10.0


def test_catalogue_offers_only_what_the_vocabulary_has_at_that_level() -> None:
    catalogue = open_world("one-cell").catalogues[0]
    assert set(catalogue.measurements) == {"cell", "ue", "slice", "qos_flow", "ue_cell"}
    for level, names in catalogue.measurements.items():
        assert all(level in measurement(name).levels for name in names)
    assert set(catalogue.actions) <= set(ACTIONS)


@pytest.mark.parametrize(
    ("target", "overrides", "seed", "hint"),
    [
        ("no-such", {}, 1, "one-cell"),
        ("one-cell", {"run.duration_s": -1}, 1, "run.duration_s"),
        ("one-cell", {}, -1, "seed"),
    ],
)
def test_a_world_that_cannot_be_opened_is_one_line_of_advice(
    target: str, overrides: dict[str, object], seed: int, hint: str
) -> None:
    with pytest.raises(NodeError, match=hint) as caught:
        open_world(target, seed=seed, overrides=overrides)
    assert "\n" not in str(caught.value)


def test_a_measurement_that_is_not_offered_is_refused() -> None:
    world = small_world(VOICE)
    world.advance(100 * MS)
    with pytest.raises(NodeError, match=r"RACH\.PreambleDedCell"):
        world.reports({("site0", "cell", 100): frozenset({"RACH.PreambleDedCell"})})


# -- when and what reports are ------------------------------------------------------------------------------------


def test_periods_end_where_they_should_and_are_reported_once() -> None:
    world = small_world(VOICE)
    assert world.next_report_ns() == 100 * MS
    world.advance(60 * MS)
    assert (world.now_ns, world.reports(everything(world))) == (60 * MS, [])
    world.advance(900 * MS)
    assert world.now_ns == 100 * MS
    first = world.reports(everything(world))
    assert [(r.seq, r.ran_time_ns, r.period_ms) for r in first] == [(0, 100 * MS, 100)] * 5
    assert world.reports(everything(world)) == []
    assert world.next_report_ns() == 200 * MS
    second = pick(run_to(world, 1000), "cell", 1000)
    assert [(r.seq, r.ran_time_ns) for r in second] == [(0, 1000 * MS)]


def test_reports_that_nobody_asked_for_are_gone() -> None:
    world = small_world(VOICE)
    world.advance(100 * MS)
    world.advance(200 * MS)
    assert {r.seq for r in world.reports(everything(world))} == {1}


def test_world_ends_after_its_duration() -> None:
    world = small_world(VOICE, run={"duration_s": 0.25, "warmup_s": 0.0})
    assert world.end_ns == 250 * MS
    run_to(world, 200)
    world.advance(10**12)
    assert world.now_ns == 250 * MS


def test_a_world_that_is_asked_to_last_longer_goes_on_as_if_its_scenario_had_said_so() -> None:
    short, long = (small_world(VOICE, run={"duration_s": s, "warmup_s": 0.0}) for s in (0.25, 0.75))
    assert short.last_until(200 * MS) == 200 * MS
    assert short.end_ns == 250 * MS  # asked for less it still lasts as long as it would
    run_to(short, 200)
    assert short.last_until(750 * MS) == short.end_ns == 750 * MS
    run_to(long, 200)
    later, planned = run_to(short, 700), run_to(long, 700)
    assert [report.ran_time_ns // MS for report in later][-1] == 700
    assert [encode(report) for report in later] == [encode(report) for report in planned]


def test_a_world_without_an_end_reports_the_same_and_gathers_no_ended_sessions() -> None:
    voice = {**VOICE, "session_s": [0.2, 0.4], "idle_s": 0.1}
    endless, bounded = (small_world(voice, run={"duration_s": 0.5, "warmup_s": 0.0}) for _ in range(2))
    endless.last_until(FOR_EVER_NS)
    bounded.last_until(3000 * MS)
    said = [[encode(report) for report in run_to(world, 3000)] for world in (endless, bounded)]
    assert said[0] == said[1]
    rows, ran = endless.engine.sessions(), bounded.engine.sessions()
    runs_on = ran["end_slot"] == bounded.engine.slot
    assert (~runs_on).sum() > runs_on.sum()
    assert np.array_equal(rows, ran[runs_on])


def test_delayed_reports_leave_later_and_say_the_same() -> None:
    prompt = small_world(FILES)
    late = small_world(FILES, reports={"rounding": False, "delay_ms": 130.0})
    of_prompt = run_to(prompt, 500)
    assert late.next_report_ns() == 230 * MS
    late.advance(230 * MS)
    first = late.reports(everything(late))
    assert {r.ran_time_ns for r in first} == {100 * MS}
    of_late = first + run_to(late, 630)
    assert len(of_late) == len(of_prompt) == 5 * 5
    for a, b in zip(of_prompt, of_late, strict=True):
        assert (a.seq, a.ran_time_ns, a.level) == (b.seq, b.ran_time_ns, b.level)
        if a.level == "ue_cell":
            continue  # UEs begin to measure when the first of these reports leaves, see `test_ue_cells`
        np.testing.assert_array_equal(a.block, b.block)


def test_only_what_is_wanted_is_computed_and_each_node_gets_its_own_columns() -> None:
    world = open_world("seven-sites")
    world.advance(100 * MS)
    wanted = {
        ("site1", "ue", 100): frozenset({"CQI", "DRB.UEThpDl"}),
        ("site4", "ue", 100): frozenset({"RSRP"}),
        ("site4", "cell", 1000): frozenset({"RRU.PrbTotDl"}),
    }
    one, four = world.reports(wanted)
    assert (one.node, one.names, four.node, four.names) == (
        "site1",
        ("DRB.UEThpDl", "CQI"),
        "site4",
        ("RSRP",),
    )
    assert one.block.shape[1] == 4
    assert (four["RSRP"] < -40).all()


def test_each_connected_ue_is_in_the_report_of_its_node_sorted_by_id() -> None:
    world = open_world("seven-sites", seed=3)
    world.advance(100 * MS)
    reports = world.reports(everything(world))
    ues = world.engine.ues
    found = set()
    for report in pick(reports, "ue"):
        assert report.ids == ID_COLUMNS["ue"]
        assert (np.diff(report.ue) > 0).all()
        catalogue = next(c for c in world.catalogues if c.node == report.node)
        assert set(report.cell.tolist()) <= set(catalogue.cells)
        assert report.labels["cell"] == catalogue.cells
        assert report.labels["ue"] == {ue: f"ue-{ue:06d}" for ue in report.ue.tolist()}
        found |= set(zip(report.ue.tolist(), report.cell.tolist(), strict=True))
    u = np.flatnonzero(ues.connected)
    assert found == set(zip(ues.id[u].tolist(), ues.cell[u].tolist(), strict=True))


def test_reports_survive_the_wire() -> None:
    world = small_world(FILES, GAMING)
    world.advance(100 * MS)
    for report in world.reports(everything(world)):
        back = decode_report(encode(report))
        np.testing.assert_array_equal(back.block, report.block)
        assert back.labels == report.labels


# -- whether the numbers are true ---------------------------------------------------------------------------------


def test_throughput_of_a_lone_full_buffer_ue_is_what_it_was_delivered_per_time() -> None:
    report = last(small_world(FULL_BUFFER), 2000, "ue", 1000)
    # The burst never ends, so its time is the whole second. A block counts as sent in the one and as delivered in the
    # other, with 8 slots between: at the edges of 2000 slots they differ by some blocks, below 1 %.
    assert report["DRB.UEThpDl"][0] == pytest.approx(report["DRB.RlcSduTransmittedVolumeDL"][0], rel=0.01)
    assert report["DRB.UEThpDl"][0] > 1000
    assert report["X.UE.SpectralEffDl"][0] == pytest.approx(
        1000 * report["DRB.RlcSduTransmittedVolumeDL"][0] / (2000 * report["RRU.PrbUsedDl"][0]), rel=1e-5
    )


def test_used_prb_share_is_used_over_available() -> None:
    report = last(small_world(FILES, GAMING), 1000, "cell", 1000)
    used, available = report["RRU.PrbUsedDl"], report["RRU.PrbAvailDl"]
    assert available.tolist() == [51.0]
    assert 0 < used[0] <= 51
    np.testing.assert_allclose(report["RRU.PrbTotDl"], 100 * used / available, rtol=1e-6)


def test_a_frame_that_meets_nobody_goes_out_in_the_slot_after_it_came() -> None:
    report = last(small_world(VOICE), 1000, "ue", 1000)
    assert report["DRB.RlcSduDelayDl"][0] == 0.0
    assert report["X.DRB.BudgetMissRateDl"][0] == 0.0
    assert report["DRB.UEUnresVolDl"][0] == 100.0


def test_reports_know_the_air_interface_as_the_world_is() -> None:
    quiet = {"radio.measurement_error_db": 0.0, "handover.l3_filter_k": 0}
    reports = run_to(open_world("seven-sites", seed=3, overrides=quiet), 1000)

    def columns(level: Level, *names: str) -> NDArray[np.float64]:
        """Of all nodes in the last period, rows with all values only."""
        rows = np.concatenate(
            [np.stack([r[name] for name in names]) for r in pick(reports, level)[-7:]], axis=1
        )
        return rows[:, ~np.isnan(rows).any(axis=0)].astype(np.float64)

    rsrp, l1_rsrp, sinr, rsrq = columns("ue", "RSRP", "L1M.DL-SS-RSRP", "L1M.DL-SS-SINR", "RSRQ")
    assert len(rsrp) > 20
    # Layer 3 does not filter here, and a UE moves at most 1.7 m from one of the two ticks to the next.
    assert np.median(np.abs(rsrp - l1_rsrp)) < 0.5
    # At full load RSSI is 12 resource elements of signal and interference, which is 1 + 1 / SINR of the signal.
    assert (rsrq >= -10 * np.log10(12 * (1 + 10 ** (-sinr / 10))) - 1.5).all()
    (air,) = columns("ue", "DRB.AirIfDelayDl")
    assert air.min() == 5.0  # one slot of 0.5 ms
    assert np.median(air) < 45.0  # most blocks need no retransmission, eight slots later
    peak_dbm, setting_dbm = columns("cell", "CARR.MaxTxPwr", "X.Cell.TxPower")
    assert (peak_dbm <= setting_dbm + 1e-4).all()
    assert (peak_dbm >= setting_dbm + 10 * np.log10(20 / 51) - 1e-4).all()  # an SSB of 20 PRBs at least


def test_a_map_can_be_drawn_of_the_cells_in_the_catalogues_and_the_ues_in_the_reports() -> None:
    """Without wrap-around a UE's distance to its site is that of the two places."""
    layout = {"positions_m": [[0.0, 0.0], [300.0, -400.0]], "sectors": 3, "bs_height_m": 31.0}
    world = small_world({**FULL_BUFFER, "ues": 6}, layout=layout, sectors=3)
    reports = pick(run_to(world, 100), "ue")
    geometry = {cell: place for catalogue in world.catalogues for cell, place in catalogue.geometry.items()}
    assert [(place.site, place.x_m, place.y_m) for place in geometry.values()] == [
        *[("site0", 0.0, 0.0)] * 3, *[("site1", 300.0, -400.0)] * 3
    ]  # fmt: skip
    assert [place.azimuth_deg for place in geometry.values()] == pytest.approx([30, 150, 270] * 2)
    assert {place.height_m for place in geometry.values()} == {31.0}
    ues = world.engine.ues
    for report in reports:
        u = report.ue % world.engine.n_ue
        assert report["X.UE.PosX"].tolist() == ues.x_m[u].astype(np.float32).tolist()
        assert report["X.UE.PosY"].tolist() == ues.y_m[u].astype(np.float32).tolist()
    assert sum(map(len, reports)) == 6


def test_a_cell_without_sectors_has_no_direction() -> None:
    (catalogue,) = small_world(FULL_BUFFER).catalogues
    assert [place.azimuth_deg for place in catalogue.geometry.values()] == [None]


def test_sdus_of_a_file_wait_for_those_before_them() -> None:
    world = small_world({**FILES, "ues": 1})
    report = last(world, 4000, "ue", 1000)
    # 67 SDUs of a file leave evenly over the time that DRB.UEThpDl says it takes: each waits half of it on average.
    half_ms = 0.5 * 800.0 / report["DRB.UEThpDl"][0] * 1e3
    assert report["DRB.RlcSduDelayDl"][0] / 10 == pytest.approx(half_ms, rel=0.25)


def test_drop_rate_counts_what_was_discarded_unsent() -> None:
    world = small_world({**GAMING, "ues": 8, "rate_mbps": 60.0})
    report = last(world, 1000, "cell", 1000)
    snapshot = world.engine.snapshot()
    counts = snapshot.cell_class[0, 0]
    assert report["DRB.RlcPacketDropRateDl"][0] == pytest.approx(
        1e6 * counts[count.SDUS_DROPPED] / counts[count.SDUS_OFFERED], rel=1e-6
    )
    # Each SDU was sent, dropped, cut by the discard of its packet's rest, or waits.
    open_sdus = counts[count.SDUS_OFFERED] - counts[count.SDUS_SENT] - counts[count.SDUS_DROPPED]
    waiting = snapshot.backlog_bytes.sum() / count.SDU_BYTES
    assert waiting - 8 <= open_sdus <= waiting + 8 + counts[count.PACKETS_DROPPED]
    assert 0.2 < counts[count.SDUS_DROPPED] / counts[count.SDUS_OFFERED] < 0.95
    assert report["X.DRB.BudgetMissRateDl"][0] > 0.2


def test_no_bit_is_lost_between_offer_and_delivery() -> None:
    world = small_world(FILES)
    run_to(world, 3000)
    report = last(world, 4000, "cell", 1000)
    snapshot = world.engine.snapshot()
    counts = snapshot.cell_class.sum(axis=(0, 1))
    in_harq = (
        counts[count.OFFERED_BYTES]
        - counts[count.DELIVERED_BYTES]
        - counts[count.DROPPED_BYTES]
        - snapshot.backlog_bytes.sum()
    )
    assert 0 <= in_harq < 200_000
    assert report["X.DRB.BufferedVolDl"][0] == pytest.approx(snapshot.backlog_bytes.sum() * 8e-3)


SUMS = (
    "RRU.PrbUsedDl", "DRB.RlcSduTransmittedVolumeDL", "X.DRB.OfferedVolDl", "X.DRB.BufferedVolDl",
)  # fmt: skip
TB_SUMS = ("TB.TotNbrDl", "TB.ErrTotNbrDl", "TB.TotNbrDlInitial", "TB.IntialErrNbrDl", "TB.ResidualErrNbrDl")


def test_sums_over_ues_flows_and_slices_are_the_cells() -> None:
    world = small_world({**FILES, "ues": 9}, {**GAMING, "ues": 9, "rate_mbps": 40.0}, VOICE, sectors=3)
    world.advance(100 * MS)
    cell, ue, part, flow, _ = world.reports(everything(world))
    assert (len(cell), len(ue), len(part), len(flow)) == (3, 19, 3 * 2, 19)
    for row, c in enumerate(cell.cell.tolist()):
        for name in SUMS:
            for other in (ue, part, flow):
                assert other[name][other.cell == c].sum() == pytest.approx(cell[name][row], rel=1e-5)
        for name in TB_SUMS:
            assert ue[name][ue.cell == c].sum() == cell[name][row]
        for slice_id in (0, 1):
            flows, slices = ((r.cell == c) & (r.slice == slice_id) for r in (flow, part))
            for name in SUMS:
                assert flow[name][flows].sum() == pytest.approx(part[name][slices].sum(), rel=1e-5)
    assert (cell["TB.TotNbrDl"] > 0).all()
    assert np.count_nonzero(part["X.DRB.BufferedVolDl"]) >= 3
    assert sorted(flow.five_qi[flow.slice == 1].tolist()) == [3] * 9


def test_ten_reports_of_100_ms_add_up_to_one_of_1_s() -> None:
    reports = run_to(small_world(FILES, GAMING), 2000)
    second = [r for r in reports if r.ran_time_ns > 1000 * MS]
    levels: tuple[Level, ...] = ("cell", "ue", "slice")
    for level in levels:
        for name in SUMS[1:3] + (TB_SUMS if level != "slice" else ()):
            short = np.array([r[name] for r in pick(second, level, 100)]).sum(axis=0)
            assert short.tolist() == pytest.approx(pick(second, level, 1000)[0][name].tolist(), rel=1e-5)
    prbs = np.mean([r["RRU.PrbUsedDl"] for r in pick(second, "ue", 100)], axis=0)
    np.testing.assert_allclose(prbs, pick(second, "ue", 1000)[0]["RRU.PrbUsedDl"], rtol=1e-5)


def test_rounded_reports_differ_from_exact_ones_by_less_than_a_unit() -> None:
    exact = last(small_world(FILES, GAMING), 300, "cell")
    whole = last(small_world(FILES, GAMING, reports={"rounding": True}), 300, "cell")
    for name in exact.names:
        if measurement(name).integer:
            assert whole[name][0] == np.floor(whole[name][0])
            assert abs(whole[name][0] - exact[name][0]) < 1
        else:
            np.testing.assert_array_equal(whole[name], exact[name])
    assert whole["RRU.PrbTotDl"][0] == np.floor(exact["RRU.PrbTotDl"][0])


# -- when there is no value ---------------------------------------------------------------------------------------


def test_cqi_has_no_value_before_the_first_report_and_four_bits_after() -> None:
    world = small_world(
        FILES,
        radio={"k_interferers": 0, "cqi_period_ms": 20.0, "cqi_delay_ms": 20.0},
        reports={"periods_ms": (10,)},
    )
    first, *_, later = pick(run_to(world, 100), "ue", 10)
    assert np.isnan(first["CQI"]).all()
    assert ((later["CQI"] >= 0) & (later["CQI"] <= 15)).all()
    assert (later["CQI"] == np.rint(later["CQI"])).all()


def test_budget_columns_have_no_value_for_best_effort() -> None:
    world = small_world({**FILES, "ues": 2, "rate_mbps": 8.0}, {**GAMING, "ues": 2})
    report = last(world, 1000, "qos_flow", 1000)
    assert (world.engine.snapshot().ue[:2, count.PACKETS_IN_BUDGET] > 0).all()
    best_effort = report.five_qi == 9
    assert np.isnan(report["X.DRB.RadioBudgetDl"][best_effort]).all()
    assert np.isnan(report["X.DRB.BudgetMissRateDl"][best_effort]).all()
    # TS 23.501 Table 5.7.4-1: 5QI 3 has 50 ms, 20 ms of them in the core.
    assert report["X.DRB.RadioBudgetDl"][~best_effort].tolist() == [30.0, 30.0]
    assert np.isfinite(report["X.DRB.BudgetMissRateDl"][~best_effort]).all()


def test_an_idle_flow_has_counts_of_zero_and_no_delay_throughput_or_head_of_line() -> None:
    seldom = {**FILES, "rate_mbps": 0.000_1, "ues": 1}  # one file of 100 kB in 8000 s
    report = last(small_world(seldom), 100, "ue")
    for name in (
        "DRB.UEThpDl",
        "DRB.RlcSduDelayDl",
        "DRB.RlcPacketDropRateDl",
        "X.DRB.HolDelayDl",
        "X.UE.MeanMcsDl",
    ):
        assert np.isnan(report[name]).all()
    for name in ("DRB.RlcSduTransmittedVolumeDL", "RRU.PrbUsedDl", "TB.TotNbrDl", "X.DRB.BufferedVolDl"):
        assert report[name].tolist() == [0.0]


# -- actions ------------------------------------------------------------------------------------------------------


def test_a_ue_weight_moves_prbs_from_the_next_slot_on() -> None:
    world, twin = (small_world({**FULL_BUFFER, "ues": 4}) for _ in range(2))
    for each in (world, twin):
        run_to(each, 400)
    before = world.engine.snapshot()

    def used_in_the_next_slot(each: SimWorld) -> NDArray[np.int64]:
        each.advance(each.now_ns + each.slot_ns)
        return each.engine.snapshot().since(before).ue[:, count.PRB_USED]

    without = used_in_the_next_slot(twin)
    u = int(np.argmin(without))
    applied = world.apply("site0", SetUeWeight(ue=[int(world.engine.ues.id[u])], weight=[100.0]))
    assert applied.tolist() == [[100.0]]
    assert used_in_the_next_slot(world)[u] > without[u]
    report = last(world, 500, "ue")
    assert report["X.UE.Weight"].tolist() == [100.0 if i == u else 1.0 for i in range(4)]
    assert report["RRU.PrbTotDl"][u] > 80


def test_settings_answer_with_the_values_in_force() -> None:
    world = small_world(VOICE, {**FILES, "ues": 2}, sectors=3)
    run_to(world, 100)
    ue = int(world.engine.ues.id[0])
    assert world.apply("site0", SetOllaTarget(ue=[ue], bler_target=[0.25])).tolist() == [[0.25]]
    assert world.apply("site0", SetCellOffset(cell=[0, 2], cio_db=[3.0, -3.0])).tolist() == [[3.0], [-3.0]]
    assert world.apply("site0", SetTxPower(cell=[1], tx_power_dbm=[40.0])).tolist() == [[40.0]]
    applied = world.apply("site0", SetClassWeight(cell=[1, 1], five_qi=[9, 2], weight=[5.0, 5.0]))
    np.testing.assert_array_equal(applied, [[5.0], [np.nan]])  # nobody has 5QI 2 here
    reports = run_to(world, 200)
    cell, report = pick(reports, "cell")[0], pick(reports, "ue")[0]
    assert cell["X.Cell.Offset"].tolist() == [3.0, 0.0, -3.0]
    assert cell["X.Cell.TxPower"].tolist() == [44.0, 40.0, 44.0]
    assert report["X.UE.OllaTarget"][report.ue == ue].tolist() == [0.25]


PCT = ("min_pct", "max_pct", "dedicated_pct")
QUOTAS = ("X.Slice.MinQuota", "X.Slice.MaxQuota", "X.Slice.DedicatedQuota")


def test_slice_quotas_move_prbs_and_stand_in_the_report() -> None:
    world = small_world(
        {**FULL_BUFFER, "ues": 3}, {**FULL_BUFFER, "name": "other", "ues": 3, "slice": "1-000002"}
    )
    run_to(world, 200)
    for first, second in ((60.0, 40.0), (40.0, 60.0)):
        both = SetSliceQuota(cell=0, slice=[0, 1], min_pct=[first, second], max_pct=100, dedicated_pct=0)
        assert world.apply("site0", both).tolist() == [[first, 100.0, 0.0], [second, 100.0, 0.0]]
        start = world.now_ns / MS
        run_to(world, start + 100)
        report = last(world, start + 600, "slice")
        assert report["RRU.PrbUsedDl"] == pytest.approx([0.51 * first, 0.51 * second], rel=0.05)
        assert [report[name].tolist() for name in QUOTAS] == [[first, second], [100.0] * 2, [0.0] * 2]
    capped = SetSliceQuota(cell=0, slice=[0], min_pct=0, max_pct=20, dedicated_pct=0)
    assert world.apply("site0", capped).tolist() == [[0.0, 20.0, 0.0]]
    assert last(world, 2000, "slice")["RRU.PrbUsedDl"] == pytest.approx([0.2 * 51, 0.8 * 51], rel=0.05)


def test_quotas_that_contradict_those_in_force_change_nothing_and_the_answer_says_so() -> None:
    world = small_world(VOICE, GAMING, sectors=3, slices={"1-000001": {"min_pct": 70.0}})
    world.advance(10 * MS)
    rows = SetSliceQuota(
        cell=[1, 2, 7, 1], slice=[1, 1, 1, 5], min_pct=[40, 30, 30, 30], max_pct=90, dedicated_pct=0
    )
    applied = world.apply("site0", rows)
    np.testing.assert_array_equal(applied, [[0, 100, 0], [30, 90, 0], [np.nan] * 3, [np.nan] * 3])
    # No value: what the scenario says.
    back = world.apply("site0", SetSliceQuota(cell=2, slice=[0, 1], **dict.fromkeys(PCT, np.nan)))
    assert back.tolist() == [[70, 100, 0], [0, 100, 0]]


def test_quotas_that_go_back_one_after_the_other_end_at_the_configuration() -> None:
    half = {"min_pct": 50.0}
    world = small_world(VOICE, GAMING, slices={"1-000001": half, "1-000002": half})
    assert world.catalogues[0].slice_min_pct == {0: 50.0, 1: 50.0}

    def back(slice_id: int) -> SetSliceQuota:
        return SetSliceQuota(cell=0, slice=slice_id, **dict.fromkeys(PCT, np.nan))

    def minima(of: SimWorld) -> list[float]:
        return [float(pct) for pct in of.engine.slice_quota_pct[0, 0]]

    world.apply("site0", SetSliceQuota(cell=0, slice=[0, 1], min_pct=[30, 70], max_pct=90, dedicated_pct=0))
    # 50 beside the 70 that is still held does not fit: it waits ...
    assert world.apply("site0", back(0)).tolist() == [[30, 90, 0]]
    twin = world.fork()
    # ... until the other one goes back, too, or makes room.
    assert world.apply("site0", back(1)).tolist() == [[50, 100, 0]]
    assert minima(world) == [50.0, 50.0]
    twin.apply("site0", SetSliceQuota(cell=0, slice=1, min_pct=45, max_pct=90, dedicated_pct=0))
    assert minima(twin) == [50.0, 45.0]
    # Who sets it again holds it again.
    world.apply("site0", SetSliceQuota(cell=0, slice=[0, 1], min_pct=[30, 70], max_pct=90, dedicated_pct=0))
    world.apply("site0", SetSliceQuota(cell=0, slice=1, min_pct=20, max_pct=90, dedicated_pct=0))
    assert minima(world) == [30.0, 20.0]


def test_leases_that_lapse_one_after_the_other_leave_the_configured_quotas() -> None:
    half = {"min_pct": 50.0}
    world = small_world(VOICE, GAMING, slices={"1-000001": half, "1-000002": half})
    guard = Guard(world.catalogues[0], control_delay_ns=10 * MS, slot_ns=world.slot_ns, audit=AuditLog())
    guard.register("a", Rights(actions=(ActionRight(name="SetSliceQuota"),)))
    for slice_id, (min_pct, lease_ms) in enumerate([(30, 600), (70, 800)]):
        quota = SetSliceQuota(cell=0, slice=slice_id, min_pct=min_pct, max_pct=100, dedicated_pct=0)
        batch = ActionBatch(
            id=str(slice_id),
            xapp="a",
            node="site0",
            seq=slice_id,
            action=quota,
            valid_until_ns=20 * MS,
            lease_ms=lease_ms,
        )
        assert guard.submit(batch, sender="a", now_ns=0) is None
    in_force = {}
    while (event_ns := guard.next_event_ns()) < FOR_EVER_NS:
        run_to(world, event_ns / MS)
        for change in guard.due(world.now_ns):
            guard.settle(change, world.apply("site0", change.action), world.now_ns)
        in_force[world.now_ns // MS] = world.engine.slice_quota_pct[0, 0].tolist()
    assert in_force == {10: [30, 70], 610: [30, 70], 810: [50, 50]}


def test_no_value_for_a_parameter_goes_back_to_the_node_s_own() -> None:
    scheduler = {"class_weight": {"9": 2.0}}
    world = small_world(FILES, scheduler=scheduler, layout={"sites": 1, "sectors": 1, "tx_power_dbm": 40.0})
    run_to(world, 100)
    ue = int(world.engine.ues.id[0])
    world.apply("site0", SetTxPower(cell=[0], tx_power_dbm=[30.0]))
    assert world.apply("site0", SetTxPower(cell=[0], tx_power_dbm=[np.nan])).tolist() == [[40.0]]
    assert world.engine.cells.tx_power_dbm.tolist() == [40.0]
    world.apply("site0", SetClassWeight(cell=[0], five_qi=[9], weight=[7.0]))
    assert world.apply("site0", SetClassWeight(cell=[0], five_qi=[9], weight=[np.nan])).tolist() == [[2.0]]
    assert world.apply("site0", SetUeWeight(ue=[ue], weight=[np.nan])).tolist() == [[1.0]]


def test_targets_elsewhere_are_left_alone_and_have_no_value() -> None:
    world = open_world("seven-sites")
    run_to(world, 100)
    ues, site = world.engine.ues, world.engine.cells.site
    u = np.flatnonzero(ues.connected)
    here, there = u[site[ues.cell[u]] == 0][0], u[site[ues.cell[u]] == 1][0]
    never = 2**23
    applied = world.apply(
        "site0", SetUeWeight(ue=[*ues.id[[here, there]].tolist(), never], weight=[2.0, 2.0, 2.0])
    )
    np.testing.assert_array_equal(applied, [[2.0], [np.nan], [np.nan]])
    assert (ues.weight[here], ues.weight[there]) == (2.0, 1.0)
    np.testing.assert_array_equal(
        world.apply("site0", SetCellOffset(cell=[0, 3, 99], cio_db=1.0)), [[1.0], [np.nan], [np.nan]]
    )
    asked = np.array([ues.id[here], ues.id[there], never, np.nan], np.float32)
    assert world.hosts("site0", "ue", asked).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert world.hosts("site1", "cell", np.array([2, 3, 5, 6], np.float32)).tolist() == [0.0, 1.0, 1.0, 0.0]
    assert world.hosts("site1", "five_qi", np.array([9, 4], np.float32)).tolist() == [1.0, 0.0]
    assert world.hosts("site1", "slice", np.array([1, 2], np.float32)).tolist() == [1.0, 0.0]
    with pytest.raises(VocabularyError, match="bearer"):
        world.hosts("site1", "bearer", asked)


def test_a_handover_to_another_node_takes_the_ue_along_and_counts_it_from_then() -> None:
    world = open_world("seven-sites", overrides={"reports.rounding": False})
    run_to(world, 100)
    before = world.engine.snapshot()
    run_to(world, 160)
    ues, site = world.engine.ues, world.engine.cells.site
    offered_bytes = world.engine.snapshot().since(before).ue[:, count.OFFERED_BYTES]
    rsrp_dbm = world.engine.links.rsrp_l3_dbm
    reachable = np.where(site != 0, rsrp_dbm, -np.inf).max(axis=1) > rsrp_dbm.max(axis=1) - 6.0
    # The busiest UE of site0 that can receive another site.
    u = int(np.argmax(np.where((site[ues.cell] == 0) & reachable, offered_bytes, -1)))
    assert offered_bytes[u] > 0
    ue = int(ues.id[u])
    assert np.isnan(world.apply("site0", Handover(ue=[ue], target_cell=[21]))).all()  # cells are 0..20
    source = int(ues.cell[u])
    target = int(np.argmax(np.where(site != 0, world.engine.links.rsrp_l3_dbm[u], -np.inf)))
    applied = world.apply("site0", Handover(ue=[ue], target_cell=[target]))
    assert applied.tolist() == [[float(ues.cell[u])]]
    moved_to = f"site{site[ues.cell[u]]}"
    assert world.hosts("site0", "ue", np.array([ue], np.float32)).tolist() == [float(moved_to == "site0")]
    at_arrival = world.engine.snapshot().ue[u]
    reports = run_to(world, 200)
    rows = [(r.node, r["X.DRB.OfferedVolDl"][r.ue == ue]) for r in pick(reports, "ue") if ue in r.ue]
    offered = world.engine.snapshot().ue[u, count.OFFERED_BYTES] - at_arrival[count.OFFERED_BYTES]
    assert [(node, value.tolist()) for node, value in rows] == [(moved_to, [np.float32(offered * 8e-3)])]
    cells = next(r for r in pick(reports, "cell") if r.node == "site0")
    assert cells["MM.HoExeIntraFreqReq"][cells.cell == source].tolist() == [1.0]


@pytest.fixture(scope="module")
def settled_world() -> SimWorld:
    world = open_world("seven-sites")
    run_to(world, 100)
    return world


def linked_ue(world: SimWorld) -> int:
    """Slot of a UE of site0 that a command reaches, at a cell of site0 that it hears almost as well."""
    ues, handover = world.engine.ues, world.engine._network.radio.handover
    fit = (
        (ues.connected > 0)
        & (world.engine.cells.site[ues.cell] == 0)
        & (handover.phase == 0)
        & (handover.t310_end < 0)
    )
    return int(np.flatnonzero(fit)[0])


def test_a_second_handover_while_the_first_is_under_way_is_refused_and_says_so(
    settled_world: SimWorld,
) -> None:
    world = settled_world.fork()
    u = linked_ue(world)
    ue, source = int(world.engine.ues.id[u]), int(world.engine.ues.cell[u])
    first, second = (cell for cell in range(3) if cell != source)
    assert world.apply("site0", Handover(ue=[ue], target_cell=[first])).tolist() == [[float(first)]]
    again = Handover(ue=[ue], target_cell=[second])
    assert world.why_not("site0", again) == {
        0: f"its handover from cell {source} to cell {first} is under way"
    }
    assert np.isnan(world.apply("site0", again)).all()
    assert world.engine.ues.cell[u] == first


def test_a_handover_that_cannot_be_says_what_is_wrong(settled_world: SimWorld) -> None:
    world = settled_world.fork()
    u = linked_ue(world)
    ue, source = int(world.engine.ues.id[u]), int(world.engine.ues.cell[u])
    asleep = next(cell for cell in range(3, 21) if cell != source)
    world.apply(f"site{asleep // 3}", SetCellState(cell=[asleep], state=[DEEP_SLEEP]))
    said = {
        99: "there is no cell 99; cells are 0 to 20",
        source: f"cell {source} serves it already",
        asleep: f"cell {asleep} sleeps",
    }
    for target, why in said.items():
        action = Handover(ue=[ue, 2**23], target_cell=[target, target])
        assert world.why_not("site0", action) == {
            0: why
        }  # of UE 2**23 there is only to say that it is not here
        assert np.isnan(world.apply("site0", action)).all()


def test_what_is_refused_and_what_is_told_are_the_same(settled_world: SimWorld) -> None:
    """Every UE towards every cell, while some sleep, some search and some are being handed over."""
    world = settled_world.fork()
    world.apply("site1", SetCellState(cell=[3, 4, 5], state=DEEP_SLEEP))
    run_to(world, 1400)
    u = linked_ue(world)
    world.engine.request_handover(u, (int(world.engine.ues.cell[u]) + 1) % 3)
    reasons = set()
    for u in np.flatnonzero(world.engine.ues.connected).tolist():
        for cell in (0, 3, 20, int(world.engine.ues.cell[u])):
            why = world.engine.why_no_handover(u, cell)
            reasons.add(why.split(" ")[0])
            assert world.engine.fork().request_handover(u, cell) == (why == "")
    assert {"", "cell", "its"} <= reasons


def test_the_xapp_hears_the_reason_of_the_node(settled_world: SimWorld) -> None:
    world = settled_world.fork()
    u = linked_ue(world)
    guard = Guard(world.catalogues[0], control_delay_ns=10 * MS, slot_ns=world.slot_ns, audit=AuditLog())
    guard.register("a", Rights(actions=(ActionRight(name="Handover"),)))
    batch = ActionBatch(
        id="1",
        xapp="a",
        node="site0",
        seq=1,
        action=Handover(ue=[int(world.engine.ues.id[u])], target_cell=[99]),
        valid_until_ns=world.now_ns + 1_000 * MS,
    )
    guard.submit(batch, sender="a", now_ns=world.now_ns)
    run_to(world, 120)
    (change,) = guard.due(world.now_ns)
    reasons = world.why_not("site0", change.action)
    (result,) = guard.settle(change, world.apply("site0", change.action), world.now_ns, reasons)
    assert result.causes[1] == (Cause.NODE, "there is no cell 99; cells are 0 to 20")


def test_ids_of_ues_begin_again_before_they_no_longer_fit_and_still_name_one_ue_each() -> None:
    """Two UEs have sessions of 0.2 s: ids are 2 x session + UE row, of 2**23 sessions each. It starts with the last two."""
    short = VOICE | {"ues": 2, "session_s": (0.2, 0.2), "idle_s": 0.0}
    world = small_world(short)
    world.engine._network.radio.sessions.number[:] = 2**23 - 2
    reports = pick(run_to(world, 1000), "ue")
    seen = [report.ue.tolist() for report in reports if len(report.ue)]
    last = max(at for at, ues in enumerate(seen) if max(ues) >= 2**24 - 4)
    ues = list(dict.fromkeys(ue for one in seen for ue in one))
    assert ues[:2] == [2**24 - 4, 2**24 - 3]
    assert {0, 1} <= set(ues)  # then the first ids again
    assert max(ues) < MAX_ID
    assert len(seen) > last + 1
    for ue in seen[-1]:  # the UEs of now can be acted on, those of before are not here
        assert world.apply("site0", SetUeWeight(ue=[ue], weight=2.0)).tolist() == [[2.0]]
    gone = np.array(ues[:2], np.float32)
    assert world.hosts("site0", "ue", gone).tolist() == [0.0, 0.0]
    assert [decode_report(encode(report)).ue.tolist() for report in reports] == [
        r.ue.tolist() for r in reports
    ]


def test_ids_that_begin_again_stay_those_of_their_ue_rows_where_2_to_the_24_is_no_multiple_of_them() -> None:
    """Three UEs: ids are 3 x session + UE row, of 2**24 // 3 = 5,592,405 sessions each, so 2**24 - 1 is none."""
    short = VOICE | {"ues": 3, "session_s": (0.2, 0.2), "idle_s": 0.0}
    world = small_world(short)
    world.engine._network.radio.sessions.number[:] = 5_592_405 - 2
    seen = [report.ue.tolist() for report in pick(run_to(world, 1000), "ue") if len(report.ue)]
    ues = list(dict.fromkeys(ue for one in seen for ue in one))
    assert {2**24 - 4, 2**24 - 3, 2**24 - 2, 0, 1, 2} <= set(
        ues
    )  # the last session of each, and its first ids again
    assert max(ues) == 2**24 - 2
    for ue in seen[-1]:
        assert world.apply("site0", SetUeWeight(ue=[ue], weight=2.0)).tolist() == [[2.0]]


def test_an_action_that_the_node_does_not_take_is_refused() -> None:
    class NobodysOffset(SetCellOffset):
        """The node takes all that the vocabulary has, and no type beside it."""

    world = small_world(VOICE)
    assert set(world.catalogues[0].actions) == set(ACTIONS)
    with pytest.raises(NodeError, match="site0 takes no SetCellOffset"):
        world.apply("site0", NobodysOffset(cell=[0], cio_db=[0.0]))
    with pytest.raises(NodeError, match="site9"):
        world.apply("site9", SetCellOffset(cell=[0], cio_db=[0.0]))


# -- copies -------------------------------------------------------------------------------------------------------


def test_a_fork_in_the_middle_of_a_period_sends_the_reports_of_the_unbroken_run() -> None:
    def open_it() -> SimWorld:
        world = open_world("seven-sites", overrides={"reports.delay_ms": 30.0})
        run_to(world, 1020.0)  # reports of the period that ended at 1 s are on their way
        world.apply("site0", SetCellOffset(cell=[0], cio_db=[6.0]))
        world.apply("site0", Handover(ue=[int(world.engine.ues.id[0])], target_cell=[20]))
        return world

    unbroken, origin = open_it(), open_it()
    fork = origin.fork()
    expected = [encode(report) for report in run_to(unbroken, 2100.0)]
    for world in (fork, origin):  # one after the other: neither disturbs the other
        assert [encode(report) for report in run_to(world, 2100.0)] == expected
    assert len(expected) > 300


def test_actions_on_a_fork_stay_there() -> None:
    world = open_world("one-cell")
    fork = world.fork()
    fork.apply("site0", SetCellOffset(cell=[0], cio_db=[6.0]))
    assert (world.engine.cells.cio_db[0], fork.engine.cells.cio_db[0]) == (0.0, 6.0)


def test_a_world_that_ends_within_its_warm_up_has_no_score() -> None:
    world = SimWorld(load_scenario("one-cell").with_overrides({"run.duration_s": 0.1, "run.warmup_s": 0.1}))
    nothing_counts = r"one-cell: ends at 0.1 s, within its warm-up of 0.1 s, [^\n]*$"
    world.score()  # so far
    with pytest.raises(NodeError, match=nothing_counts):
        world.kpis()  # known before hours are run
    while world.now_ns < world.end_ns:
        world.advance(world.end_ns)
    with pytest.raises(NodeError, match=nothing_counts):
        world.score()


def test_a_plug_in_whose_answer_is_none_ends_the_world_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "loss.py").write_text(
        "def broken(d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, f_ghz: float, sight: float) -> float:\n"
        "    return float('nan')\n"
    )
    world = open_world("one-cell", overrides={"layout.path_loss": f"{tmp_path / 'loss.py'}:broken"})
    with pytest.raises(
        NodeError, match=r"^one-cell: .*broken\(.*\) gives a path loss of nan dB, want [^\n]*$"
    ):
        world.advance(world.next_report_ns())
