"""A canary is rolled back when its targets are worse off than the others, and chance alone rolls none back."""

from __future__ import annotations

import numpy as np
import pytest

from ranloop.claims import parse_claim
from ranloop.inference.effect import FIRST_LOOK, KpiEffect
from ranloop.testing import make_report

N = 60
CLAIM = parse_claim("DRB.UEThpDl at most 5% less")


def first_refusal(factor: float, *, seed: int = 1, reports: int = 4 * FIRST_LOOK) -> tuple[int, str]:
    """After how many reports the claim is refuted, and how that is told, where half of 60 UEs get `factor` times their rate."""
    rng = np.random.default_rng(seed)
    its_own = rng.lognormal(9.0, 0.5, N)  # kbit/s, the same all along: reports of one UE are alike
    mine = rng.permutation(N) < N // 2
    effect, ids = KpiEffect(CLAIM), np.arange(N, dtype=np.int32)
    for number in range(1, reports + 1):
        values = its_own * np.where(mine, factor, 1.0) * rng.uniform(0.9, 1.1, N)
        if reason := effect.take(make_report({"DRB.UEThpDl": values}, seq=number), ids, mine):
            return number, reason
    return 0, ""


def test_a_candidate_that_halves_the_rate_of_its_targets_goes_at_the_first_look() -> None:
    number, reason = first_refusal(0.4)
    assert number == FIRST_LOOK
    assert reason.startswith("not 'DRB.UEThpDl at most 5% less': ")
    assert "on its 30 targets" in reason
    assert "the other 30" in reason


def test_what_ues_are_by_themselves_is_not_taken_for_the_candidates_doing() -> None:
    # A claim that holds is refuted by the first look with 2.5 % at each end, so of 60 networks by 0.75 at this end. Were each report
    # a value of its own, the spread of a side's mean would be seen 10 times too small, and nearly a half would be refuted.
    refuted = [bool(first_refusal(1.0, seed=seed, reports=FIRST_LOOK)[1]) for seed in range(60)]
    assert sum(refuted) <= 5


def test_a_gain_is_no_reason_to_go() -> None:
    assert first_refusal(1.5, reports=FIRST_LOOK) == (0, "")


@pytest.mark.parametrize(
    ("n", "missing"), [(4, 0), (N, N - 4)], ids=["few targets", "few targets with a value"]
)
def test_a_few_targets_prove_nothing(n: int, missing: int) -> None:
    ids, values = np.arange(n, dtype=np.int32), np.full(n, 10.0)
    values[n - missing :] = np.nan
    values[1::2] = 1.0
    effect = KpiEffect(CLAIM)
    for number in range(2 * FIRST_LOOK):
        assert effect.take(make_report({"DRB.UEThpDl": values}, seq=number), ids, ids % 2 == 1) == ""


def test_a_claim_about_what_the_reports_do_not_have_ends_the_trial() -> None:
    effect = KpiEffect(parse_claim("CQI more"))
    reason = effect.take(make_report({"DRB.UEThpDl": [1.0]}), np.zeros(1, np.int32), np.ones(1, bool))
    assert reason == "nobody can tell about CQI: the reports that its model reads have DRB.UEThpDl"
