"""What `ranloop train xapps/energy_saver` tunes: the rule by thresholds and the policy by burdens, with the same budget.

The rule is weighed against its start, at which cells sleep only at sites that do next to nothing, and the policy against the tuned rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ranloop.arm import Arm
from ranloop.training import Arms, Outcome, Parameter, Point, Score, write_card, write_defaults

FOLDER = Path(__file__).resolve().parent
KEPT = (
    "energy_kwh",
    "users",
    "satisfied",
    "outage_pct",
    "best_effort_mbps",
    "user_p5_mbps",
    "handovers_per_ue_min",
)

SHARED = (  # coverage and times, of both
    Parameter(name="floor_dbm", low=-130.0, high=-80.0, start=-103.0),
    Parameter(name="weak_dbm", low=-140.0, high=-90.0, start=-112.0),
    Parameter(name="shortest_wake_s", low=0.0, high=20.0, start=3.0),
)
THRESHOLD = (
    *SHARED,
    Parameter(name="sleep_pct", low=0.5, high=60.0, start=5.0, log=True),
    Parameter(name="most_ues", low=0.0, high=6.0, start=0.5),
    Parameter(name="wake_pct", low=2.0, high=100.0, start=20.0, log=True),
)
BURDEN = (
    *SHARED,
    Parameter(name="price_load", low=0.1, high=100.0, start=5.0, log=True),
    Parameter(name="price_ue", low=0.01, high=10.0, start=0.3, log=True),
    Parameter(name="price_takers_load", low=0.1, high=30.0, start=2.0, log=True),
    Parameter(name="price_weak", low=0.01, high=10.0, start=1.5, log=True),
    Parameter(name="price_asleep", low=0.01, high=10.0, start=0.5, log=True),
    Parameter(name="wake_burden", low=0.2, high=5.0, start=1.0, log=True),
)


def arm(policy: str, point: Point) -> Arm:
    """The xApp with a point's settings, of which as many digits count as are kept."""
    settings = {"policy": policy} | {name: float(f"{value:.3g}") for name, value in point.items()}
    return Arm(name=policy, xapps=(FOLDER,), settings={"energy_saver": settings})


CONTENDERS = (
    Arms(name="threshold", kind="rule", space=THRESHOLD, arm=lambda point: arm("threshold", point)),
    Arms(name="burden", kind="model", space=BURDEN, arm=lambda point: arm("burden", point)),
)


def worth(found: Sequence[Score], reference: Sequence[Score]) -> float:
    """The energy that is saved, in percent, less what it costs; a percent of the users or of outage lost counts more than one won.

    A percentage point of outage weighs as much as 3 % of the users. Of the 5th percentile of best effort only a loss beyond a fifth
    counts, at a twentieth: it is not claimed.
    """
    saved_pct = 100.0 * (1.0 - _mean(found, "energy_kwh") / _mean(reference, "energy_kwh"))
    satisfied_pct = (
        100.0 * (_mean(found, "satisfied") - _mean(reference, "satisfied")) / _mean(reference, "users")
    )
    outage_pct = _mean(found, "outage_pct") - _mean(reference, "outage_pct")
    edges = (max(_mean(scores, "user_p5_mbps"), 1e-3) for scores in (found, reference))
    edge_pct = 100.0 * (math.log(next(edges)) - math.log(next(edges)))
    lost = min(satisfied_pct, 0.0) - 3.0 * max(outage_pct, 0.0)
    won = max(satisfied_pct, 0.0) - 3.0 * min(outage_pct, 0.0)
    return saved_pct + 3.0 * lost + won + 0.05 * min(edge_pct + 20.0, 0.0)


def keep(outcome: Outcome) -> None:
    """Make the rule's settings the manifest's defaults and write their card; the policy's, if it is worth a percent of energy more."""
    rule, burden = outcome.winners["threshold"], outcome.winners["burden"]
    kept = burden if burden.worth >= rule.worth + 1.0 else rule
    write_defaults(FOLDER, kept.point)
    write_card(outcome, kept.name)


def _mean(scores: Sequence[Mapping[str, float]], key: str) -> float:
    return float(np.mean([score[key] for score in scores]))
