"""The forecaster: forecasts wait for their second, are scored by hand-checkable sums, never lose to a rule, and run on phone logs."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranloop.embedded import EmbeddedRun, run_embedded
from ranloop.node import open_replay
from ranloop.testing import XAppHarness, make_report
from ranloop.xapp.manifest import load_manifest
from tests.ranloop.node.phone_logs import log, row
from xapps.throughput_forecaster import policy
from xapps.throughput_forecaster.interval import Interval
from xapps.throughput_forecaster.policy import Second

XAPP = Path(policy.__file__).parent


def second(number: int, thp_kbps: float, *, on_5g: bool = True, downloading: bool = True) -> Second:
    return Second(number, thp_kbps, on_5g, downloading)


class Followed:
    """One phone and the scores of its trace."""

    def __init__(self) -> None:
        self.scores = policy.new_scores()
        self.phone = policy.Phone()

    def observe(self, now: Second) -> dict[int, policy.Forecast]:
        return self.phone.observe(now, self.scores)


def facts(followed: Followed, horizon: int, group: str = "all") -> dict[str, Any]:
    found: dict[str, Any] = policy.summary({"trace": followed.scores})["overall"][f"{horizon}s"]
    return {**found[group], "n_without_truth": found["n_without_truth"]}


def test_moving_averages_forget_by_seconds_not_by_rows() -> None:
    never = np.full(3, math.nan)
    np.testing.assert_array_equal(policy.smoothed(never, 800.0, 7), [800.0] * 3)
    once = policy.smoothed(np.full(3, 400.0), 800.0, 2)
    # Of the constants 2, 8 and 32 s the first keeps exp(-1) of the old value over two seconds.
    assert once[0] == pytest.approx(800 - 400 * math.exp(-1))
    # The same with or without a row in between, of the value that it then had.
    twice = policy.smoothed(policy.smoothed(np.full(3, 400.0), 800.0, 1), 800.0, 1)
    np.testing.assert_allclose(once, twice)


def test_a_forecast_is_compared_with_the_second_it_was_made_for() -> None:
    followed = Followed()
    for number, thp_kbps in enumerate([1000.0, 2000.0, 4000.0, 4000.0]):
        followed.observe(second(number, thp_kbps))
    # Persistence: 1000, 2000, 4000 for 2000, 4000, 4000. A mean of up to 5 s: 1000, 1500, 2333 for the same.
    # Without a second that is 5 s back the analogues say what persistence says. The EWMA of 2 s forgets by exp(-1/2).
    ewma = [1000.0]
    for thp_kbps in (2000.0, 4000.0):
        ewma.append(thp_kbps + math.exp(-0.5) * (ewma[-1] - thp_kbps))
    found = facts(followed, 1)
    assert found["n"] == 3
    assert found["mae_persistence_kbps"] == pytest.approx((1000 + 2000 + 0) / 3)
    assert found["mae_mean_kbps"] == pytest.approx((1000 + 2500 + 5000 / 3) / 3)
    assert found["mae_ewma_kbps"] == pytest.approx((1000 + 4000 - ewma[1] + 4000 - ewma[2]) / 3)
    # Of 19 experts all agree on 1000 first. Then 13 say 2000, the EWMAs of 2, 8 and 32 s and three means less.
    slower = [1000 + 1000 * -math.expm1(-1 / s) for s in policy.EWMA_S]
    equal = (13 * 2000 + sum(slower) + 3 * 1500) / 19
    # All truths were above the mixture: those above it, persistence and analogues, gained weight alike, and agree on 4000.
    assert found["mae_model_kbps"] == pytest.approx((1000 + 4000 - equal + 0) / 3)
    assert found["n_without_truth"] == 1  # the log ends before second 4
    assert facts(followed, 5) == {
        "n": 0, "mae_model_kbps": None, "mae_persistence_kbps": None, "mae_ewma_kbps": None, "mae_mean_kbps": None,
        "interval_held_pct": None, "interval_unbounded_pct": None, "interval_width_kbps": None, "n_without_truth": 4,
    }  # fmt: skip


def test_a_forecast_for_a_missing_second_is_counted_but_not_scored() -> None:
    followed = Followed()
    for number, thp_kbps in ((0, 100.0), (1, 200.0), (5, 900.0)):
        followed.observe(second(number, thp_kbps))
    one, five = facts(followed, 1), facts(followed, 5)
    # 1 s: 0 -> 1 is there; 1 -> 2 is missing; 5 -> 6 is past the end. 5 s: 0 -> 5 is there, the others are not.
    assert (one["n"], one["n_without_truth"]) == (1, 2)
    assert (five["n"], five["n_without_truth"]) == (1, 2)
    assert (one["mae_persistence_kbps"], five["mae_persistence_kbps"]) == (100.0, 800.0)


def test_a_second_without_a_throughput_is_neither_truth_nor_start_of_a_forecast() -> None:
    followed = Followed()
    for number, thp_kbps in ((0, 100.0), (1, math.nan), (2, 300.0)):
        made = followed.observe(second(number, thp_kbps))
        assert bool(made) == (not math.isnan(thp_kbps))
    found = facts(followed, 1)
    assert (found["n"], found["n_without_truth"]) == (0, 2)  # forecasts for seconds 1 and 3


def test_a_second_that_comes_twice_or_late_changes_nothing() -> None:
    followed, plain = Followed(), Followed()
    for number in (0, 1, 1, 3, 2, 0, 4):
        followed.observe(second(number, 100.0 * number))
    for number in (0, 1, 3, 4):
        plain.observe(second(number, 100.0 * number))
    assert [facts(followed, horizon) for horizon in (1, 5)] == [facts(plain, horizon) for horizon in (1, 5)]
    assert pickle.dumps(followed.phone) == pickle.dumps(plain.phone)


def test_groups_are_those_of_the_second_in_which_the_forecast_was_made() -> None:
    followed = Followed()
    followed.observe(second(0, 10.0, on_5g=True, downloading=False))
    followed.observe(second(1, 20.0, on_5g=False, downloading=True))
    followed.observe(second(2, 70.0, on_5g=True, downloading=True))
    assert [facts(followed, 1, group)["mae_persistence_kbps"] for group in policy.GROUPS] == [
        30.0,
        10.0,
        50.0,
    ]


def test_overall_weighs_every_second_alike_however_long_its_trace() -> None:
    short, long = Followed(), Followed()
    for number, thp_kbps in enumerate((0.0, 600.0)):
        short.observe(second(number, thp_kbps))
    for number in range(6):
        long.observe(second(number, 50.0))
    found = policy.summary({"short": short.scores, "long": long.scores})
    maes = [
        part["1s"]["all"]["mae_persistence_kbps"] for part in (*found["traces"].values(), found["overall"])
    ]
    assert maes == [600.0, 0.0, 100.0]  # 600 / 1, 0 / 5, 600 / 6


def test_the_score_of_an_interval_is_what_it_held_and_how_wide_it_was() -> None:
    score = policy.Score()
    for low, high, truth_kbps in (
        (0.0, 10.0, 5.0),
        (0.0, 30.0, 31.0),
        (0.0, math.inf, 1e6),
        (20.0, 30.0, 10.0),
    ):
        experts = np.zeros(policy.N_EXPERTS)
        score.add(policy.Forecast(experts, 0.0, 0.0, Interval(low, high), (True, False, False)), truth_kbps)
    found = score.facts()["all"]
    assert (found["interval_held_pct"], found["interval_unbounded_pct"]) == (50.0, 25.0)
    assert found["interval_width_kbps"] == pytest.approx((10 + 30 + 10) / 3)


def rhythm(rng: np.random.Generator) -> np.ndarray:
    """Video: a burst of some seconds each 14 s, of a new height each time."""
    heights = np.repeat(rng.uniform(20_000, 40_000, 50), 14)[:600]
    return np.where(np.arange(600) % 14 < 3, heights, 0.0)


PHONES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "walks": lambda rng: np.abs(np.cumsum(rng.normal(0, 1000, 600))),
    "noise": lambda rng: rng.uniform(4000, 6000, 600),
    "steps": lambda rng: np.repeat(rng.uniform(0, 50_000, 20), 30) + rng.normal(0, 500, 600).clip(0),
    "rhythm": rhythm,
    "idle": lambda rng: np.zeros(600),
}


@pytest.mark.parametrize("kind", PHONES)
def test_no_phone_is_forecast_worse_than_by_its_best_rule(kind: str) -> None:
    """Persistence is best of a walk, a long mean of noise, and hindsight alone knows which. Ten minutes of finding out cost at most 8 %."""
    followed = Followed()
    for number, thp_kbps in enumerate(PHONES[kind](np.random.default_rng(10)).tolist()):
        followed.observe(second(number, thp_kbps))
    for horizon in policy.HORIZONS_S:
        found = facts(followed, horizon)
        best = min(found[f"mae_{rule}_kbps"] for rule in ("persistence", "ewma", "mean"))
        assert found["mae_model_kbps"] <= 1.08 * best
        if kind == "rhythm":  # which no rule can see
            assert found["mae_model_kbps"] < 0.5 * best
        assert found["interval_held_pct"] > 88  # and more where the forecast is exact, as of an idle phone


def test_forecasts_are_numbers_from_zero_through_gaps_and_jumps() -> None:
    followed, rng = Followed(), np.random.default_rng(11)
    number = 0
    for _ in range(300):
        number += int(rng.choice([1, 1, 1, 2, 7, 250]))
        kbps = float(rng.choice([0.0, 1.0, 5e3, 9e6, math.nan]))
        for forecast in followed.observe(second(number, kbps)).values():
            assert 0 <= forecast.interval.low <= forecast.kbps <= forecast.interval.high
            assert math.isfinite(forecast.kbps)


def test_the_memory_of_a_phone_is_bounded() -> None:
    phone, scores, sizes = policy.Phone(), policy.new_scores(), []
    for number in range(800):
        phone.observe(second(3 * number, 37.0 * (number % 100)), scores)
        if number in (50, 799):
            sizes.append(len(pickle.dumps(phone)))
    assert max(sizes) < 64 * 1024  # as `Phone` says
    assert abs(sizes[1] - sizes[0]) < 1024


def replayed(folder: Path) -> EmbeddedRun:
    return run_embedded(open_replay(folder), [XAPP])


def test_on_logs_the_summary_is_what_one_works_out_by_hand(tmp_path: Path) -> None:
    """A log with a gap (second 2) and a phone that leaves 5G, and an idle one."""
    rows = [row(s, DL_bitrate=str(kbps), NetworkMode=mode) for s, kbps, mode in
            ((0, 1000, "5G"), (1, 2000, "LTE"), (3, 4000, "5G"), (4, 4000, "5G"), (5, 1000, "5G"))]  # fmt: skip
    (tmp_path / "drive.csv").write_text(log(*rows))
    (tmp_path / "idle.csv").write_text(log(*(row(s, DL_bitrate="0", State="I") for s in range(4))))
    run = replayed(tmp_path)
    found = json.loads(json.dumps(run.xapps["throughput_forecaster"]))
    one = found["traces"]["drive"]["1s"]
    # scored: 0 -> 1, 3 -> 4, 4 -> 5; persistence 1000, 4000, 4000 for 2000, 4000, 1000
    assert one["all"]["n"] == 3
    assert one["all"]["mae_persistence_kbps"] == pytest.approx((1000 + 0 + 3000) / 3)
    # A mean of 5 s or more takes second 2 for 2000 as second 1: 1000, 9000 / 4, 13000 / 5.
    assert one["all"]["mae_mean_kbps"] == pytest.approx((1000 + 1750 + 1600) / 3)
    assert one["n_without_truth"] == 2  # second 2 is a gap, second 6 past the end
    five = found["traces"]["drive"]["5s"]
    assert (five["on_5g"]["n"], five["on_5g"]["mae_model_kbps"]) == (
        1,
        0.0,
    )  # 1000 at second 0, and at second 5
    assert found["traces"]["idle"]["1s"]["downloading"]["n"] == 0
    assert found["traces"]["idle"]["1s"]["all"]["mae_model_kbps"] == 0.0
    assert found["overall"]["1s"]["all"]["n"] == 6
    assert run.summary.outcomes == {}  # it takes no actions


def test_phones_that_left_are_forgotten_and_their_scores_stay() -> None:
    xapp = XAppHarness(XAPP)
    names = load_manifest(XAPP).streams[0].measurements
    for seq in range(1000):
        xapp.send(make_report(dict.fromkeys(names, 1.0), ids={"ue": [seq // 2]}, period_ms=1000, seq=seq))
    # Each phone is there for two seconds: one forecast for the next second is scored, one is not.
    one = xapp.summary()["overall"]["1s"]
    assert (one["all"]["n"], one["n_without_truth"]) == (500, 500)
    # The last of a phone's seconds lies at most 300 s back: that is of the phones 349 to 499.
    assert len(xapp.module("app").phones) == 151
