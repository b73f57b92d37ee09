"""Policies: which tier is asked. An own one is a class with the methods of `port.Policy`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ranloop.placement.port import Choice, Policy, Question
from ranloop.placement.tiers import Tiers

__all__ = ("POLICIES", "Always", "FirstThatAnswers", "Goal", "Planner", "Quickest")

PATIENCE = 2  # misses in a row after which a tier is left alone
TRIAL_NS = 500_000_000  # RAN time between two trials of a tier that is left alone
GAIN = 0.1  # of a new value in a moving average
_LEAST_SPREAD = 0.05  # of the logarithm of a time
_LOST_AT_LEAST = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What an answer is worth, and what it may cost, all in one unit of the author's.

    Attributes:
        worth: Of a better answer in place of the one of here.
        per_joule: Price of a modelled joule; where a tier has no figures its energy counts nothing.
        per_wait_s: Price of a second for which the handler waits.
    """

    worth: float = 1.0
    per_joule: float = 0.0
    per_wait_s: float = 0.0

    def value(self, *, joules: float | None, price: float, waited_s: float, is_better: bool) -> float:
        """Worth less cost of one question."""
        spent = price + self.per_joule * (joules or 0.0) + self.per_wait_s * waited_s
        return self.worth * is_better - spent


@dataclass(slots=True)
class Health:
    """How a tier has answered lately.

    Attributes:
        misses: In a row.
        log_ratio: Moving average of the logarithm of measured over planned time.
        variance: Its moving variance.
        lost: Moving share of questions without an answer in time.
        lost_at_first: By the tiers file.
    """

    misses: int = 0
    tried_ns: int = 0
    log_ratio: float = 0.0
    variance: float = _LEAST_SPREAD**2
    lost: float = 0.01
    lost_at_first: float = 0.01

    @property
    def is_left_alone(self) -> bool:
        return self.misses >= PATIENCE

    def learn(self, now_ns: int, ratio: float | None) -> None:
        """Take in the measured over the planned time of an answer; None if it did not come in time."""
        if ratio is None:
            self.misses += 1
            self.lost += GAIN * (1 - self.lost)
            self.tried_ns = now_ns
            return
        # The end of an outage: it says nothing about how many are lost while the tier is there.
        self.lost = self.lost_at_first if self.is_left_alone else (1 - GAIN) * self.lost
        self.misses = 0
        off = math.log(max(ratio, 1e-6)) - self.log_ratio
        self.log_ratio += GAIN * off
        self.variance = max((1 - GAIN) * (self.variance + GAIN * off * off), _LEAST_SPREAD**2)

    def wants_trial(self, now_ns: int) -> bool:
        """Whether it is time to see if the tier is back; a clock that went back means a new run."""
        return not 0 <= now_ns - self.tried_ns < TRIAL_NS

    def in_time(self, planned_ns: int, left_ns: int) -> float:
        """Probability of an answer in time, with a log-normal time."""
        if left_ns <= 0:
            return 0.0
        room = math.log(left_ns / max(planned_ns, 1)) - self.log_ratio
        return (1 - self.lost) * 0.5 * math.erfc(-room / math.sqrt(2 * self.variance))


class _Learning:
    """A policy that knows the health of each tier. It tries those that were left alone, and nobody waits for that."""

    def __init__(self, tiers: Tiers, goal: Goal) -> None:
        self._tiers, self._goal = tiers, goal
        self._health = {
            name: Health(
                variance=max(tier.spread, _LEAST_SPREAD) ** 2,
                lost=max(tier.loss, _LOST_AT_LEAST),
                lost_at_first=max(tier.loss, _LOST_AT_LEAST),
            )
            for name, tier in tiers.tiers.items()
        }
        self._planned: dict[str, int] = {}  # of the last question to each tier

    def learn(self, tier: str, now_ns: int, took_ns: int | None) -> None:
        planned_ns = self._planned.get(tier, 1)
        self._health[tier].learn(now_ns, None if took_ns is None else took_ns / max(planned_ns, 1))

    def _plan(self, question: Question, tier: str) -> int:
        planned_ns = self._tiers[tier].cost(question.n_bytes, question.mmac).time_ns
        self._planned[tier] = planned_ns
        return planned_ns

    def _trial(self, names: Sequence[str], now_ns: int) -> str:
        """One of these tiers that it is time to try; "" if there is none."""
        for name in names:
            health = self._health[name]
            if health.wants_trial(now_ns):
                health.tried_ns = now_ns
                return name
        return ""

    def _first_in_health(self, names: Sequence[str], now_ns: int) -> Choice:
        """The first of these, and a trial of one that stands before it."""
        for at, name in enumerate(names):
            if not self._health[name].is_left_alone:
                return Choice(tier=name, trial=self._trial(names[:at], now_ns))
        return Choice(reason="away" if names else "stay", trial=self._trial(names, now_ns))


