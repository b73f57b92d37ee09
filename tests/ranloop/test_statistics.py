"""The interval that every claimed gain rests on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from ranloop.statistics import (
    Difference,
    Pairs,
    Shown,
    holm_levels,
    paired_difference,
    pairs_needed,
    t_quantile,
    welch_difference,
)


@pytest.mark.parametrize("n", [2, 3, 10, 31, 32, 60, 200])
def test_the_interval_is_that_of_students_t_distribution(n: int) -> None:
    rng = np.random.default_rng(n)
    old = rng.normal(size=n)
    new = old + rng.normal(0.3, 1.0, size=n)
    got = paired_difference(new.tolist(), old.tolist())
    d = new - old
    low, high = t.interval(0.95, n - 1, loc=d.mean(), scale=d.std(ddof=1) / np.sqrt(n))
    assert (got.low, got.high) == pytest.approx((low, high), abs=1e-8 * (high - low))


def test_pairing_removes_what_both_share() -> None:
    # the drops differ by thousands, the arms by exactly 1 ± 0.1
    old = [1000.0, 5000.0, 9000.0]
    got = paired_difference([1001.1, 5001.0, 9000.9], old)
    # sd of (1.1, 1.0, 0.9) is 0.1; 4.3027 * 0.1 / sqrt(3) = 0.2484
    assert (got.mean, got.low, got.high) == pytest.approx((1.0, 1 - 0.2484, 1 + 0.2484), abs=1e-3)
    assert got.above(0.0) is Shown.YES


@pytest.mark.parametrize(
    ("bound", "shown"), [(-4.0, "YES"), (-3.0, "UNDECIDED"), (1.0, "UNDECIDED"), (2.0, "NO")]
)
def test_a_bound_inside_the_interval_is_undecided(bound: float, shown: str) -> None:
    # an interval that ends at the bound lies on its other side: [-3, 2] is not above -3, and nothing of it above 2
    assert Difference(mean=-0.5, low=-3.0, high=2.0, n=10).above(bound).name == shown


def test_it_reads_as_mean_and_interval() -> None:
    difference = Difference(mean=-0.7, low=-3.2, high=1.8, n=10)
    assert f"{difference:+.1f}" == "-0.7 [-3.2, +1.8]"
    assert f"{difference.scaled(10.0):.0f}" == "-7 [-32, 18]"


def test_one_pair_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="at least two pairs"):
        paired_difference([1.0], [0.0])


# Several claims


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 30, 31, 999])
@pytest.mark.parametrize("tail", [0.2, 0.025, 0.0125, 1e-4])
def test_quantiles_are_those_of_students_t(df: int, tail: float) -> None:
    assert t_quantile(tail, df) == pytest.approx(t.isf(tail, df), rel=1e-7)


@pytest.mark.parametrize(("tail", "df"), [(0.0, 5), (0.6, 5), (float("nan"), 5), (0.025, 0)])
def test_a_quantile_that_is_none_is_refused(tail: float, df: int) -> None:
    with pytest.raises(ValueError, match="degrees of freedom"):
        t_quantile(tail, df)


def test_a_tail_is_the_p_of_the_one_sided_test() -> None:
    # mean 3, sd 2, n 4: t = (3 - 1) / (2 / 2) = 2 with 3 degrees of freedom
    pairs = Pairs(mean=3.0, sd=2.0, n=4)
    assert pairs.tail_below(1.0) == pytest.approx(t.sf(2.0, 3))
    assert pairs.tail_below(3.0) == pairs.tail_below(5.0) == 1.0  # nothing speaks for a mean above these
    assert Pairs(mean=3.0, sd=0.0, n=4).tail_below(1.0) == 0.0
    assert Pairs(mean=float("nan"), sd=0.0, n=4).tail_below(1.0) == 1.0


def test_welchs_interval_by_hand() -> None:
    # Means 2.5 and 4; squared errors 5/3 / 4 and 4 / 3, together 1.75; 1.75^2 / (0.4167^2 / 3 + 1.3333^2 / 2) = 3.23 degrees of
    # freedom, so 3, for which t is 3.182 at 2.5 %: 3.182 * sqrt(1.75) = 4.210.
    difference = welch_difference([1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0])
    assert f"{difference:.3f}" == "-1.500 [-5.710, 2.710]"
    assert f"{welch_difference([2.0, 2.0], [1.0, 1.0]):.1f}" == "1.0 [1.0, 1.0]"


def test_holm_by_hand() -> None:
    # four hypotheses at 0.05, sorted: 0.005 <= 0.05/4 rejected, 0.014 <= 0.05/3 rejected, 0.03 > 0.05/2 not: it ends
    # the procedure, so 0.04 is not either, though it is below 0.05; both were compared with 0.025
    p = [0.014, 0.04, 0.03, 0.005]
    levels = holm_levels(p, 0.05)
    assert levels == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])
    assert [value <= level for value, level in zip(p, levels, strict=True)] == [True, False, False, True]


def test_holm_rejects_all_where_each_step_does_and_none_where_the_first_does_not() -> None:
    assert holm_levels([0.001, 0.002, 0.04], 0.05) == pytest.approx([0.05 / 3, 0.05 / 2, 0.05])
    assert holm_levels([0.02, 0.03, 0.04], 0.05) == pytest.approx([0.05 / 3] * 3)
    assert holm_levels([0.5], 0.05) == [0.05]
    assert holm_levels([], 0.05) == []


def test_the_pairs_needed_fulfil_the_formula_and_one_fewer_does_not() -> None:
    # sd 2 and a distance of 1: (1.96 + 0.84)^2 * 4 = 31.4 with normal quantiles, some more with Student's
    needed = pairs_needed(1.0, 2.0, 0.025)
    assert needed == 34

    def reach(n: int) -> float:
        return float((t.isf(0.025, n - 1) + t.isf(0.2, n - 1)) * 2.0 / n**0.5)

    assert reach(34) <= 1.0 < reach(33)


def test_the_pairs_needed_decide_in_four_of_five_comparisons() -> None:
    rng = np.random.default_rng(1)
    found = rng.normal(1.0, 2.0, size=(4000, 34))
    error = found.std(axis=1, ddof=1) / 34**0.5
    assert (found.mean(axis=1) - t.isf(0.025, 33) * error > 0).mean() == pytest.approx(0.8, abs=0.03)


def test_no_number_of_pairs_shows_a_difference_that_is_not_there() -> None:
    assert pairs_needed(0.0, 2.0, 0.025) is None
    assert pairs_needed(float("nan"), 2.0, 0.025) is None
    assert pairs_needed(1.0, 1e6, 0.025) is None
    assert pairs_needed(1.0, 0.0, 0.025) == 2
