"""The golden inputs of a card have the same answers on every provider that this machine has; others are told."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from structlog.testing import capture_logs
from typer.testing import CliRunner

from ranloop.cli.model_app import model_app
from ranloop.errors import ModelError, RanloopError
from ranloop.inference import Provider, load_card, load_model
from ranloop.inference.golden import SAME, difference, golden_of
from ranloop.inference.probe import new_session
from ranloop.testing.predictors import DelayedPredictor
from tests.model_packages import write_model

ROOT = Path(__file__).parents[3]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_model(tmp_path / "sum")


def other_answers(folder: Path, off: float) -> None:
    """As if the model had said something else at its export."""
    card = tomllib.loads((folder / "card.toml").read_text())
    card["golden"]["outputs"][0][0] += off
    (folder / "card.toml").write_text(tomli_w.dumps(card))


def test_an_export_keeps_rows_as_the_node_fills_them_and_what_the_file_said(package: Path) -> None:
    golden = load_card(package).golden
    assert golden is not None
    # The model of the tests gives the sum of its inputs.
    assert np.allclose(np.sum(golden.inputs, axis=1), np.ravel(golden.outputs), atol=1e-5)
    assert len(golden.inputs) == 8


@pytest.mark.parametrize("provider", ["cpu", "reference"])
@pytest.mark.parametrize("folder", ["sum", "models/flow_rate"])
def test_all_providers_here_give_the_answers_of_the_export(
    package: Path, provider: Provider, folder: str
) -> None:
    with capture_logs() as logs:
        model = load_model(package if folder == "sum" else ROOT / folder, provider=provider)
    off = difference(model.card, model.predictor)
    assert off is not None
    assert off <= SAME
    assert logs == []


@pytest.mark.parametrize(("off", "told"), [(0.5e-5, False), (1e-3, True)])
def test_other_answers_are_told_when_a_model_is_loaded(package: Path, off: float, told: bool) -> None:
    other_answers(package, off)
    with capture_logs() as logs:
        load_model(package)
    assert [entry["event"] for entry in logs] == ["model_answers_differ"] * told


def test_check_shows_the_difference_on_each_provider_and_ends_with_1(package: Path) -> None:
    def check() -> tuple[int, str]:
        done = CliRunner().invoke(
            model_app, ["check", str(package), "--provider", "cpu", "--provider", "reference"]
        )
        return done.exit_code, done.output

    code, said = check()
    assert (code, said.count("the same (at most 1e-05)")) == (0, 2)
    other_answers(package, 1.0)
    code, said = check()
    assert (code, said.count("OTHER ANSWERS (more than 1e-05)")) == (1, 2)
    facts = json.loads(CliRunner().invoke(model_app, ["check", str(package), "--json"]).output)
    assert facts[0]["differences"]["cpu"] > SAME


@pytest.mark.parametrize(
    ("provider", "name", "distribution"),
    [
        ("cuda", "CUDAExecutionProvider", "onnxruntime-gpu"),
        ("tensorrt", "TensorrtExecutionProvider", "onnxruntime-gpu"),
        ("openvino", "OpenVINOExecutionProvider", "onnxruntime-openvino"),
    ],
)
def test_a_provider_that_is_not_here_is_never_taken_for_another(
    package: Path, provider: Provider, name: str, distribution: str
) -> None:
    import onnxruntime

    if name in onnxruntime.get_available_providers():
        pytest.skip(f"{name} is here")
    with pytest.raises(
        ModelError, match=f"has no {name}, it has .*; install {distribution}, or run on cpu"
    ) as caught:
        load_model(package, provider=provider)
    assert "\n" not in str(caught.value)


def test_a_provider_that_does_not_start_is_never_taken_for_another(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime itself goes on with the CPU, as here, and prints a warning."""
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(
        "ranloop.inference.session.new_session", lambda content, provider: new_session(content)
    )
    with pytest.raises(ModelError, match="CUDAExecutionProvider does not start on this machine"):
        load_model(package, provider="cuda")


def test_a_provider_that_nobody_knows_is_one_line(package: Path) -> None:
    done = CliRunner().invoke(model_app, ["check", str(package), "--provider", "abacus"])
    assert isinstance(done.exception, RanloopError)
    assert str(done.exception) == "--provider 'abacus': want one of cpu, openvino, cuda, tensorrt, reference"


def test_no_answer_and_no_number_are_differences(package: Path) -> None:
    model = load_model(package)
    assert difference(model.card, DelayedPredictor(model.predictor, delay_ms=1e15)) == float("inf")
    golden = golden_of(np.zeros((1, 2), np.float32), np.full((1, 1), np.nan, np.float32))
    assert difference(model.card.model_copy(update={"golden": golden}), model.predictor) == float("inf")


@pytest.mark.parametrize(("width", "rows"), [(2, 8), (100, 5), (511, 1), (512, None)])
def test_a_card_holds_as_many_golden_rows_as_fit(width: int, rows: int | None) -> None:
    golden = golden_of(np.zeros((20, width), np.float32), np.zeros((20, 1), np.float32))
    assert (None if golden is None else len(golden.inputs)) == rows


@pytest.mark.parametrize(
    ("golden", "reason"),
    [
        (
            {"inputs": [[1.0]], "outputs": [[1.0]]},
            "sum: the card's golden rows: want 2 inputs and 1 outputs in each",
        ),
        (
            {"inputs": [[1.0, 2.0]] * 2, "outputs": [[1.0]]},
            "sum: the card has 2 golden rows of inputs and 1 of outputs",
        ),
        ({"inputs": [[1.0, 2.0]] * 200, "outputs": [[1.0]] * 200}, "golden: more than 512 numbers"),
    ],
)
def test_golden_rows_that_do_not_fit_the_card_are_refused(
    package: Path, golden: dict[str, object], reason: str
) -> None:
    card = package / "card.toml"
    card.write_text(tomli_w.dumps(tomllib.loads(card.read_text()) | {"golden": golden}))
    with pytest.raises(ModelError, match=reason):
        load_model(package)
