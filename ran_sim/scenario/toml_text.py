"""A scenario as TOML text that `load_scenario` reads back to the same scenario."""

from __future__ import annotations

import tomli_w

from ran_sim.scenario.model import Scenario

__all__ = ("to_toml",)


def to_toml(scenario: Scenario) -> str:
    """All fields, defaults included; fields that hold nothing are left out."""
    return tomli_w.dumps(scenario.model_dump(mode="json", exclude_none=True))
