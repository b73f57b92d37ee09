"""The interval that every claimed gain rests on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from ranloop.statistics import Difference, Shown, paired_difference


@pytest.mark.parametrize("n", [2, 3, 10, 31, 32, 60, 200])
def test_the_interval_is_that_of_students_t_distribution(n: int) -> None:
    rng = np.random.default_rng(n)
    old = rng.normal(size=n)
    new = old + rng.normal(0.3, 1.0, size=n)
    got = paired_difference(new.tolist(), old.tolist())
    d = new - old
    low, high = t.interval(0.95, n - 1, loc=d.mean(), scale=d.std(ddof=1) / np.sqrt(n))
    assert (got.low, got.high) == pytest.approx((low, high), abs=2e-3 * (high - low))


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
