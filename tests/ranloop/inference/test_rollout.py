"""A new model comes to a running xApp: in the shadow, for some targets, everywhere; and goes by itself if it is unfit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from ranloop.bus import open_bus
from ranloop.embedded import Choices, run_embedded
from ranloop.errors import ModelError
from ranloop.inference import Feature, Model, Output, Trust
from ranloop.inference.effect import FIRST_LOOK
from ranloop.inference.export import export_package
from ranloop.inference.rollout import LAST_CALLS, LEAST_CALLS, Stage, Trial, parse_stage
from ranloop.testing import XAppHarness, make_report
from ranloop.testing.predictors import DelayedPredictor, FailingPredictor
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Cause, Result, Settings, Status, Step
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.model_packages import FEATURES

APP = """
import numpy as np
from ranloop import Report, SetUeWeight, XApp
app = XApp()
rate = app.model("rate")

@rate.rule
def by_hand(report):
    return np.full(len(report), 7.0)

@app.on_report("DRB.UEThpDl")
def act(report: Report) -> SetUeWeight:
    app.said = rate(report)
    return SetUeWeight(ue=report.ue, weight=np.full(len(report), 2.0))
"""
MANIFEST = """
name = "weigher"
version = "1"
summary = "Weighs."
[[streams]]
level = "ue"
every_ms = 100
measurements = ["DRB.UEThpDl"]
[[actions]]
name = "SetUeWeight"
rate_per_s = 100
[models]
rate = "../rate"
[budget.rate]
past = ["rule"]
"""


def write(
    folder: Path, gain: float, *, version: str = "1", output: str = "y", features: Any = FEATURES[:1]
) -> Path:
    """A package that gives `gain` times the first feature."""
    samples = np.random.default_rng(7).normal(size=(50, len(features))).astype(np.float32)
    export_package(
        LinearRegression().fit(samples, gain * samples[:, 0]),
        folder,
        name="rate",
        version=version,
        summary="test",
        period_ms=100,
        features=features,
        outputs=(Output(name=output, unit="1"),),
        samples=samples,
        training={},
        metrics={},
    )
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An xApp whose model gives its input; `new` beside it gives twice that."""
    write(tmp_path / "rate", 1.0)
    write(tmp_path / "new", 2.0, version="2")
    xapp = tmp_path / "weigher"
    xapp.mkdir()
    (xapp / "app.py").write_text(APP)
    (xapp / "manifest.toml").write_text(MANIFEST)
    return xapp


@pytest.fixture
def harness(folder: Path) -> XAppHarness:
    return XAppHarness(folder)


def order(harness: XAppHarness, stage: str) -> None:
    harness.change(
        **{"model:rate": stage.replace("NEW", str(harness.instance.package.folder.parent / "new"))}
    )


def report(n: int = 100, seq: int = 0) -> Any:
    return make_report({"DRB.UEThpDl": np.full(n, 10.0)}, ids={"ue": np.arange(n)}, seq=seq)


def said(harness: XAppHarness, n: int = 100, seq: int = 0) -> list[float]:
    harness.send(report(n, seq))
    return [round(float(value), 3) for value in harness.instance.package.app.said]  # type: ignore[attr-defined]  # of the test's own app


def candidate(harness: XAppHarness) -> Trial:
    trial = harness.instance.models["rate"].trial
    assert trial is not None
    return trial


# Stages


def test_a_shadow_is_asked_and_compared_and_decides_nothing(harness: XAppHarness) -> None:
    order(harness, "shadow NEW")
    assert said(harness) == [10.0] * 100
    told = harness.instance.models["rate"].told()["candidate"]
    # Twice 10 against 10: another answer in each row, off by 10.
    assert (told["version"], told["calls"], told["rows"]) == ("2", {"answered": 1}, {"other": 100, "same": 0})
    assert told["mean_difference"] == pytest.approx(10.0, abs=1e-3)


def test_a_canary_answers_for_its_share_of_the_targets_and_always_the_same(harness: XAppHarness) -> None:
    order(harness, "canary 10% NEW")
    first = said(harness, 1000)
    its = [ue for ue, value in enumerate(first) if value == 20.0]
    # Binomial with 1000 draws of 0.1: a mean of 100 and a deviation of 9.5.
    assert 60 < len(its) < 140
    assert set(first) == {10.0, 20.0}
    assert said(harness, 1000, seq=1) == first
    order(harness, "canary 50% NEW")
    more = said(harness, 1000, seq=2)
    assert all(more[ue] == 20.0 for ue in its)  # a larger share keeps the targets of a smaller one
    assert 420 < more.count(20.0) < 580


