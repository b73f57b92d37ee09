"""Claims are read as they are spelled, and judged by intervals of the level that all of them together leave to each."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t

from ranloop.claims import ClaimError, check_direction, judge, parse_claim
from ranloop.kpi import Better, Kpi
from ranloop.statistics import Shown, pairs_needed


def kpi(key: str, better: Better) -> Kpi:
    return Kpi(key=key, label=key, unit="UE", better=better, definition="")


def scores(**columns: list[float]) -> list[dict[str, float]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


# How they are spelled; the mean of the first arm is 50


@pytest.mark.parametrize(
    ("text", "sign", "bound"),
    [
        ("happy more", 1, 0.0),
        ("happy less", -1, 0.0),
        ("happy at least 3 more", 1, 3.0),
        ("happy at least 4% more", 1, 2.0),
        ("happy at most 2% less", 1, -1.0),
        ("happy at most 2 % less", 1, -1.0),
        ("happy  at most  1.5 less ", 1, -1.5),
        # the same bounds from the other side: a loss is what is more
        ("happy at most 3 more", -1, -3.0),
        ("happy at least 4% less", -1, 2.0),
    ],
)
def test_a_claim_is_a_sign_and_a_bound(text: str, sign: int, bound: float) -> None:
    claim = parse_claim(text)
    assert (claim.kpi, claim.sign, claim.bound(50.0)) == ("happy", sign, bound)
    assert claim.is_margin is ("most" in text)
    assert claim.text == " ".join(text.split())


def test_a_percentage_may_be_of_another_kpi() -> None:
    claim = parse_claim("satisfied at most 2% of users less")
    assert (claim.kpi, claim.percent_of, claim.bound(100.0)) == ("satisfied", "users", -2.0)


def test_a_percentage_of_nothing_is_no_bound() -> None:
    assert math.isnan(parse_claim("happy at most 2% less").bound(0.0))
    assert math.isnan(parse_claim("happy at most 2% less").bound(math.nan))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("happy", 'want "KPI more"'),
        ("", 'want "KPI more"'),
        ("happy better", 'want "KPI more"'),
        ("happy at most less", 'want "KPI more"'),
        ("happy at most 2% of less", 'want "KPI more"'),
        ("happy at most -2% less", "-2 is no number above 0; the word 'less' tells the direction"),
        ("happy at least 0 more", "0 is no number above 0; the word 'more' tells the direction"),
        ("happy at most nan less", "nan is no number above 0"),
        ("happy at most inf less", "inf is no number above 0"),
        ("happy at most two less", "two is no number above 0"),
    ],
)
def test_a_claim_that_is_none_is_one_line(text: str, words: str) -> None:
    with pytest.raises(ClaimError) as caught:
        parse_claim(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "better", "advice"),
    [
        ("happy less", "higher", '"happy more", or a margin: "happy at most 2% less"'),
        ("happy at most 2% more", "higher", '"happy more", or a margin: "happy at most 2% less"'),
        ("delay more", "lower", '"delay less", or a margin: "delay at most 2% more"'),
        ("delay at most 1 less", "lower", '"delay less", or a margin: "delay at most 2% more"'),
    ],
)
def test_a_claim_of_what_is_worse_is_refused(text: str, better: Better, advice: str) -> None:
    claim = parse_claim(text)
    with pytest.raises(ClaimError) as caught:
        check_direction(claim, kpi(claim.kpi, better))
    assert advice in str(caught.value)
    check_direction(claim, kpi(claim.kpi, "neither"))


# How they are judged


@pytest.mark.parametrize(
    ("text", "differences", "word", "shown"),
    [
        ("happy more", [4, 5, 6, 5], "gain", Shown.YES),
        ("happy at most 2 less", [-1, -1.1, -0.9, -1], "no worse than the margin", Shown.YES),
        ("happy at most 2 less", [-3, -3.1, -2.9, -3], "harm", Shown.NO),
        ("happy more", [-4, -5, -6, -5], "harm", Shown.NO),
        ("happy more", [-5, 5, 4, -4], "undecided", Shown.UNDECIDED),
        ("happy more", [0, 0, 0, 0], "no such gain", Shown.NO),
        ("happy at least 10 more", [4, 5, 6, 5], "no such gain", Shown.NO),
        ("happy less", [-4, -5, -6, -5], "gain", Shown.YES),
        ("happy less", [4, 5, 6, 5], "harm", Shown.NO),
        ("happy at most 2 more", [1, 1.1, 0.9, 1], "no worse than the margin", Shown.YES),
        ("happy more", [math.nan, 5, 6, 5], "undecided", Shown.UNDECIDED),
        ("happy at most 2% of none less", [4, 5, 6, 5], "undecided", Shown.UNDECIDED),
    ],
)  # fmt: skip
def test_the_verdict_is_the_interval_in_words(
    text: str, differences: list[float], word: str, shown: Shown
) -> None:
    old = scores(happy=[50.0, 60.0, 55.0, 52.0], none=[0.0] * 4)
    new = [{**score, "happy": score["happy"] + d} for score, d in zip(old, differences, strict=True)]
    verdict = judge([parse_claim(text)], old, new)[0]
    assert (verdict.word, verdict.shown) == (word, shown)


def test_one_claim_rests_on_its_95_percent_interval() -> None:
    old, new = scores(happy=[1.0, 2.0, 3.0, 4.0]), scores(happy=[2.0, 4.0, 4.0, 6.0])
    verdict = judge([parse_claim("happy more")], old, new)[0]
    low, high = t.interval(0.95, 3, loc=1.5, scale=(1 / 3) ** 0.5 / 2)
    assert (verdict.difference.low, verdict.difference.high) == pytest.approx((low, high))
    assert list(verdict.tails) == pytest.approx([0.025, 0.025])


def test_several_claims_are_each_judged_at_their_step_of_holm() -> None:
    # one-sided p from four pairs: "sure" 0.0003, "near" 0.0144, "open" 0.35; 0.0003 <= 0.025/3, 0.0144 > 0.025/2
    base = [0.0, 0.0, 0.0, 0.0]
    old = scores(sure=base, near=base, open=base)
    new = scores(sure=[9.0, 10.0, 11.0, 10.0], near=[1.0, 2.0, 3.0, 1.2], open=[-2.0, 3.0, 2.0, -1.0])
    claims = [parse_claim(f"{key} more") for key in ("near", "sure", "open")]
    near, sure, open_ = judge(claims, old, new)
    assert sure.tails[0] == pytest.approx(0.025 / 3)
    assert near.tails[0] == open_.tails[0] == pytest.approx(0.025 / 2)
    assert (sure.shown, near.shown, open_.shown) == (Shown.YES, Shown.UNDECIDED, Shown.UNDECIDED)
    # alone it would be shown: what several claims cost
    assert judge(claims[:1], old, new)[0].shown is Shown.YES
    d = np.array([1.0, 2.0, 3.0, 1.2])
    expected = d.mean() - t.isf(0.025 / 2, 3) * d.std(ddof=1) / 2
    assert near.difference.low == pytest.approx(expected)


def test_under_no_effect_one_of_several_claims_is_shown_as_rarely_as_one_alone() -> None:
    rng = np.random.default_rng(7)
    claims = [parse_claim(f"k{i} more") for i in range(4)]
    wrong = 0
    for _ in range(200):
        old = [dict.fromkeys((c.kpi for c in claims), 0.0) for _ in range(6)]
        new = [{c.kpi: float(x) for c, x in zip(claims, row, strict=True)} for row in rng.normal(size=(6, 4))]
        wrong += any(verdict.shown is not Shown.UNDECIDED for verdict in judge(claims, old, new))
    # 5 % of 200 are 10, with a standard deviation of 3.1; uncorrected it would be 1 - 0.95^4 = 18.5 %, 37
    assert 1 <= wrong <= 19


def test_an_undecided_claim_says_how_many_seeds_would_decide_at_its_level() -> None:
    # mean 1, sd 2 with n - 1: the formula of `pairs_needed` gives 34 at 0.025
    d = np.array([1 - 3**0.5, 1.0 + 3**0.5, 1 - 3**0.5, 1.0 + 3**0.5])  # sd = sqrt(4 * 3 / 3) = 2
    old = [{"happy": 0.0} for _ in d]
    verdict = judge([parse_claim("happy more")], old, [{"happy": float(x)} for x in d])[0]
    assert (verdict.word, verdict.seeds) == ("undecided", 34)
    decided = judge([parse_claim("happy more")], old, [{"happy": 1.0} for _ in d])[0]
    assert decided.seeds is None


def test_a_drop_without_a_value_decides_nothing_and_is_counted() -> None:
    old = scores(happy=[1.0, math.nan, 1.0])
    verdict = judge([parse_claim("happy more")], old, scores(happy=[9.0, 9.0, 9.1]))[0]
    assert (verdict.word, verdict.missing, verdict.seeds) == ("undecided", 1, None)


def test_claims_of_less_are_judged_as_the_mirrored_ones_of_more() -> None:
    base = [0.0, 0.0, 0.0, 0.0]
    values = {"sure": [9.0, 10.0, 11.0, 10.0], "near": [1.0, 2.0, 3.0, 1.2], "open": [-2.0, 3.0, 2.0, -1.0]}
    old = scores(**dict.fromkeys(values, base))
    mirrored = {key: [-x for x in column] for key, column in values.items()}
    more = judge([parse_claim(f"{key} more") for key in values], old, scores(**values))
    less = judge([parse_claim(f"{key} less") for key in values], old, scores(**mirrored))
    for one, other in zip(more, less, strict=True):
        assert (one.word, one.seeds) == (other.word, other.seeds)
        assert (other.difference.low, other.difference.high) == (-one.difference.high, -one.difference.low)
        assert other.tails == one.tails[::-1]


def test_the_seeds_of_one_of_several_claims_are_for_its_own_level() -> None:
    # sd 2 and mean 1 as above, with two sure claims beside it, and two that are as open: its level is 0.025 / 3
    d = [1 - 3**0.5, 1.0 + 3**0.5, 1 - 3**0.5, 1.0 + 3**0.5]
    sure = [9.0, 10.0, 11.0, 10.0]
    new = scores(a=sure, b=sure, c=d, d=d, e=d)
    old = [dict.fromkeys("abcde", 0.0) for _ in d]
    verdicts = judge([parse_claim(f"{key} more") for key in "abcde"], old, new)
    assert [verdict.shown for verdict in verdicts] == [Shown.YES, Shown.YES, *[Shown.UNDECIDED] * 3]
    assert verdicts[2].seeds == pairs_needed(1.0, 2.0, 0.025 / 3)
    assert verdicts[2].seeds != pairs_needed(1.0, 2.0, 0.025)
