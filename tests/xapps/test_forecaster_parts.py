"""The forecaster's parts against closed forms: what the mixture may lose, what intervals hold, which past seconds are alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from xapps.throughput_forecaster.analogues import FADES, N_SECONDS, NEIGHBOURS, Analogues
from xapps.throughput_forecaster.interval import MISS_SHARE, STEP, AdaptiveInterval, Interval
from xapps.throughput_forecaster.mixture import F64, Mixture

HORIZONS_S = (1, 5)
Truth = Callable[[int, float], float]  # (round, the mixture's forecast) -> what then comes


def played(experts: F64, truth: Truth, delay: int) -> tuple[F64, F64]:
    """The mixture's forecasts and the truths, where a truth comes `delay` rounds after its forecast was made."""
    mixture, open_rounds = Mixture(experts.shape[1]), deque[tuple[F64, float, float]]()
    mixed, truths = np.empty(len(experts)), np.empty(len(experts))
    for t, row in enumerate(experts):
        if len(open_rounds) == delay:
            mixture.learn(*open_rounds.popleft())
        mixed[t], _ = mixture.mix(row)
        truths[t] = truth(t, mixed[t])
        open_rounds.append((row, mixed[t], truths[t]))
    return mixed, truths


@pytest.mark.parametrize("delay", HORIZONS_S)
def test_all_weight_goes_to_an_expert_that_is_always_right(delay: int) -> None:
    """Equal weights err by 4; r is 4 for the right expert and -4 for the other, so one truth settles it."""
    truths = np.arange(20.0)
    mixed, _ = played(np.stack((truths, truths + 8), axis=1), lambda t, _: truths[t], delay)
    np.testing.assert_array_equal(np.abs(mixed - truths), [4.0] * delay + [0.0] * (20 - delay))