class FirstThatAnswers(_Learning):
    """The first tier in the author's order that is in health and not too far away.

    A tier that missed twice in a row is left alone. A question goes there twice a second of RAN time all the same, and nobody
    waits for the answer; if one comes, the tier is asked again. A loop therefore waits in vain twice for each failure.
    """

    def choose(self, question: Question, candidates: Sequence[str], now_ns: int, left_ns: int) -> Choice:
        near = [name for name in candidates if self._plan(question, name) <= left_ns]
        return self._first_in_health(near, now_ns)


class Quickest(_Learning):
    """The tier with the least expected time by a moving average of what was measured, of those that are near enough as planned."""

    def choose(self, question: Question, candidates: Sequence[str], now_ns: int, left_ns: int) -> Choice:
        planned = {name: self._plan(question, name) for name in candidates}
        expected = {
            name: ns * math.exp(self._health[name].log_ratio) for name, ns in planned.items() if ns <= left_ns
        }
        return self._first_in_health(sorted(expected, key=lambda name: expected[name]), now_ns)


class Planner(_Learning):
    """The most valuable tier in expectation, or none.

    A question to a tier is worth P(in time) x worth less its price, energy and expected wait; to stay is worth nothing. The
    probability comes from what was measured: times are log-normal around the planned one. A tier that missed is tried besides.
    """

    _MOST_KEPT = 64

    def __init__(self, tiers: Tiers, goal: Goal) -> None:
        super().__init__(tiers, goal)
        # Choices since something was learned: questions of one stream are alike.
        self._known: dict[tuple[int, float, int, tuple[str, ...]], Choice] = {}

    def choose(self, question: Question, candidates: Sequence[str], now_ns: int, left_ns: int) -> Choice:
        key = question.n_bytes, question.mmac, left_ns >> 20, tuple(candidates)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= self._MOST_KEPT:
                self._known.clear()
            known = self._known[key] = self.weigh(question, candidates, left_ns)[0]
        others = [name for name in candidates if name != known.tier and self._health[name].misses]
        trial = self._trial([name for name in others if self._would_pay(question, name, left_ns)], now_ns)
        return replace(known, trial=trial) if trial else known

    def _would_pay(self, question: Question, name: str, left_ns: int) -> bool:
        """Whether an answer of this tier would be worth its cost if it came as planned."""
        cost = self._tiers[name].cost(question.n_bytes, question.mmac)
        waited_s = cost.time_ns / 1e9
        value = self._goal.value(joules=cost.joules, price=cost.price, waited_s=waited_s, is_better=True)
        return cost.time_ns <= left_ns and value > 0

    def weigh(self, question: Question, candidates: Sequence[str], left_ns: int) -> tuple[Choice, float]:
        """The best choice, and what it is worth in expectation; to stay is worth 0."""
        best, most = Choice(), 0.0
        for name in candidates:
            planned_ns, health = self._plan(question, name), self._health[name]
            if health.is_left_alone:
                continue
            in_time = health.in_time(planned_ns, left_ns)
            wait_ns = (
                in_time * min(planned_ns * math.exp(health.log_ratio), left_ns) + (1 - in_time) * left_ns
            )
            cost = self._tiers[name].cost(question.n_bytes, question.mmac)
            spent = self._goal.value(
                joules=cost.joules, price=cost.price, waited_s=wait_ns / 1e9, is_better=False
            )
            value = in_time * self._goal.worth + spent
            if value > most:
                best, most = Choice(tier=name), value
        return best, most

    def learn(self, tier: str, now_ns: int, took_ns: int | None) -> None:
        super().learn(tier, now_ns, took_ns)
        self._known.clear()


class Always:
    """One tier, whatever comes; "" is none. For comparisons."""

    def __init__(self, tier: str) -> None:
        self._tier = tier

    def choose(self, question: Question, candidates: Sequence[str], now_ns: int, left_ns: int) -> Choice:
        return Choice(tier=self._tier if self._tier in candidates else "")

    def learn(self, tier: str, now_ns: int, took_ns: int | None) -> None:
        pass


POLICIES: dict[str, Callable[[Tiers, Goal], Policy]] = {
    "first": FirstThatAnswers,
    "quickest": Quickest,
    "planner": Planner,
}
