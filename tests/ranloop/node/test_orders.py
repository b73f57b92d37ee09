"""The orders that stand at one node, and what a host that was restarted makes of its own word."""

from __future__ import annotations

import pytest

from ranloop.node.orders import StandingOrders
from ranloop.wire.messages import Order

KILL, REVIVE = Order(id="1", kill=True), Order(id="2", kill=False)
OBSERVE, ACT = (Order(id=level, xapp="x", autonomy=level) for level in ("observe", "act"))


@pytest.mark.parametrize(
    ("heard", "killed"),
    [
        ({}, False),
        ({"all": KILL}, True),
        ({"n": KILL}, True),
        ({"all": KILL, "n": REVIVE}, True),
        ({"all": REVIVE, "n": KILL}, True),
        ({"all": REVIVE, "n": REVIVE}, False),
        ({"n/x": OBSERVE}, False),
    ],
)
def test_a_node_is_killed_while_an_order_to_it_or_to_all_says_so(
    heard: dict[str, Order], killed: bool
) -> None:
    orders = StandingOrders("n")
    for place, order in heard.items():
        orders.hear(place, order)
    assert orders.kill is killed
    assert orders.by_place == heard


def test_a_restarted_host_obeys_what_it_said_before() -> None:
    orders = StandingOrders("n")
    assert orders.remember({"n": KILL, "n/x": OBSERVE}) == [KILL, OBSERVE]
    assert orders.kill
    assert orders.remember({"n": KILL}) == []  # its own word again


@pytest.mark.parametrize("said", [REVIVE, None])
def test_the_operators_word_since_the_start_counts_and_not_the_memory(said: Order | None) -> None:
    first, later = StandingOrders("n"), StandingOrders("n")
    first.hear("n", said)
    assert first.remember({"n": KILL, "n/x": ACT}) == [ACT]
    assert later.remember({"n": KILL}) == [KILL]
    later.hear("n", said)
    assert (first.kill, later.kill) == (False, False)
