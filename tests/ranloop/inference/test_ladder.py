"""Past its budget, late or failed, a model's rungs answer in the stated order, each for the rows still without a value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ranloop.errors import ManifestError, ModelError
from ranloop.inference import Late, Model, load_model
from ranloop.inference.ladder import LastAnswers
from ranloop.inference.model import OVER_IN_A_ROW, RESTS
from ranloop.inference.seen import with_seen
from ranloop.testing import make_report
from ranloop.testing.predictors import DelayedPredictor, FailingPredictor
from ranloop.wire.messages import F32
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from tests.model_packages import FEATURES, write_model

NAN = float("nan")
Made = Callable[..., Instance]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """An xApp `app` with the models `rate` and `small`, each the sum of its inputs, and a budget of `rate`."""
    for name in ("rate", "small"):
        write_model(tmp_path / name)

    def make(budget: str = "", code: str = "") -> Instance:
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        (folder / "app.py").write_text(
            "import numpy as np\nfrom ranloop import Report, XApp\napp = XApp()\n"
            f"rate, small = app.model('rate'), app.model('small')\n{code}\n"
            "@app.on_report('DRB.UEThpDl', 'CQI')\ndef ask(report: Report) -> None:\n    app.said = rate(report)\n"
        )
        (folder / "manifest.toml").write_text(
            'name = "app"\nversion = "1"\nsummary = "s"\n'
            '[[streams]]\nlevel = "ue"\nevery_ms = 100\nmeasurements = ["DRB.UEThpDl", "CQI"]\n'
            '[models]\nrate = "../rate"\nsmall = "../small"\n' + budget
        )
        return Instance(load_package(folder))

    return make


RULE = "@rate.rule\ndef by_hand(report):\n    return np.where(report['CQI'] > 5, 7.0, np.nan)\n"


def report(ue: list[int], cqi: list[float], seq: int = 0, **more: Any) -> Any:
    return make_report({"DRB.UEThpDl": [10.0] * len(ue), "CQI": cqi}, ids={"ue": ue}, seq=seq, **more)


def late(model: Model) -> None:
    model.predictor = DelayedPredictor(model.predictor, delay_ms=1000)


def test_the_rungs_fill_the_rows_that_those_before_left_open(made: Made) -> None:
    instance = made('[budget.rate]\npast = ["last", "rule"]\n', RULE)
    rate = instance.models["rate"]
    assert rate(report([4, 5], [1, 2])).tolist() == pytest.approx([11, 12], abs=1e-3)
    late(rate)
    # UE 5 was answered before; of 6 and 7, which are new, the rule knows the one with a CQI above 5.
    said = rate(report([5, 6, 7], [9, 9, 1], seq=1))
    assert said.tolist() == pytest.approx([12, 7, NAN], abs=1e-3, nan_ok=True)
    assert rate.rows_by == {"model": 2, "last": 1, "rule": 1, "none": 1}


def test_another_model_answers_as_a_rung_without_its_own_ladder(made: Made) -> None:
    instance = made('[budget.rate]\npast = ["small"]\n[budget.small]\npast = ["rate"]\n')
    rate, small = instance.models["rate"], instance.models["small"]
    late(rate)
    assert rate(report([4], [3])).tolist() == pytest.approx([13], abs=1e-3)
    late(small)  # each is the other's rung, and neither has an answer
    assert np.isnan(rate(report([4], [3], seq=1))).all()


def test_a_model_that_fails_is_one_without_an_answer_only_where_it_has_rungs(made: Made) -> None:
    with_rungs = made('[budget.rate]\npast = ["rule"]\n', RULE).models["rate"]
    with_rungs.predictor = FailingPredictor()
    assert with_rungs(report([4], [9])).tolist() == [7]
    assert with_rungs.n_failed == 1
    without = made().models["rate"]
    without.predictor = FailingPredictor()
    with pytest.raises(ModelError, match="the model fails"):
        without(report([4], [9]))


def test_ask_says_that_the_answer_is_late_though_there_are_rungs(made: Made) -> None:
    rate = made('[budget.rate]\npast = ["rule"]\n', RULE).models["rate"]
    late(rate)
    assert isinstance(rate.ask(report([4], [9])), Late)


def test_a_report_that_lacks_a_measurement_is_an_error_of_the_author_and_not_a_rung(made: Made) -> None:
    rate = made('[budget.rate]\npast = ["rule"]\n', RULE).models["rate"]
    with pytest.raises(ModelError, match="needs CQI"):
        rate(make_report({"DRB.UEThpDl": [1.0]}))


@pytest.mark.parametrize(
    ("seq", "run", "stands"), [(13, "r", True), (14, "r", False), (9, "r", False), (11, "s", False)]
)
def test_the_last_answer_stands_for_so_long_and_in_its_run(seq: int, run: str, stands: bool) -> None:
    last = LastAnswers(keep_ms=300)
    before = report([4], [3], seq=10, run="r")
    last.keep(before, np.array([13], np.float32))
    now = report([4], [3], seq=seq, run=run)  # each 100 ms after the one before
    assert np.isnan(last(now, None)).tolist() == [not stands]


def test_the_last_answer_follows_a_ue_to_another_row() -> None:
    last = LastAnswers(keep_ms=300)
    last.keep(report([9, 4, 6], [1, 1, 1]), np.array([[90, 1], [40, 1], [60, 1]], np.float32))
    assert last(report([4, 5, 9], [1, 1, 1], seq=1), None)[:, 0].tolist() == pytest.approx(
        [40, NAN, 90], nan_ok=True
    )


class Slow:
    """Takes as long as it is told, by a clock of its own."""

    def __init__(self, inner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inner, self.ms, self.now_ns = inner, 0, 0
        monkeypatch.setattr(
            "ranloop.inference.model.time", SimpleNamespace(perf_counter_ns=lambda: self.now_ns)
        )

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        self.now_ns += self.ms * 1_000_000
        return self.inner.predict(matrix, asked_ns, deadline_ns)  # type: ignore[no-any-return]  # a predictor


def test_a_model_over_its_budget_three_times_in_a_row_rests_for_ten_calls_in_real_time(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = made('[budget.rate]\ncall_ms = 5\npast = ["rule"]\n', RULE)
    instance.in_real_time()
    rate = instance.models["rate"]
    rate.predictor = slow = Slow(rate.predictor, monkeypatch)
    asked = [report([4], [9], seq=seq) for seq in range(30)]
    slow.ms = 5  # as long as it may
    rate(asked[0])
    slow.ms = 6
    said = [float(rate(each)[0]) for each in asked[1 : 1 + OVER_IN_A_ROW]]
    assert said == pytest.approx([19] * OVER_IN_A_ROW, abs=1e-3)  # the answers are there, and are used
    slow.ms = 0
    said = [float(rate(each)[0]) for each in asked[10 : 10 + RESTS + 1]]
    assert said == pytest.approx([7] * RESTS + [19], abs=1e-3)
    assert (rate.n_over, rate.n_rested) == (OVER_IN_A_ROW, RESTS)


def test_a_quick_call_in_between_begins_the_count_anew(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = made('[budget.rate]\ncall_ms = 5\npast = ["rule"]\n', RULE)
    instance.in_real_time()
    rate = instance.models["rate"]
    rate.predictor = slow = Slow(rate.predictor, monkeypatch)
    for seq, slow.ms in enumerate((6, 6, 0, 6, 6)):
        rate(report([4], [9], seq=seq))
    assert (rate.n_over, rate.n_rested) == (4, 0)


def test_in_lockstep_calls_over_budget_are_counted_and_change_nothing(made: Made) -> None:
    """The wall clock is another one each time; a run is to be the same again."""
    rate = made('[budget.rate]\ncall_ms = 0.000001\npast = ["rule"]\n', RULE).models["rate"]
    said = [float(rate(report([4], [9], seq=seq))[0]) for seq in range(20)]
    assert said == pytest.approx([19] * 20, abs=1e-3)
    assert (rate.n_over, rate.n_rested) == (20, 0)


def test_the_xapp_sets_a_budget_in_one_line(made: Made) -> None:
    instance = made(code="rate.within(2.0, past=['last', 'rule'])\n" + RULE)
    rate = instance.models["rate"]
    assert (rate.budget_ns, list(rate.rungs)) == (2_000_000, ["last", "rule"])


@pytest.mark.parametrize(
    ("budget", "code", "reason"),
    [
        ('[budget.speed]\npast = ["last"]\n', "", "the budget of speed: there is no such model; there are: rate, small"),
        ('[budget.rate]\npast = ["rule"]\n', "", r"past names the rule, and app\.py has none: @app\.model\('rate'\)\.rule"),
        ('[budget.rate]\npast = ["tiny"]\n', "", "past names 'tiny'; want last, rule, small"),
        ('[budget.rate]\npast = ["rate"]\n', "", "past names 'rate'; want last, rule, small"),
        ('[budget.rate]\npast = ["last", "last"]\n', "", "past names one twice: last, last"),
        ("[budget.rate]\ncall_ms = 0\n", "", r"budget\.rate\.call_ms: .*greater than 0"),
        ("[budget.rate]\ncall_ms = 1\n", "rate.within(2.0)", "the budget of rate stands in the manifest and in app.py"),
    ],
)  # fmt: skip
def test_a_budget_that_cannot_be_kept_is_one_line(made: Made, budget: str, code: str, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason) as caught:
        made(budget, code)
    assert "\n" not in str(caught.value)


def test_a_rung_with_other_outputs_is_refused(made: Made, tmp_path: Path) -> None:
    card = tmp_path / "small" / "card.toml"
    card.write_text(card.read_text().replace('name = "sum"', 'name = "total"'))
    with pytest.raises(ManifestError, match="small gives total in 1, and rate sum in 1; want the same"):
        made('[budget.rate]\npast = ["small"]\n')


def test_a_rule_with_another_number_of_values_says_so(made: Made) -> None:
    rate = made('[budget.rate]\npast = ["rule"]\n', "rate.rule(lambda report: [1.0])").models["rate"]
    late(rate)
    with pytest.raises(
        ValueError, match=r"the rung 'rule' gives values of shape \[1\] for 2 rows: want \[2\]"
    ):
        rate(report([4, 5], [1, 1]))


def test_a_rung_stands_beside_the_models_tag_in_what_an_action_rests_on(made: Made) -> None:
    instance = made('[budget.rate]\npast = ["rule"]\n', RULE)
    rate = instance.models["rate"]
    rate(report([4], [9]))
    assert rate.tags() == [rate.tag]
    rate.begin()
    late(rate)
    rate(report([4], [9], seq=1))
    assert rate.tags() == [f"{rate.tag}:rule"]


def test_a_live_runner_lets_models_rest_and_a_lockstep_runner_does_not(made: Made) -> None:
    from ranloop.bus import open_bus
    from ranloop.xapp.live import LiveRunner

    for kind, rests in ((LockstepRunner, False), (LiveRunner, True)):
        instance = made()
        bus = open_bus(f"memory://ladder-{kind.__name__}", name="app")
        kind(instance, bus)
        assert instance.models["rate"].rests is rests
        bus.close()


def test_truth_that_becomes_known_makes_an_error(tmp_path: Path) -> None:
    model = load_model(write_model(tmp_path / "sum"))
    model.error.note([1, 2, NAN], [2, NAN, 3])
    model.error.note([5.0], [2.0])
    # |1 - 2| and |5 - 2|, where both are known.
    assert (model.error.n, model.error.overall, model.error.recent) == (2, 2.0, 2.0)
    for _ in range(300):
        model.error.note([1.0], [1.0])
    assert (model.error.recent, round(model.error.overall, 4)) == (0.0, round(4 / 302, 4))
    with pytest.raises(ValueError, match=r"predicted has shape \[1\], truth \[2\]: want the same"):
        model.error.note([1], [1, 2])


def test_the_summary_names_the_inputs_that_have_drifted(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(1000, 2)).astype(np.float32)
    model = load_model(write_model(tmp_path / "sum", features=with_seen(FEATURES, rows)))
    shifted = rows + np.array([0.0, 2.0], np.float32)
    for _ in range(
        8 * 6
    ):  # every eighth call 128 rows: more than enough to say something, and less than a window
        model.predict(shifted)
    assert model.told()["drifted"] == ["CQI"]
