"""`ranloop top`: who runs on a bus, who holds what, how quickly, and what is refused. It reads and never writes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ranloop.bus import open_bus, without_password
from ranloop.cli.bus_view import BusView, names_in
from ranloop.cli.operator import stop_on_signals
from ranloop.cli.values import check_positive
from ranloop.foreign import one_line
from ranloop.page.roster import KEPT, Rates

__all__ = ("look", "run_top")

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


def look(view: BusView, rates: Rates) -> dict[str, Any]:
    """The bus as plain data."""
    listed = (xapp for host in view.hosts.values() for xapp in names_in(host, "xapps"))
    admitted = {*islice(listed, KEPT)}
    present = {name for name, sign in view.signs.items() if sign.alive and sign.facts.get("kind") == "xapp"}
    table = view.roster.table(
        rates, host_of=view.host_of, is_alive=view.is_alive, admitted=admitted | present
    )
    return {**table, "unreadable_messages": view.n_unreadable, "forgotten_names": view.n_forgotten}


# For people


def _show(facts: dict[str, Any], *, clear: bool) -> None:
    if clear and sys.stdout.isatty():
        print(_CLEAR, end="")
    console = Console()
    away = "" if facts["connected"] else "   the broker is away"
    console.print(Text(f"{facts['bus']}   {time.strftime('%H:%M:%S UTC', time.gmtime())}{away}"))
    if facts["forgotten_names"]:
        console.print(Text(f"{facts['forgotten_names']} names and counts were forgotten: too many names"))
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
