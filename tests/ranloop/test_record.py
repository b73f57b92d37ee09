"""`ranloop record`: a recording without an xApp."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ranloop.node import open_world
from tests.command import Command


def test_what_was_recorded_replays(tmp_path: Path, ranloop: Command) -> None:
    folder = tmp_path / "kept"
    shown = ranloop(
        "record",
        "sim:one-cell",
        folder,
        "--level",
        "ue",
        "--measurement",
        "CQI",
        "--duration-s",
        0.5,
        "--json",
    )
    assert shown.code == 0
    assert json.loads(shown.out) == {
        "folder": str(folder),
        "ran_time_s": 0.5,
        "reports": 5,
        "reports_lost": 0,
    }
    world = open_world(f"replay:{folder}")
    assert world.catalogues[0].measurements == {"ue": ("CQI",)}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--level", "cel"], "unknown level 'cel'"),
        (["--every-ms", "7"], "no node here reports every 7 ms; they report every 100, 1000 ms"),
        (["--measurement", "CQII"], "unknown measurement 'CQII'; did you mean CQI?"),
        (["--level", "cell", "--measurement", "CQI"], "no node here measures CQI per cell"),
        (["--duration-s", "0"], "--duration-s"),
    ],
)
def test_what_cannot_be_recorded_is_one_line(
    arguments: list[str], text: str, tmp_path: Path, ranloop: Command
) -> None:
    assert text in ranloop("record", "sim:one-cell", tmp_path / "kept", *arguments).complaint
    assert not (tmp_path / "kept").exists()
