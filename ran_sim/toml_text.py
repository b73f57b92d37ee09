"""A scenario as TOML text that `load_scenario` reads back to the same scenario."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ran_sim.scenario import Scenario

__all__ = ("to_toml",)


def to_toml(scenario: Scenario) -> str:
    """All fields, defaults included; fields that hold nothing are left out."""
    data = scenario.model_dump(mode="json", exclude_none=True)
    return "\n".join(_lines(data, "")).strip() + "\n"


def _lines(table: Mapping[str, Any], path: str) -> Iterator[str]:
    """Values first: what follows a heading belongs to it."""
    inner: list[tuple[str, Any]] = []
    for name, value in table.items():
        if isinstance(value, Mapping) or _is_tables(value):
            inner.append((f"{path}{name}", value))
        else:
            # A JSON string, number, boolean or list of them is one of TOML.
            yield f"{name} = {json.dumps(value)}"
    for name, value in inner:
        tables, heading = (value, f"[[{name}]]") if _is_tables(value) else ([value], f"[{name}]")
        for each in tables:
            yield from ("", heading)
            yield from _lines(each, f"{name}.")


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)
