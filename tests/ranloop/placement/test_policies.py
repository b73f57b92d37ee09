"""Policies: what they choose in cases that can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ranloop.placement import Question
from ranloop.placement.policies import TRIAL_NS, FirstThatAnswers, Goal, Planner, Quickest
from ranloop.placement.port import Choice, Policy
from tests.ranloop.placement.places import MS, tiers

NEAR, BOTH = ["regional"], ["regional", "central"]  # 20 ms and 40 ms away


def question(mmac: float = 0.0) -> Question:
    matrix = np.zeros((1, 1), np.float32)
    return Question(
        model="m@0",
        matrix=matrix,
        n_outputs=1,
        node="a",
        level="ue",
        asked_ns=0,
        sensitivity="per-ue",
        mmac=mmac,
    )


def chosen(policy: Policy, candidates: list[str], *, now_ms: int = 0, left_ms: float = 50) -> str:
    return policy.choose(question(), candidates, now_ms * MS, round(left_ms * MS)).tier


def took(policy: Policy, tier: str, ms: float | None, times: int = 1) -> None:
    for _ in range(times):
        chosen(policy, BOTH)
        policy.learn(tier, 0, None if ms is None else round(ms * MS))


def test_the_first_one_in_health_is_asked_unless_it_is_too_far_away() -> None:
    policy = FirstThatAnswers(tiers(), Goal())
    assert [chosen(policy, ["central", "regional"], left_ms=ms) for ms in (50, 30, 10)] == [
        "central",
        "regional",
        "",
    ]


def test_a_tier_that_is_left_alone_is_tried_besides_the_next_one_and_is_first_again_when_it_answers() -> None:
    policy = FirstThatAnswers(tiers(), Goal())
    took(policy, "regional", None, times=2)
    assert policy.choose(question(), BOTH, 100 * MS, 50 * MS) == Choice(tier="central")
    assert policy.choose(question(), BOTH, TRIAL_NS, 50 * MS) == Choice(tier="central", trial="regional")
    assert policy.choose(question(), BOTH, TRIAL_NS + 100 * MS, 50 * MS) == Choice(tier="central")
    policy.learn("regional", TRIAL_NS + 20 * MS, 20 * MS)
    assert policy.choose(question(), BOTH, TRIAL_NS + 200 * MS, 50 * MS) == Choice(tier="regional")


def test_the_quickest_is_the_one_that_was_measured_to_be() -> None:
    """Regional is planned at 20 ms; forty answers of 60 ms bring its average beyond the 40 ms of central: 20 x 3**0.985."""
    policy = Quickest(tiers(), Goal())
    assert chosen(policy, BOTH, left_ms=90) == "regional"
    took(policy, "regional", 60, times=40)
    assert chosen(policy, BOTH, left_ms=90) == "central"


@pytest.mark.parametrize(("worth", "tier"), [(1.0, "regional"), (0.021, "regional"), (0.019, "")])
def test_a_planner_stays_where_the_better_answer_is_worth_less_than_its_wait(worth: float, tier: str) -> None:
    """20 ms at 1 a second are 0.02; all else costs nothing. Chance of loss: 0.1 %."""
    policy = Planner(tiers(), Goal(worth=worth, per_wait_s=1.0))
    assert chosen(policy, NEAR) == tier
    if not tier:
        assert policy.choose(question(), NEAR, 0, 50 * MS) == Choice()  # and it makes no trial


def test_a_planner_takes_the_dearer_tier_only_if_time_demands_it() -> None:
    """Regional costs 0.5 more; within 30 ms there is no other, within 500 ms central is as good."""
    dear: dict[str, Any] = {"price": 0.5e6}
    policy = Planner(tiers(regional=dear), Goal(worth=1.0))
    assert [chosen(policy, BOTH, left_ms=ms) for ms in (30, 500)] == ["regional", "central"]


def test_a_planner_leaves_a_tier_that_fails_for_the_next_and_comes_back_after_a_trial() -> None:
    policy = Planner(tiers(), Goal(worth=1.0, per_wait_s=1.0))
    took(policy, "regional", None, times=2)
    assert chosen(policy, BOTH) == "central"
    assert policy.choose(question(), BOTH, TRIAL_NS, 50 * MS) == Choice(tier="central", trial="regional")
    policy.learn("regional", TRIAL_NS, 20 * MS)
    assert chosen(policy, BOTH, now_ms=600) == "regional"


def test_a_planner_looks_at_its_answer_once_until_it_learns() -> None:
    policy = Planner(tiers(), Goal())
    first = policy.choose(question(), BOTH, 0, 50 * MS)
    assert policy.choose(question(), BOTH, 0, 50 * MS) is first
    policy.learn("regional", 0, 20 * MS)
    assert policy.choose(question(), BOTH, 0, 50 * MS) is not first
