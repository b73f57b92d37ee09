"""Link model: tables and TBS against TS 38.214, error curves against published ones, EESM against its formula."""

import math

import numpy as np
import pytest

from ran_sim.calibration.link import PUBLISHED, WATERFALLS, Point
from ran_sim.link import adaptation as link
from ran_sim.link.adaptation import (
    MCS_TABLE_1,
    MCS_TABLE_2,
    bicm_capacity_bits,
    link_tables,
    transport_block_bits,
)

TABLES = link_tables(51)


@pytest.mark.parametrize(
    ("n_prb", "re_per_prb", "order", "rate", "layers", "bits"),
    [
        (273, 156, 8, 948 / 1024, 4, 1277992),
        (273, 126, 8, 948 / 1024, 4, 1016376),
        (106, 126, 6, 873 / 1024, 2, 135296),
        (52, 132, 4, 490 / 1024, 1, 13064),
        # By hand: 1 * 132 * 120/1024 * 2 = 30.94, step 8, quantised to 24, the smallest entry of the table.
        (1, 132, 2, 120 / 1024, 1, 24),
        # By hand, low rate: 51 * 132 * 0.2344 = 1577.8, step 2^(10-6) = 16, quantised to 1568, next entry 1608.
        (51, 132, 2, 120 / 1024, 1, 1608),
    ],
)
def test_transport_block_size_is_that_of_the_specification(
    n_prb: int, re_per_prb: int, order: int, rate: float, layers: int, bits: int
) -> None:
    assert transport_block_bits(n_prb, re_per_prb, order, rate, layers) == bits


def test_tables_have_the_specification_s_ends() -> None:
    assert len(MCS_TABLE_2) == 28
    assert len(link.SMALL_TBS_BITS) == 93
    assert TABLES.efficiency[[0, 27]] == pytest.approx([0.2344, 7.4063], abs=5e-5)
    assert TABLES.cqi_efficiency[[0, 1, 15]] == pytest.approx([0.0, 0.1523, 7.4063], abs=5e-5)
    assert (np.diff(TABLES.cqi_efficiency) > 0).all()


TABLES_1 = link_tables(51, 1)


def test_table_1_has_the_specification_s_efficiencies() -> None:
    # TS 38.214 Tables 5.1.3.1-1 and 5.2.2.1-2, last column. MCS 17 lies below MCS 16: 64QAM 438 against 16QAM 658.
    assert len(TABLES_1.efficiency) == len(TABLES_1.beta) == 29
    wanted = [0.2344, 1.3262, 1.3281, 2.5703, 2.5664, 5.5547]
    assert TABLES_1.efficiency[[0, 9, 10, 16, 17, 28]] == pytest.approx(wanted, abs=5e-5)
    assert TABLES_1.cqi_efficiency[[0, 1, 6, 9, 15]] == pytest.approx(
        [0, 0.1523, 1.1758, 2.4063, 5.5547], abs=5e-5
    )
    assert (np.diff(TABLES_1.cqi_efficiency) > 0).all()
    assert (np.diff(TABLES_1.cqi_t10_db) > 0).all()


def test_equal_modulation_and_rate_have_equal_figures_in_both_tables() -> None:
    # QPSK 120, 16QAM 490 and 64QAM 873: MCS 0, 13, 26 of table 1 and 0, 7, 19 of table 2.
    one, two = [0, 13, 26], [0, 7, 19]
    assert TABLES_1.t10_db[one].tolist() == TABLES.t10_db[two].tolist()
    assert TABLES_1.beta[one].tolist() == TABLES.beta[two].tolist()
    assert TABLES_1.tbs_bits[one].tolist() == TABLES.tbs_bits[two].tolist()


def test_highest_mcs_of_table_1_is_the_last_threshold_not_above() -> None:
    for snr_db in np.random.default_rng(3).uniform(-15, 30, 200):
        below = np.flatnonzero(TABLES_1.t10_db <= snr_db)
        assert link.highest_mcs(TABLES_1, snr_db) == (below[-1] if len(below) else 0)


