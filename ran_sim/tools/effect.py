"""The effect of one action: the same network runs on with it and without it."""

from __future__ import annotations

from collections.abc import Callable

from ran_sim.engine import Engine
from ran_sim.measure.score import score
from ran_sim.scenario.routes import MOST_S

__all__ = ("effect",)


def effect(engine: Engine, action: Callable[[Engine], object], duration_s: float) -> dict[str, float]:
    """The change that `action` makes in the score of the next `duration_s` seconds; `engine` itself does not move.

    Two forks of `engine` run on, one of them after `action`. Both meet the same sessions, arrivals, positions and
    fading, so one pair shows the true effect in this network from this moment on; other moments and seeds show others.

    ```python
    engine = Engine(load_scenario("seven-sites"), seed=1)
    engine.run_until(4000)
    effect(engine, lambda fork: fork.set_cio(3, -6.0), duration_s=10.0)["satisfied"]
    ```

    Args:
        engine: The network at the moment of the action.
        action: Makes its settings on the fork that it gets.
        duration_s: Time for which both run on.

    Returns:
        Each figure of `score` with the action minus the same without it, counted from the action on; NaN if one of the
        two had nothing to judge.
    """
    if not 0 < duration_s <= MOST_S:
        raise ValueError(f"duration_s {duration_s:g}: want seconds above 0, at most {MOST_S:g}")
    scores = []
    for act in (action, lambda _: None):
        fork = engine.fork()
        fork.count_from_now()
        act(fork)
        fork.run_until(fork.slot + max(1, fork.scenario.slots(duration_s * 1e3)))
        scores.append(score(fork))
    treated, untreated = scores
    return {name: treated[name] - untreated[name] for name in treated}