def test_everywhere_the_candidate_answers_and_the_old_model_stands_in(harness: XAppHarness) -> None:
    order(harness, "all NEW")
    assert said(harness, 3) == [20.0] * 3
    assert harness.instance.models["rate"].took.n == 0  # it is not asked for nothing
    candidate(harness).candidate.predictor = FailingPredictor()
    assert said(harness, 3, seq=1) == [10.0] * 3


def test_a_ready_matrix_goes_to_the_model_that_has_taken_over(harness: XAppHarness) -> None:
    rate = harness.instance.models["rate"]
    ready = np.array([[10.0]], np.float32)
    for stage, want in (
        ("shadow NEW", 10.0),
        ("canary 50% NEW", 10.0),
        ("all NEW", 20.0),
        ("packaged", 10.0),
    ):
        order(harness, stage)
        assert rate.predict(ready).tolist() == pytest.approx([want], abs=1e-3)


def test_a_terminated_model_leaves_the_answer_to_its_ladder_and_says_so(harness: XAppHarness) -> None:
    order(harness, "off")
    assert said(harness, 3) == [7.0] * 3
    assert harness.instance.in_force()["model:rate"] == "off; instead of it: rule"
    assert harness.instance.models["rate"].took.n == 0
    order(harness, "packaged")
    assert said(harness, 3, seq=1) == [10.0] * 3


def test_without_an_order_a_model_is_the_manifests_alone_again(harness: XAppHarness) -> None:
    order(harness, "all NEW")
    harness.instance.on_settings(Settings(id="later", values={}), 0)
    assert said(harness, 3) == [10.0] * 3
    assert "model:rate" not in harness.instance.in_force()


def test_an_order_that_repeats_a_stage_keeps_what_was_counted(harness: XAppHarness) -> None:
    order(harness, "shadow NEW")
    said(harness)
    before = candidate(harness)
    order(harness, "shadow NEW")
    assert candidate(harness) is before


def test_actions_name_a_candidate_that_had_a_part_in_them(harness: XAppHarness) -> None:
    rate = harness.instance.models["rate"]
    for stage, part in (("shadow NEW", ""), ("canary 50% NEW", ":canary"), ("all NEW", ":all")):
        order(harness, stage)
        batches = harness.instance.on_report(report())
        its = candidate(harness).candidate.tag
        own = [] if part == ":all" else [rate.tag]
        assert list(batches[0].models) == [*own, *([f"{its}{part}"] if part else [])]
        kind = stage.split()[0]
        assert f"{its}:{kind}" in [
            asked.model for asked in batches[0].asked
        ]  # the shadow's answers are on record, too


# Rolled back


@pytest.mark.parametrize(
    ("predictor", "stage"),
    [
        (lambda inner: FailingPredictor(), "shadow NEW"),
        (lambda inner: DelayedPredictor(inner, delay_ms=101), "canary 50% NEW"),
        (lambda inner: FailingPredictor(), "all NEW"),
    ],
)
def test_a_candidate_whose_calls_fail_or_are_late_is_rolled_back(
    harness: XAppHarness, predictor: Callable[[Any], Any], stage: str
) -> None:
    order(harness, stage)
    trial = candidate(harness)
    trial.candidate.predictor = predictor(trial.candidate.predictor)
    for seq in range(LEAST_CALLS - 1):
        assert said(harness, 3, seq=seq) == [10.0] * 3  # the model answers in its place
        assert not trial.rolled_back
    said(harness, 3, seq=LEAST_CALLS)
    assert trial.rolled_back == f"{LEAST_CALLS} of its last {LEAST_CALLS} calls failed or were late"
    (alarm,) = harness.alarms
    assert (alarm.name, alarm.severity, alarm.target) == ("model-rolled-back", "minor", "rate")
    assert harness.instance.in_force()["model:rate"].startswith("packaged; rolled back: 20 of its last 20")
    calls = sum(trial.calls.values())
    said(harness, 3, seq=LEAST_CALLS + 1)
    assert sum(trial.calls.values()) == calls  # it is asked no more


