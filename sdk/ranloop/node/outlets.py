"""Outlets: what observes the stream of a runtime's events, such as a recorder, the audit log or a page.

The bus is served before them. In lockstep they are called in turn, while RAN time stands still, and lose nothing. Live, each
has a thread and a bounded queue of its own: a slow outlet loses events, which are counted, and holds nobody up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import structlog

from ranloop.closing import Closing
from ranloop.guard import AuditRecord
from ranloop.wire.messages import Report, Result, Standing

__all__ = ("Aside", "Event", "Outlet")

log = structlog.get_logger(__name__)

Event = Report | Result | AuditRecord | Standing

KEEP_BYTES = 1 << 26  # of the events that wait for one outlet: some seconds of a large network


class Outlet(Protocol):
    """Sees every event of a run, once and in order."""

    def take(self, event: Event) -> None: ...


class Aside(Closing):
    """Runs one outlet on a thread of its own.

    Args:
        outlet: Called on that thread alone. One that raises is told in the log and not called again.
        keep_bytes: Of the events that may wait; what comes when there is no more room is dropped and counted.
    """

    def __init__(self, outlet: Outlet, *, keep_bytes: int = KEEP_BYTES) -> None:
        self.n_dropped = 0
        self._outlet = outlet
        self._keep_bytes = keep_bytes
        self._waiting: deque[Event] = deque()
        self._waiting_bytes = 0
        self._there = threading.Condition()
        self._over = False
        name = f"ranloop.outlet[{type(outlet).__name__}]"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def take(self, event: Event) -> None:
        size = _bytes_of(event)
        with self._there:
            if self._over or self._waiting_bytes + size > self._keep_bytes:
                self.n_dropped += 1
                return
            self._waiting.append(event)
            self._waiting_bytes += size
            self._there.notify()

    def close(self) -> None:
        """Let the outlet see what waits, then end its thread."""
        with self._there:
            self._over = True
            self._there.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._there:
                self._there.wait_for(lambda: bool(self._waiting) or self._over)
                if not self._waiting:
                    return
                event = self._waiting.popleft()
                self._waiting_bytes -= _bytes_of(event)
            try:
                self._outlet.take(event)
            except Exception as error:  # noqa: BLE001 whatever fails in an outlet must not end the host
                log.error("outlet_failed", outlet=type(self._outlet).__name__, reason=str(error))
                with self._there:
                    self._over = True
                    self.n_dropped += 1 + len(self._waiting)
                    self._waiting.clear()
                return


def emit(outlets: Sequence[Outlet], events: Sequence[Event]) -> None:
    """Show each event to each outlet."""
    for event in events:
        for outlet in outlets:
            outlet.take(event)


def _bytes_of(event: Event) -> int:
    """Roughly what keeps an event alive: its arrays, and some hundred bytes around them."""
    return 512 + (event.block.nbytes if isinstance(event, Report) else 0)
