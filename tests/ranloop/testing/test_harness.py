"""The harness tells an author what a guard would refuse, and which report no handler reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranloop import Cause, Fate, SetUeWeight, Status
from ranloop.testing import XAppHarness, make_report, make_result
from tests.builders import MANIFEST, write_xapp

HEAD = """
from ranloop import Handover, Request, SetUeWeight, XApp
app = XApp()
seen = []

@app.on_result
def learn(result):
    seen.extend(result.fates)

@app.on_report("CQI")
def act(report):
"""


def harness(folder: Path, body: str, **manifest: str) -> XAppHarness:
    text = MANIFEST.format(name="mine").replace(
        "rate_per_s = 1000", f"rate_per_s = {manifest.get('rate', 1000)}"
    )
    return XAppHarness(write_xapp(folder / "mine", app=HEAD + body, text=text))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return SetUeWeight(ue=report.ue, weight=9.0)", "weight 9; the manifest of mine allows 0.5 to 4"),
        ("return Handover(ue=[1], target_cell=[0])", "the manifest of mine does not ask for Handover"),
        ("return SetUeWeight(ue=[1, 1], weight=1.0)", "the target stands in this batch more than once: 1"),
        (
            "return Request(action=SetUeWeight(ue=[1], weight=1.0), lease_ms=3_600_000)",
            "a lease of 3600000 ms; at most 60000 ms",
        ),
    ],
)
def test_what_a_guard_would_refuse_for_the_manifest_is_an_error(
    tmp_path: Path, body: str, reason: str
) -> None:
    with pytest.raises(AssertionError, match=rf"^mine wants \w+: {reason}"):
        harness(tmp_path, "    " + body).send(make_report({"CQI": [5]}))


def test_rates_are_kept_in_ran_time(tmp_path: Path) -> None:
    xapp = harness(tmp_path, "    return SetUeWeight(ue=report.ue, weight=2.0)", rate="1")
    xapp.send(make_report({"CQI": [5]}, seq=0))
    with pytest.raises(AssertionError, match="more than 1 SetUeWeight batches a second"):
        xapp.send(make_report({"CQI": [5]}, seq=5))
    xapp.send(make_report({"CQI": [5]}, seq=15))


@pytest.mark.parametrize(
    "report", [make_report({"CQI": [5]}, period_ms=1000), make_report({"RRC.ConnMean": [5]}, level="cell")]
)
def test_a_report_that_no_handler_reads_is_an_error_with_what_is_read(tmp_path: Path, report: object) -> None:
    with pytest.raises(
        AssertionError,
        match=r"no handler reads a report of level \w+ every \d+ ms \(.*\): act reads level ue every 100 ms \(CQI\)",
    ):
        harness(tmp_path, "    return None").send(report)  # type: ignore[arg-type]  # because the table is of both


def test_a_report_has_the_labels_that_a_test_gives_it() -> None:
    report = make_report(
        {"CQI": [5, 6]},
        ids={"ue": [3, 9], "cell": [0, 0]},
        labels={"ue": ["anna", "ben"], "cell": {0: "north"}},
    )
    assert (report.names_of("ue").tolist(), report.names_of("cell").tolist()) == (
        ["anna", "ben"],
        ["north", "north"],
    )


def test_a_result_is_made_of_an_action_and_its_fate(tmp_path: Path) -> None:
    xapp = harness(tmp_path, "    return SetUeWeight(ue=report.ue, weight=2.0)")
    (action,) = xapp.send(make_report({"CQI": [5, 6]}))
    xapp.answer(make_result(action))
    xapp.answer(
        make_result(SetUeWeight(ue=[7], weight=4.0), Status.REFUSED, Cause.RANGE, "weight 4 is above 2")
    )
    assert xapp.module("app").seen == [
        Fate((0,), Status.APPLIED, Cause.NONE, "", {"weight": 2.0}),
        Fate((1,), Status.APPLIED, Cause.NONE, "", {"weight": 2.0}),
        Fate((7,), Status.REFUSED, Cause.RANGE, "weight 4 is above 2", {}),
    ]
