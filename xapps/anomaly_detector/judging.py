"""Scores of whole recordings, the limits that fault-free cells seldom reach, and what is found at these limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranloop.training import Drop, read_plan
from ranloop.wire.messages import Report
from ranloop.xapp.memory import Memory

from . import signs
from .detectors import FUNCTIONS
from .drops import Fault, is_quiet, recording
from .signs import F32, KINDS

SETTLE_S = 40  # after the start, before anything counts
MINUTE_S = 60  # in which false alarms of one kind and cell count as one
DAY_S = 86400.0
OFTEN = 12.0  # false alarms per cell and day at the other end of the tail


@dataclass(frozen=True, slots=True)
class Seen:
    """A drop as detectors see it."""

    signs: F32  # [n_second, n_cell, len(NAMES)]
    faults: Sequence[Fault]


class Part(NamedTuple):
    """Drops with and without faults."""

    faulty: tuple[Seen, ...]
    quiet: tuple[Seen, ...]

    @property
    def cell_days(self) -> float:
        """Without a fault, in whole minutes."""
        n_minute = sum((len(each.signs) - SETTLE_S) // MINUTE_S * each.signs.shape[1] for each in self.quiet)
        return float(n_minute) * MINUTE_S / DAY_S


def part(of: str, world: str = "") -> Part:
    """All drops of a list of the plan, or those of the worlds whose names begin like this; simulated if they are not kept."""
    chosen = [(i, drop) for i, drop in enumerate(_drops(of)) if drop.world.name.startswith(world)]
    return Part(
        tuple(_seen(of, i) for i, drop in chosen if not is_quiet(drop)),
        tuple(_seen(of, i) for i, drop in chosen if is_quiet(drop)),
    )


@cache
def _drops(of: str) -> list[Drop]:
    plan = read_plan(Path(__file__).resolve().parent)
    return plan.parts()[of].all(plan.loads)


@cache
def _seen(of: str, i: int) -> Seen:
    recorded = recording(_drops(of)[i])
    return Seen(_signs(recorded.reports, recorded.n_cell), recorded.faults)


def _signs(reports: Sequence[Report], n_cell: int) -> F32:
    """As the xApp makes them of these reports."""
    memory = Memory("cell", signs.start())
    ears: dict[str, signs.Ears] = {}
    counters: dict[str, Report] = {}
    n_second = 1 + max(report.seq for report in reports)
    out = np.full((n_second, n_cell, len(signs.NAMES)), np.nan, np.float32)
    for report in reports:
        if report.level == "cell":
            counters[report.node] = report
            continue
        cells = counters[report.node]
        heard = ears.setdefault(report.node, signs.Ears()).listen(signs.heard(report), cells.cell)
        told = {name: cells[name] for name in signs.OF_CELLS}
        out[report.seq, cells.cell], after = signs.look(told, heard, memory.of(cells))
        memory.update(cells, **after)
    return out


def scores(name: str, tuned: Mapping[str, float], drops: Sequence[Seen]) -> list[F32]:
    """Of a detector in drops of one length, side by side: [n_second, n_cell, len(KINDS)] each."""
    start, step = FUNCTIONS[name]
    n = [each.signs.shape[1] for each in drops]
    together = np.concatenate([each.signs for each in drops], axis=1)
    memory = {name: np.repeat(np.asarray(value)[None], sum(n), axis=0) for name, value in start().items()}
    out = np.zeros((*together.shape[:2], len(KINDS)), np.float32)
    for second, now in enumerate(together):
        out[second], memory = step(now, memory, tuned)
    return np.split(out, np.cumsum(n)[:-1], axis=1)


def minutes(of_drops: Sequence[F32]) -> NDArray[np.float32]:
    """The greatest score of each minute of each cell, ascending; [n_minute, len(KINDS)]."""
    parts = [np.zeros((0, len(KINDS)), np.float32)]
    for each in of_drops:
        n = (len(each) - SETTLE_S) // MINUTE_S
        counted = each[SETTLE_S : SETTLE_S + n * MINUTE_S]
        parts.append(counted.reshape(n, MINUTE_S, -1, len(KINDS)).max(axis=1).reshape(-1, len(KINDS)))
    return np.sort(np.concatenate(parts), axis=0)


def limits(quiet: NDArray[np.float32], cell_days: float) -> tuple[F32, F32]:
    """The least scores that so many quiet minutes exceed at most once per cell and day, and the tails from there; [len(KINDS)] each.

    A tail is by how much more a score is that is e times as seldom, from `OFTEN` a day to 1.
    """
    n = int(cell_days)  # may reach the limit
    often = max(int(OFTEN * cell_days), n + 1)
    limit = np.nextafter(quiet[-n - 1], np.inf) * 1.0001 + 1e-6
    tail = (quiet[-n - 1] - quiet[-often - 1]) / np.log((often + 1) / (n + 1))
    return limit.astype(np.float32), np.maximum(tail, 0.01 * limit + 1e-6).astype(np.float32)


class Found(NamedTuple):
    """A fault, and after how many seconds its alarm came; NaN if none did."""

    fault: Fault
    delay_s: float


def find(drop: Seen, of_drop: F32, limit: F32) -> list[Found]:
    """Which faults of a drop are found at a limit, shape [len(KINDS)]. Interference may be found by any cell of the site next to it."""
    found = []
    for fault in drop.faults:
        k = KINDS.index(fault.kind)
        first, last = int(np.floor(fault.start_s)), int(np.ceil(fault.end_s))
        cells = (
            slice(fault.cell // 3 * 3, fault.cell // 3 * 3 + 3)
            if fault.kind == "interference"
            else fault.cell
        )
        reached = np.flatnonzero(
            (of_drop[first:last, cells, k] >= limit[k]).reshape(last - first, -1).any(axis=1)
        )
        found.append(Found(fault, first + reached[0] + 1.0 - fault.start_s if len(reached) else np.nan))
    return found
