"""What a page can show: the reports and happenings of one or two runs, as far as they fit into memory.

One thread writes, the server's thread reads. Readers have cursors, so there is no queue for any of them: what has fallen out
before a reader came to it is lost to that reader, and counted there. Names of nodes and xApps may be made up on a bus that
nobody guards: where there are too many, what was silent longest goes, and is counted.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice, takewhile
from typing import Any, Protocol

import orjson

from ranloop.closing import Closing
from ranloop.guard import AuditRecord
from ranloop.guard.audit_lines import AuditLines
from ranloop.node.outlets import Aside, Event, Pulse
from ranloop.page.roster import KEPT, Rates, Roster
from ranloop.page.words import (
    catalogue_facts,
    fates_facts,
    health_facts,
    pulse_facts,
    standing_facts,
)
from ranloop.recent import Recent
from ranloop.wire.messages import Alarms, Catalogue, Report, Standing

__all__ = ("History", "Said", "Track", "TrackKey", "Watcher")

TrackKey = tuple[int, str, str, int]  # world, node, level, granularity period in ms

KEEP_BYTES = 1 << 28
_REPORT = 400  # bytes of a report beside its block
_SAID_KEPT = 4096
_SAID_BYTES = 1 << 23
_LOOK_S = 0.05  # between two looks of a watcher at what has happened; eyes need no more
_LINES_BYTES_PER_DAY = float(1 << 36)


@dataclass(slots=True, eq=False)
class Track:
    """The reports of one stream that are kept; `n_gone` came before them."""

    reports: deque[Report] = field(default_factory=deque)
    n_gone: int = 0

    @property
    def end(self) -> int:
        """Cursor behind the newest report."""
        return self.n_gone + len(self.reports)


@dataclass(slots=True, eq=False)
class Said:
    """Lines of JSON that are kept, such as those of the audit log; `n_gone` came before them."""

    lines: deque[bytes] = field(default_factory=deque)
    n_gone: int = 0
    n_bytes: int = 0

    def add(self, line: bytes) -> None:
        """Keep a line, and let the oldest go where there are too many."""
        self.lines.append(line)
        self.n_bytes += len(line)
        while len(self.lines) > _SAID_KEPT or self.n_bytes > _SAID_BYTES:
            self.n_bytes -= len(self.lines.popleft())
            self.n_gone += 1


class History:
    """Keeps events of runs for the sessions of a page.

    Args:
        background: Measurements that are looked at although no page asks for them, so that a page that is opened late has a past.
        place: Address of the broker; "" where the runs have none.
        keep_bytes: Of the reports, all streams together; the oldest go first.

    Attributes:
        looks_at: What all pages together look at; another object whenever it changes.
        n_evicted: Reports that had to go for want of room.
        n_restarts: Streams that began anew.
        facts: Key -> newest word on one subject as JSON, and the number of the change that brought it; the newest last.
        rosters: World -> what its nodes and xApps do.
    """

    def __init__(
        self,
        background: Mapping[str, Collection[str]] | None = None,
        *,
        place: str = "",
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self._background = {level: frozenset(names) for level, names in (background or {}).items()}
        self.looks_at: Mapping[str, frozenset[str]] = dict(self._background)
        self.tracks: Recent[TrackKey, Track] = Recent(KEPT, lambda _, track: self._forget(track))
        self.said = Said()
        self.facts: dict[str, tuple[int, bytes]] = {}
        self.n_changes = 0
        self.n_evicted = self.n_restarts = 0
        self.lock = threading.Lock()
        self.rosters: defaultdict[int, Roster] = defaultdict(Roster)
        self._named: Recent[str, None] = Recent(
            KEPT, lambda key, _: self.facts.pop(key)
        )  # keys with foreign names
        self._keep_bytes, self._n_bytes = keep_bytes, 0
        self._lines: dict[int, AuditLines] = {}
        self._place, self._rates = place, Rates()
        self._pulse: Pulse | None = None  # the newest of the first world

    @property
    def n_forgotten(self) -> int:
        """Streams, nodes and xApps that went because too many names were heard."""
        rosters = [roster.n_forgotten for roster in tuple(self.rosters.values())]
        return self.tracks.n_forgotten + self._named.n_forgotten + sum(rosters)

    # What comes in, on one thread

    def take(self, event: Event, world: int = 0) -> None:
        """Keep an event of a run."""
        match event:
            case Report():
                self._report(event, world)
            case AuditRecord():
                lines = self._lines.setdefault(world, AuditLines(bytes_per_day=_LINES_BYTES_PER_DAY))
                self.say(lines.text(event).splitlines(), world)
            case Pulse():
                self.state(f"pulse/{world}", pulse_facts(event), world)
                if world == 0:
                    self._pulse = event
                self.tell_so_far(world)
            case Standing():
                self.state(f"standing/{world}/{event.node}", standing_facts(event), world, foreign=True)
            case Alarms():
                key = f"alarms/{world}/{event.xapp}"
                self.state(key, {"kind": "alarms", **asdict(event)}, world, foreign=True)
        if not isinstance(event, Report):  # the runtime counts them: it knows which are for the page alone
            self.rosters[world].take(event)

    def flush(self) -> None:
        """Nothing: what is taken is here."""

    def tell_so_far(self, world: int = 0) -> None:
        """Tell what became of the targets so far, and how nodes and xApps do."""
        roster = self.rosters[world]
        self.state(f"fates/{world}", fates_facts(roster.fates.told()), world)
        if self._pulse is not None and world == 0:
            self.state("health", health_facts(self._pulse, roster, self._rates, self._place))

    def meet(self, catalogues: Iterable[Catalogue], world: int = 0) -> None:
        """Keep the catalogues of nodes."""
        for catalogue in catalogues:
            self.rosters[world].meet(catalogue.node)
            key = f"catalogue/{world}/{catalogue.node}"
            self.state(key, catalogue_facts(catalogue), world, foreign=True)

    def say(self, lines: Iterable[bytes], world: int = 0) -> None:
        """Keep lines of an audit log."""
        with self.lock:
            for line in lines:
                self.said.add(b'{"w":%d,%s' % (world, line.lstrip()[1:]))

    def state(self, key: str, fact: Mapping[str, Any], world: int = 0, *, foreign: bool = False) -> None:
        """Keep the newest word on one subject; a `foreign` one has a name that came with a message."""
        text = orjson.dumps({"w": world, **fact}, option=orjson.OPT_NON_STR_KEYS)
        with self.lock:
            self.n_changes += 1
            self.facts.pop(key, None)
            self.facts[key] = self.n_changes, text
            if foreign:
                self._named[key] = None

    def _report(self, report: Report, world: int) -> None:
        key = world, report.node, str(report.level), report.period_ms
        with self.lock:
            for kind in ("catalogue", "standing"):
                self._named.touch(f"{kind}/{world}/{report.node}")
            track = self.tracks.get(key) or Track()
            if track.reports and _is_another_run(track.reports[-1], report):
                self._forget(track)
                self.n_restarts += 1
            self.tracks[key] = track
            track.reports.append(report)
            self._n_bytes += _REPORT + report.block.nbytes
            while self._n_bytes > self._keep_bytes:
                self._let_go()

    def _let_go(self) -> None:
        """Forget the oldest report of all."""
        oldest = min(
            (track for track in self.tracks.values() if track.reports),
            key=lambda track: track.reports[0].ran_time_ns,
        )
        self._n_bytes -= _REPORT + oldest.reports.popleft().block.nbytes
        oldest.n_gone += 1
        self.n_evicted += 1

    def _forget(self, track: Track) -> None:
        """Let all reports of a stream go."""
        self._n_bytes -= sum(_REPORT + report.block.nbytes for report in track.reports)
        track.n_gone += len(track.reports)
        track.reports.clear()

    # What is read, on the server's thread

    def look(self, wanted: Iterable[Mapping[str, Collection[str]]]) -> None:
        """Look at what these pages want together, and at the background."""
        looks_at = dict(self._background)
        for columns in wanted:
            for level, names in columns.items():
                looks_at[level] = looks_at.get(level, frozenset()).union(names)
        if looks_at != self.looks_at:
            self.looks_at = looks_at

    def since(self, key: TrackKey, cursor: int | None, most: int) -> tuple[list[Report], int, int]:
        """The newest reports of a stream behind `cursor` (None: the oldest that is kept), at most `most`.

        Returns:
            The reports, how many were lost between, and the cursor behind them.
        """
        with self.lock:
            track = self.tracks.get(key) or Track()  # it may just have gone
            n_new = track.end - (track.n_gone if cursor is None else cursor)
            n = max(min(n_new, most, len(track.reports)), 0)
            new = list(islice(reversed(track.reports), n))[::-1]
            return new, max(n_new - n, 0), track.end

    def between(self, key: TrackKey, span_ns: tuple[int, int]) -> tuple[list[Report], int]:
        """The reports of a stream in a span of RAN time, both ends included, and the cursor behind the newest of all."""
        with self.lock:
            track = self.tracks.get(key) or Track()
            reports, end = list(track.reports), track.end
        return [report for report in reports if span_ns[0] <= report.ran_time_ns <= span_ns[1]], end

    def newest(self) -> dict[TrackKey, Report]:
        """The newest report of each stream."""
        with self.lock:
            return {key: track.reports[-1] for key, track in self.tracks.items() if track.reports}

    def span_ns(self) -> tuple[int, int] | None:
        """RAN time of the oldest and of the newest report; None where there is none."""
        with self.lock:
            kept = [track.reports for track in self.tracks.values() if track.reports]
            if not kept:
                return None
            return min(one[0].ran_time_ns for one in kept), max(one[-1].ran_time_ns for one in kept)

    def said_since(self, cursor: int) -> tuple[Sequence[bytes], int, int]:
        """Lines behind `cursor`, the cursor behind them, and how many were lost before them."""
        with self.lock:
            end = self.said.n_gone + len(self.said.lines)
            lost = max(self.said.n_gone - cursor, 0)
            return tuple(islice(self.said.lines, max(cursor - self.said.n_gone, 0), None)), end, lost

    def facts_since(self, change: int) -> list[tuple[int, bytes]]:
        """Words that are newer than a change, the oldest first."""
        with self.lock:
            return [*takewhile(lambda fact: fact[0] > change, reversed(self.facts.values()))][::-1]


def _is_another_run(before: Report, report: Report) -> bool:
    return report.run != before.run or report.ran_time_ns <= before.ran_time_ns


class Keeper(Protocol):
    """Where a run's events go: a history here, or one in another process."""

    @property
    def looks_at(self) -> Mapping[str, frozenset[str]]: ...

    def take(self, event: Event, world: int = 0) -> None: ...

    def flush(self) -> None: ...


class Watcher(Closing):
    """An `Onlooker` that hands one run's events to a history, on a thread of its own.

    Args:
        history: Where the events go.
        world: Number of the run there.
    """

    def __init__(self, history: Keeper, world: int = 0) -> None:
        self._history = history
        self._aside = Aside(_Entrance(history, world), every_s=_LOOK_S, flush=history.flush)

    @property
    def looks_at(self) -> Mapping[str, frozenset[str]]:
        return self._history.looks_at

    @property
    def n_dropped(self) -> int:
        """Events that came too quickly for the history."""
        return self._aside.n_dropped

    def take(self, event: Event) -> None:
        if isinstance(event, Pulse):
            event = replace(event, n_unseen=self.n_dropped)
        self._aside.take(event)

    def close(self) -> None:
        """Let the history see what waits, then end the thread."""
        self._aside.close()


class _Entrance:
    """One world's way into a history."""

    def __init__(self, history: Keeper, world: int) -> None:
        self._history, self._world = history, world

    def take(self, event: Event) -> None:
        self._history.take(event, self._world)
