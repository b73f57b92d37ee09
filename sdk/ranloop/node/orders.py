"""The operator's orders that stand at one node: those that were heard, and those that a restarted host remembers.

An order is about a place (`topics.place`): all nodes, this node, or one xApp here. docs/decisions/0019 says why a host
remembers orders on its own `standing` topic. No clock, no bus.
"""

from __future__ import annotations

from collections.abc import Mapping

from ranloop.wire import topics
from ranloop.wire.messages import Order

__all__ = ("StandingOrders",)


class StandingOrders:
    """Orders by place.

    Args:
        node: Name of the RAN node.
    """

    def __init__(self, node: str) -> None:
        self._kill_switches = (topics.ALL, node)
        self._orders: dict[str, Order] = {}
        self._heard: set[str] = set()  # places of which the operator's own topic has spoken since the start

    @property
    def by_place(self) -> Mapping[str, Order]:
        """Place -> the order that stands there, for a `Standing`."""
        return dict(self._orders)

    @property
    def kill(self) -> bool:
        """Whether an order to all nodes or to this one says that it is killed."""
        return any(self._orders[place].kill for place in self._kill_switches if place in self._orders)

    def hear(self, place: str, order: Order | None) -> None:
        """Take an order from the operator's topic; None withdraws it, and changes nothing that is in force."""
        self._heard.add(place)
        if order is None:
            self._orders.pop(place, None)
        else:
            self._orders[place] = order

    def remember(self, orders: Mapping[str, Order]) -> list[Order]:
        """Take what this host said before it was restarted.

        Returns:
            Orders to obey now; none about a place of which the operator's topic has spoken since.
        """
        news = {
            place: order for place, order in orders.items() if place not in self._heard | self._orders.keys()
        }
        self._orders |= news
        return list(news.values())
