"""The networks that anomaly_detector is tuned and judged on: drawn worlds, drawn faults, and what cells and UEs report in them.

An xApp that acts on nothing leaves the network as it is, so a drop is simulated once, and all detectors look at its recording.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ranloop.node import open_world
from ranloop.training import Drop
from ranloop.wire.messages import CellPlace, Report

from .signs import KINDS, OF_CELLS, OF_UES, PERIOD_MS

KEPT = Path(
    os.environ.get("ANOMALY_DETECTOR_DROPS", "runs/anomaly_detector")
)  # recordings, made again if missing
LIGHT: Mapping[str, object] = {
    "carrier.scs_khz": 15,
    "carrier.bandwidth_prb": 52,
    "radio.tick_ms": 200.0,
    "radio.fading_grid_ms": 5.0,
    "radio.k_interferers": 2,
    "reports.periods_ms": [PERIOD_MS],
    "traffic.best-effort.idle_s": 30.0,
    "traffic.best-effort.rate_mbps": 3.0,
}
N_CELL = 21
FIRST_S, ROUND_S, LASTS_S = 36.0, 75.0, 45.0  # of the rounds of faults, one of each kind at a time
COUNTERS = tuple(name for name in OF_CELLS if name != "RRU.PrbAvailDl")  # of which some are faulty


class Fault(NamedTuple):
    """What a detector should find: the alarm's name, the cell, and the seconds in which it holds."""

    kind: str
    cell: int
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Recording:
    """What the nodes of a drop reported, in their order, and what was wrong."""

    reports: Sequence[Report]
    faults: Sequence[Fault]
    n_cell: int


def recording(drop: Drop) -> Recording:
    """A drop, simulated or from the disk."""
    drawn, faults = world_of(drop)
    made_of = json.dumps([drop.world.node, drop.seed, drawn, OF_CELLS, OF_UES], sort_keys=True)
    path = KEPT / f"{drop.seed}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}.npz"
    if not path.exists():
        _simulate(drop, drawn, path)
    return Recording(list(_read(path)), faults, N_CELL)


def is_quiet(drop: Drop) -> bool:
    """Whether nothing is wrong in a drop."""
    return drop.world.overrides.get("faults") == []


def world_of(drop: Drop) -> tuple[dict[str, object], list[Fault]]:
    """The scenario fields of a drop and its faults; the world's own fields win over those that are drawn."""
    rng = np.random.default_rng(drop.seed)
    crowd, fast = rng.uniform(0.6, 1.4), rng.uniform(20.0, 60.0)
    ues = {"best-effort": 42, "video-call": 30, "gaming": 20, "augmented-reality": 6, "voice": 14}
    drawn: dict[str, object] = {
        **LIGHT,
        **drop.overrides,
        "load": round(rng.uniform(0.2, 1.5), 2),
        "layout.isd_m": round(rng.uniform(300.0, 800.0)),
        "radio.indoor_share": round(rng.uniform(0.3, 0.8), 2),
        "mobility.speeds_kmh": [3.0, round(fast)],
        **{f"traffic.{name}.ues": max(1, round(n * crowd)) for name, n in ues.items()},
        **drop.world.overrides,
    }
    if is_quiet(drop):
        return drawn, []
    faults = list(_draw(rng, _places(drop, drawn)))
    return {**drawn, "faults": [scenario for scenario, _ in faults]}, [fault for _, fault in faults]


def _draw(rng: np.random.Generator, places: Sequence[CellPlace]) -> Iterator[tuple[dict[str, object], Fault]]:
    """Two rounds of one fault of each kind, at sites of their own: scenario events and what they are."""
    isd_m = min(
        math.hypot(place.x_m, place.y_m) for place in places if math.hypot(place.x_m, place.y_m) > 1.0
    )
    for number in range(2):
        sites = rng.permutation(7)[: len(KINDS)]
        for kind, site in zip(KINDS, sites.tolist(), strict=True):
            cell = 3 * site + int(rng.integers(3))
            start_s = round(FIRST_S + number * ROUND_S + rng.uniform(0.0, 10.0), 3)
            end_s = start_s + LASTS_S
            event = _event(rng, kind, cell, places[cell], isd_m)
            what = {name: value for name, value in event.items() if name not in ("cells", "kind")}
            text = f"{event['kind']} {json.dumps(what)}" if what else str(event["kind"])
            yield {**event, "start_s": start_s, "end_s": end_s}, Fault(kind, cell, start_s, end_s, text)