def test_transport_blocks_grow_with_prbs_and_mcs() -> None:
    assert (np.diff(TABLES.tbs_bits[:, 1:], axis=1) >= 0).all()
    assert (np.diff(TABLES.tbs_bits[:, 1:], axis=0) >= 0).all()


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_bicm_capacity_agrees_with_simulated_bits(order: int) -> None:
    # Monte Carlo of the same definition: 1 - E[log2(1 + exp(-(2b-1) L))] per bit, L the exact bit-wise LLR.
    rng = np.random.default_rng(order)
    bits, snr_db, n = order // 2, 8.0, 60_000
    levels = np.arange(-(2**bits) + 1, 2**bits, 2) / math.sqrt((4**bits - 1) / 3)
    gray = np.arange(2**bits) ^ (np.arange(2**bits) >> 1)
    sent = rng.integers(0, 2**bits, n)
    sd = 10 ** (-snr_db / 20)
    received = levels[sent] + sd * rng.standard_normal(n)
    likelihood = np.exp(-((received[:, None] - levels) ** 2) / (2 * sd**2))
    information = 0.0
    for bit in range(bits):
        ones = (gray >> bit) & 1
        of_one, of_zero = likelihood[:, ones == 1].sum(axis=1), likelihood[:, ones == 0].sum(axis=1)
        right = np.where(ones[sent] == 1, of_one, of_zero)
        information += 1 + np.mean(np.log2(right / (of_one + of_zero)))
    assert bicm_capacity_bits(order, np.array([snr_db]))[0] == pytest.approx(2 * information, abs=0.03)


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_bicm_capacity_lies_between_nothing_and_shannon(order: int) -> None:
    snr_db = np.arange(-10.0, 40.0, 1.0)
    capacity = bicm_capacity_bits(order, snr_db)
    assert (np.diff(capacity) > -1e-9).all()
    assert capacity[-1] == pytest.approx(order, abs=1e-3)
    assert (capacity <= np.minimum(order, np.log2(1 + 10 ** (snr_db / 10))) + 1e-6).all()


@pytest.mark.parametrize("point", PUBLISHED, ids=lambda p: f"{p.order} bits {p.rate_x_1024:g}/1024")
def test_each_mcs_has_the_published_error_rate_within_0_3_db(point: Point) -> None:
    # The distances of all these points have an rms of 0.09 dB and 0.28 dB at most.
    assert point.ours_db == pytest.approx(point.snr_db, abs=0.3)


def test_published_curves_cover_each_modulation_and_rate_from_251_up() -> None:
    rows = {row for row in {*MCS_TABLE_1, *MCS_TABLE_2} if row not in {(2, 120), (2, 157), (2, 193)}}
    assert {(p.order, p.rate_x_1024) for p in PUBLISHED} == rows


def test_error_curves_lie_on_the_published_ones_on_average() -> None:
    assert np.mean([p.ours_db - p.snr_db for p in PUBLISHED]) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    ("left", "right"), WATERFALLS, ids=lambda p: f"{p.order} bits {p.rate_x_1024:g}/1024 {p.bits}"
)
def test_waterfall_is_as_wide_as_the_published_one(left: Point, right: Point) -> None:
    assert right.ours_db - left.ours_db == pytest.approx(right.snr_db - left.snr_db, rel=0.15)


def test_each_higher_mcs_and_cqi_needs_more_snr() -> None:
    # `highest_mcs` counts thresholds. From MCS 16 to 17 of table 1 the rate falls by 0.15 %, yet 64QAM needs more for it.
    for tables in (TABLES, TABLES_1):
        assert (np.diff(tables.t10_db) > 0.2).all()
        assert (np.diff(tables.cqi_t10_db) > 1.0).all()


def test_half_the_rate_of_the_mother_code_takes_half_the_snr() -> None:
    # Base graph 2 has 1/5; 1/10 sends each of its bits twice, and the decoder adds them up: 10 lg 2 = 3.01 dB.
    assert link.midpoint_db(2, 0.1) == pytest.approx(link.midpoint_db(2, 0.2) - 3.0103, abs=1e-4)
    assert link.waterfall_sd_db(2, 0.1, 500) == link.waterfall_sd_db(2, 0.2, 500)


def test_cqi_and_mcs_of_equal_modulation_and_rate_share_their_threshold() -> None:
    # CQI 15 and MCS 27 are both 256QAM 948/1024, CQI 2 and MCS 1 both QPSK 193/1024.
    assert TABLES.cqi_t10_db[15] == TABLES.t10_db[27]
    assert TABLES.cqi_t10_db[2] == TABLES.t10_db[1]


