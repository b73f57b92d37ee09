"""What Gymnasium calls when it is imported: makes the environment known without importing it."""

from __future__ import annotations

__all__ = ("register",)


def register() -> None:
    """Make `ranloop/Cell-v0` known to Gymnasium, once; its entry point `gymnasium.envs` calls this."""
    import gymnasium

    if "ranloop/Cell-v0" not in gymnasium.registry:
        gymnasium.register(id="ranloop/Cell-v0", entry_point="ran_sim.environment:CellEnv")
