"""`ranloop describe`: what RAN nodes offer, and what they are made of."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import structlog
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ranloop.bus import Bus, open_bus
from ranloop.cli.opening import open_node
from ranloop.cli.operator import CATALOGUES_AT_MOST_S, CATALOGUES_S
from ranloop.errors import NodeError, WireError
from ranloop.foreign import one_line
from ranloop.vocabulary import ACTIONS, MEASUREMENTS, ActionSpec, Kind
from ranloop.vocabulary.near import near_matches
from ranloop.wire import topics
from ranloop.wire.codec import decode_catalogue_on
from ranloop.wire.messages import Catalogue

__all__ = ("describe",)

log = structlog.get_logger(__name__)

_NEIGHBOURS_SHOWN = 4


def describe(
    node: str, bus_url: str, *, seed: int, overrides: Sequence[str], profile: str, json_output: bool
) -> int:
    """Print the catalogues of an address (`sim:…`, `replay:…`, `pipe:…`), or of a node on a bus, "" for all there.

    Raises:
        NodeError: There is no such node.
    """
    if ":" in node:
        with closing(open_node(node, seed=seed, overrides=overrides, profile=profile, xapps={})) as world:
            found = list(world.catalogues)
    else:
        with closing(open_bus(bus_url, name="observer")) as bus:
            there = _heard(bus)
        if node and node not in there:
            hint = ", ".join(near_matches(node, there) or sorted(there)) or "no node at all"
            raise NodeError(f"no node {node!r} on {bus_url}; there is {hint}")
        found = [there[name] for name in sorted(there) if node in ("", name)]
    facts = [_facts(catalogue) for catalogue in found]
    if json_output:
        print(json.dumps({"nodes": facts}, indent=2))
    else:
        _show(facts)
    return 0


def _heard(bus: Bus) -> dict[str, Catalogue]:
    """The catalogues that are retained on a bus, by node."""
    found: dict[str, Catalogue] = {}

    def on_catalogue(topic: str, payload: bytes) -> None:
        try:
            catalogue = decode_catalogue_on(topic, payload)
        except WireError as error:
            log.warning("catalogue_ignored", topic=one_line(topic), reason=one_line(str(error)))
        else:
            found[catalogue.node] = catalogue

    bus.subscribe(topics.catalogue("+"), on_catalogue, qos=1, latest=True)
    give_up_s = time.monotonic() + CATALOGUES_AT_MOST_S
    while time.monotonic() < give_up_s and bus.poll(CATALOGUES_S):
        pass
    return found


def _facts(catalogue: Catalogue) -> dict[str, Any]:
    """A catalogue as plain data, names with their units and ranges."""
    return {
        "node": catalogue.node,
        "periods_ms": list(catalogue.periods_ms),
        "control_delay_ms": catalogue.control_delay_ms,
        "measurements": {
            level: {name: MEASUREMENTS[name].unit for name in names}
            for level, names in catalogue.measurements.items()
            if names
        },
        "actions": {name: _action(ACTIONS[name].spec) for name in catalogue.actions},
        "cells": [_cell(catalogue, cell, name) for cell, name in catalogue.cells.items()],
        "slices": [
            {"id": each, "s_nssai": name, "min_pct": catalogue.slice_min_pct.get(each, 0.0)}
            for each, name in catalogue.slices.items()
        ],
    }


def _action(spec: ActionSpec) -> dict[str, Any]:
    return {
        "targets": list(spec.targets),
        "is_setting": spec.kind is Kind.SETTING,
        "parameters": {
            each.name: {"unit": each.unit, "low": each.low, "high": each.high, "default": each.default}
            for each in spec.parameters
        },
    }


def _cell(catalogue: Catalogue, cell: int, name: str) -> dict[str, Any]:
    place = catalogue.geometry.get(cell)
    facts: dict[str, Any] = {"id": cell, "name": name}
    if place is not None:
        facts |= {
            "site": place.site,
            "x_m": place.x_m,
            "y_m": place.y_m,
            "azimuth_deg": place.azimuth_deg,
            "height_m": place.height_m,
            "beam_width_deg": place.beam_width_deg,
        }
    return facts | {"neighbours": [relation.name for relation in catalogue.neighbours.get(cell, ())]}


def _show(nodes: Sequence[Mapping[str, Any]]) -> None:
    """What all nodes have in common once, then the cells of all; text of a node is no markup."""
    console = Console()
    offers = [{key: node[key] for key in node if key not in ("node", "cells")} for node in nodes]
    for i, offer in enumerate(offers):
        if offer in offers[:i]:
            continue
        names = [node["node"] for node, other in zip(nodes, offers, strict=True) if other == offer]
        console.print(Text(f"{'nodes' if len(names) > 1 else 'node'}: {', '.join(names)}"))
        periods = ", ".join(map(str, offer["periods_ms"]))
        console.print(f"granularity periods: {periods} ms; control delay: {offer['control_delay_ms']:g} ms")
        for level, units in offer["measurements"].items():
            console.print(Text(f"\nmeasurements of level {level}:"))
            listed = Text(", ".join(f"{name} [{unit}]" for name, unit in units.items()))
            console.print(Padding(listed, (0, 0, 0, 2)))
        console.print("\nactions:" if offer["actions"] else "\nactions: none")
        for name, action in offer["actions"].items():
            console.print(Text(f"  {name}({', '.join(action['targets'])}): {_ranges(action['parameters'])}"))
        for each in offer["slices"]:
            console.print(
                Text(f"slice {each['id']}: {each['s_nssai']}, at least {each['min_pct']:g} % guaranteed")
            )
        console.print()
    table = Table("cell", "name", "site", "x m", "y m", "azimuth °", "height m", "neighbours", box=None)
    for cell in (cell for node in nodes for cell in node["cells"]):
        near, more = cell["neighbours"][:_NEIGHBOURS_SHOWN], len(cell["neighbours"]) - _NEIGHBOURS_SHOWN
        place = (cell.get(key) for key in ("x_m", "y_m", "azimuth_deg", "height_m"))
        numbers = ("" if value is None else f"{round(value)}" for value in place)
        row = (str(cell["id"]), cell["name"], cell.get("site", ""), *numbers)
        table.add_row(*map(Text, (*row, ", ".join(near) + (f" and {more} more" if more > 0 else ""))))
    console.print(table)


def _ranges(parameters: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{name} {of['low']:g} to {of['high']:.9g}"
        + ("" if of["unit"] == "1" else f" {of['unit']}")
        + ("" if of["default"] is None else f" (default {of['default']:g})")
        for name, of in parameters.items()
    )
