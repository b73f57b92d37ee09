"""What `ranloop train xapps/qos_scheduler` tunes: static class weights of the slot scheduler, and the settings of the triage."""

from __future__ import annotations

from pathlib import Path

from ranloop.evaluate import Arm
from ranloop.training import Arms, Outcome, Parameter, Point, UsersFirst, write_card, write_defaults

FOLDER = Path(__file__).resolve().parent
RULES = ("pf", "m-lwdf", "log")
DELAY_BOUND_5QI = ("1", "2", "3", "80")
KEPT = ("users", "satisfied", "best_effort_mbps", "user_p5_mbps")

# A percent of the users is worth ten percent of best effort, as long as there is no less of it than under the reference.
worth = UsersFirst(best_effort=0.1, most=100.0, loss=0.5)


def static(point: Point) -> Arm:
    """A rule of the slot scheduler with one weight for all delay-bound classes, and a factor for the shortest budget (5QI 80)."""
    rule, weight = RULES[round(point["rule"])], point["weight"]
    short = weight * point["short_budget_factor"]
    weights = dict.fromkeys(DELAY_BOUND_5QI, weight) | {"80": short}
    overrides = {"scheduler.name": rule, "scheduler.class_weight": weights}
    return Arm(name=f"{rule} {weight:g}/{short:g}", overrides=overrides)


def triage(point: Point) -> Arm:
    """The xApp over LOG with class weights of 1, since it sets weights per UE; settings that a point lacks are the manifest's."""
    beneath = static({"rule": RULES.index("log"), "weight": 1.0, "short_budget_factor": 1.0})
    settings = {"qos_scheduler": dict(point)}
    return Arm(name="triage on log", overrides=beneath.overrides, xapps=(FOLDER,), settings=settings)


CONTENDERS = (
    Arms(
        name="static",
        kind="rule",
        method="grid",
        space=(
            Parameter(name="rule", low=0.0, high=2.0, start=2.0, values=(0.0, 1.0, 2.0)),
            Parameter(name="weight", low=1.0, high=64.0, start=32.0, log=True, values=(16.0, 32.0)),
            Parameter(name="short_budget_factor", low=1.0, high=4.0, start=1.0, log=True, values=(1.0, 4.0)),
        ),
        arm=static,
    ),
    Arms(
        name="triage",
        kind="rule",
        space=(
            Parameter(name="boost", low=2.0, high=64.0, start=64.0, log=True),
            Parameter(name="rest_weight", low=0.1, high=1.0, start=0.2, log=True),
            Parameter(name="cap", low=0.25, high=4.0, start=1.0, log=True),
            Parameter(name="give_up_miss_rate", low=0.02, high=1.0, start=0.3, log=True),
            Parameter(name="give_up_s", low=0.5, high=20.0, start=3.0, log=True),
        ),
        arm=triage,
    ),
)


def keep(outcome: Outcome) -> None:
    """Make the winner's settings the defaults of the manifest."""
    write_defaults(FOLDER, outcome.winners["triage"].point)
    write_card(outcome, "triage")
