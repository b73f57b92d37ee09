"""The trial of policies: nobody beats the oracle, the same seed gives the same, and each policy meets the same fates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ranloop.bundled import bundled
from ranloop.placement import load_tiers
from ranloop.placement.trial import REGIMES, WORKLOADS, Outcome, outcomes, place_of

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


@pytest.mark.parametrize(
    ("mmac", "mbps", "wait_ms", "place"),
    [
        # Nothing is quicker than 0.01 MMAC at 30 GMAC/s here, 0.3 us, and a row of 64 kB takes 0.5 ms at 1 Gb/s.
        (0.01, 1000, 1, "edge"),
        # Here it takes 33 ms and 0.33 J, in the region 10 + 0.5 + 0.3 ms and 0.7 J, so 1 - 0.05 against 1 - 0.045 …
        (1000, 1000, 50, "regional"),
        # … and at 10 Mb/s 52 ms only to send the row.
        (1000, 10, 50, "edge"),
        # In the region 44 ms and 10.6 J, in the centre 70 ms and 5.6 J: 1 - 0.57 against 1 - 0.35; the centre is too late in 50 ms.
        (100_000, 1000, 100, "central"),
        (100_000, 1000, 50, "regional"),
        # 333 ms here, and 10 ms on the way.
        (10_000, 1000, 1, ""),
    ],
)
def test_the_map_shows_where_an_answer_is_worth_most(
    mmac: float, mbps: float, wait_ms: float, place: str
) -> None:
    network = replace(NETWORK, mmac=mmac, wait_ms=wait_ms)
    assert place_of(TIERS, network, mbps) == place
