"""The simulator as RAN nodes: the only room that knows the SDK."""

from ran_sim.bridge.world import SimWorld, open_world

__all__ = ("SimWorld", "open_world")
