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


@pytest.fixture
def ranloop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """`ranloop("run", folder, "--node", "sim:one-cell")`."""
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
