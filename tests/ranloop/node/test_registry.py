"""Worlds by address."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from ranloop.errors import MissingExtraError, NodeError
from ranloop.node import open_world, registry


@pytest.mark.parametrize("address", ["seven-sites", "sim:", ""])
def test_what_is_no_address_is_told_the_form(address: str) -> None:
    with pytest.raises(NodeError, match="want kind:target"):
        open_world(address)


def test_an_unknown_kind_is_told_what_there_is() -> None:
    with pytest.raises(NodeError, match="replay"):
        open_world("simulator:seven-sites")


def test_a_replay_takes_no_overrides() -> None:
    with pytest.raises(NodeError, match="load"):
        open_world("replay:somewhere", overrides={"load": 1.2})


@pytest.mark.parametrize(
    "installed",
    [EntryPoints(), EntryPoints([EntryPoint("sim", "no_such_simulator:open_world", registry.ENTRY_POINTS)])],
    ids=["no entry point", "entry point without its module"],
)
def test_a_missing_simulator_names_its_install_line(
    monkeypatch: pytest.MonkeyPatch, installed: EntryPoints
) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda *, group: installed)
    with pytest.raises(MissingExtraError, match=r"pip install 'ranloop\[sim\]'"):
        open_world("sim:seven-sites")
