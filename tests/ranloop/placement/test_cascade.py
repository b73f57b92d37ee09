"""A cascade: rows that the model here is sure of stay, the others go up, and some of the sure ones are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ranloop.errors import PlacementError
from ranloop.inference import Feature, Model, Output, load_card
from ranloop.inference.export import export_package
from ranloop.placement import VirtualTiers
from ranloop.placement.gate import write_calibration
from ranloop.testing import make_report
from ranloop.wire.messages import F32, Answer, Step
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from tests.builders import write_xapp
from tests.ranloop.placement.places import down, tiers

FEATURES = (Feature(measurement="CQI", unit="1"),)
# The weight is 1 plus the more probable class, 0 or 1.
APP = """
from ranloop import SetUeWeight, XApp
app = XApp()
good = app.model("good")

@app.on_report("CQI")
def act(report):
    return SetUeWeight(ue=report.ue, weight=1.0 + good(report).argmax(axis=1))
"""
MANIFEST = """\
name = "sorting"
version = "1"
summary = "test"

[[streams]]
level = "ue"
every_ms = 100
measurements = ["CQI"]

[[actions]]
name = "SetUeWeight"
ranges = {{ weight = [0.5, 4.0] }}
rate_per_s = 1000

[models]
good = "{models}/small"

[placement.good]
pattern = "cascade"
better = "{models}/large"
ask = ["regional"]
wait_ms = 50
offload = 0.25
audit = {audit}
"""


def export(folder: Path, *, above: float) -> Path:
    """A classifier that says 1 above a CQI, and is the less sure the nearer it is to it."""
    cqi = np.arange(0.0, 16.0, 0.25).astype(np.float32)[:, None]
    estimator = LogisticRegression(C=1.0).fit(cqi, (cqi[:, 0] > above).astype(int))
    export_package(
        estimator,
        folder,
        name=folder.name,
        version="1",
        summary="test",
        period_ms=100,
        features=FEATURES,
        outputs=(Output(name="bad", unit="1"), Output(name="good", unit="1")),
        samples=cqi,
        training={},
        metrics={},
    )
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small` says 1 above a CQI of 8, `large` above 9; a row below a confidence of 0.7 goes up.

    The calibration has 39 rows with confidences 0.51, 0.52, …: 40 x 0.25 = 10, so the threshold is the 10th, 0.6 + 0.1.
    """
    folder = tmp_path_factory.mktemp("pair")
    small = export(folder / "small", above=8.0)
    export(folder / "large", above=9.0)
    confidence = [0.6 + k / 100 for k in range(1, 40)]
    write_calibration(small, confidence=confidence, right=[True] * 39, agrees=[True] * 39)
    return folder


def sorting(folder: Path, pair: Path, *, audit: float = 0.0, reach: VirtualTiers | None = None) -> Instance:
    xapp = write_xapp(folder, app=APP, text=MANIFEST.format(models=pair, audit=audit))
    return Instance(load_package(xapp), reach=reach or VirtualTiers(tiers()))


def step(instance: Instance, cqis: list[float], seq: int = 0) -> Answer:
    ids = {"ue": np.arange(len(cqis)), "cell": np.zeros(len(cqis))}
    report = make_report({"CQI": cqis}, seq=seq, ids=ids)
    answer = instance.handle(Step(host="host", step=seq, ran_time_ns=report.ran_time_ns, reports=(report,)))
    assert not answer.error, answer.error
    return answer


def classes(answer: Answer) -> list[int]:
    return [round(weight) - 1 for weight in answer.batches[0].action.parameters()[:, 0].tolist()]


def test_only_the_rows_that_are_hard_go_up_and_get_the_better_answer(tmp_path: Path, pair: Path) -> None:
    """At a CQI of 8.5 the small model says 1 and is not sure, the large one says 0. 1 and 15 are far from both."""
    answer = step(sorting(tmp_path / "sorting", pair), [1, 8.5, 15])
    assert classes(answer) == [0, 0, 1]
    (how,) = answer.batches[0].inferences
    assert (how.reason, how.tier, how.rows, how.rows_above) == ("better", "regional", 3, 1)
    assert how.sent_bytes == {"per-ue": 256 + 4}
    assert answer.waited_ns == 20_000_000


def test_sure_rows_are_answered_at_once_and_nothing_is_sent(tmp_path: Path, pair: Path) -> None:
    answer = step(sorting(tmp_path / "sorting", pair), [1, 15])
    (how,) = answer.batches[0].inferences
    assert (how.reason, how.instead, how.sent_bytes, answer.waited_ns) == ("stay", "", {}, 0)
    assert how.confidence is not None
    assert how.confidence > 0.9


def test_hard_rows_without_a_better_answer_get_the_one_of_here(tmp_path: Path, pair: Path) -> None:
    answer = step(
        sorting(tmp_path / "sorting", pair, reach=VirtualTiers(tiers(regional=down(0, 9)))), [1, 8.5, 15]
    )
    assert classes(answer) == [0, 1, 1]
    (how,) = answer.batches[0].inferences
    assert (how.reason, how.instead, how.rows_above) == ("late", "rule", 0)


class Denies:
    """Says 0 whatever it is asked."""

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32:
        return np.tile(np.array([[1.0, 0.0]], np.float32), (len(matrix), 1))


def test_an_alarm_is_raised_when_the_sure_rows_are_no_longer_answered_alike(
    tmp_path: Path, pair: Path
) -> None:
    """All rows are compared. The calibration saw no disagreement in 30 rows that stay: p = 1/31, and the bet is 2/31.

    Each disagreement doubles the stake nearly: k = 1.03, 1 + k (1 - p) = 2. 2**10 = 1024 is beyond 1000, so ten rows suffice. The
    small model is sure of a CQI of 15; a large one that denies it stands in for a world that has changed.
    """
    reach = VirtualTiers(tiers())
    instance = sorting(tmp_path / "sorting", pair, audit=1.0, reach=reach)
    alike = step(instance, [1, 15] * 20)
    assert alike.batches[0].inferences[0].rows_above == 40
    assert not instance.registered.alarms.active
    reach.offer(Model.tag_of(load_card(pair / "large")), Denies())
    step(instance, [15] * 9, seq=1)
    assert not instance.registered.alarms.active
    step(instance, [15] * 2, seq=2)
    (alarm,) = instance.registered.alarms.active
    assert (alarm.name, alarm.target) == ("cascade-gate", "small")
    assert "calibrate small anew" in alarm.text
    step(instance, [15] * 2, seq=3)
    assert instance.registered.alarms.active == (alarm,)  # and it is no news with each report


def test_a_cascade_without_a_classifier_is_refused(tmp_path: Path, pair: Path, models: Path) -> None:
    text = MANIFEST.format(models=models, audit=0).replace('"CQI"', '"DRB.UEThpDl"')
    app = APP.replace('"CQI"', '"DRB.UEThpDl"')
    xapp = write_xapp(tmp_path / "sorting", app=app, text=text)
    with pytest.raises(PlacementError, match=r"placement\.good: a cascade wants a classifier"):
        Instance(load_package(xapp), reach=VirtualTiers(tiers()))
