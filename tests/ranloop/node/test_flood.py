"""The flood meter: a busy xApp is heard, and one that floods is not."""

from __future__ import annotations

from ranloop.guard import Rights
from ranloop.node.flood import FloodMeter
from tests.ranloop.node.scripted import rights


def test_a_flood_is_seen_in_whichever_second_it_comes() -> None:
    meter = FloodMeter()
    meter.admit("x", rights("SetUeWeight"), 1)  # 300 a second
    assert not meter.floods("x", 0)
    for second in (1, 2, 5):
        counted = [meter.floods("x", second * 1_000_000_000 + k) for k in range(302)]
        assert counted == [False] * 300 + [True] * 2


def test_messages_at_the_limit_are_heard_and_counted_anew_each_second() -> None:
    meter = FloodMeter()
    meter.admit("x", rights("SetUeWeight"), 1)
    assert not any(meter.floods("x", 0) for _ in range(300))  # 100 + 10 * 20
    assert meter.floods("x", 999_999_999)
    assert not meter.floods("x", 1_000_000_000)


def test_the_limit_follows_from_the_rates_of_the_manifest_and_the_number_of_nodes() -> None:
    meter = FloodMeter()
    for xapp, granted, n_nodes, most in (
        ("one", rights("SetUeWeight"), 1, 300),  # 100 to spare, and ten times its 20 batches a second
        ("two", rights("SetUeWeight"), 2, 500),
        ("reader", Rights(), 2, 100),
    ):
        meter.admit(xapp, granted, n_nodes)
        assert [meter.floods(xapp, 0) for _ in range(most + 1)] == [False] * most + [True]


def test_a_batch_that_comes_too_late_counts_a_tenth() -> None:
    meter = FloodMeter()
    meter.admit("x", Rights(), 1)  # 100 a second
    assert not any(meter.floods("x", 0, stale=True) for _ in range(999))
    assert any(meter.floods("x", 0, stale=True) for _ in range(2))
