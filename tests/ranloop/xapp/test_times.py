"""Handlers against their periods: what a live run would miss."""

from __future__ import annotations

import pytest

from ranloop.xapp.times import Called, HandlerTimes, too_slow

MS = 1_000_000


def times(
    *took_ms: float, called: Called = "report", period_ms: int | None = 100, nodes: int = 1
) -> HandlerTimes:
    noted = HandlerTimes()
    for took in took_ms:
        for node in range(nodes):
            noted.note("hold", called, period_ms, f"n{node}", round(took * MS))
    return noted


def test_percentiles_are_of_all_calls_in_milliseconds() -> None:
    """Of 1 … 101 ms, the median is 51 ms and the 99th percentile 100 ms: 1 + 0.99 * 100."""
    (told,) = times(*range(1, 102)).told()
    assert (told.calls, told.period_ms) == (101, 100)
    assert (told.p50_ms, told.p99_ms) == pytest.approx((51.0, 100.0))


@pytest.mark.parametrize(
    ("took_ms", "nodes", "line"),
    [
        (99, 1, None),
        (200, 1, "handler hold: 200 ms at p50, its reports come every 100 ms: every second report is missed"),
        # 400 ms of work for each 100 ms: one of four is heard.
        (400, 1, "handler hold: 400 ms at p50, its reports come every 100 ms: 75% of them are missed"),
        # Three nodes report every 100 ms, and one thread serves them: 120 ms of work, 1 - 100 / 120.
        (40, 3, "handler hold: 40 ms at p50 for each of 3 nodes, its reports come every 100 ms: 17% of them are missed"),
    ],
)  # fmt: skip
def test_a_handler_that_cannot_keep_up_is_told_with_what_it_misses(
    took_ms: float, nodes: int, line: str | None
) -> None:
    assert too_slow(times(*[took_ms] * 5, nodes=nodes).told()) == ([line] if line else [])


def test_the_first_calls_alone_are_no_verdict() -> None:
    assert too_slow(times(900, 900, 900, 900).told()) == []


def test_a_timer_misses_no_report() -> None:
    (line,) = too_slow(times(*[150] * 5, called="timer").told())
    assert line == "handler hold: 150 ms at p50, its timer is due every 100 ms: it runs ever later"


def test_handlers_of_results_have_no_period_to_keep() -> None:
    assert too_slow(times(*[900] * 5, called="result", period_ms=None).told()) == []


def test_handlers_that_only_together_are_too_slow_are_told_together() -> None:
    noted = times(*[60] * 5)
    for _ in range(5):
        noted.note("watch", "report", 1000, "n0", 500 * MS)  # 60 % + 50 %
    assert too_slow(noted.told()) == [
        "handlers hold, watch: together 110% of the time at p50: reports are missed"
    ]
