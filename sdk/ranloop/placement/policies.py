"""Policies: which tier is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ranloop.placement.port import Choice, Question
from ranloop.placement.tiers import Tiers

__all__ = ("FirstThatAnswers", "Health")

PATIENCE = 2  # misses in a row after which a tier is left alone
TRIAL_NS = 500_000_000  # RAN time between two trials of a tier that is left alone


@dataclass(slots=True)
class Health:
    """How a tier has answered lately."""

    misses: int = 0
    tried_ns: int = 0

    @property
    def is_left_alone(self) -> bool:
        return self.misses >= PATIENCE

    def learn(self, now_ns: int, took_ns: int | None) -> None:
        self.misses = 0 if took_ns is not None else self.misses + 1
        if took_ns is None:
            self.tried_ns = now_ns

    def wants_trial(self, now_ns: int) -> bool:
        """Whether it is time to see if the tier is back; a clock that went back means a new run."""
        return not 0 <= now_ns - self.tried_ns < TRIAL_NS


class FirstThatAnswers:
    """The first tier in the author's order that is in health and not too far away.

    A tier that missed twice in a row is left alone. A question goes there twice a second of RAN time all the same, and nobody
    waits for the answer; if one comes, the tier is asked again. A loop therefore waits in vain twice for each failure.
    """

    def __init__(self, tiers: Tiers) -> None:
        self._tiers = tiers
        self._health = {name: Health() for name in tiers.tiers}

    def choose(self, question: Question, candidates: Sequence[str], now_ns: int, left_ns: int) -> Choice:
        near = [
            name
            for name in candidates
            if self._tiers[name].cost(question.n_bytes, question.mmac).time_ns <= left_ns
        ]
        for name in near:
            if not self._health[name].is_left_alone:
                return Choice(tier=name)
        for name in near:
            if self._health[name].wants_trial(now_ns):
                self._health[name].tried_ns = now_ns
                return Choice(tier=name, reason="away", is_trial=True)
        return Choice(reason="away" if near else "stay")

    def learn(self, tier: str, now_ns: int, took_ns: int | None) -> None:
        self._health[tier].learn(now_ns, took_ns)
