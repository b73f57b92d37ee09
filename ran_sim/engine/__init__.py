"""The engine: builds a network of a scenario, runs it slot by slot, saves it, and takes actions."""

from ran_sim.engine.engine import Engine

__all__ = ("Engine",)
