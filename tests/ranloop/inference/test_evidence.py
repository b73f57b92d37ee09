"""What a model was asked and said is in the audit record of the actions that rest on it, with its version, in bounded bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ranloop.embedded import run_embedded
from ranloop.guard import AuditLog
from ranloop.guard.audit_query import AuditReader, Verdict
from ranloop.inference import Card, Feature, load_model
from ranloop.inference.card import Output, Seen
from ranloop.inference.evidence import Call, evidence
from ranloop.inference.watch import Watch
from ranloop.testing import make_report
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.asked import MOST_MODELS, MOST_ROWS, MOST_VALUES
from ranloop.wire.codec import decode_action_batch, encode
from ranloop.wire.frame import most_header_bytes
from ranloop.wire.messages import ActionBatch
from ranloop.xapp.loader import load_package
from tests.model_packages import FEATURES, write_model

NAN = float("nan")


def card(n_features: int, *, label: str = "f", version: str = "1.2", n_outputs: int = 1) -> Card:
    seen = Seen(low=0, high=10)
    return Card(
        name="m",
        version=version,
        summary="",
        sha256="0" * 64,
        period_ms=100,
        features=tuple(Feature(name=f"{label}{at}", unit="1", seen=seen) for at in range(n_features)),
        outputs=tuple(Output(name=f"y{at}", unit="1") for at in range(n_outputs)),
    )


def everything(n: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.arange(n)


def test_the_rows_are_those_of_the_actions_targets() -> None:
    report = make_report({"CQI": [1, 2, 3, 4]}, ids={"ue": [9, 4, 7, 5]})
    matrix = np.array([[1, 2], [3, NAN], [5, 11], [7, 8]], np.float32)
    call = Call(report, matrix, np.array([10, 20, 30, 40], np.float32))
    action = SetUeWeight(ue=[7, 4, 77], weight=[1.0, 2.0, 3.0])
    asked = evidence("m@0", card(2), call, Watch(card(2)), action, everything(3))
    assert (asked.model, asked.version, asked.rows) == ("m@0", "1.2", 4)
    assert (asked.ids["ue"], asked.features) == ((4, 7), ("f0", "f1"))
    assert (asked.inputs, asked.outputs) == (((3, None), (5, 11)), ((20,), (30,)))
    assert asked.outside == ("f1",)


def test_targets_of_interest_come_first_where_not_all_fit() -> None:
    n = 100
    report = make_report({"CQI": [1.0] * n}, ids={"ue": list(range(n))})
    call = Call(report, np.zeros((n, 2), np.float32), np.zeros(n, np.float32))
    action = SetUeWeight(ue=np.arange(n), weight=np.ones(n))
    asked = evidence("m@0", card(2), call, None, action, np.arange(n)[::-1])
    assert asked.ids["ue"] == tuple(range(n - MOST_ROWS, n))


def test_a_ready_matrix_has_rows_and_no_ids() -> None:
    call = Call(None, np.zeros((50, 2), np.float32), np.zeros(50, np.float32))
    asked = evidence("m@0", card(2), call, None, SetUeWeight(ue=[1], weight=[1.0]), everything(1))
    assert (asked.ids, asked.rows, len(asked.inputs)) == ({}, 50, MOST_ROWS)


@pytest.mark.parametrize(
    ("n_features", "n_outputs", "rows", "inputs"),
    [(7, 1, 8, True), (63, 1, 2, True), (127, 1, 1, True), (128, 1, 8, False), (300, 100, 1, False)],
)
def test_the_numbers_are_bounded_and_whole_rows(
    n_features: int, n_outputs: int, rows: int, inputs: bool
) -> None:
    outputs = np.zeros((20, n_outputs) if n_outputs > 1 else 20, np.float32)
    call = Call(None, np.zeros((20, n_features), np.float32), outputs)
    made = card(n_features, n_outputs=n_outputs)
    asked = evidence("m@0", made, call, None, SetUeWeight(ue=[1], weight=[1.0]), everything(1))
    assert (len(asked.outputs), len(asked.inputs)) == (rows, rows if inputs else 0)
    assert asked.n_values <= MOST_VALUES


def test_however_long_a_cards_words_are_a_node_can_read_the_action() -> None:
    made = card(15, label="\N{SATELLITE ANTENNA}" * 500, version="€" * 500)  # four bytes and three
    matrix = np.full((8, 15), -1.1754944e-38, np.float32)
    call = Call(make_report({"CQI": [1.0] * 8}), matrix, np.full(8, -1.1754944e-38, np.float32))
    action = SetUeWeight(ue=np.arange(8), weight=np.ones(8))
    asked = evidence("m" * 500, made, call, Watch(made), action, everything(8))
    batch = ActionBatch(
        id="a-1",
        xapp="a",
        node="n",
        seq=1,
        action=action,
        valid_until_ns=1,
        asked=(asked,) * (MOST_MODELS + 2),
    )
    payload = encode(batch)
    assert len(payload) < most_header_bytes("action batch")
    assert decode_action_batch(payload).asked == (asked,) * MOST_MODELS


APP = """
import numpy as np
from ranloop import Report, SetUeWeight, XApp
app = XApp()
rate = app.model("rate")
@app.on_report("DRB.UEThpDl")
def act(report: Report) -> SetUeWeight:
    said = rate(report)
    return SetUeWeight(ue=report.ue, weight=np.where(report.ue == 1, 2.0 + report.seq % 2, 1.0))
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
"""


def test_the_audit_log_says_of_a_target_what_the_model_was_asked_and_said(tmp_path: Path) -> None:
    write_model(tmp_path / "rate", features=FEATURES[:1])
    (tmp_path / "weigher").mkdir()
    (tmp_path / "weigher" / "app.py").write_text(APP)
    (tmp_path / "weigher" / "manifest.toml").write_text(MANIFEST)
    with AuditLog(tmp_path / "audit.jsonl") as log:
        run = run_embedded(ToyWorld(), [load_package(tmp_path / "weigher")], until_ns=500_000_000, audit=log)
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    (first, *later) = [line["asked"][0] for line in lines if line["event"] == "result"]
    tag = load_model(tmp_path / "rate").tag
    assert (first["model"], first["version"], first["features"]) == (tag, "1", ["DRB.UEThpDl"])
    # A sum of one input: the model says what it was asked.
    assert np.allclose(first["inputs"], first["outputs"])
    # Of later batches, the target whose value changed is the first that is listed.
    assert later
    assert all(1 in one["ids"]["ue"] for one in later)
    told = [one for one in AuditReader(tmp_path / "audit.jsonl") if isinstance(one, Verdict)]
    about = next(one for one in told if one.target == {"ue": 1} and one.asked)
    assert about.asked[0]["inputs"] == {"DRB.UEThpDl": pytest.approx(about.asked[0]["outputs"][0])}
    assert run.models["weigher"]["rate"]["calls"] == run.summary.n_reports


def test_an_xapp_without_a_model_sends_nothing_more() -> None:
    action = SetUeWeight(ue=[1], weight=[1.0])
    batch = ActionBatch(id="a-1", xapp="a", node="n", seq=1, action=action, valid_until_ns=1)
    assert b"asked" not in encode(batch)
