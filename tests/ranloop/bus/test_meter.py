"""Rates of senders, on a clock that the test moves."""

from __future__ import annotations

from ranloop.bus.meter import RateMeter, is_round


def test_beyond_its_rate_a_sender_is_counted_and_within_it_in_the_next_second() -> None:
    now_s = [10.0]
    meter = RateMeter(3, clock=lambda: now_s[0])
    assert [meter.beyond("a") for _ in range(5)] == [0, 0, 0, 1, 2]
    assert meter.beyond("b") == 0
    now_s[0] += 1.0
    assert [meter.beyond("a") for _ in range(4)] == [0, 0, 0, 3]


def test_counts_are_logged_at_powers_of_two() -> None:
    assert [n for n in range(1, 40) if is_round(n)] == [1, 2, 4, 8, 16, 32]
