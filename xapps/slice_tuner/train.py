"""What `ranloop train xapps/slice_tuner` tunes: static quotas, three rules, and the policy by needs, with the same budget.

The static quotas are weighed against their start, the scenario's own; all others against the tuned static quotas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ran_sim.bridge.world import SimWorld, open_world
from ranloop.arm import Arm
from ranloop.training import Arms, Drop, Outcome, Parameter, Point, Score, write_card, write_defaults
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package

FOLDER = Path(__file__).resolve().parent
KEPT = (
    "promised_users",
    "violations",
    "satisfied_pct.cloud-gaming",
    "below_promise_pct.premium",
    "satisfied_pct.transport",
    "best_effort_mbps",
    "user_p5_mbps",
    "prb_use_pct",
)
SLICES = {
    "gaming_pct": "1-000002",
    "premium_pct": "1-000003",
    "transport_pct": "1-000004",
}  # of sliced-district
ROOM_PCT = 90.0  # best effort keeps its tenth

FLOOR = Parameter(name="floor_pct", low=0.5, high=30.0, start=5.0, log=True)
WINDOW = Parameter(name="window_s", low=0.1, high=5.0, start=0.5, log=True)
SPACES = {
    "demand": (FLOOR, WINDOW, Parameter(name="best_effort", low=0.0, high=1.0, start=0.3)),
    "backlog": (
        FLOOR,
        WINDOW,
        Parameter(name="total_pct", low=10.0, high=90.0, start=60.0),
        Parameter(name="power", low=0.1, high=2.0, start=0.5),
        Parameter(name="delay_weight", low=0.1, high=100.0, start=4.0, log=True),
    ),
    "integral": (
        FLOOR,
        Parameter(name="gain_pct_per_s", low=3.0, high=1000.0, start=30.0, log=True),
        Parameter(name="release", low=0.01, high=1.0, start=0.2, log=True),
        Parameter(name="aim", low=0.1, high=1.2, start=0.6),
    ),
    "needs": (
        FLOOR,
        WINDOW,
        Parameter(name="delay_margin", low=0.3, high=5.0, start=1.5, log=True),
        Parameter(name="clearing", low=0.003, high=1.0, start=0.1, log=True),
        Parameter(name="ue_margin", low=0.3, high=5.0, start=1.2, log=True),
        Parameter(name="spare", low=0.0, high=1.0, start=0.8),
        Parameter(name="triage", low=0.0, high=1.0, start=0.5),
    ),
}


def static(point: Point) -> Arm:
    """No xApp: the same minima in all cells, cut in proportion where they exceed the room."""
    fit = min(1.0, ROOM_PCT / sum(point.values()))
    minima = {
        f"slices.{SLICES[name]}.min_pct": math.floor(100 * fit * value) / 100 for name, value in point.items()
    }
    return Arm(name="static", overrides=minima)


def tuner(policy: str, point: Point) -> Arm:
    """The xApp with a point's settings, of which as many digits count as are kept."""
    settings = {"policy": policy} | {name: float(f"{value:.3g}") for name, value in point.items()}
    return Arm(name=policy, xapps=(FOLDER,), settings={"slice_tuner": settings})


@dataclass(frozen=True, kw_only=True)
class Forked(Arms):
    """Arms of the xApp whose points all begin with the same warmed-up network.

    The xApp decides as in any run; its actions take the control delay, and reach the node without a bus and a guard, which would
    take most of the time.
    """

    def score(self, points: Sequence[Point], drop: Drop, prepared: Mapping[str, Any]) -> Sequence[Score]:
        """A fork of the drop per point."""
        world = open_world(drop.world.node.partition(":")[2], seed=drop.seed, overrides=drop.overrides)
        while world.now_ns < drop.warmup_s * 1e9:
            world.advance(round(drop.warmup_s * 1e9))
        return [tuned(world.fork(), self.arm(point).settings["slice_tuner"]) for point in points]


def tuned(world: SimWorld, settings: Mapping[str, Any]) -> Score:
    """The score of a world through the rest of which the xApp ran."""
    xapp = Instance(load_package(FOLDER), settings=settings)
    for catalogue in world.catalogues:
        xapp.know(catalogue)
    wanted: dict[tuple[str, str, int], frozenset[str]] = {
        (catalogue.node, stream.level, stream.every_ms): frozenset(stream.measurements)
        for catalogue in world.catalogues
        for stream in xapp.manifest.streams
    }
    delay_ns = round(world.catalogues[0].control_delay_ms * 1e6)
    while world.now_ns < world.end_ns:
        world.advance(world.end_ns)  # to the next report
        decided = [
            (report.node, batch) for report in world.reports(wanted) for batch in xapp.on_report(report)
        ]
        world.advance(world.now_ns + delay_ns)
        for node, batch in decided:
            world.apply(node, batch.action)
    return world.score()


CONTENDERS = (
    Arms(
        name="static",
        kind="rule",
        arm=static,
        space=(
            Parameter(name="gaming_pct", low=1.0, high=90.0, start=30.0, log=True),
            Parameter(name="premium_pct", low=1.0, high=90.0, start=30.0, log=True),
            Parameter(name="transport_pct", low=1.0, high=90.0, start=10.0, log=True),
        ),
    ),
    Forked(name="demand", kind="rule", space=SPACES["demand"], arm=lambda point: tuner("demand", point)),
    Forked(name="backlog", kind="rule", space=SPACES["backlog"], arm=lambda point: tuner("backlog", point)),
    Forked(
        name="integral", kind="rule", space=SPACES["integral"], arm=lambda point: tuner("integral", point)
    ),
    Forked(name="needs", kind="model", space=SPACES["needs"], arm=lambda point: tuner("needs", point)),
)


def worth(found: Sequence[Score], reference: Sequence[Score]) -> float:
    """By how much fewer promises are broken, in percent, less what best effort pays.

    A percent of best effort lost weighs as much as two percent of the broken promises, one won a fifth of a percent. Of its 5th
    percentile only a loss beyond a tenth counts, at a tenth.
    """
    fewer_pct = 100.0 * (1.0 - _mean(found, "violations") / max(_mean(reference, "violations"), 1.0))
    best_effort_pct = _change_pct(found, reference, "best_effort_mbps")
    edge_pct = _change_pct(found, reference, "user_p5_mbps")
    paid = 2.0 * min(best_effort_pct, 0.0) + 0.1 * min(edge_pct + 10.0, 0.0)
    return fewer_pct + paid + 0.2 * max(best_effort_pct, 0.0)


def keep(outcome: Outcome) -> None:
    """Make the best rule's settings the manifest's defaults and write its card; the policy's, if it is worth five percent more."""
    needs = outcome.winners["needs"]
    rules = [outcome.winners[name] for name in ("demand", "backlog", "integral")]
    best = max(rules, key=lambda winner: winner.worth)
    kept = needs if needs.worth >= best.worth + 5.0 else best
    write_defaults(FOLDER, kept.point)
    write_card(outcome, kept.name)


def _change_pct(found: Sequence[Score], reference: Sequence[Score], key: str) -> float:
    new, old = (max(_mean(scores, key), 1e-3) for scores in (found, reference))
    return 100.0 * math.log(new / old)


def _mean(scores: Sequence[Mapping[str, float]], key: str) -> float:
    return float(np.mean([score[key] for score in scores]))
