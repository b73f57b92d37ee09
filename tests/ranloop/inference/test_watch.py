"""A model's inputs beside those of training: values outside are counted per feature, drift is the index of the card's bins."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from structlog.testing import capture_logs

from ranloop.inference import Card, Feature
from ranloop.inference.card import Output, Seen
from ranloop.inference.seen import with_seen
from ranloop.inference.watch import LEAST_ROWS, WINDOW, Watch, psi
from ranloop.wire.messages import F32

NAN = float("nan")
HALVES = Seen(low=0, high=2, edges=(1.0,), shares=(0.5, 0.5))


def card(*seen: Seen | None, steps: int = 0) -> Card:
    features = tuple(Feature(name=f"f{at}", unit="1", seen=each) for at, each in enumerate(seen))
    return Card(
        name="m",
        version="1",
        summary="",
        sha256="0" * 64,
        period_ms=100,
        features=features,
        steps=steps,
        outputs=(Output(name="y", unit="1"),),
    )


def matrix(*rows: object) -> F32:
    return np.array(rows, np.float32)


def test_values_below_and_above_training_are_counted_per_feature() -> None:
    watch = Watch(card(HALVES, None, Seen(low=-5, high=-1)))
    watch.take(matrix([0, 9, -5], [2, 9, -1]))  # the ends of the range were seen
    assert watch.outside.tolist() == [0, 0]
    watch.take(matrix([-0.1, 9, -5.1], [2.1, 9, 0], [3, 9, -2]))
    assert (watch.labels, watch.outside.tolist(), watch.n_values) == (("f0", "f2"), [3, 2], 5)
    assert watch.told()["f0"] == {"outside": 0.6}


def test_a_missing_value_is_not_outside() -> None:
    watch = Watch(card(HALVES))
    watch.take(matrix([NAN], [1]))
    assert watch.outside.tolist() == [0]


def test_each_step_of_a_sequence_is_looked_at() -> None:
    watch = Watch(card(HALVES, HALVES, steps=2))
    watch.take(np.array([[[1, 1], [9, 1]], [[1, 1], [1, 1]]], np.float32))
    assert (watch.outside.tolist(), watch.n_values) == ([1, 0], 4)


def test_fewer_rows_after_more_are_held_to_the_same_bounds() -> None:
    watch = Watch(card(HALVES))
    for rows in (7, 1, 3):
        watch.take(np.full((rows, 1), 5, np.float32))
    assert watch.outside.tolist() == [11]


def test_no_count_is_lost_over_many_calls_of_all_sizes() -> None:
    watch = Watch(card(HALVES))
    sizes = [3, 3, 1, 7] * 150 + [2] * 1000  # a row's own count would overflow after 255
    for n in sizes:
        watch.take(np.full((n, 1), 5, np.float32))
    assert (watch.outside.tolist(), watch.n_values) == ([sum(sizes)], sum(sizes))


def test_the_index_is_that_of_the_definition() -> None:
    # A quarter now below 1, half in training: (0.25 - 0.5) ln(0.25 / 0.5) + (0.75 - 0.5) ln(0.75 / 0.5).
    by_hand = -0.25 * log(0.5) + 0.25 * log(1.5)
    # No value is a third bin, empty both times.
    assert psi(HALVES, [0, 1, 1.5, 7]) == pytest.approx(by_hand)
    assert psi(HALVES, [0.5, 1.5]) == 0


def test_values_that_go_missing_are_drift() -> None:
    # Half of the values are gone: bins of 1/4, 1/4 and 1/2 against 1/2, 1/2 and none, which counts as 1e-4.
    by_hand = 2 * (0.25 - 0.5) * log(0.25 / 0.5) + (0.5 - 1e-4) * log(0.5 / 1e-4)
    assert psi(HALVES, [0, 1.5, NAN, NAN]) == pytest.approx(by_hand)


def test_the_deciles_of_training_are_shares_of_a_tenth() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(5000, 1)).astype(np.float32)
    (feature,) = with_seen([Feature(name="f0", unit="1")], rows)
    assert feature.seen is not None
    assert feature.seen.shares == pytest.approx((0.1,) * 10, abs=2e-3)
    assert (np.float32(feature.seen.low), np.float32(feature.seen.high)) == (rows.min(), rows.max())


def test_a_feature_of_few_values_has_few_bins() -> None:
    rows = np.array([[0, 7]] * 6 + [[1, 7]] * 4, np.float32)
    switch, constant = with_seen([Feature(name="f0", unit="1"), Feature(name="f1", unit="1")], rows)
    assert switch.seen == Seen(low=0, high=1, edges=(1.0,), shares=(0.6, 0.4))
    assert constant.seen == Seen(low=7, high=7)


def test_the_index_is_silent_before_it_has_rows_enough() -> None:
    watch = Watch(card(HALVES))
    for _ in range(8 * LEAST_ROWS - 1):  # every eighth call enters the window
        watch.take(matrix([1.5]))
    assert watch.psi() == {}
    watch.take(matrix([1.5]))
    assert list(watch.psi()) == ["f0"]


def test_drift_that_is_planted_is_found_and_none_is_found_without() -> None:
    rng = np.random.default_rng(5)

    def draw(shift: float, n: int = 100) -> F32:
        return np.asarray(rng.normal(size=(n, 2)) + np.array([0.0, shift]), np.float32)

    features = with_seen([Feature(name="f0", unit="1"), Feature(name="f1", unit="1")], draw(0, 20_000))
    watch = Watch(card(*(feature.seen for feature in features)))
    calls = WINDOW // 100 * 8  # of every eighth call its 100 rows enter the window
    with capture_logs() as logs:
        for _ in range(calls):
            watch.take(draw(0))
        # 9 / 4096 = 0.002 is the mean without drift.
        assert max(watch.psi().values()) < 0.02
        assert (logs, watch.drifted) == ([], set())
        for _ in range(2 * calls):
            watch.take(draw(0.8))
        assert watch.drifted == {"f1"}
        assert [(entry["event"], list(entry["psi"])) for entry in logs] == [("model_inputs_drift", ["f1"])]
        assert watch.psi()["f1"] > 0.25
        for _ in range(2 * calls):
            watch.take(draw(0))
        assert watch.drifted == set()
        assert len(logs) == 1  # once, not at each look


def test_all_rows_of_a_large_matrix_come_into_the_window_in_turn() -> None:
    watch = Watch(card(HALVES))
    rows = np.arange(160, dtype=np.float32)[:, None]
    for _ in range(16):  # 80 of them in every eighth call
        watch.take(rows)
    assert sorted(watch._window[:160, 0].tolist()) == list(range(160))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"low": 3.0}, "seen from 3 to 2, which is no range"),
        ({"edges": (1.0, 1.0), "shares": (0.5, 0.2, 0.3)}, "edges of seen do not rise"),
        ({"shares": (0.5, 0.2, 0.3)}, "1 edges make 2 bins, got 3 shares"),
        ({"shares": (0.5, 0.2)}, "shares of seen add up to 0.7, want 1"),
        ({"low": NAN}, "low.*finite number"),
    ],
)
def test_a_histogram_that_is_none_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){reason}"):
        Seen.model_validate(HALVES.model_dump() | change)
