"""The simulator as RAN nodes: the only room that imports the SDK."""

from ran_sim.bridge.world import SimWorld, open_world

__all__ = ("SimWorld", "open_world")