def sequences() -> Iterator[tuple[F64, Truth]]:
    rng = np.random.default_rng(4)
    opposite = np.tile([0.0, 1.0], (600, 1))
    yield opposite, lambda _, mixed: float(mixed < 0.5)  # an adversary: always far from the mixture
    yield opposite, lambda t, _: float(t // 30 % 2)  # experts that are right in turns
    yield rng.exponential(1000.0, (600, 6)), lambda t, _: float(1e5 * (t > 300))  # out of all proportion
    walk = np.cumsum(rng.normal(size=600))
    yield walk[:, None] + rng.normal(size=(600, 6)) * np.arange(1, 7), lambda t, _: float(walk[t])


@pytest.mark.parametrize("delay", HORIZONS_S)
def test_no_sequence_makes_the_mixture_lose_more_to_a_fixed_mixture_than_the_bound(delay: int) -> None:
    rng = np.random.default_rng(5)
    for experts, truth in sequences():
        mixed, truths = played(experts, truth, delay)
        n = experts.shape[1]
        fixed = np.concatenate((np.eye(n), rng.dirichlet(np.ones(n), 200)))  # each expert alone, and mixtures
        regret = np.abs(mixed - truths).sum() - np.abs(experts @ fixed.T - truths[:, None]).sum(axis=0).min()
        bound = np.sqrt((2 * delay - 1) * np.square(mixed[:, None] - experts)[mixed != truths].sum())
        assert regret <= bound


def test_the_adversary_of_the_bound_would_defeat_the_last_winner() -> None:
    """The same adversary against all weight on the better expert so far: always wrong, while each expert is right half the time."""
    losses, paid = np.zeros(2), 0.0
    for _ in range(600):
        choice = float(np.argmin(losses))
        truth = 1 - choice
        losses += np.abs([0.0, 1.0] - np.array(truth))
        paid += abs(choice - truth)
    assert paid - losses.min() == 300  # of the mixture's bound, sqrt(600 x at most 1) < 25


def test_weights_do_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(6)
    kbps, mbps = Mixture(5), Mixture(5)
    for experts, truth in zip(rng.exponential(size=(50, 5)), rng.exponential(size=50), strict=True):
        for mixture, factor in ((kbps, 1024.0), (mbps, 1.0)):
            mixture.learn(factor * experts, mixture.mix(factor * experts)[0], factor * truth)
    np.testing.assert_allclose(kbps.weights, mbps.weights)
    assert mbps.weights.max() > 0.25


def held(truths: F64, horizon: int) -> tuple[F64, list[Interval]]:
    """Whether the interval around a forecast of 0, whose truth comes after `horizon` rounds, held it; and the intervals."""
    adaptive, found = AdaptiveInterval(), list[Interval]()
    for t in range(len(truths)):
        if t >= horizon:
            adaptive.learn(0.0, 0.0, found[t - horizon], float(truths[t - horizon]))
        found.append(adaptive.around(0.0, 0.0))
    low, high = np.array(found).T
    return (low <= truths) & (truths <= high), found


@pytest.mark.parametrize("horizon", HORIZONS_S)
def test_intervals_of_exchangeable_errors_hold_as_many_as_they_promise(horizon: int) -> None:
    inside, found = held(np.random.default_rng(7).exponential(1000.0, 3000), horizon)
    assert abs(inside.mean() - (1 - MISS_SHARE)) < 0.01
    # The 90th percentile of an exponential with mean 1000 is 1000 ln 10 = 2303; narrower ones would miss, wider ones boast.
    assert np.median([high for _, high in found[500:]]) == pytest.approx(2303, rel=0.1)


@pytest.mark.parametrize("horizon", HORIZONS_S)
@pytest.mark.parametrize("n", [50, 300, 2000])
def test_no_sequence_is_missed_more_often_than_the_guarantee_says(horizon: int, n: int) -> None:
    t = np.arange(n)
    jumps, late = np.where(t % 100 < 50, 1.0, 1e6), np.where(t < n // 2, 0.0, 1e5 + t)
    for truths in np.stack((1.01**t, jumps, late, 1e3 * (t % 7))):
        inside, _ = held(truths, horizon)
        assert 1 - inside.mean() <= MISS_SHARE + (MISS_SHARE / STEP + horizon) / n + 1e-9


def test_there_is_no_upper_end_until_there_are_scores_enough() -> None:
    """The rank ceil((1 - level) (n + 1)) is at most n from n = 8 on: level 0.1 + 8 x 0.02 x 0.1 = 0.116, ceil(0.884 x 9) = 8."""
    _, found = held(np.arange(20.0, 0.0, -1.0), 1)
    assert [high == np.inf for _, high in found] == [True] * 8 + [False] * 12
    assert found[8] == (0.0, 20.0)  # the 8th smallest of 20 to 13


def test_an_interval_is_wider_where_the_experts_disagree_and_never_below_zero() -> None:
    adaptive = AdaptiveInterval()
    for error in np.linspace(100.0, 0.0, 100):
        adaptive.learn(500.0, 0.0, adaptive.around(500.0, 0.0), 500.0 + error)
    agreed, disputed = adaptive.around(500.0, 0.0), adaptive.around(500.0, 30.0)
    assert disputed.high - agreed.high == pytest.approx(60.0)
    assert adaptive.around(10.0, 30.0).low == 0.0


def ahead(history: Analogues) -> F64:
    """Medians by [horizon, level or change added, number of neighbours, fade]."""
    return np.moveaxis(
        history.forecasts().astype(float).reshape(2, len(NEIGHBOURS), 2, len(FADES)), 2, 1
    )  # fmt: skip


def test_what_repeats_is_forecast_as_it_was_even_after_hours() -> None:
    pattern = np.random.default_rng(8).uniform(0, 50_000, 11)
    history = Analogues(HORIZONS_S)
    for t in range(
        2 * N_SECONDS + 700
    ):  # beyond the history's length, and its buffers were moved more than once
        history.add(pattern[t % 11])
        if t in (400, 2 * N_SECONDS + 699):
            for found, horizon in zip(ahead(history), HORIZONS_S, strict=True):
                np.testing.assert_allclose(found, pattern[(t + horizon) % 11], rtol=1e-3)
    newest_first = pattern[(t - np.arange(N_SECONDS)) % 11]
    np.testing.assert_array_equal(history.kbps, newest_first.astype(np.float32))


def test_a_weak_fade_sees_the_rhythm_that_a_strong_one_cannot() -> None:
    """The burst of 13 s ago is 0.3^13 = 2e-7 of a difference, below the noise since, but 0.9^13 = 0.25."""
    history, rng = Analogues(HORIZONS_S), np.random.default_rng(9)
    for t in range(13 * 30):
        history.add(
            40_000.0 if t % 13 == 0 else rng.uniform(0, 100)
        )  # a burst each 13 s, next to nothing between
    strong, _, weak = ahead(history)[0, 0, 0]  # 1 s ahead: the next second is a burst; of 8 neighbours
    assert (strong < 100, weak) == (True, 40_000)


def test_the_change_is_carried_over_to_a_level_that_was_never_there() -> None:
    history = Analogues(HORIZONS_S)
    for t in range(300):
        history.add(100.0 * t)
    level, change = ahead(history)[0, :, 0, 0]
    assert level <= 29_900
    assert change == pytest.approx(30_000)


def test_lost_seconds_count_as_the_last_value_and_one_that_is_new_knows_nothing() -> None:
    gap, filled = Analogues(HORIZONS_S), Analogues(HORIZONS_S)
    rng = np.random.default_rng(9)
    gap.add(700.0)
    np.testing.assert_array_equal(gap.forecasts(), np.full((2, 12), 700.0))  # nothing to compare with
    filled.add(700.0)
    for value in rng.exponential(1000.0, 60):
        before = float(filled.kbps[0])
        gap.add(value, 3)
        for each in (before, before, value):
            filled.add(each)
    np.testing.assert_array_equal(gap.kbps, filled.kbps)
    np.testing.assert_array_equal(gap.forecasts(), filled.forecasts())
