"""The effect of pushing UEs out of the busiest cell."""

from ran_sim.engine import Engine
from ran_sim.scenario import load_scenario
from ran_sim.tools.effect import effect


def main(duration_s: float = 10.0) -> dict[str, float]:
    engine = Engine(load_scenario("seven-sites"), seed=1)
    engine.run_until(4000)  # slots of 0.5 ms
    busiest = int(engine.cells.load.argmax())
    return effect(engine, lambda fork: fork.set_cio(busiest, -6.0), duration_s)


if __name__ == "__main__":
    for figure, difference in main().items():
        print(f"{figure:30} {difference:+.2f}")