@pytest.mark.parametrize("mcs", [0, 4, 10, 19, 27])
def test_half_of_single_code_blocks_fail_at_the_midpoint(mcs: int) -> None:
    assert TABLES.blocks[mcs, 4] == 1
    assert link.block_error_rate(TABLES, TABLES.t50_db[mcs], mcs, 4) == pytest.approx(0.5, abs=1e-9)


def test_a_code_block_of_2000_bits_fails_at_ten_percent_at_its_threshold() -> None:
    # MCS 4 is QPSK 602/1024. 13 PRB: 13 * 132 * 2 * 602/1024 = 2017.6, step 16, 2016, next entry 2024, and 16 CRC bits.
    assert TABLES.tbs_bits[4, 13] + 16 == 2040
    assert link.block_error_rate(TABLES, TABLES.t10_db[4], 4, 13) == pytest.approx(0.1, abs=0.003)


def test_a_short_block_needs_more_snr_for_ten_percent() -> None:
    # One PRB at MCS 4: 155.2, step 8, 152 bits, and 16 CRC bits. Its curve is sqrt(2000 / 168) = 3.45 times as wide.
    extra_db = 2.45 * (TABLES.t10_db[4] - TABLES.t50_db[4])
    assert link.block_error_rate(TABLES, TABLES.t10_db[4], 4, 1) > 0.3
    assert link.block_error_rate(TABLES, TABLES.t10_db[4] + extra_db, 4, 1) == pytest.approx(0.1, abs=0.001)


def test_a_block_of_six_code_blocks_fails_when_any_of_them_does() -> None:
    # MCS 27 on 51 PRB: 50184 + 24 CRC bits, at most 8424 a code block: 6.
    assert TABLES.blocks[27, 51] == 6
    assert link.block_error_rate(TABLES, TABLES.t50_db[27], 27, 51) == pytest.approx(1 - 0.5**6, abs=1e-9)


def test_block_errors_fall_with_sinr_to_exactly_zero_and_one() -> None:
    rates = [link.block_error_rate(TABLES, float(snr), 10, 13) for snr in np.arange(-20, 40, 0.1)]
    assert (np.diff(rates) <= 0).all()
    assert (rates[0], rates[-1]) == (1.0, 0.0)


def test_effective_sinr_of_a_flat_channel_is_its_sinr() -> None:
    for sinr in (0.01, 3.0, 5000.0):
        assert link.effective_sinr(np.full(13, sinr, np.float32), 13, 1.6) == np.float32(sinr)


def test_effective_sinr_is_the_exponential_mean() -> None:
    rng = np.random.default_rng(1)
    for beta in (1.6, 6.5, 132.54):
        sinr = rng.exponential(beta, 13).astype(np.float32)
        expected = -beta * np.log(np.mean(np.exp(-sinr[:7].astype(float) / beta)))
        assert link.effective_sinr(sinr, 7, beta) == pytest.approx(expected, rel=1e-6)


def test_effective_sinr_survives_values_that_underflow_the_formula() -> None:
    # exp(-10^6 / 1.6) is 0 in double precision; the limit is min + beta ln n.
    sinr = np.array([1e6, 1e9], np.float32)
    assert link.effective_sinr(sinr, 2, 1.6) == pytest.approx(1e6 + 1.6 * math.log(2))


def test_powers_of_two_are_those_of_numpy_down_to_the_smallest_number() -> None:
    x = np.concatenate([np.linspace(-126, 0, 50_001), [-0.0, -1.0, -2.0]]).astype(np.float32)
    out = x.copy()
    link.exp2_into(out, x.size)
    # float32 has 24 bits; seven rounded steps of Horner's scheme keep 21 of them.
    assert out == pytest.approx(np.exp2(x.astype(float)), rel=5e-7)


def test_powers_below_the_smallest_number_are_as_good_as_zero() -> None:
    out = np.array([-127, -1e4, -1e30], np.float32)
    link.exp2_into(out, 2)
    assert out.tolist() == [2.0**-126, 2.0**-126, np.float32(-1e30)]  # what is beyond `n` stays


def test_highest_mcs_and_cqi_are_the_last_thresholds_not_above() -> None:
    for snr_db in np.random.default_rng(2).uniform(-15, 30, 200):
        mcs = max(np.searchsorted(TABLES.t10_db, snr_db, side="right") - 1, 0)
        assert link.highest_mcs(TABLES, snr_db) == mcs
        cqi = np.searchsorted(TABLES.cqi_t10_db[1:], snr_db, side="right")
        assert link.highest_cqi(TABLES, 10 ** (snr_db / 10)) == cqi
