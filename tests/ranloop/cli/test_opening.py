"""The node of a command line is open for whoever gets it, and is closed again where nobody does."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import ClassVar

import pytest

from ranloop.cli.opening import open_node
from ranloop.errors import NodeError
from ranloop.node import registry
from ranloop.testing.worlds import ToyWorld

OCUDU = Path(registry.__file__).parent / "profiles" / "ocudu.toml"


class CountedWorld(ToyWorld):
    """A toy that remembers all of its kind, and how often each was closed."""

    opened: ClassVar[list[CountedWorld]] = []

    def __init__(self) -> None:
        super().__init__()
        self.n_closed = 0
        self.opened.append(self)

    def close(self) -> None:
        super().close()
        self.n_closed += 1


def open_counted(_target: str, **_options: object) -> CountedWorld:
    return CountedWorld()


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountedWorld, "opened", [])
    point = EntryPoint("toy", f"{__name__}:open_counted", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda *, group: EntryPoints([point]))


def opened_under(profile: Path) -> None:
    assert open_node("toy:any", seed=1, overrides=[], profile=str(profile), xapps={}).now_ns == 0


def test_a_world_that_a_profile_leaves_nothing_of_is_closed(tmp_path: Path) -> None:
    slower = OCUDU.read_text().replace("shortest_ms = 1000\n", "shortest_ms = 60000\n")
    (tmp_path / "slower.toml").write_text(slower)
    with pytest.raises(NodeError, match="no period is left"):
        opened_under(tmp_path / "slower.toml")
    [world] = CountedWorld.opened
    assert world.n_closed == 1


def test_a_world_that_is_handed_over_is_open() -> None:
    opened_under(OCUDU)
    [world] = CountedWorld.opened
    assert world.n_closed == 0
