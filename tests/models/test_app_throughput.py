"""Training of the throughput forecast: days stay apart, time is counted in seconds, nothing looks ahead."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest

from models.app_throughput.drives import NAMES, Drive, simulate
from models.app_throughput.samples import FEATURES, MEASURED, THP, Samples, pair_up
from models.app_throughput.train import HORIZONS_S, MODELS, TIME_CONSTANTS_S, fit, measure, split_days, table
from ranloop.inference import load_card, load_model
from ranloop.testing import make_report
from ranloop.wire.messages import Report
from xapps.throughput_forecaster import policy

LABELS = [feature.label for feature in FEATURES]


def reported(seq: int, kbps: list[float], ue: list[int] | None = None, **columns: float) -> Report:
    usual = {name: np.full(len(kbps), columns.get(name, 1.0)) for name in MEASURED - {THP}}
    return make_report(
        {THP: kbps, **usual}, ids={"ue": ue or list(range(len(kbps)))}, period_ms=1000, seq=seq, node="phones"
    )


def paired(reports: list[Report]) -> Samples:
    return pair_up(reports, HORIZONS_S, TIME_CONSTANTS_S)


def column(samples: Samples, label: str) -> list[float]:
    found: list[float] = samples.inputs[:, LABELS.index(label)].tolist()
    return found


def test_every_third_day_is_held_out_and_the_logs_of_a_day_stay_together() -> None:
    days = [date(2019, 11, 21) + timedelta(days=k) for k in (9, 0, 0, 4, 30, 4, 12, 31)]
    train, held_out = split_days(days)
    # in order 0, 4, 9, 12, 30, 31 days after the first: the third and the sixth are held out
    assert [(day - min(days)).days for day in held_out] == [9, 31]
    assert sorted(train + held_out) == sorted(set(days))
    assert split_days(days[::-1]) == (train, held_out)
    with pytest.raises(ValueError, match="logs of 2 days; want 3"):
        split_days(days[:3])


def test_the_table_shows_what_the_xapp_found_and_a_dash_where_it_found_nothing() -> None:
    phone, scores = policy.Phone({1: 1.0, 5: 1.0}), policy.new_scores()
    for number, kbps in enumerate((1000.0, 3000.0)):
        phone.observe(policy.Second(number, kbps, True, False), {1: 500.0, 5: 0.0}, scores)
    found = policy.summary({"log": scores})["overall"]
    lines = table(found, found).splitlines()
    assert lines[2] == "1 s, all seconds | 1 | 1500 | 1500 | 2000 | 2000"
    assert lines[4] == "1 s, downloading | 0 | - | - | - | -"
    assert len(lines) == 2 + 2 * 3


def test_look_back_and_truth_count_seconds_across_a_gap() -> None:
    samples = paired([reported(seq, [kbps]) for seq, kbps in ((0, 10), (1, 20), (3, 40), (5, 60), (6, 70))])
    assert column(samples, THP) == [10, 20, 40, 60, 70]
    assert column(samples, f"{THP}[lag=1]") == [-1, 10, -1, -1, 60]
    assert column(samples, f"{THP}[lag=2]") == [-1, -1, 20, 40, -1]
    assert column(samples, f"{THP}[mean/3]") == [10, 15, 30, 50, 65]  # of the seconds that are there
    one, five = samples.truth_kbps.T
    np.testing.assert_array_equal(one, [20, np.nan, np.nan, 70, np.nan])
    np.testing.assert_array_equal(five, [60, 70, np.nan, np.nan, np.nan])


def test_the_features_of_a_second_do_not_depend_on_later_ones() -> None:
    history = [reported(seq, [100.0 * seq], CQI=float(seq)) for seq in range(8)]
    then = paired([*history, reported(8, [0.0])])
    else_ = paired([*history, reported(8, [9e5])])
    np.testing.assert_array_equal(then.inputs[:8], else_.inputs[:8])
    np.testing.assert_array_equal(then.ewma_kbps[:8], else_.ewma_kbps[:8])
    assert then.truth_kbps[7, 0] != else_.truth_kbps[7, 0]


def test_a_phone_keeps_its_history_when_rows_move() -> None:
    samples = paired([reported(0, [10, 1000], ue=[7, 3]), reported(1, [1100, 20, 5], ue=[3, 7, 9])])
    assert samples.truth_kbps[:2, 0].tolist() == [20, 1100]
    assert column(samples, f"{THP}[lag=1]")[2:] == [1000, 10, -1]


def test_a_second_without_a_throughput_gives_no_row() -> None:
    samples = paired([reported(0, [10.0]), reported(1, [math.nan]), reported(2, [30.0])])
    assert samples.now_kbps.tolist() == [10, 30]
    assert np.isnan(samples.truth_kbps).all()


def test_the_average_tuned_here_is_the_one_the_xapp_runs() -> None:
    series = [(0, 500.0), (1, 90.0), (4, 4000.0), (5, 0.0), (11, 250.0)]
    samples = paired([reported(seq, [kbps]) for seq, kbps in series])
    for place, time_constant_s in enumerate(TIME_CONSTANTS_S):
        average, last, expected = math.nan, 0, []
        for seq, kbps in series:
            average, last = policy.smoothed(average, kbps, seq - last, time_constant_s), seq
            expected.append(average)
        assert samples.ewma_kbps[:, place] == pytest.approx(expected, rel=1e-5)


def test_fitting_finds_what_the_channel_tells_and_how_long_to_average() -> None:
    # White noise around 5 Mbit/s that jumps where the CQI of the second before says so: averaging over long is best
    # of the rules, and only the model can see the jump coming.
    rng = np.random.default_rng(3)
    cqi = rng.integers(5, 15, 900)
    kbps = rng.uniform(4000, 6000, 900) + np.r_[0, 20000 * (cqi[:-1] == 14)]
    samples = paired([reported(seq, [kbps[seq]], CQI=float(cqi[seq])) for seq in range(900)])
    train, test = (Samples(*(part[rows] for part in samples)) for rows in (slice(0, 600), slice(600, 900)))
    model, ewma_s = fit(train, 0)
    found = measure(model, test, 0, ewma_s)
    assert ewma_s == max(TIME_CONSTANTS_S)
    # A uniform spread of 2000 has a mean distance of 500 from its median. Whoever does not see the CQI misses the jumps,
    # a tenth of the seconds: 0.1 x 20000. Persistence pays 2000 / 3, and each jump up and down: 2 x 0.1 x 0.9 x 20000.
    assert 500 <= found["mae_model_kbps"] < 2000 < found["mae_ewma_kbps"]
    assert found["mae_persistence_kbps"] == pytest.approx(2 * 0.1 * 0.9 * 20000 + 2000 / 3, rel=0.25)


@pytest.mark.parametrize("horizon", HORIZONS_S)
def test_a_shipped_model_takes_the_features_that_training_builds(horizon: int) -> None:
    folder = MODELS / f"app_throughput_{horizon}s"
    assert load_card(folder).features == FEATURES
    model = load_model(folder)
    idle = np.zeros((1, len(FEATURES)), np.float32)
    assert model.predict(idle).shape == (1,)


@pytest.fixture(scope="module")
def drive() -> list[Report]:
    return simulate(Drive(5950, 12))


def test_a_simulated_drive_reports_what_a_phone_would_log(drive: list[Report]) -> None:
    assert [report.seq for report in drive] == list(range(12))
    assert drive[0].names == NAMES
    assert not len(drive[0])  # nobody was there all through the first second: sessions begin with it
    rows = np.concatenate([report.block[:, 2:] for report in drive])
    kbps, rsrp_dbm, cqi, snr_db, speed_kmh, nr_mode, downloading = rows.T
    # 162 PRB x 12 subcarriers x 14 symbols x 2000 slots/s x 7.4063 bit (TS 38.214 Table 5.2.2.1-3, CQI 15)
    assert kbps.min() == 0  # a pause between files
    assert 50_000 < kbps.max() <= 162 * 12 * 14 * 2 * 7.4063
    assert set(speed_kmh.tolist()) <= {0, 3, 30, 60}
    assert set(nr_mode.tolist()) == {1}
    known = ~np.isnan(cqi)  # a phone that has just come has reported none
    assert set(cqi[known].tolist()) <= set(range(16))
    assert -156 <= rsrp_dbm.min() < rsrp_dbm.max() <= -31  # the range of reports, TS 38.133 Table 10.1.6.1-1
    assert -30 < snr_db.min() < snr_db.max() < 60  # far below Qout while a phone looks for a cell
    assert (downloading[kbps > 0] == 1).all()
    assert np.corrcoef(snr_db[known], cqi[known])[0, 1] > 0.8


def test_the_same_drive_comes_out_twice_and_another_seed_is_another_drive(drive: list[Report]) -> None:
    again, other = simulate(Drive(5950, 4)), simulate(Drive(5954, 4))
    for now, then in zip(drive, again, strict=False):
        np.testing.assert_array_equal(now.block, then.block)
    assert not np.array_equal(again[-1].block, other[-1].block)
