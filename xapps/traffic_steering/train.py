"""What `ranloop train xapps/traffic_steering` tunes with the same budget: event A3 alone, the rule by offsets, and the policy with moves.

The rule and the policy tune event A3 beneath them, too, so that none of them has to live with another's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ranloop.arm import Arm
from ranloop.training import Arms, Outcome, Parameter, Point, Score, write_card, write_defaults

FOLDER = Path(__file__).resolve().parent
OF_EVENT_A3 = ("a3_offset_db", "ttt_ms")
MEASURES = ("ues", "prbs")
KEPT = (
    "users",
    "satisfied",
    "best_effort_mbps",
    "user_p5_mbps",
    "handovers_per_ue_min",
    "ping_pongs_per_ue_min",
    "link_failures_per_ue_min",
)

A3 = (  # of the entering condition only the sum of offset and hysteresis counts, so the hysteresis stays as it is
    Parameter(name="a3_offset_db", low=0.0, high=6.0, start=2.0, values=(1.0, 2.0, 3.0, 4.0)),
    Parameter(name="ttt_ms", low=40.0, high=640.0, start=160.0, log=True, values=(80.0, 160.0, 320.0)),
)
OFFSETS = (
    *A3,
    Parameter(name="measure", low=0.0, high=1.0, start=0.2),
    Parameter(name="gain", low=0.05, high=2.0, start=0.9, log=True),
    Parameter(name="most_db", low=1.0, high=12.0, start=8.0),
    Parameter(name="step_db", low=0.0, high=4.0, start=1.0),
    Parameter(name="memory_s", low=0.5, high=30.0, start=3.0, log=True),
)
MOVES = (
    *A3,
    Parameter(name="gain", low=0.05, high=2.0, start=0.9, log=True),
    Parameter(name="most_db", low=1.0, high=12.0, start=8.0),
    Parameter(name="worth_db", low=0.0, high=10.0, start=3.0),
    Parameter(name="near_db", low=-3.0, high=6.0, start=2.0),
    Parameter(name="stay_s", low=1.0, high=20.0, start=4.0, log=True),
    Parameter(name="slow_mbps", low=0.3, high=30.0, start=3.0, log=True),
)


def arm(policy: str, point: Point) -> Arm:
    """Event A3 as the point has it, and above it the xApp with the rest, if a policy is named; as many digits count as are kept."""
    values: dict[str, object] = {name: float(f"{value:.3g}") for name, value in point.items()}
    overrides = {f"handover.{name}": values.pop(name) for name in OF_EVENT_A3}
    if not policy:
        return Arm(name="a3", overrides=overrides)
    if "measure" in values:
        values["measure"] = MEASURES[round(point["measure"])]
    settings = {"traffic_steering": {"policy": policy, **values}}
    return Arm(name=policy, overrides=overrides, xapps=(FOLDER,), settings=settings)


CONTENDERS = (
    Arms(name="a3", kind="rule", method="grid", space=A3, arm=lambda point: arm("", point)),
    Arms(name="offsets", kind="rule", space=OFFSETS, arm=lambda point: arm("offsets", point)),
    Arms(name="moves", kind="model", space=MOVES, arm=lambda point: arm("moves", point)),
)


def worth(found: Sequence[Score], reference: Sequence[Score]) -> float:
    """Percent of the 5th percentile of best effort, less what it costs beside the reference.

    One percent is the price of 0.05 handovers, 0.01 ping-pongs or 0.01 lost links per UE and minute more, and of a third of a
    percent of the users less. What is better than the reference's counts as much; of users and links only a loss counts.
    """
    edges = (math.log(max(_mean(scores, "user_p5_mbps"), 1e-2)) for scores in (found, reference))
    edge_pct = 100.0 * (next(edges) - next(edges))
    satisfied_pct = 100.0 * _more(found, reference, "satisfied") / _mean(reference, "users")
    cost = 20.0 * _more(found, reference, "handovers_per_ue_min")
    cost += 100.0 * _more(found, reference, "ping_pongs_per_ue_min")
    cost += 100.0 * max(_more(found, reference, "link_failures_per_ue_min"), 0.0)
    return edge_pct - cost + 3.0 * min(satisfied_pct, 0.0)


def keep(outcome: Outcome) -> None:
    """Make the settings of the rule the manifest's defaults, or the policy's if it is worth two percent more, and write their card."""
    rule, searched = outcome.winners["offsets"], outcome.winners["moves"]
    kept = searched if searched.worth >= rule.worth + 2.0 else rule
    beneath = {*OF_EVENT_A3, "measure"}
    write_defaults(FOLDER, {name: value for name, value in kept.point.items() if name not in beneath})
    write_card(outcome, kept.name)


def _mean(scores: Sequence[Mapping[str, float]], key: str) -> float:
    return float(np.mean([score[key] for score in scores]))


def _more(found: Sequence[Score], reference: Sequence[Score], key: str) -> float:
    return _mean(found, key) - _mean(reference, key)
