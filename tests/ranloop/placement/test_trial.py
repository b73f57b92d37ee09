"""The trial of policies: nobody beats the oracle, the same seed gives the same, and each policy meets the same fates."""

from __future__ import annotations

import numpy as np
import pytest

from ranloop.bundled import bundled
from ranloop.placement import load_tiers
from ranloop.placement.trial import REGIMES, WORKLOADS, Outcome, outcomes

FILE = bundled("docs/examples/tiers.toml")
assert FILE is not None
TIERS = load_tiers(FILE)
TABLE, NETWORK = WORKLOADS


@pytest.fixture(scope="module")
def down() -> dict[str, Outcome]:
    return outcomes(TIERS, NETWORK, "region down", 3)


def test_no_policy_gets_more_than_the_oracle(down: dict[str, Outcome]) -> None:
    most = down["oracle"].value
    for name, outcome in down.items():
        # An answer that came is the oracle's own choice or a worse one; a trial costs energy and is never worth anything.
        assert (outcome.value <= most + 1e-9).all(), name


def test_the_same_seed_gives_the_same_outcomes(down: dict[str, Outcome]) -> None:
    again = outcomes(TIERS, NETWORK, "region down", 3)
    assert all(np.array_equal(again[name].value, outcome.value) for name, outcome in down.items())


def test_a_policy_that_adapts_gets_more_of_a_failing_region_than_any_fixed_tier(
    down: dict[str, Outcome],
) -> None:
    fixed = max(outcome.value.mean() for name, outcome in down.items() if name.startswith("always"))
    assert down["planner"].value.mean() > fixed


def test_for_a_small_model_the_planner_stays_and_nothing_is_sent() -> None:
    planner = outcomes(TIERS, TABLE, "stationary", 3)["planner"]
    assert not planner.asked.any()
    assert planner.sent_bytes.sum() == 0


def test_every_regime_befalls_what_it_says() -> None:
    """A tier is untouched in the stationary regime alone."""
    rng = np.random.default_rng(1)
    touched = {
        name: {tier for tier, at in befall(TIERS, rng).tiers.items() if at.events}
        for name, befall in REGIMES.items()
    }
    assert touched.pop("stationary") == set()
    assert touched.pop("site cut off") == {"regional", "central"}
    assert set(map(frozenset, touched.values())) == {frozenset({"regional"})}
