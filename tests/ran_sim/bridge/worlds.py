"""Small worlds for the tests of this folder, and their reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ran_sim.bridge import SimWorld
from ran_sim.scenario import Scenario
from ranloop.vocabulary import Level
from ranloop.wire.messages import Report

MS = 1_000_000
ALWAYS: Mapping[str, Any] = {"idle_s": 0.0, "session_s": (600.0, 600.0)}  # in session for the whole run
FULL_BUFFER = {"name": "full", "five_qi": 9, "model": "full-buffer", "ues": 1, **ALWAYS}
VOICE = {"name": "voice", "five_qi": 1, "model": "video", "ues": 1, "rate_mbps": 0.024, "fps": 50.0, **ALWAYS}
FILES = {
    "name": "files", "five_qi": 9, "model": "poisson-file", "ues": 4, "rate_mbps": 2.0, "file_kb": 100.0, **ALWAYS,
}  # fmt: skip
GAMING = {
    "name": "gaming", "five_qi": 3, "model": "xr", "ues": 4, "rate_mbps": 8.0, "fps": 60.0, "jitter_ms": 2.0,
    "slice": "1-000002", **ALWAYS,
}  # fmt: skip


def small_world(*traffic: Mapping[str, Any], seed: int = 1, sectors: int = 1, **sections: Any) -> SimWorld:
    """One site, exact values."""
    scenario = {
        "name": "small",
        "traffic": traffic,
        "layout": {"sites": 1, "sectors": sectors},
        "radio": {"k_interferers": sectors - 1},
        "reports": {"rounding": False},
        **sections,
    }
    return SimWorld(Scenario.model_validate(scenario), seed)


def everything(world: SimWorld) -> dict[tuple[str, str, int], frozenset[str]]:
    return {
        (catalogue.node, level, period_ms): frozenset(names)
        for catalogue in world.catalogues
        for level, names in catalogue.measurements.items()
        for period_ms in catalogue.periods_ms
    }


def run_to(world: SimWorld, until_ms: float) -> list[Report]:
    """All reports that leave by `until_ms`."""
    out: list[Report] = []
    while world.now_ns < until_ms * MS:
        world.advance(int(until_ms * MS))
        out += world.reports(everything(world))
    return out


def pick(reports: Sequence[Report], level: Level, period_ms: int = 100) -> list[Report]:
    return [r for r in reports if r.level == level and r.period_ms == period_ms]


def last(world: SimWorld, until_ms: float, level: Level, period_ms: int = 100) -> Report:
    return pick(run_to(world, until_ms), level, period_ms)[-1]
