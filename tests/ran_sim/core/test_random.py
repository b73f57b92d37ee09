"""Counter-based draws: uniform, independent in every word of the counter, without state."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ran_sim.core.random import BLER, FADING, bits, exponential, normal, normal_pair, uniform

N = 20_000
# Word of the counter that runs, the others fixed: (seed, purpose, entity, index)
WORDS = ("seed", "purpose", "entity", "index")


def counter(word: int, i: int) -> tuple[int, int, int, int]:
    fixed = [7, BLER, 11, 13]
    fixed[word] = i
    return fixed[0], fixed[1], fixed[2], fixed[3]


@pytest.mark.parametrize("word", range(4), ids=WORDS)
def test_draws_are_uniform_along_every_word(word: int) -> None:
    draws = np.sort([uniform(*counter(word, i)) for i in range(N)])
    distance = np.max(np.abs(draws - (np.arange(N) + 0.5) / N))
    assert distance < 1.95 / math.sqrt(N)  # Kolmogorov-Smirnov, p = 0.001


@pytest.mark.parametrize("word", range(4), ids=WORDS)
def test_neighbouring_counters_are_independent(word: int) -> None:
    draws = np.array([uniform(*counter(word, i)) for i in range(N)])
    # Pairs on a 10 x 10 grid: chi-square with 99 degrees of freedom, 99.9 % quantile 148.2.
    pairs, _, _ = np.histogram2d(draws[0::2], draws[1::2], bins=10, range=[[0, 1], [0, 1]])
    expected = N / 2 / 100
    assert np.sum((pairs - expected) ** 2) / expected < 148.2


def test_same_index_of_two_entities_or_purposes_is_uncorrelated() -> None:
    base = np.array([uniform(1, BLER, 5, i) for i in range(N)])
    entity = np.array([uniform(1, BLER, 6, i) for i in range(N)])
    purpose = np.array([uniform(1, FADING, 5, i) for i in range(N)])
    limit = 3.3 / math.sqrt(N)  # p = 0.001
    assert abs(np.corrcoef(base, entity)[0, 1]) < limit
    assert abs(np.corrcoef(base, purpose)[0, 1]) < limit


@pytest.mark.parametrize("word", range(4), ids=WORDS)
def test_one_flipped_bit_flips_half_of_the_output(word: int) -> None:
    flips = []
    for position in range(62):
        for i in range(50):
            value = i * 977
            one, other = bits(*counter(word, value)), bits(*counter(word, value ^ (1 << position)))
            flips.append((int(one) ^ int(other)).bit_count())
    # Mean of 3100 binomials (64, 1/2), each of sd 4: five standard errors.
    assert np.mean(flips) == pytest.approx(32.0, abs=5 * 4 / math.sqrt(len(flips)))


def test_each_word_of_the_key_changes_the_draw() -> None:
    assert len({int(bits(a, b, c, d)) for a in (1, 2) for b in (1, 2) for c in (1, 2) for d in (1, 2)}) == 16


def test_a_draw_depends_on_its_counter_only() -> None:
    forwards = [uniform(3, BLER, 9, i) for i in range(50)]
    backwards = [uniform(3, BLER, 9, i) for i in reversed(range(50))]
    assert forwards == backwards[::-1]


def test_normal_has_the_moments_of_a_standard_normal() -> None:
    draws = np.array([normal(5, FADING, 1, i) for i in range(N)])
    assert np.mean(draws) == pytest.approx(0.0, abs=4 / math.sqrt(N))
    assert np.var(draws) == pytest.approx(1.0, abs=4 * math.sqrt(2 / N))
    assert np.mean(draws**4) == pytest.approx(3.0, abs=4 * math.sqrt(96 / N))  # var of x^4 is 96
    assert np.mean(np.abs(draws) > 1.959964) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / N))


def test_a_pair_of_normals_is_independent_and_begins_with_the_single_one() -> None:
    pairs = np.array([normal_pair(5, FADING, 1, i) for i in range(N)])
    assert pairs[:50, 0].tolist() == [normal(5, FADING, 1, i) for i in range(50)]
    assert np.mean(pairs[:, 1]) == pytest.approx(0.0, abs=4 / math.sqrt(N))
    assert np.var(pairs[:, 1]) == pytest.approx(1.0, abs=4 * math.sqrt(2 / N))
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / math.sqrt(N)
    assert abs(np.corrcoef(pairs.T**2)[0, 1]) < 4 / math.sqrt(N)
    # Together they lie as far out as two degrees of freedom: P(r^2 > 4) = exp(-2)
    assert np.mean(np.sum(pairs**2, axis=1) > 4.0) == pytest.approx(
        math.exp(-2), abs=4 * math.sqrt(0.117 / N)
    )


def test_exponential_has_mean_and_deviation_one() -> None:
    draws = np.array([exponential(5, FADING, 2, i) for i in range(N)])
    assert draws.min() >= 0.0
    assert np.mean(draws) == pytest.approx(1.0, abs=4 / math.sqrt(N))
    assert np.mean(draws > 2.0) == pytest.approx(math.exp(-2), abs=4 * math.sqrt(0.135 * 0.865 / N))
