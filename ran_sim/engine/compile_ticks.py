"""Compiles the kernels of the radio tick into the cache: `first_use` starts it as a process of its own."""

from __future__ import annotations

from ran_sim.engine.engine import Engine
from ran_sim.scenario import load_scenario


def main() -> None:
    """Run one tick of a small network."""
    engine = Engine(load_scenario("one-cell"), 0)
    engine._tick()
    engine.snapshot()


if __name__ == "__main__":
    main()
