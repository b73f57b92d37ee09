"""What goes wrong between a network and its xApps from one moment on: in any world, and the same each time it is run.

    world = under_mishap(open_world("sim:one-cell"), Mishap(kind="stale", begins_s=8.0))

The network itself is well, and its guards are; faults of a network are the scenario's (`ran_sim.scenario.faults`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args
from zlib import crc32

import numpy as np

from ranloop.node.delay import Delay
from ranloop.node.port import NodePort, ScoredPort, Stream
from ranloop.node.view import Scored, View
from ranloop.vocabulary import MEASUREMENTS
from ranloop.wire.messages import F32, FOR_EVER_NS, Report

__all__ = ("KINDS", "MEANS", "Mishap", "MishapKind", "death", "under_mishap")

MishapKind = Literal["killed", "missing", "stale", "constant", "absurd", "extreme"]
KINDS: Final[tuple[MishapKind, ...]] = get_args(MishapKind)
LATE_S: Final = 5.0  # of a stale report
MEANS: Final[Mapping[MishapKind, str]] = {
    "killed": "the xApp does nothing any more, not even what it had just decided",
    "missing": "no report comes",
    "stale": f"each report comes {LATE_S:g} s late, with the time at which it was made",
    "constant": "reports come in time and repeat the rows and values of the last one before, to the bit",
    "absurd": "each value lies beyond its range in the vocabulary, on a side that is drawn anew",
    "extreme": "in each report all values of a measurement are the lowest or the highest of its range, which one is drawn anew",
}
Draw = Callable[[np.random.Generator, float, float, int], F32]  # of a range and a number of values
_UNBOUNDED: Final = 1e4  # the highest value where the vocabulary has no highest
_FAR: Final = float(np.finfo(np.float32).max) / 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """One kind of mishap, see `MEANS`, from a RAN time on to the end."""

    kind: MishapKind
    begins_s: float

    def has_begun(self, now_ns: int) -> bool:
        """Whether it holds at this RAN time."""
        return now_ns >= round(self.begins_s * 1e9)


def under_mishap(world: NodePort, mishap: Mishap) -> NodePort:
    """`world` with reports that the mishap spoils; it keeps score if `world` does, and closes it when it is closed."""
    return _ScoredSpoilt(world, mishap) if isinstance(world, ScoredPort) else _Spoilt(world, mishap)


def death(world: NodePort, mishap: Mishap) -> Delay:
    """The delay of handlers in a lockstep run in which they die: from the mishap on they are never done."""
    return lambda xapp, took_ns: FOR_EVER_NS if mishap.has_begun(world.now_ns) else 0


class _Spoilt(View):
    """A world whose reports are spoilt from one moment on."""

    def __init__(self, world: NodePort, mishap: Mishap) -> None:
        super().__init__(world)
        self._mishap = mishap
        self._under_way: list[Report] = []
        self._last: dict[Stream, Report] = {}

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        """The reports that come now."""
        made = super().reports(wanted)
        has_begun = self._mishap.has_begun(self.now_ns)
        if self._mishap.kind == "constant":
            return [self._as_before(report, has_begun=has_begun) for report in made]
        if not has_begun:
            return made
        match self._mishap.kind:
            case "missing":
                return []
            case "stale":
                self._under_way += made
                made_by_ns = self.now_ns - round(LATE_S * 1e9)
                come = [report for report in self._under_way if report.ran_time_ns <= made_by_ns]
                self._under_way = self._under_way[len(come) :]
                return come
            case "absurd":
                return [_with_values(report, _beyond) for report in made]
            case "extreme":
                return [_with_values(report, _at_an_end) for report in made]
        return made

    def _as_before(self, report: Report, *, has_begun: bool) -> Report:
        """The report with the rows and values of the last one before the mishap, if there was one."""
        stream = report.node, str(report.level), report.period_ms
        if not has_begun or stream not in self._last:
            self._last[stream] = report
        return replace(self._last[stream], seq=report.seq, ran_time_ns=report.ran_time_ns)


class _ScoredSpoilt(Scored, _Spoilt):
    """The same of a world that keeps score."""

    def __init__(self, world: ScoredPort, mishap: Mishap) -> None:
        super().__init__(world, mishap)
        self._scored, self.through = world, {"mishap": f"{mishap.kind} from {mishap.begins_s:g} s on"}


def _with_values(report: Report, draw: Draw) -> Report:
    """The report with other values, drawn of its stream and number alone."""
    rng = np.random.default_rng((crc32(f"{report.node} {report.level}".encode()), report.seq))
    block = report.block.copy()
    for i, name in enumerate(report.names, len(report.ids)):
        entry = MEASUREMENTS[name]
        block[:, i] = draw(rng, entry.low, entry.high, len(block))
    return replace(report, block=block)


def _beyond(rng: np.random.Generator, low: float, high: float, n: int) -> F32:
    """Values below and above a range; one without a highest value has none above."""
    below = max(low - 1.0 - abs(low), -_FAR)
    above = 2.0 * abs(high) + 1.0 if math.isfinite(high) else below
    values: F32 = np.where(rng.random(n) < 0.5, below, above).astype(np.float32)
    return values


def _at_an_end(rng: np.random.Generator, low: float, high: float, n: int) -> F32:
    """The lowest or the highest value of a range, `n` times."""
    end = low if rng.random() < 0.5 else high
    return np.full(n, np.clip(end, -_UNBOUNDED, _UNBOUNDED), np.float32)
