"""The gate of a cascade: its thresholds hold their promise on other rows, and the watch notices when they no longer do."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ranloop.errors import PlacementError
from ranloop.placement.gate import (
    MEAN_RUN,
    Calibration,
    Watch,
    confidence_of,
    read_calibration,
    write_calibration,
)

TWENTY = [k / 20 for k in range(1, 21)]  # 0.05, 0.10, ..., 1.00


def calibration(right: list[bool], agrees: list[bool] | None = None) -> Calibration:
    return Calibration(confidence=tuple(TWENTY), right=tuple(right), agrees=tuple(agrees or [True] * 20))


def test_the_threshold_of_an_offload_budget_is_an_order_statistic() -> None:
    """21 x 0.2 = 4.2: the 4th smallest of 20 is 0.20, and a new row is below it with probability 4/21 at most."""
    assert calibration([True] * 20).threshold_of_offload(0.2) == 0.20
    assert calibration([True] * 20).threshold_of_offload(0.01) == 0.0  # 21 x 0.01 < 1: nothing goes up


def test_the_threshold_of_wrong_rows_is_the_least_that_keeps_the_promise() -> None:
    """Wrong below 0.5 (nine rows). At most 3/20: (w + 1) / 21 <= 0.15, so w <= 2 wrong rows may stay: those of 0.40 and 0.45."""
    right = [confidence >= 0.5 for confidence in TWENTY]
    assert calibration(right).threshold_of_wrong_here(0.15) == 0.40


def test_a_promise_that_no_threshold_keeps_sends_all_rows_up() -> None:
    """(0 + 1) / 21 is more than 0.04."""
    assert calibration([True] * 20).threshold_of_wrong_here(0.04) > 1.0


def test_rows_of_one_confidence_stay_together() -> None:
    same = Calibration(confidence=(0.5,) * 20, right=(False,) * 10 + (True,) * 10, agrees=(True,) * 20)
    assert (
        same.threshold_of_wrong_here(0.3) > 1.0
    )  # ten of the twenty are wrong, and none can go without the others


def test_both_promises_hold_in_the_mean_on_rows_that_were_not_seen() -> None:
    """400 calibrations of 100 rows, each with 200 new rows of the same kind; four standard errors are allowed."""
    rng = np.random.default_rng(5)
    up, wrong = [], []
    for _ in range(400):
        confidence = rng.uniform(size=300)
        right = rng.uniform(size=300) < 0.5 + confidence / 2
        made = Calibration(
            confidence=tuple(confidence[:100]), right=tuple(right[:100].tolist()), agrees=(True,) * 100
        )
        new, new_right = confidence[100:], right[100:]
        up.append(np.mean(new < made.threshold_of_offload(0.2)))
        wrong.append(np.mean((new >= made.threshold_of_wrong_here(0.1)) & ~new_right))
    for shares, promised in ((up, 0.2), (wrong, 0.1)):
        error = np.std(shares) / np.sqrt(len(shares))
        assert promised - 0.02 < np.mean(shares) <= promised + 4 * error


def test_the_watch_stays_quiet_as_long_as_the_calibration_holds() -> None:
    """100,000 rows with the calibrated share: at most some 100 alarms of a watch that is begun anew after each."""
    rng = np.random.default_rng(6)
    n_alarms, watch = 0, Watch(0.1)
    for agrees in (rng.uniform(size=100_000) >= 0.1).reshape(-1, 10):
        watch.take(agrees)
        if watch.alarm:
            n_alarms, watch = n_alarms + 1, Watch(0.1)
    assert n_alarms <= 100_000 / MEAN_RUN


def test_the_watch_raises_its_alarm_when_the_models_disagree_three_times_as_often() -> None:
    """Bet for a share of 0.2 against 0.1: k = 1.11, gains of 2 and 0.889. At 0.3 the stake's logarithm grows by 0.125 a row.

    0.3 ln 2 + 0.7 ln 0.889 = 0.125; ln 1000 = 6.9 takes 55 rows in the mean. The allowance is for chance.
    """
    rng = np.random.default_rng(7)
    needed = []
    for _ in range(200):
        watch = Watch(0.1)
        while not watch.alarm and watch.n < 2000:
            watch.take(rng.uniform(size=1) >= 0.3)
        needed.append(watch.n)
    assert np.mean(needed) == pytest.approx(55, abs=15)
    assert max(needed) < 400


def test_a_calibration_comes_back_as_it_was_written(tmp_path: Path) -> None:
    right = [k % 3 > 0 for k in range(20)]
    write_calibration(tmp_path, confidence=TWENTY, right=right, agrees=right[::-1])
    assert read_calibration(tmp_path) == calibration(right, right[::-1])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "a cascade needs one"),
        ("{", "document: Invalid JSON"),
        (
            '{"confidence": [1], "right": [1], "agrees": [1]}',
            "confidence: Tuple should have at least 20 items",
        ),
        (
            f'{{"confidence": [{",".join(["1"] * 20)}], "right": [1], "agrees": [1]}}',
            r"have \(20, 1, 1\) rows; want as many in each",
        ),
    ],
)
def test_a_wrong_calibration_is_refused_in_one_line(tmp_path: Path, text: str | None, complaint: str) -> None:
    if text is not None:
        (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(PlacementError) as refused:
        read_calibration(tmp_path)
    assert re.search(complaint, str(refused.value))
    assert "\n" not in str(refused.value)


def test_confidence_is_the_probability_of_the_most_probable_class() -> None:
    outputs = np.array([[0.2, 0.7, 0.1], [np.nan] * 3], np.float32)
    assert confidence_of(outputs).tolist() == pytest.approx([0.7, 0.0])
