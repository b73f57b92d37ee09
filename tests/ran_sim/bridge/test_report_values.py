"""Reports of the simulated nodes: whether their numbers are those of the engine, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ran_sim.bridge import open_world
from ran_sim.core import counters as count
from ranloop.vocabulary import Level, measurement
from tests.ran_sim.bridge.worlds import (
    FILES,
    FULL_BUFFER,
    GAMING,
    MS,
    VOICE,
    everything,
    last,
    pick,
    run_to,
    small_world,
)


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
    assert {place.beam_width_deg for place in geometry.values()} == {65.0}  # TR 38.901 Table 7.3-1
    ues = world.engine.ues
    for report in reports:
        u = report.ue % world.engine.n_ue
        assert report["X.UE.PosX"].tolist() == ues.x_m[u].astype(np.float32).tolist()
        assert report["X.UE.PosY"].tolist() == ues.y_m[u].astype(np.float32).tolist()
    assert sum(map(len, reports)) == 6


def test_a_cell_without_sectors_has_no_direction() -> None:
    (catalogue,) = small_world(FULL_BUFFER).catalogues
    assert [(p.azimuth_deg, p.beam_width_deg) for p in catalogue.geometry.values()] == [(None, None)]


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
