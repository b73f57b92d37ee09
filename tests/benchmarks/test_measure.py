"""How the benchmarks sum up what they measured, and when a bar counts as missed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.measure import ROUNDS, Row, in_turns, latency_row


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # Round medians 2, 4, 90 beside 1, 2, 3: ratios 2, 2, 30. One disturbed round does not move the median.
    took, peer = np.array([[2.0], [4.0], [90.0]]), np.array([[1.0], [2.0], [3.0]])
    row = latency_row("x", took, peer="y", peer_took=peer)
    assert (row.p50, row.peer_p50, row.ratio_p50) == (4.0, 2.0, 2.0)


def test_a_round_that_both_sides_spent_on_a_busy_machine_changes_nothing() -> None:
    took = np.array([[3.0], [3.0], [300.0]])
    assert latency_row("x", took, peer="y", peer_took=took / 3).ratio_p50 == 3.0


def test_few_samples_have_no_99th_percentile() -> None:
    assert latency_row("x", np.ones((3, 1))).p99 is None
    # 1000 samples 1 ... 1000: NumPy's linear rule puts the 99th percentile at 1 + 0.99 * 999.
    assert latency_row("x", np.arange(1.0, 1001.0)[None, :]).p99 == pytest.approx(990.01)


@pytest.mark.parametrize(
    ("facts", "ok"),
    [
        ({}, None),
        ({"bar": 10.0}, True),  # no peer: the bar is of the number itself
        ({"bar": 9.9}, False),
        ({"bar": 2.0, "peer": "y", "ratio_p50": 2.0, "ratio_p99": 5.0}, True),
        ({"bar": 2.0, "peer": "y", "ratio_p50": 2.1}, False),
        ({"bar": 2.0, "bar_p99": True, "peer": "y", "ratio_p50": 1.0, "ratio_p99": 2.1}, False),
    ],
)
def test_a_bar_is_the_most_that_is_allowed(facts: dict[str, float | bool | str], ok: bool | None) -> None:
    row = Row(name="x", unit="us", p50=10.0, **facts)  # type: ignore[arg-type]  # because the facts are of mixed types
    assert row.ok is ok


def test_every_call_gets_the_samples_it_was_promised() -> None:
    calls = {"a": 0, "b": 0}

    def count(name: str) -> None:
        calls[name] += 1

    took_us = in_turns(
        {"a": lambda: count("a"), "b": lambda: count("b")}, samples=2 * ROUNDS, calls_per_sample=3
    )
    assert {name: took.shape for name, took in took_us.items()} == {"a": (ROUNDS, 2), "b": (ROUNDS, 2)}
    assert calls["a"] == calls["b"] == 200 + 2 * ROUNDS * 3  # the warm-up, then what is timed
    assert (took_us["a"] > 0).all()
