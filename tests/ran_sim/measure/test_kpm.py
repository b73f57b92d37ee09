"""KPM columns against figures worked out by hand from made-up counters."""

from __future__ import annotations

import numpy as np
import pytest

from ran_sim.core import counters as count
from ran_sim.core.state import F64
from ran_sim.measure import kpm
from ran_sim.measure.kpm import Rows, StateName

SLOTS = 200  # 100 ms of 0.5 ms slots
N_PRB = 51


def one_row(state: dict[StateName, F64] | None = None, **counts: int) -> Rows:
    """A single row with the named counters, all others 0."""
    row = np.zeros((1, count.N), np.int64)
    for name, value in counts.items():
        row[0, count.NAMES.index(name)] = value
    awake: dict[StateName, F64] = {"active_share": np.ones(1)}
    return Rows(counts=row, slots=SLOTS, slot_ms=0.5, n_prb=N_PRB, state=awake | (state or {}))


def value(name: str, rows: Rows, level: str = "ue") -> float:
    return float(kpm.LEVELS[level][name](rows)[0])


def test_throughput_is_volume_over_time_of_bursts() -> None:
    # 25 000 byte = 200 000 bit in 40 slots of 0.5 ms = 20 ms: 10 000 kbit/s.
    assert value("DRB.UEThpDl", one_row(thp_bytes=25_000, thp_slots=40)) == 10_000.0


def test_throughput_of_two_ues_is_a_ratio_of_sums() -> None:
    # 10 Mbit/s for 20 ms and 1 Mbit/s for 80 ms: (200 + 80) kbit / 100 ms = 2800 kbit/s; the mean of ratios is 5500.
    assert value("DRB.UEThpDl", one_row(thp_bytes=25_000 + 10_000, thp_slots=40 + 160), "cell") == 2800.0


def test_unrestricted_share_counts_against_all_measured_volume() -> None:
    assert value("DRB.UEUnresVolDl", one_row(unrestricted_bytes=300, thp_bytes=900)) == 25.0


def test_sdu_delay_is_in_tenths_of_a_millisecond() -> None:
    # 10 SDUs x 7 slots x 0.5 ms = 3.5 ms each.
    assert value("DRB.RlcSduDelayDl", one_row(sdus_sent=10, sdu_wait_slots=70)) == 35.0


def test_time_over_the_air_is_a_mean_over_delivered_sdus() -> None:
    # 8 SDUs at once, each one slot, and 2 after one retransmission, nine slots: 26 slots x 0.5 ms / 10 = 1.3 ms.
    rows = one_row(sdus_delivered=10, sdu_air_slots=8 * 1 + 2 * 9, sdus_sent=40)
    assert value("DRB.AirIfDelayDl", rows) == pytest.approx(13.0)


def test_drop_rate_is_in_millionths_and_ends_at_all() -> None:
    assert value("DRB.RlcPacketDropRateDl", one_row(sdus_dropped=2, sdus_offered=80)) == 25_000.0
    # What arrived in an earlier period can be dropped in this one.
    assert value("DRB.RlcPacketDropRateDl", one_row(sdus_dropped=2, sdus_offered=1)) == 1e6


def test_volumes_are_in_kbit_of_1000_bit() -> None:
    rows = one_row({"backlog_bytes": np.array([500.0])}, delivered_bytes=125_000, offered_bytes=250_000)
    assert value("DRB.RlcSduTransmittedVolumeDL", rows) == pytest.approx(1000.0)
    assert value("X.DRB.OfferedVolDl", rows) == pytest.approx(2000.0)
    assert value("X.DRB.BufferedVolDl", rows) == pytest.approx(4.0)


def test_prbs_used_is_a_mean_per_slot_and_its_share_a_percentage_of_the_carrier() -> None:
    rows = one_row(prb_used=SLOTS * 17)
    assert value("RRU.PrbUsedDl", rows) == 17.0
    assert value("RRU.PrbTotDl", rows) == pytest.approx(100.0 / 3.0)
    assert value("RRU.PrbAvailDl", rows, "cell") == N_PRB


