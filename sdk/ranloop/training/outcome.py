"""What a training has come to: each contender's winner, and the facts of it that a card lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranloop.training.contender import Kind
from ranloop.training.plan import Plan

__all__ = ("Outcome", "Winner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """The point of a contender that is worth most on the validation drops.

    Attributes:
        worth: On the validation drops, against the reference.
        figures: World and load -> KPI -> mean over the validation drops.
        rollouts: That the search took, without validation.
        cpu_minutes: Of search and validation.
        how: The method, and where in the search the point stood.
        prepared: What `Contender.prepare` found.
    """

    name: str
    kind: Kind
    point: Mapping[str, float]
    worth: float
    figures: Mapping[str, Mapping[str, float]]
    rollouts: int
    cpu_minutes: float
    how: str
    prepared: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All winners of a folder."""

    folder: Path
    plan: Plan
    winners: Mapping[str, Winner]

    @property
    def best_rule(self) -> Winner:
        """The rule that is worth most; the reference where no rule is."""
        rules = [each for each in self.winners.values() if each.kind == "rule"]
        return max(rules, key=lambda each: each.worth, default=self.winners[self.plan.search.reference])

    def training(self, name: str) -> dict[str, Any]:
        """What a winner was made of, and for how long, as a card lists it."""
        winner, plan = self.winners[name], self.plan
        parts = {"": plan.training, "validation_": plan.validation, "held_out_": plan.held_out}
        return {
            "command": f"ranloop train {self.folder.parent.name}/{self.folder.name}",
            "method": winner.how,
            "against": plan.search.reference,
            **{f"{part}seeds": list(drops.seeds) for part, drops in parts.items()},
            "worlds": sorted({world.name for world in plan.training.worlds}),
            "loads": list(plan.loads),
            "rollouts": winner.rollouts,
            "cpu_minutes": round(winner.cpu_minutes, 1),
            "parameters": {key: round(value, 4) for key, value in winner.point.items()},
        }

    def metrics(self, name: str) -> dict[str, float]:
        """A winner's figures on the validation drops beside those of the best rule and the reference, as a card lists them."""
        beside = dict.fromkeys((name, self.best_rule.name, self.plan.search.reference))
        return {
            f"{kpi} {each} {where}": round(value, 2)
            for where in self.winners[name].figures
            for each in beside
            for kpi, value in self.winners[each].figures[where].items()
        }
