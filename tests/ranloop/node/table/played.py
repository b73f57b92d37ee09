"""Tables in files, and all that a replay gives of them."""

from __future__ import annotations

import math
from pathlib import Path

from ranloop.node import ReplayWorld, open_world
from ranloop.wire.messages import Report

CELLS = """\
name = "cells"
level = "cell"
[time]
column = "time"
[ids]
cell = "cell"
[columns]
prb = "RRU.PrbTotDl"
thp = { measurement = "DRB.UEThpDl", unit = "Mbit/s" }
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def opened(path: Path, mapping: str = "", **options: str) -> ReplayWorld:
    """The table at `path`, by a mapping that is given as text."""
    if mapping:
        options["mapping"] = str(write(path.parent / "mappings" / "own.toml", mapping))
    query = "&".join(f"{key}={value}" for key, value in options.items())
    world = open_world(f"table:{path}?{query}" if query else f"table:{path}")
    assert isinstance(world, ReplayWorld)
    return world


def played(world: ReplayWorld) -> list[Report]:
    wanted = {
        (c.node, str(level), period): frozenset(names)
        for c in world.catalogues
        for level, names in c.measurements.items()
        for period in c.periods_ms
    }
    reports = []
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        reports += world.reports(wanted)
    return reports


def values(reports: list[Report], name: str) -> list[dict[str, float]]:
    """Of each report: name of the target -> value, to six digits; targets without a value are missing."""
    target = {"ue": "ue", "cell": "cell", "slice": "slice"}
    found = []
    for report in reports:
        names = report.names_of(target[report.level])
        pairs = zip(names, report[name].tolist(), strict=True)
        found.append({one: float(f"{value:.6g}") for one, value in pairs if not math.isnan(value)})
    return found
