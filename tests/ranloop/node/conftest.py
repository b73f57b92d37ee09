"""Buses that forget everything between two tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from ranloop.bus import Bus, open_bus

_fresh = itertools.count()


@pytest.fixture
def connect() -> Iterator[Callable[[str], Bus]]:
    """Opens clients of one in-process broker, and closes them at the end."""
    url = f"memory://node-tests-{next(_fresh)}"
    buses: list[Bus] = []

    def open_one(name: str) -> Bus:
        buses.append(open_bus(url, name=name))
        return buses[-1]

    yield open_one
    for bus in buses:
        bus.close()