def _event(
    rng: np.random.Generator, kind: str, cell: int, place: CellPlace, isd_m: float
) -> dict[str, object]:
    match kind:
        case "sleeping-cell":
            return {"kind": "sleeping-cell", "cells": [cell]}
        case "degraded-coverage" if rng.random() < 0.5:
            return {"kind": "power-loss", "cells": [cell], "loss_db": round(rng.uniform(2.0, 12.0), 1)}
        case "degraded-coverage":
            shift_deg = round(rng.uniform(3.0, 9.0), 1) * (1 if rng.random() < 0.5 else -1)
            return {"kind": "tilt-shift", "cells": [cell], "shift_deg": shift_deg}
        case "interference":
            # Before whichever cell of the site that is: it counts as found at any of them.
            far_m = isd_m * rng.uniform(0.15, 0.4)
            towards = math.radians(90.0 - (place.azimuth_deg or 0.0) + rng.uniform(-40.0, 40.0))
            at = [place.x_m + far_m * math.cos(towards), place.y_m + far_m * math.sin(towards)]
            eirp_dbm = round(rng.uniform(10.0, 40.0), 1)
            return {"kind": "interference", "position_m": [round(m, 1) for m in at], "eirp_dbm": eirp_dbm}
    names = rng.choice(COUNTERS, size=int(rng.integers(1, 4)), replace=False).tolist()
    effect = ("stuck", "missing", "scaled")[rng.integers(3)]
    event: dict[str, object] = {
        "kind": "faulty-counters",
        "cells": [cell],
        "measurements": sorted(names),
        "effect": effect,
    }
    if effect != "scaled":
        return event
    low, high = ((0.2, 0.7), (1.5, 4.0))[rng.integers(2)]
    return {**event, "factor": round(rng.uniform(low, high), 2)}


def _places(drop: Drop, drawn: Mapping[str, object]) -> list[CellPlace]:
    """Of all cells, by id."""
    world = open_world(drop.world.node, seed=drop.seed, overrides=drawn)
    try:
        places = {cell: place for each in world.catalogues for cell, place in each.geometry.items()}
        return [places[cell] for cell in sorted(places)]
    finally:
        world.close()


def _simulate(drop: Drop, drawn: Mapping[str, object], path: Path) -> None:
    world = open_world(drop.world.node, seed=drop.seed, overrides=drawn)
    wanted = {(each.node, "cell", PERIOD_MS): frozenset(OF_CELLS) for each in world.catalogues}
    wanted |= {(each.node, "ue_cell", PERIOD_MS): frozenset(OF_UES) for each in world.catalogues}
    reports: list[Report] = []
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        reports += world.reports(wanted)
    world.close()
    heads: dict[str, Any] = {r.level: [r.ids, r.names] for r in reports}
    index = [(r.node, r.level, r.seq, r.ran_time_ns, len(r)) for r in reports]
    rows = {
        level: np.concatenate([r.block for r in reports if r.level == level]) for level in ("cell", "ue_cell")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part.npz")
    np.savez_compressed(
        partial,
        index=json.dumps([heads, index]),
        cell=rows["cell"],
        ue_cell=rows["ue_cell"].astype(np.float16),
    )
    partial.replace(path)


def _read(path: Path) -> Iterator[Report]:
    with np.load(path) as kept:
        heads, index = json.loads(str(kept["index"]))
        rows = {level: kept[level].astype(np.float32) for level in ("cell", "ue_cell")}
    at = dict.fromkeys(rows, 0)
    for node, level, seq, now_ns, n in index:
        ids, names = heads[level]
        block = rows[level][at[level] : at[level] + n]
        at[level] += n
        yield Report(
            node=node,
            level=level,
            period_ms=PERIOD_MS,
            seq=seq,
            ran_time_ns=now_ns,
            ids=tuple(ids),
            names=tuple(names),
            block=block,
        )
