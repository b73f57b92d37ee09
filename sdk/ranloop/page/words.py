"""Plain facts for the page: the vocabulary that it explains values with, catalogues, and how the loop does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ranloop.bus import BusStats
from ranloop.guard.fates import Told
from ranloop.guard.remedies import REMEDIES
from ranloop.node.outlets import Pulse
from ranloop.page.roster import Rates, Roster, told_row
from ranloop.vocabulary import ACTIONS, ID_COLUMNS, MEASUREMENTS
from ranloop.wire.messages import Catalogue, Standing

__all__ = (
    "BACKGROUND",
    "broker_facts",
    "catalogue_facts",
    "everything",
    "fates_facts",
    "health_facts",
    "pulse_facts",
    "recorded_facts",
    "standing_facts",
    "vocabulary",
)

# Of which a page has a past when it is opened: where the UEs are, and the first things that an operator asks for.
BACKGROUND = {
    "ue": ("X.UE.PosX", "X.UE.PosY", "DRB.UEThpDl"),
    "cell": ("RRU.PrbTotDl", "DRB.UEThpDl"),
    "qos_flow": ("X.DRB.BudgetMissRateDl",),
}


def everything(catalogues: Iterable[Catalogue]) -> dict[str, frozenset[str]]:
    """All that the nodes measure of cells, UEs, slices and flows: of a run that stands still meanwhile nothing need be missing."""
    found: dict[str, frozenset[str]] = {}
    for catalogue in catalogues:
        for level in ("cell", "ue", "slice", "qos_flow"):
            names = catalogue.measurements.get(level, ())
            found[level] = found.get(level, frozenset()).union(names)
    return found


def vocabulary() -> dict[str, Any]:
    """Measurements, actions, id columns and remedies, by name."""
    return {
        "measurements": {
            one.name: {
                "unit": one.unit,
                "low": _finite(one.low),
                "high": _finite(one.high),
                "definition": one.definition,
                "clause": one.clause,
            }
            for one in MEASUREMENTS.values()
        },
        "actions": {
            name: {
                "targets": action.spec.targets,
                "parameters": [[parameter.name, parameter.unit] for parameter in action.spec.parameters],
            }
            for name, action in ACTIONS.items()
        },
        "ids": ID_COLUMNS,
        "remedies": {str(cause): text for cause, text in REMEDIES.items()},
    }


def catalogue_facts(catalogue: Catalogue) -> dict[str, Any]:
    """What the page needs of a catalogue."""
    return {
        "kind": "catalogue",
        "node": catalogue.node,
        "measurements": dict(catalogue.measurements),
        "actions": catalogue.actions,
        "cells": dict(catalogue.cells),
        "slices": dict(catalogue.slices),
        "geometry": {cell: asdict(place) for cell, place in catalogue.geometry.items()},
        "longest_ms": max(catalogue.periods_ms, default=None),
    }


def standing_facts(standing: Standing) -> dict[str, Any]:
    """Whether a node is killed, and how far each xApp may go there."""
    return {
        "kind": "standing",
        "node": standing.node,
        "killed": standing.killed,
        "autonomy": dict(standing.autonomy),
        "shut_out": sorted(standing.shut_out),
    }


def fates_facts(fates: Sequence[Told]) -> dict[str, Any]:
    """What became of the targets so far."""
    return {
        "kind": "fates",
        "fates": [[told.xapp, told.action, told.name, told.n_targets, told.text[:300]] for told in fates],
    }


def pulse_facts(pulse: Pulse) -> dict[str, Any]:
    """Latencies of the stages in microseconds, and drops."""
    latencies = {}
    for stage, took_ns in pulse.took_ns.items():
        p50, p99 = np.percentile(np.asarray(took_ns, np.float64), (50, 99)) / 1e3
        latencies[stage] = [round(float(p50), 1), round(float(p99), 1), len(took_ns)]
    return {
        "kind": "pulse",
        "t": pulse.ran_time_ns / 1e9,
        "stages_us": latencies,
        "dropped": pulse.n_dropped,
        "outside": pulse.n_outside,
        "unseen": pulse.n_unseen,
    }


def health_facts(pulse: Pulse, roster: Roster, rates: Rates, place: str) -> dict[str, Any]:
    """Broker, nodes and xApps as their host knows them."""
    around = pulse.around
    for standing in pulse.stands:
        roster.take(standing)
    for node, n_reports in pulse.n_reports.items():
        known = roster.node(node)
        known.n_reports, known.ran_time_s = n_reports, pulse.ran_time_ns / 1e9
    table = roster.table(
        rates, host_of=lambda _: around.host, is_alive=around.alive.__contains__, admitted=pulse.xapps
    )
    if not around.host:  # a runtime by itself
        for row in table["nodes"]:
            del row["host"]
    broker = None
    if place and around.stats is not None:
        broker = broker_facts(place, around.stats, connected=around.connected)
    return {"kind": "health", "broker": broker, **table}


def recorded_facts(catalogues: Iterable[Catalogue], roster: Roster) -> dict[str, Any]:
    """Nodes and xApps as a recording and its audit log know them."""
    told: dict[str, list[Told]] = {}
    for one in roster.fates.told():
        told.setdefault(one.xapp, []).append(one)
    return {
        "kind": "health",
        "broker": None,
        "nodes": [{"node": catalogue.node} for catalogue in catalogues],
        "xapps": [{"xapp": xapp, **told_row(fates)} for xapp, fates in told.items()],
    }


def broker_facts(place: str, stats: BusStats, *, connected: bool) -> dict[str, Any]:
    """A connection to a broker: whether it stands, and what it has lost."""
    counts = {name: getattr(stats, name) for name in ("reconnects", "dropped", "conflated", "unsent")}
    return {"address": place, "connected": connected, **counts}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
