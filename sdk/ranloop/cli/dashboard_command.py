"""`ranloop dashboard`: a page that observes a bus, or shows a recording."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import structlog

from ranloop.bus import open_bus, without_password
from ranloop.cli.bus_view import BusView
from ranloop.cli.dashboard import serve, wait
from ranloop.cli.logs import tell_metrics
from ranloop.cli.operator import send_order, stop_on_signals
from ranloop.cli.top import look
from ranloop.guard.audit_query import AuditReader, Verdict
from ranloop.guard.fates import Told
from ranloop.metrics import PageSource, serve_metrics
from ranloop.node.outlets import Event
from ranloop.node.recorded import read_recording
from ranloop.page import History
from ranloop.page.orders import OrderDesk, Wanted, read_token
from ranloop.page.roster import Rates
from ranloop.page.words import broker_facts, recorded_facts
from ranloop.wire.messages import Catalogue, Cause, Status

__all__ = ("order_desk", "show_bus", "show_recording")

log = structlog.get_logger(__name__)

_FACTS_S = 1.0


def show_bus(
    url: str,
    address: str,
    *,
    served_as: Sequence[str],
    operator_token: Path | None,
    metrics: str,
    json_output: bool,
) -> int:
    """Serve a page about a bus until a signal comes; it publishes nothing, but for an operator's orders.

    Raises:
        BusError: There is no broker, or it refuses us.
        RanloopError: The address of the page or of the metrics, or the operator's file, cannot be used.
    """
    history = History()

    def on_seen(seen: Catalogue | Event) -> None:
        if isinstance(seen, Catalogue):
            history.meet([seen])
        else:
            history.take(seen)

    desk = order_desk(operator_token, url)
    stop = stop_on_signals()
    place = without_password(url)
    with (
        serve_metrics(metrics, tell_metrics) as process,
        closing(open_bus(url, name="observer")) as bus,
        serve(
            history, address, title=place, mode="live", desk=desk, names=served_as, json_output=json_output
        ) as page,
    ):
        process.show("page", "observer", {"all": bus}, PageSource(page=page, is_all=True))
        view, rates, due_s = BusView(bus, traffic=True, on_seen=on_seen), Rates(), 0.0
        while not stop.is_set():
            bus.poll(0.1)
            if (now_s := time.monotonic()) >= due_s:
                due_s = now_s + _FACTS_S
                broker = broker_facts(place, bus.stats, connected=bus.connected)
                history.state("health", {"kind": "health", "broker": broker, **look(view, rates)})
                history.tell_so_far()  # a run in this process tells it with its pulse
    return 0


def show_recording(
    folder: Path, address: str, *, served_as: Sequence[str], audit: Path | None, json_output: bool
) -> int:
    """Serve a page about a recorded run until a signal comes.

    Raises:
        NodeError: The recording is damaged, or there is none; or the audit log cannot be read.
    """
    history = History()
    recording = read_recording(folder)
    history.meet(recording.catalogues)
    for stream in recording.streams:
        names = frozenset(stream.names)
        for _, table, index in stream:
            history.take(table.report(index, names))
    if history.n_evicted:
        log.warning("recording_shown_in_part", reports_left_out=history.n_evicted, reason="no room in memory")
    if audit is not None:
        reader = AuditReader(audit)
        history.say(reader.records())
        for one in AuditReader(audit):
            if isinstance(one, Verdict):
                history.rosters[0].fates.count(_told(one))
        if reader.n_damaged:
            log.warning("audit_read_in_part", lines=reader.n_damaged, first=reader.damaged[0])
    history.state("health", recorded_facts(recording.catalogues, history.rosters[0]))
    history.tell_so_far()
    stop = stop_on_signals()
    title = str(folder)
    with serve(history, address, title=title, mode="recording", names=served_as, json_output=json_output):
        wait(stop)
    return 0


def _told(verdict: Verdict) -> Told:
    """What a line of an audit log says of one target, as the guard counted it."""
    return Told(
        verdict.xapp,
        verdict.action,
        Status[verdict.verdict.upper()],
        verdict.cause or Cause.NONE,
        max(verdict.repeats, 1),
        verdict.text,
    )


def order_desk(operator_token: Path | None, url: str) -> OrderDesk | None:
    """Takes orders of whoever knows the token of the file, and gives them on the bus, as `ranloop order` does; None without a file.

    Raises:
        RanloopError: The file cannot be used.
    """
    if operator_token is None:
        return None

    def give(wanted: Wanted) -> str:
        told: list[str] = []
        kill = {"kill": True, "revive": False}.get(wanted.what)
        autonomy = "" if kill is not None else wanted.what
        send_order(wanted.node, url, kill=kill, xapp=wanted.xapp, autonomy=autonomy, tell=told.append)
        return "; ".join(told)

    return OrderDesk(read_token(operator_token), give)
