"""The bus: publish, subscribe, poll. `open_bus` chooses the transport by URL."""

from ranloop.bus.aside import AsideBus
from ranloop.bus.base import Bus, BusStats, Handler, Subscription, Will
from ranloop.bus.broker import Broker, broker_kinds_available
from ranloop.bus.lifesign import LifeSign, health_question, is_question, new_run, will_of
from ranloop.bus.opening import open_bus, without_password

__all__ = (
    "AsideBus",
    "Broker",
    "Bus",
    "BusStats",
    "Handler",
    "LifeSign",
    "Subscription",
    "Will",
    "broker_kinds_available",
    "health_question",
    "is_question",
    "new_run",
    "open_bus",
    "will_of",
    "without_password",
)
