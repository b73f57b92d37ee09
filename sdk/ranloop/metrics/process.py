"""What holds of every process: its connections, and whether its loop turns and its parts can do their work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from ranloop import __version__
from ranloop.bus import Bus, BusStats
from ranloop.metrics.metric import Metric, Reading, Source, one
from ranloop.node.doing import now_doing

__all__ = ("STALLED_AFTER_S", "Process")

STALLED_AFTER_S = 10.0  # the loop has been away from its bus for so long: a handler or a node hangs


class Process:
    """What the pages of one process show. It starts empty, so that a port is taken before anything else begins."""

    metrics: ClassVar[tuple[Metric[Any], ...]]

    def __init__(self) -> None:
        self._kind = self._name = ""
        self._buses: Mapping[str, Bus] = {}
        self.sources: tuple[Source, ...] = (self,)

    def show(self, kind: str, name: str, buses: Mapping[str, Bus], *sources: Source) -> None:
        """Begin to show the parts of the process.

        Args:
            kind: "host", "xapp", "page", or "run" for host and xApps in one process.
            name: Of the participant; of all xApps, joined by a comma, where there are several.
            buses: What the connection is for -> the bus. The loop polls the one for "all".
            sources: The other parts.
        """
        self._kind, self._name, self._buses = kind, name, buses
        self.sources = (self, *sources)

    @property
    def busy_s(self) -> float:
        """Time since the loop last left its bus; 0 while it waits there."""
        main = self._buses.get("all")
        since_s = main.stats.busy_since_s if main else None
        return 0.0 if since_s is None else max(0.0, time.monotonic() - since_s)

    def stalled(self) -> str:
        """Why the process is to be started anew, in words; "" if its loop turns, or waits for what takes long (`node.doing`)."""
        busy_s = self.busy_s
        if busy_s <= STALLED_AFTER_S or now_doing():
            return ""
        return f"the loop has not come back to its bus for {busy_s:.0f} s: a handler or a node hangs"

    def not_ready(self) -> str:
        """Why the process cannot do its work now, in words; "" if it can."""
        if not self._buses:
            return now_doing() or "the process is starting"
        reasons = (
            now_doing(),
            self.stalled(),
            *(source.not_ready() for source in self.sources if source is not self),
        )
        return next(filter(None, reasons), "")

    def of_buses(self, value: Callable[[Bus], float]) -> Iterable[Reading]:
        """A value of each connection."""
        return [((use,), value(bus)) for use, bus in self._buses.items()]


def _bus(name: str, meaning: str, value: Callable[[BusStats], float]) -> Metric[Process]:
    return Metric(
        name=f"ranloop_bus_{name}",
        kind="counter" if name.endswith("_total") else "gauge",
        labels=("connection",),
        meaning=meaning,
        read=lambda process: process.of_buses(lambda bus: value(bus.stats)),
    )


Process.metrics = (
    Metric(
        name="ranloop_build_info",
        kind="gauge",
        labels=("version", "kind", "name"),
        meaning="Always 1. What runs here: host, xapp, page, or run for host and xApps in one process",
        read=lambda process: [((__version__, process._kind, process._name), 1)],
    ),
    Metric(
        name="ranloop_ready",
        kind="gauge",
        meaning="Whether the process can do its work, as /readyz says: 1 or 0",
        read=one(lambda process: not process.not_ready()),
    ),
    Metric(
        name="ranloop_loop_busy_seconds",
        kind="gauge",
        meaning=f"Time since the loop last left its bus, 0 while it waits there; above {STALLED_AFTER_S:g} /healthz fails",
        read=one(lambda process: process.busy_s),
    ),
    Metric(
        name="ranloop_bus_connected",
        kind="gauge",
        labels=("connection",),
        meaning="Whether the connection to the broker stands: 1 or 0",
        read=lambda process: process.of_buses(lambda bus: bus.connected),
    ),
    _bus("reconnects_total", "Connections that were made anew", lambda stats: stats.reconnects),
    _bus("messages_published_total", "Messages that were sent", lambda stats: stats.published),
    _bus("messages_received_total", "Messages that came", lambda stats: stats.received),
    _bus("messages_delivered_total", "Messages that were handled", lambda stats: stats.delivered),
    _bus(
        "messages_dropped_total",
        "Oldest messages of a full queue, which nobody has handled",
        lambda stats: stats.dropped,
    ),
    _bus(
        "messages_conflated_total",
        "Messages in whose place a newer one of the same topic was handled",
        lambda stats: stats.conflated,
    ),
    _bus(
        "messages_unsent_total",
        "Messages that were not sent, because the broker was away or did not keep up",
        lambda stats: stats.unsent,
    ),
    _bus("messages_waiting", "Messages that have come and are not handled yet", lambda stats: stats.waiting),
    _bus("messages_outbox", "Messages that wait for the broker to come back", lambda stats: stats.outbox),
)
