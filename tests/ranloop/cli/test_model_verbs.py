"""`ranloop model`: a package is made, checked, signed, verified and shown by commands."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from typer.testing import CliRunner

from ranloop.cli.model_app import model_app
from ranloop.errors import RanloopError
from ranloop.inference import load_card, load_model
from tests.model_packages import write_model


def ranloop(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(model_app, list(map(str, arguments)))
    if isinstance(done.exception, RanloopError):
        raise done.exception
    return done.exit_code, done.output


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_model(tmp_path / "sum")


def test_from_an_onnx_file_to_a_package_that_a_stranger_trusts(tmp_path: Path, package: Path) -> None:
    facts = tomllib.loads((package / "card.toml").read_text())
    facts["licence"], facts["data_licence"] = "Apache-2.0", "CC0-1.0"
    (tmp_path / "facts.toml").write_text(tomli_w.dumps(facts))
    np.save(tmp_path / "rows.npy", np.array([[0, 3], [10, 15], [np.nan, 4]], np.float32))
    made = tmp_path / "made"
    code, said = ranloop(
        "export", package / "model.onnx", tmp_path / "facts.toml", made, "--trained-on", tmp_path / "rows.npy"
    )
    assert (code, said.startswith(f"{made} holds sum 1;")) == (0, True)
    seen = [feature.seen for feature in load_card(made).features]
    # The missing value is filled with 0, as the node fills it.
    assert [(each.low, each.high) for each in seen if each] == [(0, 10), (3, 15)]
    code, said = ranloop("check", made, "--json")
    (facts,) = json.loads(said)
    assert (code, facts["remarks"]) == (
        0,
        [
            "no word of how it was trained: scenarios, seeds",
            f"not signed: ranloop model sign {made} --key KEY.pem",
        ],
    )
    assert ranloop("key", tmp_path / "anna.pem")[0] == 0
    trust = tmp_path / "trust"
    trust.mkdir()
    (tmp_path / "anna.pub.pem").rename(trust / "anna.pub.pem")
    code, said = ranloop("verify", made, "--trust", trust)
    assert (code, "refused: " in said, "is not signed" in said) == (1, True, True)
    assert ranloop("sign", made, "--key", tmp_path / "anna.pem")[0] == 0
    code, said = ranloop("verify", made, "--trust", trust)
    assert (code, "sum 1 may run" in said, "Trusted: anna (" in said) == (0, True, True)
    assert load_model(made).predict(np.array([[1, 2]], np.float32)).tolist() == pytest.approx([3], abs=1e-4)


def test_sign_verify_and_show_name_each_file_that_a_signature_covers(tmp_path: Path, package: Path) -> None:
    (package / "calibration.json").write_text("{}")
    (tmp_path / "trust").mkdir()
    ranloop("key", tmp_path / "anna.pem")
    (tmp_path / "anna.pub.pem").rename(tmp_path / "trust/anna.pem")
    want = ["calibration.json", "card.toml", "model.onnx"]
    for arguments in (
        ("sign", package, "--key", tmp_path / "anna.pem"),
        ("verify", package, "--trust", tmp_path / "trust"),
        ("show", package),
    ):
        assert ", ".join(want) in ranloop(*arguments)[1]
        assert json.loads(ranloop(*arguments, "--json")[1])["files"] == want
    bill = json.loads(ranloop("show", package, "--sbom")[1])
    assert sorted(part["name"] for part in bill["metadata"]["component"]["components"]) == want


def test_a_new_export_takes_the_old_signature_away(tmp_path: Path, package: Path) -> None:
    ranloop("key", tmp_path / "anna.pem")
    ranloop("sign", package, "--key", tmp_path / "anna.pem")
    facts = tmp_path / "facts.toml"
    facts.write_text((package / "card.toml").read_text())
    ranloop("export", package / "model.onnx", facts, package)
    assert not (package / "signature.json").exists()


def test_show_tells_unit_and_range_of_each_input(package: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("DRB.UEThpDl,CQI\n100,3\n900,\n")
    facts = tmp_path / "facts.toml"
    facts.write_text((package / "card.toml").read_text())
    ranloop("export", package / "model.onnx", facts, tmp_path / "made", "--trained-on", rows)
    code, said = ranloop("show", tmp_path / "made")
    assert code == 0
    assert "  DRB.UEThpDl in kbit/s: 100 to 900\n  CQI in 1: 0 to 3\n" in said
    assert "  sum in 1: none to none\n" in said
    assert "operators: 1 × " in said


def test_a_card_cannot_move_an_operators_cursor(package: Path) -> None:
    card = package / "card.toml"
    card.write_text(card.read_text().replace('"test"', '"safe\\u001b[2Jgone"'))
    assert "\x1b" not in ranloop("show", package)[1]


def test_the_bill_of_materials_names_the_model_its_files_and_operators(package: Path) -> None:
    """Fields of CycloneDX 1.6; the document was also held against the published schema, by cyclonedx-python-lib 11."""
    code, said = ranloop("show", package, "--sbom")
    bill = json.loads(said)
    model = bill["metadata"]["component"]
    assert (code, bill["bomFormat"], bill["specVersion"]) == (0, "CycloneDX", "1.6")
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "sum", "1")
    card = load_card(package)
    files = {part["name"]: part["hashes"][0]["content"] for part in model["components"]}
    assert (files["model.onnx"], set(files)) == (card.sha256, {"card.toml", "model.onnx"})
    assert ranloop("show", package, "--sbom")[1] == said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("export", "gone.onnx", "facts.toml", "out"), r"gone\.onnx cannot be read: No such file"),
        (
            ("export", "sum/model.onnx", "gone.toml", "out"),
            r"gone\.toml is not there; want the card's fields",
        ),
        (("export", "sum/card.toml", "sum/card.toml", "out"), "is not a runnable ONNX model"),
        (("export", "sum/model.onnx", "three.toml", "out"), r"takes .*2\] but its card lists 3 features"),
        (
            ("export", "sum/model.onnx", "sum/card.toml", "out", "--trained-on", "one.npy"),
            r"rows have shape \[5, 1\], want \[n >= 1, 2\]",
        ),
        (
            ("export", "sum/model.onnx", "sum/card.toml", "out", "--trained-on", "sum/card.toml"),
            "card.toml holds no table of numbers",
        ),
        (("check", "."), "is no model package: it has no card.toml"),
        (("sign", "sum", "--key", "gone.pem"), r"gone\.pem cannot be read"),
        (("sign", "sum", "--key", "sum/card.toml"), "is no private key that opens"),
        (("sign", "beta", "--key", "gone.pem"), "version 'beta' has no order"),
        (("key", "anna.pub.pem"), "the private key's file is called NAME.pem"),
        (("verify", "sum"), "give --trust DIR, a folder with the public keys that you trust"),
        (("verify", "sum", "--trust", "gone"), "gone is no folder; --trust takes one with public keys"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    package: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], reason: str
) -> None:
    monkeypatch.chdir(package.parent)
    np.save("one.npy", np.zeros((5, 1)))
    facts = tomllib.loads((package / "card.toml").read_text())
    facts["features"].append({"measurement": "RSRP", "unit": "dBm"})
    Path("three.toml").write_text(tomli_w.dumps(facts))
    beta = write_model(Path("beta").absolute())
    (beta / "card.toml").write_text((beta / "card.toml").read_text().replace('"1"', '"beta"', 1))
    with pytest.raises(RanloopError, match=reason) as caught:
        ranloop(*arguments)
    assert "\n" not in str(caught.value)
    assert not Path("out").exists()
