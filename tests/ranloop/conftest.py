"""The command line, and buses that forget everything between two tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
import structlog

from ranloop.bus import Bus, open_bus
from ranloop.cli import main
from tests.command import Command

_fresh = itertools.count()
# What answers does so within milliseconds here, and what does not is waited for to the end of these times.
NEAR_S = {
    "describe.CATALOGUES_S": 0.3,
    "forget.QUIET_S": 0.3,
    "operator.CATALOGUES_S": 0.3,
    "operator.CONFIRMED_S": 2.0,
}


@pytest.fixture
def ranloop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """`ranloop("run", folder, "--node", "sim:one-cell")`."""
    for constant, seconds in NEAR_S.items():
        monkeypatch.setattr(f"ranloop.cli.{constant}", seconds)
    yield Command("ranloop", main, monkeypatch, capsys)
    structlog.reset_defaults()


@pytest.fixture
def connect() -> Iterator[Callable[[str], Bus]]:
    """Opens clients of one in-process broker, and closes them at the end."""
    url = f"memory://test-{next(_fresh)}"
    buses: list[Bus] = []

    def open_one(name: str) -> Bus:
        buses.append(open_bus(url, name=name))
        return buses[-1]

    yield open_one
    for bus in buses:
        bus.close()