def test_one_failure_in_twenty_is_borne(harness: XAppHarness) -> None:
    order(harness, "shadow NEW")
    trial = candidate(harness)
    inner = trial.candidate.predictor
    for seq in range(2 * LAST_CALLS):
        trial.candidate.predictor = FailingPredictor() if seq % 20 == 19 else inner
        said(harness, 1, seq=seq)
    assert (trial.rolled_back, trial.calls["failed"]) == ("", LAST_CALLS // 10)


def result(ue: range, refused: Callable[[int], bool]) -> Result:
    status = [Status.REFUSED if refused(one) else Status.APPLIED for one in ue]
    return Result(
        id="a",
        xapp="weigher",
        node="gnb-1",
        action="SetUeWeight",
        targets=np.array([[one] for one in ue], np.int32),
        status=np.array(status, np.uint8),
        cause=np.zeros(len(ue), np.uint8),
        causes=((Cause.NONE, ""),),
        applied=np.ones((len(ue), 1), np.float32),
        ran_time_ns=0,
    )


@pytest.mark.parametrize(("of_its_own", "falls"), [(0.04, False), (0.2, True)])
def test_a_canary_whose_actions_are_refused_more_than_the_others_is_rolled_back(
    harness: XAppHarness, of_its_own: float, falls: bool
) -> None:
    order(harness, "canary 50% NEW")
    trial = candidate(harness)
    its = trial.is_candidates("gnb-1", np.arange(1000, dtype=np.int32))
    chosen = set(np.flatnonzero(its)[: int(of_its_own * its.sum())].tolist())
    harness.instance.on_result(result(range(1000), lambda ue: ue in chosen))
    assert bool(trial.rolled_back) is falls
    if falls:
        assert trial.rolled_back == "20% of its targets are refused, 0% of the others"


def test_refusals_on_both_sides_alike_are_no_fault_of_the_candidate(harness: XAppHarness) -> None:
    order(harness, "canary 50% NEW")
    harness.instance.on_result(result(range(1000), lambda ue: ue % 3 == 0))
    assert not candidate(harness).rolled_back


def test_a_candidate_over_the_budget_is_rolled_back_in_real_time_alone(harness: XAppHarness) -> None:
    instance = harness.instance
    instance.models["rate"].budget_ns = 1_000_000
    for real_time in (False, True):
        order(harness, "packaged")
        order(harness, "shadow NEW")
        trial = candidate(harness)
        for model in (instance.models["rate"], trial.candidate):
            model.rests = real_time
        for _ in range(LEAST_CALLS):
            trial.candidate.took.add(2_000_000)
        said(harness, 1)
        assert bool(trial.rolled_back) is real_time
    assert trial.rolled_back.startswith("its mean call takes ")


# Orders that cannot be obeyed


@pytest.mark.parametrize(
    ("model", "stage", "reason"),
    [
        (
            "rate",
            "slowly",
            r"got 'slowly' as the stage of a model; want 'shadow FOLDER', 'canary 10% FOLDER'",
        ),
        ("rate", "canary 0% NEW", r"a canary of 0%: want more than 0"),
        ("rate", "canary 100% NEW", "as the stage of a model"),
        ("speed", "all NEW", "weigher has no model 'speed'; it has: rate"),
        ("rate", "all /nowhere", r"/nowhere is no model package: it has no card\.toml"),
        ("rate", "all OTHER", "other gives z in 1, unlike rate"),
        ("rate", "all WIDER", "wider needs CQI, which the manifest of weigher does not read"),
        ("rate", "all NAMED", "named needs the feature 'own', which weigher does not hand over to rate"),
    ],
)
def test_an_order_that_cannot_be_obeyed_is_one_line_and_changes_nothing(
    harness: XAppHarness, tmp_path: Path, model: str, stage: str, reason: str
) -> None:
    write(tmp_path / "other", 1.0, output="z")
    write(tmp_path / "wider", 1.0, features=FEATURES)
    write(tmp_path / "named", 1.0, features=(*FEATURES[:1], Feature(name="own", unit="1")))
    for name in ("NEW", "OTHER", "WIDER", "NAMED"):
        stage = stage.replace(name, str(tmp_path / name.lower()))
    order(harness, "canary 50% NEW")
    before = candidate(harness)
    with pytest.raises(ValueError, match=reason) as caught:
        harness.change(**{f"model:{model}": stage})
    assert "\n" not in str(caught.value)
    assert candidate(harness) is before


def test_under_trust_a_candidate_has_to_be_signed(folder: Path) -> None:
    instance = Instance(load_package(folder))
    instance._rollouts._trust = Trust(keys={})  # after its own model, which is not signed
    values = {"model:rate": f"all {folder.parent / 'new'}"}
    instance.on_settings(Settings(id="a", values=values), 0)
    assert "new is not signed" in instance.settings_order["refused"]


@pytest.mark.parametrize(
    "stage", ["packaged", "off", "shadow /a b", "all /a", "canary 2.5% /a", "canary 9% while CQI more: /a"]
)
def test_a_stage_reads_as_it_is_written(stage: str) -> None:
    assert str(parse_stage(stage)) == stage


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ("CQI better", 'claim .CQI better.: want "KPI more"'),
        (
            "CQI at most 5% of users less",
            "a canary's claim is about one measurement; want a share of CQI itself",
        ),
    ],
)
def test_a_claim_that_no_canary_can_keep_is_refused(claim: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        parse_stage(f"canary 10% while {claim}: /a")


def test_a_canary_goes_when_its_targets_refute_the_claim_of_its_order(harness: XAppHarness) -> None:
    order(harness, "canary 50% while DRB.UEThpDl at most 5% less: NEW")
    ues, trial = np.arange(100), candidate(harness)
    its = trial.is_candidates(report().node, ues.astype(np.int32))
    for seq in range(FIRST_LOOK):
        assert trial.rolled_back == ""
        harness.send(make_report({"DRB.UEThpDl": np.where(its, 5.0, 10.0)}, ids={"ue": ues}, seq=seq))
    assert "5 on its" in trial.rolled_back
    assert said(harness, seq=FIRST_LOOK) == [10.0] * 100  # the manifest's model answers for all again


@pytest.mark.parametrize("sign", ["\0", "\x1b", "\x7f", "\n"])
def test_an_order_with_a_control_character_is_refused_and_ends_nothing(folder: Path, sign: str) -> None:
    instance = Instance(load_package(folder))
    instance.on_settings(Settings(id="a", values={"model:rate": f"all {folder.parent / 'new'}{sign}"}), 0)
    refused = instance.settings_order["refused"]
    assert "as the stage of a model; want 'shadow FOLDER'" in refused
    assert refused.isprintable()


# While reports come


def test_in_lockstep_a_deployment_at_a_time_is_the_same_run_each_time(folder: Path) -> None:
    def run() -> Any:
        orders = {0.3: {"weigher": {"model:rate": f"canary 50% {folder.parent / 'new'}"}}}
        done = run_embedded(
            ToyWorld(), [load_package(folder)], Choices(settings_at_s=orders), until_ns=600_000_000
        )
        return done.summary.trace_hash, done.models["weigher"]["rate"]["candidate"]

    (first, told), again = run(), run()
    assert (first, told) == again
    assert told["calls"]["answered"] > 0


def test_live_no_report_waits_for_a_model_that_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading takes as long as twenty reports; all of them are handled meanwhile."""
    instance = Instance(load_package(folder))
    url = f"memory://rollout-{time.monotonic_ns()}"
    bus, host_bus = open_bus(url, name="weigher"), open_bus(url, name="host")
    runner = LiveRunner(instance, bus)
    let_go = threading.Event()
    from ranloop import inference

    real: Callable[..., Model] = inference.load_model

    def slow(*arguments: Any, **options: Any) -> Model:
        assert let_go.wait(10)
        return real(*arguments, **options)

    monkeypatch.setattr(inference, "load_model", slow)
    catalogue = ToyWorld().catalogues[0]
    host_bus.publish(topics.catalogue(catalogue.node), encode(catalogue), qos=1, retain=True)
    runner.turn()
    values = {"model:rate": f"all {folder.parent / 'new'}"}
    step = Step(host="host", step=1, ran_time_ns=0, settings=Settings(id="order-1", values=values))
    host_bus.publish(topics.step("host", "weigher"), encode(step), qos=1)
    runner.turn()
    assert instance.is_loading
    for seq in range(20):
        one = make_report({"DRB.UEThpDl": [10.0]}, node="toy-1", ids={"ue": [1]}, seq=seq)
        host_bus.publish(topics.report("toy-1", "ue", 100), encode(one))
        runner.turn()
        assert instance.reports["toy-1"] == seq + 1
    let_go.set()
    give_up_s = time.monotonic() + 10
    while instance.is_loading and time.monotonic() < give_up_s:
        runner.turn(0.01)
    assert instance.settings_order == {"id": "order-1", "refused": ""}
    last = make_report({"DRB.UEThpDl": [10.0]}, node="toy-1", ids={"ue": [1]}, seq=20)
    host_bus.publish(topics.report("toy-1", "ue", 100), encode(last))
    runner.turn()
    assert instance.package.app.said.tolist() == pytest.approx([20.0], abs=1e-3)  # type: ignore[attr-defined]  # of the test's own app
    assert (runner.stats.missed, instance.reports["toy-1"]) == (0, 21)
    bus.close()
    host_bus.close()


def test_the_share_of_a_canary_is_that_of_its_stage() -> None:
    for share in (0.01, 0.1, 0.5, 0.9):
        trial = Trial.__new__(Trial)
        trial.stage = Stage(kind="canary", folder=Path("x"), share=share)
        mine = trial.is_candidates("gnb-1", np.arange(20_000, dtype=np.int32))
        # Four deviations of a binomial.
        assert abs(mine.mean() - share) < 4 * (share * (1 - share) / 20_000) ** 0.5
