"""Real brokers for tests: a broker for the length of a `with` block, or a skip with its reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ranloop.bus.broker import Broker, BrokerKind, broker_kinds_available

_HOW_TO_GET = {
    "mosquitto": "apt-get install mosquitto",
    "nats": "pip install 'ranloop[broker]'",
}


@contextmanager
def running_broker(kind: BrokerKind, port: int = 0) -> Iterator[Broker]:
    """A private broker on loopback; the test is skipped if this kind is not installed.

    With RANLOOP_REQUIRE_BROKERS in the environment, as in CI, the test fails instead, because a skip would hide a missing
    install.
    """
    if kind not in broker_kinds_available():
        give_up = pytest.fail if os.environ.get("RANLOOP_REQUIRE_BROKERS") else pytest.skip
        give_up(f"{kind} is not installed: {_HOW_TO_GET[kind]}")
    with Broker.start(kind, port) as broker:
        yield broker
