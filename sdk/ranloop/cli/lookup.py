"""`ranloop vocabulary`: what the catalogue says about a name."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from ranloop.errors import VocabularyError
from ranloop.vocabulary import ACTIONS, MEASUREMENTS, action_type, measurement

__all__ = ("show_vocabulary",)


def show_vocabulary(name: str, *, json_output: bool) -> int:
    """Print one entry, or the list of all."""
    entries = (
        [_entry(name)]
        if name
        else [*map(asdict, MEASUREMENTS.values()), *(asdict(a.spec) for a in ACTIONS.values())]
    )
    if json_output:
        print(json.dumps(entries[0] if name else entries, indent=2, default=str))
    elif name:
        for key, value in entries[0].items():
            print(f"{key:12} {_plain(value)}")
    else:
        table = Table("name", "unit", "levels or targets", "what", box=None)
        for entry in entries:
            table.add_row(
                entry["name"],
                entry.get("unit", ""),
                _plain(entry.get("levels") or entry.get("targets")),
                entry["definition"],
            )
        Console().print(table)
    return 0


def _entry(name: str) -> dict[str, Any]:
    try:
        return asdict(measurement(name))
    except VocabularyError as unknown_measurement:
        try:
            return asdict(action_type(name).spec)
        except VocabularyError as unknown_action:
            near = unknown_measurement.near + unknown_action.near
            raise VocabularyError("measurement or action", name, near) from None


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, dict):
        return " ".join(f"{key}={_plain(item)}" for key, item in value.items() if item is not None)
    return str(value)
