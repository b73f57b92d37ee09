"""A model package is trained, exported, loaded and refused the same way everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from ranloop.errors import ModelError
from ranloop.inference import Feature, Output, load_model
from ranloop.inference.export import Estimator, export_package
from ranloop.testing import make_report

FEATURES = (Feature(measurement="DRB.UEThpDl", unit="kbit/s"), Feature(measurement="CQI", unit="1"))
RNG = np.random.default_rng(7)
X = RNG.normal(size=(200, 2)).astype(np.float32)
Y = X[:, 0] * 2 - X[:, 1] + 1


def export(folder: Path, estimator: Estimator, outputs: int = 1, bound: float = 3, **changes: object) -> None:
    arguments: dict[str, object] = {
        "name": "probe",
        "version": "1",
        "summary": "a plane",
        "period_ms": 100,
        "features": FEATURES,
        "outputs": [Output(name=f"y{i}", unit="1", low=-bound, high=bound) for i in range(outputs)],
        "samples": X,
        "training": {"rows": 200},
        "metrics": {"mae": 0.0},
    }
    export_package(estimator, folder, **(arguments | changes))  # type: ignore[arg-type]  # because a test varies single arguments


@pytest.fixture
def package(tmp_path: Path) -> Path:
    export(tmp_path / "probe", LinearRegression().fit(X, Y))
    return tmp_path / "probe"


def test_the_plane_comes_back_through_onnx(package: Path) -> None:
    model = load_model(package)
    # 2 * 0.5 - 0.25 + 1 = 1.75; 2 * 100 - 3 + 1 = 198 is clipped to the card's high
    assert model(make_report({"CQI": [0.25, 3], "DRB.UEThpDl": [0.5, 100]})).tolist() == pytest.approx(
        [1.75, 3.0], abs=1e-5
    )


def test_an_empty_report_gives_an_empty_answer(package: Path) -> None:
    model = load_model(package)
    assert model.predict(np.empty((0, 2), np.float32)).shape == (0,)


@pytest.mark.parametrize(
    "estimator",
    [
        GradientBoostingRegressor(n_estimators=20, random_state=1),
        MLPRegressor(hidden_layer_sizes=(8,), random_state=1, max_iter=3000),
    ],
)
def test_estimators_that_we_offer_convert_and_agree(tmp_path: Path, estimator: Estimator) -> None:
    estimator.fit(X, Y)  # type: ignore[attr-defined]  # because Estimator only promises predict
    export(tmp_path / "m", estimator, outputs=1)
    got = load_model(tmp_path / "m").predict(X)
    assert np.allclose(got, np.clip(estimator.predict(X), -3, 3), atol=1e-3)


def test_a_converter_that_flattens_two_outputs_is_caught_and_nothing_is_written(tmp_path: Path) -> None:
    # skl2onnx reshapes a multi-output MLP to (-1, 1)
    estimator = MLPRegressor(hidden_layer_sizes=(4,), max_iter=2000, random_state=1).fit(
        X, np.column_stack((Y, -Y))
    )
    with pytest.raises(ModelError, match=r"export one model per output"):
        export(tmp_path / "m", estimator, outputs=2)
    assert not (tmp_path / "m").exists()


CLASSES = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)  # 0, 1 and 2


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        GradientBoostingClassifier(n_estimators=5, random_state=1),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
)
def test_a_classifier_gives_the_probability_of_each_class(tmp_path: Path, estimator: Any) -> None:
    estimator.fit(X, CLASSES)
    export(tmp_path / "m", estimator, outputs=3)
    model = load_model(tmp_path / "m")
    assert model.card.output == "probabilities"
    assert np.allclose(model.predict(X), estimator.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    ("estimator", "outputs", "reason"),
    [
        (LogisticRegression(), 1, r"gives \[200, 3\], .* the card 1 outputs; list one output per class"),
        (LinearSVC(), 3, "LinearSVC gives no probabilities; a classifier needs predict_proba"),
    ],
)
def test_a_classifier_that_does_not_fit_its_card_is_told_what_is_wanted(
    tmp_path: Path, estimator: Any, outputs: int, reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        export(tmp_path / "m", estimator.fit(X, CLASSES), outputs=outputs)
    assert not (tmp_path / "m").exists()


MISSING = np.where(RNG.random(X.shape) < 0.3, np.float32(np.nan), X).astype(np.float32)


def with_fill(fill: float) -> tuple[Feature, ...]:
    return tuple(feature.model_copy(update={"fill": fill}) for feature in FEATURES)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the converter's own dependencies
def test_what_an_estimator_learned_from_missing_values_holds_on_the_node_only_if_they_stay_missing(
    tmp_path: Path,
) -> None:
    target = np.where(np.isnan(MISSING[:, 0]), 10.0, MISSING[:, 0])
    estimator = HistGradientBoostingRegressor(max_iter=20).fit(MISSING, target)
    with pytest.raises(ModelError, match=r"on the samples as the node fills them; .* wants fill = nan"):
        export(tmp_path / "m", estimator, samples=MISSING)
    assert not (tmp_path / "m").exists()
    export(tmp_path / "m", estimator, samples=MISSING, features=with_fill(float("nan")), bound=20)
    report = make_report({"DRB.UEThpDl": [np.nan, 0.5], "CQI": [1, np.nan]})
    want = estimator.predict(np.array([[np.nan, 1], [0.5, np.nan]], np.float32))
    assert load_model(tmp_path / "m")(report).tolist() == pytest.approx(want.tolist(), abs=1e-4)


def test_an_estimator_that_does_not_convert_is_one_line(tmp_path: Path) -> None:
    class Own:
        def predict(self, rows: object) -> object:
            return np.zeros(len(X))

    with pytest.raises(ModelError, match="Own does not convert to ONNX: ") as caught:
        export(tmp_path / "m", Own())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_an_estimator_that_takes_no_missing_values_gets_none(tmp_path: Path) -> None:
    estimator = LinearRegression().fit(X, Y)
    reason = "LinearRegression takes no missing values; fill the samples as the card does"
    with pytest.raises(ModelError, match=reason):
        export(tmp_path / "m", estimator, samples=MISSING)
    with pytest.raises(ModelError, match=reason):  # the samples have none, the node would
        export(tmp_path / "m", estimator, features=with_fill(float("nan")))


def test_a_file_that_disagrees_with_the_estimator_is_caught(tmp_path: Path) -> None:
    estimator = LinearRegression().fit(X, Y)
    honest = estimator.predict
    estimator.predict = lambda rows: honest(rows) + 1.0
    with pytest.raises(ModelError, match="differs from the estimator"):
        export(tmp_path / "m", estimator)


def test_a_truncated_file_is_one_clear_line(package: Path) -> None:
    content = (package / "model.onnx").read_bytes()[:-40]
    (package / "model.onnx").write_bytes(content)
    with pytest.raises(
        ModelError, match=r"model.onnx is not the file its card describes: sha256 .* train again"
    ):
        load_model(package)


def test_a_truncated_file_under_its_own_hash_is_still_one_line(package: Path) -> None:
    import hashlib

    content = (package / "model.onnx").read_bytes()[:-40]
    (package / "model.onnx").write_bytes(content)
    card = package / "card.toml"
    card.write_text(
        re.sub(r'sha256 = "\w+"', f'sha256 = "{hashlib.sha256(content).hexdigest()}"', card.read_text())
    )
    with pytest.raises(ModelError, match=r"is not a runnable ONNX model: ") as caught:
        load_model(package)
    assert "\n" not in str(caught.value)


def test_a_card_with_another_number_of_features_is_refused(package: Path) -> None:
    card = package / "card.toml"
    facts = tomllib.loads(card.read_text())
    facts["features"].append({"measurement": "RSRP", "unit": "dBm"})
    card.write_text(tomli_w.dumps(facts))
    with pytest.raises(
        ModelError, match=r"takes 'features' tensor\(float\) \[.*2\] but its card lists 3 features"
    ):
        load_model(package)


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is no model package: it has no card\.toml"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name = ", "is not TOML"),
        ('name = "x"', "version: Field required"),
        ("name = " + "[" * 5000, "nested too deeply"),
        ("#" * 65_537, "larger than 65536 bytes"),
    ],
    ids=["not toml", "lacks a field", "deep", "large"],
)
def test_a_broken_card_is_one_line_with_the_fields_path(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "card.toml").write_text(text)
    with pytest.raises(ModelError, match=reason) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"file": "../../etc/passwd"}, "file: String should match pattern"),
        ({"file": "/dev/zero"}, "file: String should match pattern"),
        (
            {"features": [{"measurement": "CQI", "unit": "1", "fill": float("inf")}]},
            "features.0.fill: .* finite number, or left missing: nan",
        ),
        ({"outputs": [{"name": "y", "unit": "1", "low": float("nan")}]}, "outputs.0: y is clipped to nan"),
        (
            {"outputs": [{"name": "y", "unit": "1", "low": 1.0, "high": 0.0}]},
            "outputs.0: y is clipped to 1 .. 0",
        ),
        ({"features": [{"measurement": "CQI", "unit": "1", "lag": 10**9}]}, "features.0.lag: .* less than"),
        (
            {"features": [{"measurement": "CQI", "unit": "1"}] * 200, "steps": 600},
            "a row of 600 steps of 200 features; at most 65536 values",
        ),
        ({"steps": 601}, "steps: .* less than or equal to 600"),
    ],
)
def test_a_card_that_would_lead_elsewhere_or_make_no_number_is_refused(
    package: Path, change: dict[str, object], reason: str
) -> None:
    card = package / "card.toml"
    card.write_text(tomli_w.dumps(tomllib.loads(card.read_text()) | change))
    with pytest.raises(ModelError, match=reason):
        load_model(package)
