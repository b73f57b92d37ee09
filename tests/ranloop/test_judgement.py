"""A gain is claimed only where both intervals show it; less evidence never gets a better sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranloop.judgement import MARGIN_PCT, Judgement
from ranloop.statistics import Difference, Shown

NAN = float("nan")
HEADS = {Shown.NO: "No gain: ", Shown.UNDECIDED: "No gain shown: ", Shown.YES: "Gain: "}


def interval(low: float, high: float) -> Difference:
    return Difference(mean=(low + high) / 2, low=low, high=high, n=10)


def judged(
    satisfied: Difference, best_effort: Difference, *, users: float = 100.0, mbps: float = 200.0
) -> Judgement:
    """100 users: the margin is 2."""
    return Judgement(satisfied=satisfied, best_effort=best_effort, users=users, best_effort_mbps=mbps)


# What the sentences say; 30 of 200 Mb/s are 15 %

MORE = "best effort gets more, +15 [+10, +20] %"
SAME = "whether best effort gets more is not decided by 10 drops, +1 [-2, +4] %"
OPEN = "whether as many users are satisfied is not decided by 10 drops"
FEWER_OPEN = "fewer users are satisfied, and whether by less than the margin is not decided by 10 drops"
LESS = "best effort gets no more, -15 [-20, -10] %"


@pytest.mark.parametrize(
    ("satisfied", "best_effort", "sentence"),
    [
        ((1, 5), (20, 40), f"Gain: {MORE}; more users are satisfied, +3.0 [+1.0, +5.0], margin 2.0."),
        (
            (-1, 2),
            (20, 40),
            f"Gain: {MORE}; as many users are satisfied, +0.5 [-1.0, +2.0], margin 2.0.",
        ),
        (
            (-1.5, -0.5),
            (20, 40),
            f"Gain: {MORE}; fewer users are satisfied, but by less than the margin, -1.0 [-1.5, -0.5], margin 2.0.",
        ),
        # what a few noisy drops leave open is no gain
        (
            (-31, 1),
            (20, 40),
            f"No gain shown: {MORE}; {OPEN}, -15.0 [-31.0, +1.0], margin 2.0.",
        ),
        (
            (-144, 110),
            (20, 40),
            f"No gain shown: {MORE}; {OPEN}, -17.0 [-144.0, +110.0], margin 2.0.",
        ),
        (
            (-5, -1),
            (20, 40),
            f"No gain shown: {MORE}; {FEWER_OPEN}, -3.0 [-5.0, -1.0], margin 2.0.",
        ),
        ((-9, -3), (20, 40), f"No gain: {MORE}; fewer users are satisfied, -6.0 [-9.0, -3.0], margin 2.0."),
        # one side alone is not what is claimed, and no gain when the other side pays for it
        ((1, 5), (-4, 8), f"No gain shown: {SAME}; more users are satisfied, +3.0 [+1.0, +5.0], margin 2.0."),
        (
            (1, 5),
            (-40, -20),
            f"No gain: {LESS}; more users are satisfied, +3.0 [+1.0, +5.0], margin 2.0.",
        ),
        ((-9, -3), (-4, 8), f"No gain: {SAME}; fewer users are satisfied, -6.0 [-9.0, -3.0], margin 2.0."),
    ],
)
def test_the_sentence_is_the_intervals_in_words(
    satisfied: tuple[float, float], best_effort: tuple[float, float], sentence: str
) -> None:
    assert str(judged(interval(*satisfied), interval(*best_effort))) == sentence


def test_without_best_effort_traffic_the_sentence_has_no_percentage() -> None:
    sentence = str(judged(interval(1, 5), interval(0, 0), mbps=0.0))
    assert sentence.startswith("No gain: best effort gets no more, +0 [+0, +0] Mb/s; more users")


def test_without_delay_bound_users_nothing_is_said_about_them() -> None:
    judgement = judged(interval(0, 0), interval(20, 40), users=0.0)
    assert str(judgement) == f"No gain shown: {MORE}; no delay-bound user was there to be judged."


def test_the_margin_is_two_percent_of_the_users_that_are_judged() -> None:
    assert MARGIN_PCT == 2.0
    assert judged(interval(0, 0), interval(0, 0), users=94.0).margin == pytest.approx(1.88)


def test_it_compares_drop_by_drop() -> None:
    old = {"users": [90.0, 110.0], "satisfied": [60.0, 80.0], "best_effort_mbps": [300.0, 100.0]}
    new = {"users": [90.0, 110.0], "satisfied": [61.0, 81.0], "best_effort_mbps": [330.0, 130.0]}
    judgement = Judgement.of(old, new)
    assert (judgement.users, judgement.best_effort_mbps) == (100.0, 200.0)
    assert judgement.satisfied == Difference(mean=1.0, low=1.0, high=1.0, n=2)
    assert judgement.best_effort == Difference(mean=30.0, low=30.0, high=30.0, n=2)


# Laws

numbers = st.floats(-50.0, 50.0).map(lambda x: round(x, 2))
widths = st.floats(0.0, 50.0).map(lambda x: round(x, 2))


@st.composite
def intervals(draw: st.DrawFn) -> Difference:
    mean, half = draw(numbers), draw(widths)
    return Difference(mean=mean, low=mean - half, high=mean + half, n=draw(st.integers(2, 50)))


def lowered(difference: Difference, by: float) -> Difference:
    return replace(difference, mean=difference.mean - by, low=difference.low - by, high=difference.high - by)


def widened(difference: Difference, by: float) -> Difference:
    return replace(difference, low=difference.low - by, high=difference.high + by)


@given(satisfied=intervals(), best_effort=intervals(), fewer=widths, less=widths)
def test_a_worse_outcome_never_gets_a_better_sentence(
    satisfied: Difference, best_effort: Difference, fewer: float, less: float
) -> None:
    before = judged(satisfied, best_effort)
    after = judged(lowered(satisfied, fewer), lowered(best_effort, less))
    assert after.gain <= before.gain
    assert after.as_many_satisfied <= before.as_many_satisfied
    assert after.more_best_effort <= before.more_best_effort


@given(satisfied=intervals(), best_effort=intervals(), users_by=widths, mbps_by=widths)
def test_less_certainty_decides_nothing_that_was_not_decided_so_before(
    satisfied: Difference, best_effort: Difference, users_by: float, mbps_by: float
) -> None:
    before = judged(satisfied, best_effort)
    after = judged(widened(satisfied, users_by), widened(best_effort, mbps_by))
    assert after.gain in (before.gain, Shown.UNDECIDED)


@given(satisfied=intervals(), best_effort=intervals())
def test_a_gain_is_claimed_exactly_where_both_intervals_lie_above_their_bounds(
    satisfied: Difference, best_effort: Difference
) -> None:
    shown = satisfied.low > -2.0 and best_effort.low > 0.0
    judgement = judged(satisfied, best_effort)
    assert (judgement.gain is Shown.YES) is shown
    assert str(judgement).startswith(HEADS[judgement.gain])


@given(satisfied=numbers, best_effort=numbers)
def test_what_is_known_exactly_is_decided(satisfied: float, best_effort: float) -> None:
    exact = judged(interval(satisfied, satisfied), interval(best_effort, best_effort))
    assert exact.gain is not Shown.UNDECIDED


@given(satisfied=intervals(), best_effort=intervals())
def test_what_is_no_number_is_never_a_gain(satisfied: Difference, best_effort: Difference) -> None:
    nothing = Difference(mean=NAN, low=NAN, high=NAN, n=10)
    assert judged(nothing, best_effort).gain is not Shown.YES
    assert judged(satisfied, nothing).gain is not Shown.YES
