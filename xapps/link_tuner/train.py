"""What `ranloop train xapps/link_tuner` tunes with the same budget: one target for all, one per class, one that follows each UE."""

from __future__ import annotations

from pathlib import Path

from ranloop.arm import Arm
from ranloop.training import Arms, Outcome, Parameter, Point, UsersFirst, write_card, write_defaults

FOLDER = Path(__file__).resolve().parent
KEPT = ("users", "satisfied", "best_effort_mbps", "user_p5_mbps", "delivered_mbps")
BAR_PCT = 5.0  # of best effort, that a contender has to win over a simpler one

# Best effort takes what delay-bound users leave, so it is what a better link gains. A percent of satisfied users lost weighs as
# much as three percent of it, one won as much as one.
worth = UsersFirst(best_effort=1.0, most=100.0, loss=0.0, users_loss=2.0)

# A unit of the search is a factor of e in a target or, of a UE whose loop holds it two MCS below its CQI, in its odds.
BY_CLASS = (
    Parameter(name="best_effort_target", low=0.01, high=0.5, start=0.1, log=True, scale=1.0),
    Parameter(name="delay_bound_target", low=0.01, high=0.5, start=0.1, log=True, scale=1.0),
)
BY_UE = (
    Parameter(name="per_cqi_spread", low=-2.0, high=2.0, start=0.0, scale=1.0),
    Parameter(name="per_backoff", low=-1.0, high=1.0, start=0.0, scale=0.5),
    Parameter(name="per_load", low=-3.0, high=3.0, start=0.0, scale=1.0),
)


def settings(point: Point) -> dict[str, float]:
    """All settings of the xApp at a point of any contender, in the digits that are kept; what it lacks is the start."""
    start = {each.name: point.get("target", each.start) for each in BY_CLASS}
    start |= {each.name: each.start for each in BY_UE}
    return {name: float(f"{point.get(name, value):.3g}") for name, value in start.items()}


def arm(point: Point) -> Arm:
    """The xApp with the settings of a point."""
    return Arm(name="link_tuner", xapps=(FOLDER,), settings={"link_tuner": settings(point)})


CONTENDERS = (  # the simplest first
    Arms(
        name="single",
        kind="rule",
        method="grid",
        space=(
            Parameter(
                name="target",
                low=0.01,
                high=0.5,
                start=0.1,
                log=True,
                values=(0.03, 0.07, 0.1, 0.14, 0.2, 0.3),
            ),
        ),
        arm=arm,
    ),
    Arms(name="classes", kind="rule", space=BY_CLASS, arm=arm),
    Arms(name="followed", kind="model", space=(*BY_CLASS, *BY_UE), arm=arm),
)


def keep(outcome: Outcome) -> None:
    """Make settings the manifest's defaults and write their card: the simplest, unless others are worth the bar more."""
    kept = outcome.winners[CONTENDERS[0].name]
    for name in (each.name for each in CONTENDERS[1:]):
        if outcome.winners[name].worth >= kept.worth + BAR_PCT:
            kept = outcome.winners[name]
    write_defaults(FOLDER, settings(kept.point))
    write_card(outcome, kept.name)
