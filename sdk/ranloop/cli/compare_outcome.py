"""All that a comparison found, and its form as plain values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ranloop.claims import Verdict
from ranloop.comparison import Row
from ranloop.evaluate import Arm, DropResult
from ranloop.statistics import LEVEL, Shown

__all__ = ("EXIT_CODES", "Outcome", "facts")

EXIT_CODES: Final = {Shown.YES: 0, Shown.NO: 3, Shown.UNDECIDED: 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a comparison found.

    Attributes:
        node: Address of the node.
        seeds: The drops.
        arms: The two arms.
        origins: All that each arm's results depend on beside the seed.
        claims: The verdicts, in the order in which the claims were made.
        rows: One per KPI.
        runs: Results of the first and the second arm, in the order of the seeds.
        ran: The results that were not kept from an earlier call.
        wall_s: Time that all took.
        processes: On which the runs were done; None if a cluster did them.
    """

    node: str
    seeds: Sequence[int]
    arms: tuple[Arm, Arm]
    origins: tuple[Mapping[str, Any], Mapping[str, Any]]
    claims: Sequence[Verdict]
    rows: Sequence[Row]
    runs: tuple[Sequence[DropResult], Sequence[DropResult]]
    ran: Sequence[DropResult]
    wall_s: float
    processes: int | None

    @property
    def shown(self) -> Shown:
        """YES if all claims are shown, NO if one is refuted."""
        verdicts = [verdict.shown for verdict in self.claims]
        return Shown.NO if Shown.NO in verdicts else min(verdicts, default=Shown.YES)

    @property
    def run_s(self) -> float:
        """Time that the runs took, one after the other."""
        return sum(result.wall_s for result in self.ran)

    @property
    def targets(self) -> tuple[Counter[str], Counter[str]]:
        """Of each arm: what became of the targets of its actions, over all drops."""
        first, second = (sum((Counter(r.outcomes) for r in run), Counter[str]()) for run in self.runs)
        return first, second


def facts(outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain values; None where there is no number."""
    return {
        "node": outcome.node,
        "seeds": list(outcome.seeds),
        "arms": {
            arm.name[0]: {"name": arm.name[2:], "outcomes": dict(targets), **origin}
            for arm, targets, origin in zip(outcome.arms, outcome.targets, outcome.origins, strict=True)
        },
        "level": LEVEL,
        "claims": [_of_claim(verdict) for verdict in outcome.claims],
        "kpis": {row.kpi.key: _of_row(row, outcome) for row in outcome.rows},
        "exit_code": EXIT_CODES[outcome.shown],
        "runs": len(outcome.ran),
        "run_s": round(outcome.run_s, 1),
        "wall_s": round(outcome.wall_s, 1),
        "processes": outcome.processes,
    }


def _of_claim(verdict: Verdict) -> dict[str, Any]:
    return {
        "claim": verdict.claim.text,
        "verdict": verdict.word,
        "shown": verdict.shown.name.lower(),
        "difference": _number(verdict.difference.mean),
        "low": _number(verdict.difference.low),
        "high": _number(verdict.difference.high),
        "tails": list(verdict.tails),
        "bound": _number(verdict.bound),
        "seeds_needed": verdict.seeds,
    }


def _of_row(row: Row, outcome: Outcome) -> dict[str, Any]:
    key, difference = row.kpi.key, row.difference
    return {
        "label": row.kpi.label,
        "unit": row.kpi.unit,
        "better": row.kpi.better,
        "definition": row.kpi.definition,
        "A": [_number(result.score[key]) for result in outcome.runs[0]],
        "B": [_number(result.score[key]) for result in outcome.runs[1]],
        "difference": _number(difference.mean) if difference else None,
        "low": _number(difference.low) if difference else None,
        "high": _number(difference.high) if difference else None,
        "drops": row.n,
        "reads": row.reading,
        "effect": row.effect,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
