"""Timers in RAN time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ranloop.node.timers import Timers, is_period
from ranloop.wire.messages import FOR_EVER_NS

MS = 1_000_000


def fired(timers: Timers, until_ms: int) -> list[tuple[float, dict[str, list[str]]]]:
    """(RAN time in ms, what is due) for each instant until `until_ms`."""
    told = []
    now_ns = 0
    while (next_ns := timers.next_ns(now_ns)) <= until_ms * MS:
        now_ns = next_ns
        told.append((now_ns / MS, timers.due(now_ns)))
    return told


def test_a_timer_is_due_at_multiples_of_its_period_on_the_next_slot() -> None:
    timers = Timers(slot_ns=4 * MS)
    timers.set("a", {"tick": 30})  # 30, 60, 90 ms lie between slots of 4 ms
    assert fired(timers, 100) == [(32, {"a": ["tick"]}), (60, {"a": ["tick"]}), (92, {"a": ["tick"]})]


def test_timers_of_one_instant_are_told_together_and_once() -> None:
    timers = Timers(slot_ns=MS)
    timers.set("b", {"slow": 20, "fast": 10})
    timers.set("a", {"slow": 20})
    assert timers.due(20 * MS) == {"a": ["slow"], "b": ["fast", "slow"]}
    assert timers.due(20 * MS) == {}


def test_an_xapp_that_announces_anew_has_only_its_new_timers() -> None:
    timers = Timers(slot_ns=MS)
    timers.set("a", {"old": 10})
    timers.set("a", {"new": 15})
    assert fired(timers, 30) == [(15, {"a": ["new"]}), (30, {"a": ["new"]})]
    timers.forget("a")
    assert timers.next_ns(0) == FOR_EVER_NS


@pytest.mark.parametrize(
    ("values", "good"),
    [((10, 10.5, 86_400_000), True), ((0, 9.9, -1, True, "10", None, 1e12, float("nan")), False)],
)
def test_a_period_is_a_number_of_milliseconds_from_10_on(values: Sequence[object], good: bool) -> None:
    assert [is_period(value) for value in values] == [good] * len(values)
