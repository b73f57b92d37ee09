"""Policies beside each other on the same virtual tiers: what each decision was worth, and what an oracle would have got.

A workload is a stream of questions, one every period. A regime is what befalls the tiers. Fates are drawn by the seed alone
(`virtual`), so that all policies of one seed meet the same delays, losses and outages. The answers themselves do not matter here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ranloop.placement.asker import Asker
from ranloop.placement.declaration import Placement
from ranloop.placement.policies import POLICIES, Always, Goal, Planner
from ranloop.placement.port import Choice, Policy, Question
from ranloop.placement.tiers import Event, Tiers
from ranloop.placement.virtual import VirtualTiers
from ranloop.wire.messages import F32, Report

__all__ = ("REGIMES", "WORKLOADS", "Outcome", "Workload", "outcomes", "place_of")

PERIOD_NS = 100_000_000
DURATION_S = 30
_MODEL = "trial@0"
F64 = NDArray[np.float64]
Regime = Callable[[Tiers, np.random.Generator], Tiers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One kind of question.

    Attributes:
        n_values: float32 of its one row.
        mmac: Million multiply-accumulates of the better model.
        wait_ms: After which its answer is of no use.
    """

    name: str
    n_values: int
    mmac: float
    wait_ms: float
    goal: Goal


WORKLOADS = (
    # Inputs of a table: 20 values; a gradient-boosted model takes microseconds anywhere.
    Workload(
        name="table, 0.01 MMAC, 30 ms",
        n_values=20,
        mmac=0.01,
        wait_ms=30,
        goal=Goal(worth=0.01, per_joule=0.05, per_wait_s=1.0),
    ),
    # A network of 3.06 GMAC takes 102 ms on the core of the edge, longer than there is time.
    Workload(
        name="network, 3060 MMAC, 80 ms",
        n_values=16_384,
        mmac=3060.0,
        wait_ms=80,
        goal=Goal(worth=1.0, per_joule=0.05, per_wait_s=1.0),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one policy made of the questions of one seed; arrays have an entry per question.

    Attributes:
        value: Worth less cost.
        is_better: Whether a better answer came in time.
        asked: Whether somebody waited for one.
        waited_ms: Of the handler.
        joules: Modelled, of sending and computing.
        sent_bytes: That left the node.
        n_switches: Times that another tier answered than the time before.
    """

    value: F64
    is_better: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    waited_ms: F64
    joules: F64
    sent_bytes: F64
    n_switches: int


# Regimes


def _with(tiers: Tiers, events: Mapping[str, Sequence[Event]]) -> Tiers:
    changed = {
        name: tier.model_copy(update={"events": (*tier.events, *events.get(name, ()))})
        for name, tier in tiers.tiers.items()
    }
    return tiers.model_copy(update={"tiers": changed})


def _events(what: str, spans: Sequence[tuple[float, float]], by: float = 1.0) -> list[Event]:
    return [Event.model_validate({"what": what, "from_s": a, "to_s": b, "by": by}) for a, b in spans]


def _spans(rng: np.random.Generator, n: int, length_s: float) -> list[tuple[float, float]]:
    starts = rng.uniform(0, DURATION_S - length_s, n)
    return [(float(start), float(start + length_s)) for start in starts]


def _stationary(tiers: Tiers, rng: np.random.Generator) -> Tiers:
    return tiers


def _daily(tiers: Tiers, rng: np.random.Generator) -> Tiers:
    """A day in half a minute: the region takes one to four times as long."""
    phase = rng.uniform(0, 2 * math.pi)
    slow = [
        _events(
            "slow", [(second, second + 1)], 2.5 + 1.5 * math.sin(phase + 2 * math.pi * second / DURATION_S)
        )
        for second in range(DURATION_S)
    ]
    return _with(tiers, {"regional": [event for each in slow for event in each]})


def _step(tiers: Tiers, rng: np.random.Generator) -> Tiers:
    """From a moment on the region takes six times as long."""
    return _with(tiers, {"regional": _events("slow", [(float(rng.uniform(8, 20)), DURATION_S + 1.0)], 6.0)})


def _bursts(tiers: Tiers, rng: np.random.Generator) -> Tiers:
    """Eight bursts of a second in which 60 % are lost on the way to the region."""
    return _with(tiers, {"regional": _events("lossy", _spans(rng, 8, 1.0), 0.6)})


def _crash(tiers: Tiers, rng: np.random.Generator) -> Tiers:
    """The region is down for ten seconds."""
    return _with(tiers, {"regional": _events("down", _spans(rng, 1, 10.0))})


def _cut(tiers: Tiers, rng: np.random.Generator) -> Tiers:
    """The link of the site is cut for ten seconds: neither region nor centre."""
    cut = _events("down", _spans(rng, 1, 10.0))
    return _with(tiers, {"regional": cut, "central": cut})


def _overload(tiers: Tiers, rng: np.random.Generator) -> Tiers:
    """Four times the region takes ten times as long for two seconds."""
    return _with(tiers, {"regional": _events("slow", _spans(rng, 4, 2.0), 10.0)})


REGIMES: dict[str, Regime] = {
    "stationary": _stationary,
    "daily": _daily,
    "step": _step,
    "loss in bursts": _bursts,
    "region down": _crash,
    "site cut off": _cut,
    "region overloaded": _overload,
}


# Policies


class _Oracle:
    """Knows the fate of each question to each tier, and takes the most valuable one, if any is worth more than to stay."""

    def __init__(self, reach: VirtualTiers, goal: Goal) -> None:
        self._reach, self._goal = reach, goal

    def choose(self, question: Question, candidates: Sequence[str], now_ns: int, left_ns: int) -> Choice:
        best, most = "", 0.0
        for name in candidates:
            took_ns = self._reach.took_ns(name, question, now_ns)
            if took_ns is None or took_ns > left_ns:
                continue
            cost = self._reach.tiers[name].cost(question.n_bytes, question.mmac)
            value = self._goal.value(
                joules=cost.joules, price=cost.price, waited_s=took_ns / 1e9, is_better=True
            )
            if value > most:
                best, most = name, value
        return Choice(tier=best)

    def learn(self, tier: str, now_ns: int, took_ns: int | None) -> None:
        pass


class _Random:
    """Asks the first tier with a fixed probability: what the planner's rate is worth without its sense."""

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._rng = share, np.random.default_rng(seed)

    def choose(self, question: Question, candidates: Sequence[str], now_ns: int, left_ns: int) -> Choice:
        return Choice(tier=candidates[0] if self._rng.random() < self._share else "")

    def learn(self, tier: str, now_ns: int, took_ns: int | None) -> None:
        pass


class _Zero:
    """The model of the trial: one number for each row."""

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32:
        return np.zeros((len(matrix), 1), np.float32)


def outcomes(tiers: Tiers, workload: Workload, regime: str, seed: int) -> dict[str, Outcome]:
    """What each policy made of one seed. "random" asks as often as "planner" does."""
    befallen = REGIMES[regime](tiers, np.random.default_rng([seed, 77]))
    ask = befallen.above(befallen.here)  # the data is born here, and no device has it
    found: dict[str, Outcome] = {}
    for name, make in _policies(befallen, ask, workload.goal, seed, found):
        reach = VirtualTiers(befallen, seed=seed)
        reach.offer(_MODEL, _Zero())
        found[name] = _run(reach, ask, workload, make(reach))
    return found


def _policies(
    tiers: Tiers, ask: Sequence[str], goal: Goal, seed: int, found: Mapping[str, Outcome]
) -> Iterator[tuple[str, Callable[[VirtualTiers], Policy]]]:
    yield "always here", lambda reach: Always("")
    for name in ask:
        yield f"always {name}", lambda reach, name=name: Always(name)  # type: ignore[misc]  # mypy knows no defaults of lambdas
    for name, kind in POLICIES.items():
        yield name, lambda reach, kind=kind: kind(tiers, goal)  # type: ignore[misc]  # as above
    share = float(np.mean(found["planner"].asked))
    yield "random", lambda reach: _Random(share, seed)
    yield "oracle", lambda reach: _Oracle(reach, goal)


def place_of(tiers: Tiers, workload: Workload, bandwidth_mbps: float) -> str:
    """Where the better model is worth most by the tiers file, before anything is measured.

    Args:
        tiers: Of the network.
        workload: The question.
        bandwidth_mbps: Of the way to each tier above.

    Returns:
        A tier, the one of here included; "" if no answer in time is worth its cost, so that the smaller model stays alone.
    """
    above = tiers.above(tiers.here)
    ways = {name: tiers[name].model_copy(update={"bandwidth_mbps": bandwidth_mbps}) for name in above}
    there = Planner(tiers.model_copy(update={"tiers": {**tiers.tiers, **ways}}), workload.goal)
    matrix = np.zeros((1, workload.n_values), np.float32)
    choice, value = there.weigh(_question(workload, matrix, 0), above, round(workload.wait_ms * 1e6))
    here = tiers[tiers.here].cost(0, workload.mmac)
    waited_s = here.time_ns / 1e9
    own = workload.goal.value(joules=here.joules, price=here.price, waited_s=waited_s, is_better=True)
    return tiers.here if waited_s * 1e3 <= workload.wait_ms and own > value else choice.tier


def _question(workload: Workload, matrix: F32, now_ns: int) -> Question:
    return Question(
        model=_MODEL,
        matrix=matrix,
        n_outputs=1,
        node="site0",
        level="cell",
        asked_ns=now_ns,
        sensitivity="per-cell",
        mmac=workload.mmac,
    )


@dataclass(slots=True)
class _Tally:
    """Columns of an `Outcome` while they grow."""

    value: list[float] = field(default_factory=list)
    is_better: list[bool] = field(default_factory=list)
    asked: list[bool] = field(default_factory=list)
    waited_ms: list[float] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)
    sent_bytes: list[float] = field(default_factory=list)


def _run(reach: VirtualTiers, ask: Sequence[str], workload: Workload, policy: Policy) -> Outcome:
    placement = Placement(pattern="hybrid", ask=tuple(ask), wait_ms=workload.wait_ms)
    asker, tally = Asker(placement, reach, policy), _Tally()
    matrix, rows = np.zeros((1, workload.n_values), np.float32), np.zeros(1, np.intp)
    before, n_switches = "", 0
    for seq in range(DURATION_S * 1_000_000_000 // PERIOD_NS):
        now_ns = (seq + 1) * PERIOD_NS
        reach.begin(now_ns)
        for _ in asker.late_answers():
            pass
        question = _question(workload, matrix, now_ns)
        asked = asker.ask(question, _report(seq, now_ns), rows, now_ns + placement.wait_ns)
        waited_s, is_better = reach.waited_ns / 1e9, asked.outputs is not None
        joules, tier = asked.joules or 0.0, asked.tier or reach.tiers.here
        price = reach.tiers[tier].price / 1e6 if is_better else 0.0
        goal = workload.goal
        tally.value.append(goal.value(joules=joules, price=price, waited_s=waited_s, is_better=is_better))
        tally.is_better.append(is_better)
        tally.asked.append(is_better or waited_s > 0)
        tally.waited_ms.append(waited_s * 1e3)
        tally.joules.append(joules)
        tally.sent_bytes.append(float(sum(asked.sent_bytes.values())))
        n_switches += bool(before) and tier != before
        before = tier
    return Outcome(
        value=np.array(tally.value),
        is_better=np.array(tally.is_better),
        asked=np.array(tally.asked),
        waited_ms=np.array(tally.waited_ms),
        joules=np.array(tally.joules),
        sent_bytes=np.array(tally.sent_bytes),
        n_switches=n_switches,
    )


def _report(seq: int, ran_time_ns: int) -> Report:
    return Report(
        node="site0",
        level="cell",
        period_ms=PERIOD_NS // 1_000_000,
        seq=seq,
        ran_time_ns=ran_time_ns,
        ids=("cell",),
        names=(),
        block=np.zeros((1, 1), np.float32),
    )
