"""The scenario: all that a network is made of, as checked fields, and the scenarios that are shipped (`scenarios/`)."""

from ran_sim.scenario.model import (
    MOST_PACKETS_PER_SLOT,
    SCENARIO_FOLDER,
    Scenario,
    ScenarioError,
    load_scenario,
)

__all__ = ("MOST_PACKETS_PER_SLOT", "SCENARIO_FOLDER", "Scenario", "ScenarioError", "load_scenario")
