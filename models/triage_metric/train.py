"""What `ranloop train models/triage_metric` tunes: the slot metric and the triage of qos_scheduler above it, both at once.

The metric has the form of slot_metric and begins as slot_metric, but for its bias: the triage weighs the users, so the metric need not.
A common factor of the metric and one of all weights are the same thing; the xApp's boost therefore stays as it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.slot_metric import shape
from models.slot_metric.train import FOLDER as SLOT_METRIC
from models.slot_metric.train import KEPT, network, write_package
from ranloop.arm import Arm
from ranloop.evaluate import run_drop
from ranloop.training import (
    Arms,
    Contender,
    Drop,
    Outcome,
    Parameter,
    Plan,
    Point,
    Score,
    Training,
    UsersFirst,
    tuned_arm,
)

__all__ = ("CONTENDERS", "KEPT", "above", "keep", "worth")

FOLDER = Path(__file__).resolve().parent
XAPP = FOLDER.parents[1] / "xapps" / "qos_scheduler"

# Both count: a percent of the users is worth three of best effort, and what best effort loses counts twice more.
worth = UsersFirst(best_effort=0.3, most=10.0, loss=0.6, edge_loss=0.02)


@dataclass(frozen=True, kw_only=True)
class Joint(Contender):
    """Parameters of the metric that `shape` names, and settings of the triage."""

    def prepare(self, plan: Plan) -> Mapping[str, Any]:
        """The metric that the search begins with, and the inputs that its training has seen."""
        slot = Training(SLOT_METRIC)
        winner = slot.winner(slot.trainee.contender("learned"))
        if winner is None:
            raise RuntimeError("slot_metric is not tuned yet; first: ranloop train models/slot_metric")
        return {"metric": dict(winner.point), "seen": winner.prepared["seen"]}

    def score(self, points: Sequence[Point], drop: Drop, prepared: Mapping[str, Any]) -> Sequence[Score]:
        """A run of the drop per point, with the metric in force in all cells from the first slot on."""
        with tempfile.TemporaryDirectory() as scratch:
            scores = []
            for number, point in enumerate(points):
                package = Path(scratch) / str(number)
                package.mkdir()
                write_package(package, metric(point, prepared), {}, {})
                scores.append(run_drop(drop.task(above(package, point))).score)
            return scores


def metric(point: Point, prepared: Mapping[str, Any]) -> shape.Network:
    """The network of a point: slot_metric, but for the parameters that are tuned here."""
    merged = {**prepared["metric"], **point}
    return network({name: merged[name] for name in shape.PARAMETERS}, prepared)


def above(package: Path, point: Point) -> Arm:
    """The triage of qos_scheduler above a metric; settings that a point lacks are the manifest's."""
    settings = {name: value for name, value in point.items() if name not in shape.PARAMETERS}
    overrides = {"scheduler.name": "learned", "scheduler.models": [str(package)]}
    return Arm(name="joint", overrides=overrides, xapps=(XAPP,), settings={"qos_scheduler": settings})


def triage(point: Point) -> Arm:
    """The triage above the rule LOG, as it was tuned in its own folder."""
    return replace(tuned_arm(XAPP, "triage"), name="triage on log")


CONTENDERS = (
    Arms(name="triage", kind="rule", method="grid", space=(), arm=triage),
    Joint(
        name="joint",
        kind="model",
        space=(
            Parameter(name="bias", low=-10.0, high=10.0, start=0.0, scale=2.0),
            Parameter(name="log_age", low=-10.0, high=10.0, start=2.5956, scale=2.0),
            Parameter(name="log_share", low=-10.0, high=10.0, start=1.2742, scale=2.0),
            Parameter(name="log_pressure height", low=-10.0, high=10.0, start=-2.7404, scale=2.0),
            Parameter(name="log_share height", low=-10.0, high=10.0, start=-1.7325, scale=2.0),
            Parameter(name="rest_weight", low=0.01, high=1.0, start=0.02, log=True),
            Parameter(name="cap", low=0.25, high=4.0, start=1.0, log=True),
            Parameter(name="give_up_miss_rate", low=0.02, high=1.0, start=0.3, log=True),
        ),
    ),
)


def keep(outcome: Outcome) -> None:
    """Write the package of the metric."""
    joint = outcome.winners["joint"]
    write_package(
        FOLDER,
        metric(joint.point, joint.prepared),
        outcome.training("joint") | {"worth": str(worth)},
        outcome.metrics("joint"),
        name=FOLDER.name,
    )