def test_ue_counts_are_means_over_slots() -> None:
    rows = one_row(connected_slots=SLOTS * 3, active_slots=SLOTS // 2)
    assert value("RRC.ConnMean", rows, "cell") == 3.0
    assert value("DRB.MeanActiveUeDl", rows, "cell") == 0.5


def test_budget_misses_are_late_and_dropped_packets() -> None:
    rows = one_row(packets_in_budget=6, packets_late=1, packets_dropped=3, packets_offered=40)
    assert value("X.DRB.BudgetMissRateDl", rows) == 0.4


def test_link_adaptation_columns_are_means_per_transmission_and_per_prb() -> None:
    rows = one_row(mcs_sum=150, tb_initial=10, delivered_bytes=1000, prb_used=20)
    assert value("X.UE.MeanMcsDl", rows) == 15.0
    assert value("X.UE.SpectralEffDl", rows) == 400.0


@pytest.mark.parametrize(
    ("name", "counter"),
    [
        ("TB.TotNbrDl", "tb_total"),
        ("TB.ErrTotNbrDl", "tb_errors"),
        ("TB.TotNbrDlInitial", "tb_initial"),
        ("TB.IntialErrNbrDl", "tb_initial_errors"),
        ("TB.ResidualErrNbrDl", "tb_lost"),
    ],
)
def test_transport_block_counts_are_passed_on(name: str, counter: str) -> None:
    assert value(name, one_row({}, **{counter: 7})) == 7.0


@pytest.mark.parametrize(
    "name",
    [
        "DRB.UEThpDl",
        "DRB.UEUnresVolDl",
        "DRB.AirIfDelayDl",
        "DRB.RlcSduDelayDl",
        "DRB.RlcPacketDropRateDl",
        "X.DRB.BudgetMissRateDl",
        "X.UE.MeanMcsDl",
        "X.UE.SpectralEffDl",
    ],
)
def test_a_ratio_with_nothing_below_has_no_value(name: str) -> None:
    assert np.isnan(value(name, one_row()))


@pytest.mark.parametrize(
    "name", ["DRB.RlcSduTransmittedVolumeDL", "X.DRB.OfferedVolDl", "RRU.PrbUsedDl", "TB.TotNbrDl"]
)
def test_a_count_of_nothing_is_zero(name: str) -> None:
    assert value(name, one_row()) == 0.0


def test_packets_of_classes_without_a_budget_have_no_outcome() -> None:
    counts = np.full((2, 3, count.N), 5, np.int64)  # [n_cell, n_class, N]
    kpm.drop_outcomes_without_budget(counts, np.array([True, False, True]))
    outcomes = [count.PACKETS_IN_BUDGET, count.PACKETS_LATE, count.PACKETS_DROPPED]
    assert not counts[:, 1, outcomes].any()
    others = np.setdiff1d(np.arange(count.N), outcomes)
    assert (counts[:, 1, others] == 5).all()
    assert (counts[:, [0, 2]] == 5).all()


def test_used_prb_share_is_rounded_down_and_other_counts_to_the_nearest() -> None:
    # TS 28.552 5.1.1.2.1 takes the floor.
    assert kpm.rounded("RRU.PrbTotDl", np.array([57.99, 58.0])).tolist() == [57.0, 58.0]
    assert kpm.rounded("RRU.PrbUsedDl", np.array([17.6, 17.4])).tolist() == [18.0, 17.0]


def test_a_lost_command_is_state_2_whether_it_was_sent_or_not() -> None:
    state: dict[StateName, F64] = {"commands_lost": np.array([2.0]), "preparations_lost": np.array([3.0])}
    assert value("X.MM.HoCommandLost", one_row(state), "cell") == 5.0


def test_a_whole_share_does_not_lose_a_percent_to_the_last_bit() -> None:
    # 29 of 100 PRBs: 29 x (100 / 100) is exact, but 0.29 x 100 = 28.999... in float64.
    assert kpm.rounded("RRU.PrbTotDl", np.array([0.29 * 100.0])).tolist() == [29.0]


def test_no_value_stays_no_value_when_rounded() -> None:
    assert np.isnan(kpm.rounded("CQI", np.array([np.nan]))).all()
