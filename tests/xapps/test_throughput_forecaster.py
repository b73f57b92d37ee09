"""The forecaster: forecasts wait for their second, are scored by hand-checkable sums, and run on phone logs."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from ranloop.embedded import EmbeddedRun, run_embedded
from ranloop.errors import ManifestError, ModelError
from ranloop.inference import Card, Feature, Output, load_card
from ranloop.inference.export import export_package
from ranloop.node import open_replay
from ranloop.testing import XAppHarness, make_report
from ranloop.vocabulary import MeasurementName
from ranloop.xapp.manifest import load_manifest
from tests.ranloop.node.phone_logs import log, row
from xapps.throughput_forecaster import policy
from xapps.throughput_forecaster.policy import Second

XAPP = Path(policy.__file__).parent
HALF_LIFE_1S = 1 / math.log(2)  # time constant at which a value loses half its weight in a second
NO_CHANGE = {1: 0.0, 5: 0.0}
MODELS = ("app_throughput_1s", "app_throughput_5s")


def second(number: int, thp_kbps: float, *, on_5g: bool = True, downloading: bool = True) -> Second:
    return Second(number, thp_kbps, on_5g, downloading)


class Followed:
    """One phone and the scores of its trace."""

    def __init__(self) -> None:
        self.scores = policy.new_scores()
        self._phone = policy.Phone({1: HALF_LIFE_1S, 5: HALF_LIFE_1S})

    def observe(self, now: Second, change_kbps: dict[int, float]) -> None:
        self._phone.observe(now, change_kbps, self.scores)


def facts(followed: Followed, horizon: int, group: str = "all") -> dict[str, Any]:
    found: dict[str, Any] = policy.summary({"trace": followed.scores})["overall"][f"{horizon}s"]
    return {**found[group], "n_without_truth": found["n_without_truth"]}


def test_the_moving_average_forgets_by_seconds_not_by_rows() -> None:
    assert math.isnan(policy.smoothed(math.nan, math.nan, 1, 1.0))
    assert policy.smoothed(math.nan, 800.0, 7, 1.0) == 800.0
    assert policy.smoothed(400.0, 800.0, 1, HALF_LIFE_1S) == pytest.approx(600.0)
    # two seconds later a quarter of the old value is left, whether or not there was a row in between
    assert policy.smoothed(400.0, 800.0, 2, HALF_LIFE_1S) == pytest.approx(700.0)


def test_a_forecast_is_compared_with_the_second_it_was_made_for() -> None:
    followed = Followed()
    for number, (thp_kbps, change) in enumerate([(1000, 500), (2000, 500), (4000, -1000), (4000, 0)]):
        followed.observe(second(number, thp_kbps), {1: change, 5: 0.0})
    # model: 1500 for 2000, 2500 for 4000, 3000 for 4000; persistence: 1000, 2000, 4000 for the same
    # EWMA with gain 1/2: 1000, 1500, 2750 for the same
    found = facts(followed, 1)
    assert found["n"] == 3
    assert found["mae_model_kbps"] == pytest.approx((500 + 1500 + 1000) / 3)
    assert found["mae_persistence_kbps"] == pytest.approx((1000 + 2000 + 0) / 3)
    assert found["mae_ewma_kbps"] == pytest.approx((1000 + 2500 + 1250) / 3)
    assert found["n_without_truth"] == 1  # the log ends before second 4
    assert facts(followed, 5) == {
        "n": 0, "mae_model_kbps": None, "mae_persistence_kbps": None, "mae_ewma_kbps": None, "n_without_truth": 4
    }  # fmt: skip


def test_a_forecast_for_a_missing_second_is_counted_but_not_scored() -> None:
    followed = Followed()
    for number, thp_kbps in ((0, 100.0), (1, 200.0), (5, 900.0)):
        followed.observe(second(number, thp_kbps), NO_CHANGE)
    one, five = facts(followed, 1), facts(followed, 5)
    # 1 s: 0 -> 1 is there; 1 -> 2 is missing; 5 -> 6 is past the end. 5 s: 0 -> 5 is there, the others are not.
    assert (one["n"], one["n_without_truth"]) == (1, 2)
    assert (five["n"], five["n_without_truth"]) == (1, 2)
    assert (one["mae_persistence_kbps"], five["mae_persistence_kbps"]) == (100.0, 800.0)


def test_a_second_without_a_throughput_is_neither_truth_nor_start_of_a_forecast() -> None:
    followed = Followed()
    for number, thp_kbps in ((0, 100.0), (1, math.nan), (2, 300.0)):
        followed.observe(second(number, thp_kbps), NO_CHANGE)
    found = facts(followed, 1)
    assert (found["n"], found["n_without_truth"]) == (0, 2)  # forecasts for seconds 1 and 3


def test_a_second_that_comes_twice_or_late_changes_nothing() -> None:
    followed, plain = Followed(), Followed()
    for number in (0, 1, 1, 3, 2, 0, 4):
        followed.observe(second(number, 100.0 * number), NO_CHANGE)
    for number in (0, 1, 3, 4):
        plain.observe(second(number, 100.0 * number), NO_CHANGE)
    assert [facts(followed, horizon) for horizon in (1, 5)] == [facts(plain, horizon) for horizon in (1, 5)]


def test_a_model_that_did_not_answer_makes_no_forecast() -> None:
    followed = Followed()
    followed.observe(second(0, 100.0), {1: math.nan, 5: 0.0})
    followed.observe(second(1, 100.0), NO_CHANGE)
    assert (facts(followed, 1)["n"], facts(followed, 1)["n_without_truth"]) == (0, 1)  # the one for second 2


def test_no_forecast_is_below_zero() -> None:
    followed = Followed()
    followed.observe(second(0, 100.0), {1: -5000.0, 5: 0.0})
    followed.observe(second(1, 30.0), NO_CHANGE)
    assert facts(followed, 1)["mae_model_kbps"] == 30.0


def test_groups_are_those_of_the_second_in_which_the_forecast_was_made() -> None:
    followed = Followed()
    followed.observe(second(0, 10.0, on_5g=True, downloading=False), NO_CHANGE)
    followed.observe(second(1, 20.0, on_5g=False, downloading=True), NO_CHANGE)
    followed.observe(second(2, 70.0, on_5g=True, downloading=True), NO_CHANGE)
    assert [facts(followed, 1, group)["mae_persistence_kbps"] for group in policy.GROUPS] == [
        30.0,
        10.0,
        50.0,
    ]


def test_overall_weighs_every_second_alike_however_long_its_trace() -> None:
    short, long = Followed(), Followed()
    for number, thp_kbps in enumerate((0.0, 600.0)):
        short.observe(second(number, thp_kbps), NO_CHANGE)
    for number in range(6):
        long.observe(second(number, 50.0), NO_CHANGE)
    found = policy.summary({"short": short.scores, "long": long.scores})
    maes = [
        part["1s"]["all"]["mae_persistence_kbps"] for part in (*found["traces"].values(), found["overall"])
    ]
    assert maes == [600.0, 0.0, 100.0]  # 600 / 1, 0 / 5, 600 / 6


def card_of(outputs: Sequence[Output], training: dict[str, Any]) -> Card:
    feature = Feature(measurement="X.UE.AppThpDl", unit="kbit/s")
    return Card(
        name="m", version="1", summary="", sha256="0" * 64, period_ms=1000,
        features=(feature,), outputs=tuple(outputs), training=training,
    )  # fmt: skip


def test_a_model_that_does_not_speak_of_changes_is_refused() -> None:
    change = Output(name="change", unit="kbit/s")
    assert policy.ewma_s(card_of([change], {"ewma_s": 2})) == 2.0
    with pytest.raises(ModelError, match="want one output 'change'"):
        policy.ewma_s(card_of([Output(name="throughput", unit="kbit/s")], {"ewma_s": 2}))
    with pytest.raises(ModelError, match=r"training\.ewma_s = None"):
        policy.ewma_s(card_of([change], {}))


@pytest.fixture(scope="module")
def growth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models that expect the throughput to grow by half of what it is, with a moving average of half-life 1 s."""
    inputs = np.array([[0.0], [1e4], [2e4]], np.float32)
    estimator = LinearRegression().fit(inputs, 0.5 * inputs[:, 0])
    folder = tmp_path_factory.mktemp("growth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own dependencies
        for name in MODELS:
            export_package(
                estimator, folder / name, name=name, version="1", summary="test", period_ms=1000,
                features=(Feature(measurement="X.UE.AppThpDl", unit="kbit/s"),),
                outputs=(Output(name="change", unit="kbit/s"),), samples=inputs,
                training={"ewma_s": HALF_LIFE_1S}, metrics={},
            )  # fmt: skip
    return {name: folder / name for name in MODELS}


def replayed(folder: Path, models: dict[str, Path] | None = None) -> EmbeddedRun:
    return run_embedded(open_replay(folder), [XAPP], models={"throughput_forecaster": models or {}})


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A log with a gap (second 2) and a phone that leaves 5G, and an idle one."""
    folder = tmp_path / "logs"
    folder.mkdir()
    rows = [row(s, DL_bitrate=str(kbps), NetworkMode=mode) for s, kbps, mode in
            ((0, 1000, "5G"), (1, 2000, "LTE"), (3, 4000, "5G"), (4, 4000, "5G"), (5, 1000, "5G"))]  # fmt: skip
    (folder / "drive.csv").write_text(log(*rows))
    (folder / "idle.csv").write_text(log(*(row(s, DL_bitrate="0", State="I") for s in range(4))))
    return folder


def test_on_logs_with_a_known_model_the_summary_is_what_one_works_out_by_hand(
    logs: Path, growth: dict[str, Path]
) -> None:
    run = replayed(logs, growth)
    found = json.loads(json.dumps(run.xapps["throughput_forecaster"]))
    one = found["traces"]["drive"]["1s"]
    # scored: 0 -> 1, 3 -> 4, 4 -> 5; model 1500, 6000, 6000 and persistence 1000, 4000, 4000 for 2000, 4000, 1000
    # EWMA: 1000, 1500 at second 1, then with gain 3/4 over the gap 3375 at second 3, 3687.5 at second 4
    assert one["all"]["n"] == 3
    assert one["all"]["mae_model_kbps"] == pytest.approx((500 + 2000 + 5000) / 3, rel=1e-4)
    assert one["all"]["mae_persistence_kbps"] == pytest.approx((1000 + 0 + 3000) / 3)
    assert one["all"]["mae_ewma_kbps"] == pytest.approx((1000 + 625 + 2687.5) / 3)
    assert one["n_without_truth"] == 2  # second 2 is a gap, second 6 past the end
    five = found["traces"]["drive"]["5s"]
    assert (five["on_5g"]["n"], five["on_5g"]["mae_model_kbps"]) == (1, pytest.approx(500, rel=1e-4))
    assert found["traces"]["idle"]["1s"]["downloading"]["n"] == 0
    assert found["traces"]["idle"]["1s"]["all"] == {
        "n": 3, "mae_model_kbps": 0.0, "mae_persistence_kbps": 0.0, "mae_ewma_kbps": 0.0
    }  # fmt: skip
    assert found["overall"]["1s"]["all"]["n"] == 6
    assert run.summary.outcomes == {}  # it takes no actions


def test_a_model_the_manifest_does_not_name_is_refused(logs: Path, growth: dict[str, Path]) -> None:
    with pytest.raises(ManifestError, match="no model 'app_throughput_2s'; it has: app_throughput_1s"):
        replayed(logs, {"app_throughput_2s": growth["app_throughput_1s"]})


def test_models_for_an_xapp_that_does_not_run_are_refused(logs: Path, growth: dict[str, Path]) -> None:
    with pytest.raises(ManifestError, match="models for forecaster, which does not run here"):
        run_embedded(open_replay(logs), [XAPP], models={"forecaster": growth})


def test_shipped_models_find_all_their_measurements_in_the_manifests_stream() -> None:
    manifest = load_manifest(XAPP)
    (stream,) = manifest.streams
    for name, place in manifest.models.items():
        card = load_card(XAPP / place)
        measured: set[MeasurementName | str] = {feature.measurement for feature in card.features}
        assert card.name == name
        assert measured <= set(stream.measurements)
        assert policy.ewma_s(card) > 0


def test_shipped_models_expect_an_idle_phone_to_stay_idle(tmp_path: Path) -> None:
    rows = [row(s, DL_bitrate="0", State="I", RSRP="-95", CQI="10", SNR="5") for s in range(60)]
    (tmp_path / "idle.csv").write_text(log(*rows))
    found = replayed(tmp_path).xapps["throughput_forecaster"]["overall"]
    for horizon in ("1s", "5s"):
        assert found[horizon]["all"]["n"] == 60 - int(horizon[0])
        assert found[horizon]["all"]["mae_model_kbps"] < 100.0  # 0.1 Mbit/s; downloads run at tens of Mbit/s


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
