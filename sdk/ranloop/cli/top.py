"""`ranloop top`: who runs on a bus, who holds what, how quickly, and what is refused. It reads and never writes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ranloop.bus import open_bus, without_password
from ranloop.cli.bus_view import BusView, XAppView
from ranloop.cli.operator import stop_on_signals
from ranloop.cli.values import check_positive
from ranloop.foreign import one_line
from ranloop.guard.fates import Told
from ranloop.wire.messages import Cause, Status

__all__ = ("Rates", "look", "run_top")

_CLEAR = "\x1b[H\x1b[2J"
_NODE_COLUMNS = {
    "node": "node",
    "host": "host",
    "killed": "killed",
    "ran_time_s": "RAN time s",
    "reports_per_s": "reports/s",
}
_XAPP_COLUMNS = {
    "xapp": "xApp",
    "alive": "alive",
    "autonomy": "autonomy",
    "holds": "holds",
    "actions_per_s": "actions/s",
    "decides_ms": "decides ms",
    "answered_ms": "answered ms",
}


def run_top(url: str, *, every_s: float, once: bool, json_output: bool) -> int:
    """Show the bus every `every_s` seconds until it is stopped, or once after that time.

    With `json_output` each look is one line of JSON.

    Raises:
        BusError: There is no broker, or it refuses us.
    """
    check_positive("--every-s", every_s)
    stop = stop_on_signals()
    with closing(open_bus(url, name="observer")) as bus:
        view = BusView(bus, traffic=True)
        rates = Rates()
        while not stop.is_set():
            until_s = time.monotonic() + every_s
            while not stop.is_set() and (left_s := until_s - time.monotonic()) > 0:
                bus.poll(min(left_s, 0.1))
            facts = {"bus": without_password(url), "connected": bus.connected, **look(view, rates)}
            if json_output:
                print(json.dumps(facts), flush=True)
            else:
                _show(facts, clear=not once)
            if once:
                break
    return 0


class Rates:
    """Events per second between two looks."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._at_s, self._span_s = time.monotonic(), 0.0

    def tick(self) -> None:
        """Begin a look."""
        now_s = time.monotonic()
        self._at_s, self._span_s = now_s, now_s - self._at_s

    def per_s(self, name: str, count: int) -> float:
        """The rate of `name`, which has come to `count`."""
        before, self._counts[name] = self._counts.get(name, 0), count
        return round((count - before) / self._span_s, 1) if self._span_s else 0.0


def look(view: BusView, rates: Rates) -> dict[str, Any]:
    """The bus as plain data."""
    rates.tick()
    nodes = sorted({*view.catalogues, *view.reports})
    admitted = {xapp for host in view.hosts.values() for xapp in _names(host.facts.get("xapps"))}
    present = {name for name, sign in view.signs.items() if sign.alive and sign.facts.get("kind") == "xapp"}
    return {
        "nodes": [_node(view, node, rates) for node in nodes],
        "xapps": [_xapp(view, xapp, rates) for xapp in sorted(admitted | present | view.xapps.keys())],
        "unreadable_messages": view.n_unreadable,
    }


def _node(view: BusView, node: str, rates: Rates) -> dict[str, Any]:
    report, standing = view.reports.get(node), view.standings.get(node)
    return {
        "node": node,
        "host": view.host_of(node) or None,
        "killed": standing.killed if standing else None,
        "ran_time_s": report.time_s if report else None,
        "reports_per_s": rates.per_s(f"node {node}", view.n_reports[node]),
    }


def _xapp(view: BusView, name: str, rates: Rates) -> dict[str, Any]:
    seen = view.of(name)
    levels = {node: one.autonomy[name] for node, one in view.standings.items() if name in one.autonomy}
    told = seen.fates.told()
    return {
        "xapp": name,
        "alive": view.is_alive(name),
        "autonomy": levels,
        "holds": _held(seen),
        "actions_per_s": rates.per_s(f"xapp {name}", seen.n_batches),
        "decides_ms": _median_ms(seen.decides_s),
        "answered_ms": _median_ms(seen.answered_s),
        "targets": {fate.name: fate.n_targets for fate in told},
        "refused": [_refusal(fate) for fate in told if _is_refusal(fate)],
    }


def _names(fact: object) -> list[str]:
    return [str(one) for one in fact] if isinstance(fact, list) else []


def _held(seen: XAppView) -> dict[str, int]:
    """Action at node -> number of targets held."""
    return {f"{action} at {node}": len(held) for (node, action), held in sorted(seen.held.items()) if held}


def _is_refusal(fate: Told) -> bool:
    return fate.status in (Status.REFUSED, Status.EXPIRED) and fate.cause != Cause.NONE


def _refusal(fate: Told) -> dict[str, Any]:
    return {
        "action": fate.action,
        "fate": fate.name,
        "targets": fate.n_targets,
        "example": one_line(fate.text),
    }


def _median_ms(seconds: Iterable[float]) -> float | None:
    ordered = sorted(seconds)
    return round(ordered[len(ordered) // 2] * 1e3, 2) if ordered else None


# For people


def _show(facts: dict[str, Any], *, clear: bool) -> None:
    if clear and sys.stdout.isatty():
        print(_CLEAR, end="")
    console = Console()
    away = "" if facts["connected"] else "   the broker is away"
    console.print(Text(f"{facts['bus']}   {time.strftime('%H:%M:%S UTC', time.gmtime())}{away}"))
    _print(console, facts["nodes"], _NODE_COLUMNS)
    _print(console, facts["xapps"], _XAPP_COLUMNS)
    for xapp in facts["xapps"]:
        for refusal in xapp["refused"]:
            fate = f"{xapp['xapp']}: {refusal['targets']} targets of {refusal['action']} {refusal['fate']}"
            console.print(Text(f"{fate}, e.g. {refusal['example']}"))


def _print(console: Console, rows: list[dict[str, Any]], columns: Mapping[str, str]) -> None:
    first, *others = columns.values()
    table = Table(Column(first, no_wrap=True), *others, box=None)
    for row in rows:
        table.add_row(*(Text(one_line(_plain(row[column]))) for column in columns))
    console.print(table)


def _plain(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key}: {one}" for key, one in value.items()) or "-"
        case float():
            return f"{value:.1f}"
    return str(value)
