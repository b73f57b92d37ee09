"""What held-out drops say of an xApp's claims, place by place, and the verdict; plain values, kept beside the page as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ranloop.claims import Claim, Verdict, judge
from ranloop.comparison import table
from ranloop.kpi import Kpi, by_key
from ranloop.statistics import Shown

__all__ = ("Change", "Place", "Result", "judged_place", "verdict")

Part = Literal["held_out", "held_out_worlds"]
Scores = Sequence[Mapping[str, float]]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Change(_Plain):
    """One KPI of the rule and of ours, means over drops, and the difference, ours less the rule's, with its interval.

    Attributes:
        what: The claim, or the KPI's label.
        word: The verdict on the claim; "" of a cost.
        shown: Likewise: "yes", "no", "undecided".
        nothing: Mean of the arm in which nothing runs; None without such an arm.
    """

    what: str
    unit: str
    digits: int
    rule: float
    ours: float
    difference: float
    low: float
    high: float
    word: str = ""
    shown: str = ""
    nothing: float | None = None


class Place(_Plain):
    """A world, or all of them together, in which the claims were judged.

    Attributes:
        of: What `n` counts, such as drops.
    """

    part: Part
    name: str
    n: int
    of: str = "drops"
    claims: tuple[Change, ...]
    costs: tuple[Change, ...] = ()


class Result(_Plain):
    """All that is known of an xApp.

    Attributes:
        kind: What ours is: a model, a rule, ….
        measured_by: The command.
    """

    xapp: str
    kind: str
    rule: str
    ours: str
    nothing: str = ""
    measured_by: str
    places: tuple[Place, ...]


def judged_place(
    part: Part,
    name: str,
    claims: Sequence[Claim],
    costs: Sequence[Kpi],
    kpis: Sequence[Kpi],
    arms: Sequence[Scores],
) -> Place:
    """The claims and costs in one place.

    Args:
        arms: Scores of the rule, ours, and perhaps of nothing, in the same order of drops.
    """
    known = by_key(kpis)
    old, new = arms[0], arms[1]
    beside = {row.kpi.key: row.new for row in table(kpis, old, arms[2])} if len(arms) > 2 else {}
    means = {row.kpi.key: row for row in table(kpis, old, new)}

    def of_claim(found: Verdict) -> Change:
        kpi, difference = known[found.claim.kpi], found.difference
        return Change(
            what=found.claim.text,
            unit=kpi.unit,
            digits=kpi.digits,
            rule=means[kpi.key].old,
            ours=means[kpi.key].new,
            difference=difference.mean,
            low=difference.low,
            high=difference.high,
            word=found.word,
            shown=found.shown.name.lower(),
            nothing=beside.get(kpi.key),
        )

    def of_cost(kpi: Kpi) -> Change:
        row = means[kpi.key]
        found = row.difference
        mean, low, high = (found.mean, found.low, found.high) if found else (math.nan,) * 3
        return Change(
            what=kpi.label,
            unit=kpi.unit,
            digits=kpi.digits,
            rule=row.old,
            ours=row.new,
            difference=mean,
            low=low,
            high=high,
            nothing=beside.get(kpi.key),
        )

    return Place(
        part=part,
        name=name,
        n=len(old),
        claims=tuple(map(of_claim, judge(claims, old, new))),
        costs=tuple(map(of_cost, costs)),
    )


def verdict(result: Result) -> str:
    """ "model wins" (or of whatever kind ours is), "harm" or "rule suffices"; the page says when."""
    known = [change for place in result.places if place.part == "held_out" for change in place.claims]
    worlds = [place for place in result.places if place.part == "held_out_worlds"]
    together = worlds[-1].claims if worlds else ()  # the last one is of all worlds
    if any(change.word == "harm" for change in (*known, *together)):
        return "harm"
    if known and all(change.shown == Shown.YES.name.lower() for change in known):
        return f"{result.kind} wins"
    return "rule suffices"
