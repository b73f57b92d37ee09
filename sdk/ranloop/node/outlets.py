"""Outlets: what observes the stream of a runtime's events, such as a recorder, the audit log or a page.

The bus is served before them. In lockstep they are called in turn, while RAN time stands still, and lose nothing. Live, each
has a thread and a bounded queue of its own: a slow outlet loses events, which are counted, and holds nobody up.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from ranloop.bus import BusStats
from ranloop.closing import Closing
from ranloop.foreign import one_line
from ranloop.guard import AuditRecord
from ranloop.guard.footprint import n_bytes
from ranloop.wire.messages import Alarms, Report, Result, Standing

__all__ = ("Aside", "Event", "Onlooker", "Outlet", "Pulse", "Surroundings")

log = structlog.get_logger(__name__)

KEEP_BYTES = 1 << 26  # of the events that wait for one outlet: some seconds of a large network
_OBJECT = 512
_AT_ONCE = 8  # events: a round of the loop waits for them at most
_REST = 10.0  # times as long as the events took
CLOSE_S = 3.0  # an outlet may take so long at the end for what waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a runtime does not know of itself.

    Attributes:
        host: Its name on the bus; "" without one.
        connected: Whether the broker is there.
        stats: The counters of the connection, as they were; None without a bus.
        alive: Participants that show a life sign.
    """

    host: str = ""
    connected: bool = True
    stats: BusStats | None = None
    alive: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """How the loop does, once a second; an `Onlooker` alone is shown it.

    Attributes:
        ran_time_ns: RAN time.
        took_ns: Stage -> wall-clock duration of its latest passes; stages as in `RunSummary.latencies_ns`.
        n_dropped: Messages that could not be used.
        n_outside: Values outside their catalogue range, which became no value.
        n_reports: Node -> reports that left it.
        xapps: The admitted ones.
        stands: What stands at each node, whether or not somebody ordered something.
        around: The host and its bus.
        n_unseen: Events before it that the onlooker was too slow for.
    """

    ran_time_ns: int
    took_ns: Mapping[str, Sequence[int]]
    n_dropped: int
    n_outside: int
    n_reports: Mapping[str, int] = field(default_factory=dict)
    xapps: tuple[str, ...] = ()
    stands: tuple[Standing, ...] = ()
    around: Surroundings = Surroundings()
    n_unseen: int = 0


Event = Report | Result | AuditRecord | Standing | Alarms | Pulse


class Outlet(Protocol):
    """Sees every event of a run, once and in order."""

    def take(self, event: Event) -> None: ...


class Onlooker(Protocol):
    """Sees every event and a `Pulse` each second, and may look at columns that nothing else reads.

    Nobody else gets these columns: no xApp, no other outlet, no recording, not the bus and not the trace hash. So what is
    looked at may change at any time, and changes no run.
    """

    @property
    def looks_at(self) -> Mapping[str, Collection[str]]:
        """Level -> measurements; another object whenever it has changed. It is asked often, and from the loop's thread."""
        ...

    def take(self, event: Event) -> None:
        """See an event; called from the loop's thread, which does not wait."""
        ...


class Aside(Closing):
    """Runs one outlet on a thread of its own.

    Args:
        outlet: Called on that thread alone. An outlet that raises is told in the log and not called again.
        keep_bytes: Of the events that may wait; what comes when there is no more room is dropped, counted and told once.
        every_s: Look at what waits so often, instead of at every event. The outlet then gets some events at once, and the
            thread rests behind them: the loop needs the same interpreter. While more than a tenth of the room is taken
            it does not rest.
        flush: Called behind the events that the outlet got at once.

    Attributes:
        of: What kind of outlet it is.
        n_dropped: Events that the outlet has not seen, or not to their end.
        waiting_bytes: Of the events that wait for it.
    """

    def __init__(
        self,
        outlet: Outlet,
        *,
        keep_bytes: int = KEEP_BYTES,
        every_s: float = 0.0,
        flush: Callable[[], object] = lambda: None,
    ) -> None:
        self.n_dropped = 0
        self._outlet, self._flush = outlet, flush
        self._keep_bytes, self._every_s = keep_bytes, every_s
        self._waiting: deque[tuple[Event, int]] = deque()  # with its bytes
        self._n_in_hand = 0  # events that the outlet is seeing
        self.waiting_bytes = 0
        self._there = threading.Condition()
        self._over = False
        self.of = type(outlet).__name__
        self._thread = threading.Thread(target=self._work, name=f"ranloop.outlet[{self.of}]", daemon=True)
        self._thread.start()

    def take(self, event: Event) -> None:
        size = _bytes_of(event)
        with self._there:
            if not self._over and self.waiting_bytes + size <= self._keep_bytes:
                self._waiting.append((event, size))
                self.waiting_bytes += size
                if not self._every_s:
                    self._there.notify()
                return
            self.n_dropped += 1
            is_first = self.n_dropped == 1
        if is_first:
            log.warning("outlet_too_slow", outlet=self.of, keep_bytes=self._keep_bytes)

    def __len__(self) -> int:
        """Count the events that wait for the outlet."""
        return len(self._waiting)

    def close(self) -> None:
        """Let the outlet see what waits, for `CLOSE_S` at most, then end its thread."""
        with self._there:
            self._over = True
            self._there.notify()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():  # it ends with the process
            n_lost = self._give_up()
            log.error("outlet_did_not_end", outlet=self.of, within_s=CLOSE_S, events_lost=n_lost)

    def _give_up(self) -> int:
        """Count the events that the outlet has in hand, and those that wait, as dropped; how many they are."""
        with self._there:
            self._over = True
            n_lost = self._n_in_hand + len(self._waiting)
            self._waiting.clear()
            self._n_in_hand = 0
            self.n_dropped += n_lost
        return n_lost

    def _next(self) -> list[Event]:
        """Events that wait, at least one; none at the end."""
        with self._there:
            self._n_in_hand = 0
            while not self._waiting and not self._over:
                self._there.wait(self._every_s or None)
            events: list[Event] = []
            while self._waiting and len(events) < (_AT_ONCE if self._every_s else 1):
                event, size = self._waiting.popleft()
                self.waiting_bytes -= size
                events.append(event)
            self._n_in_hand = len(events)
        return events

    def _work(self) -> None:
        while events := self._next():
            began_s = time.perf_counter()
            try:
                for event in events:
                    self._outlet.take(event)
                self._flush()
            except BaseException as error:  # noqa: BLE001 whatever fails in an outlet must not end the host
                log.error(
                    "outlet_failed", outlet=self.of, error=type(error).__name__, reason=one_line(str(error))
                )
                self._give_up()
                return
            if self._every_s:
                self._rest(time.perf_counter() - began_s)

    def _rest(self, took_s: float) -> None:
        """Leave the interpreter to the loop: until the next look, or for some time if more events wait."""
        with self._there:
            if self.waiting_bytes < self._keep_bytes // 10 and not self._over:
                self._there.wait(min(_REST * took_s, self._every_s) if self._waiting else self._every_s)


def emit(outlets: Sequence[Outlet], events: Sequence[Event]) -> None:
    """Show each event to each outlet."""
    for event in events:
        for outlet in outlets:
            outlet.take(event)


def _bytes_of(event: Event) -> int:
    """Bytes of memory that an event keeps, to a factor of two."""
    match event:
        case Report():
            return _OBJECT + event.block.nbytes
        case Result():
            return n_bytes(event)
        case Alarms():
            return _OBJECT * (1 + len(event.active))
        case AuditRecord():
            return _OBJECT + n_bytes(event.batch) + n_bytes(event.result)
    return _OBJECT
