"""`check_xapp` passes every bundled xApp, and names handler, line and trial of what an xApp does wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ranloop.errors import ManifestError
from ranloop.testing import check_xapp
from tests.builders import MANIFEST, write_xapp
from tests.command import Command
from tests.model_packages import write_model

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "keep_in_budget"
BUNDLED = [*sorted(path.parent for path in ROOT.glob("xapps/*/app.py")), EXAMPLE]


@pytest.mark.parametrize("folder", BUNDLED, ids=[folder.name for folder in BUNDLED])
def test_every_bundled_xapp_passes(folder: Path) -> None:
    check_xapp(folder)


def test_an_xapp_with_a_model_passes() -> None:
    check_xapp(ROOT / "docs" / "examples" / "guide" / "rate_watch")


HEAD = """
import random
import numpy as np
from ranloop import Handover, Request, SetUeWeight, XApp
app = XApp()
asked, seen, cells = {}, {}, {}

@app.on_report("CQI")
def act(report):
"""
WEIGH = "    return SetUeWeight(ue=report.ue, weight=1.0)"


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        # Line 10 of app.py is the first of the body; the handler's own line is 8.
        ("    return SetUeWeight(ue=report.ue, weight=report['CQI'] * 0 + 1)",
         r"ValueError: act \(.*app.py:8\) wants SetUeWeight with weight = nan for target .* \(reports as they should be, and \d+ more trials\)"),
        ("    np.zeros(1)[np.argmax(report['CQI'])] if len(report) else None\n" + WEIGH, r"app.py:10 in act: IndexError"),
        ("    report['CQI'].max()\n" + WEIGH, r"app.py:10 in act: ValueError: zero-size .* \(reports without rows"),
        ("    assert not np.isnan(report['CQI']).all() or not len(report)\n" + WEIGH,
         r"app.py:10 in act: AssertionError: .*\(reports without values"),
        ("    return SetUeWeight(ue=report.ue, weight=random.random() + 1)",
         r"act \(app.py:8\): two instances want different things of the same reports"),
        ("    return SetUeWeight(ue=report.ue, weight=9.0)",
         r"act \(app.py:8\) wants SetUeWeight: weight 9; the manifest of mine allows 0.5 to 4 \(.*, and \d+ more trials\)"),
        ("    return SetUeWeight(ue=[*report.ue, *report.ue], weight=1.0)",
         r"act \(app.py:8\) wants SetUeWeight: the target stands in this batch more than once: 0, 1"),
        ("    return Request(action=Handover(ue=[1], target_cell=[0]))",
         r"act \(app.py:8\) wants Handover: the manifest of mine does not ask for Handover; it has SetUeWeight"),
        ("    assert report.seq >= seen.get(0, 0)\n    seen[0] = report.seq\n" + WEIGH,
         r"app.py:10 in act: AssertionError: .*\(reports out of order and repeated, and 1 more trials\)"),
        ("    assert report.seq - seen.get(0, 0) < 30\n    seen[0] = report.seq\n" + WEIGH, r".*\(lost reports"),
        ("    assert report.seq or not seen\n    seen[0] = 1\n" + WEIGH,
         r"app.py:10 in act: AssertionError: .*\(a restart of the node"),
        ("    assert seen.setdefault(0, report.node) == report.node\n" + WEIGH, r".*\(two nodes with the same ids"),
        ("    assert report.ue.max(initial=0) < 1000\n" + WEIGH, r".*\(UEs and cells that come and go"),
        (WEIGH + "\n\n@app.every('1s')\ndef tick():\n    return seen['report']", r"app.py:14 in tick: KeyError: 'report'"),
        (WEIGH + "\n\n@app.on_result\ndef done(result):\n    seen[result.id] = seen.get(result.id, 0) + 1\n"
         "    assert seen[result.id] == 1", r"app.py:15 in done: AssertionError: .*\(results late, twice"),
        (WEIGH + "\n\n@app.on_result\ndef done(result):\n    assert 'another-run' not in result.id",
         r"app.py:14 in done: AssertionError: .*\(results late, twice and of nothing asked for\)"),
        (WEIGH + "\n\n@app.summary\ndef found():\n    return [1]", r"the summary is a list, want a dictionary"),
        (WEIGH + "\n\n@app.summary\ndef found():\n    return 1 / len(seen)",
         r"the summary: app.py:14 in found: ZeroDivisionError"),
    ],
)  # fmt: skip
def test_what_an_xapp_does_wrong_is_one_line_with_its_place(tmp_path: Path, body: str, finding: str) -> None:
    folder = write_xapp(tmp_path / "mine", app=HEAD + body)
    with pytest.raises(AssertionError, match=rf"(?s)mine has \d+ faults?:\n(- .*\n)*- {finding}"):
        check_xapp(folder)


def test_a_model_that_does_not_answer_in_time_must_not_reach_an_action(tmp_path: Path) -> None:
    write_model(tmp_path / "sum")
    app = """
        from ranloop import SetUeWeight, XApp
        app = XApp()
        model = app.model("sum")

        @app.on_report("DRB.UEThpDl", "CQI")
        def act(report):
            return SetUeWeight(ue=report.ue, weight=model(report) * 0 + 1)
    """
    text = """
        name = "mine"
        version = "1"
        summary = "test"
        streams = [{ level = "ue", every_ms = 100, measurements = ["DRB.UEThpDl", "CQI"] }]
        actions = [{ name = "SetUeWeight" }]
        models = { sum = "../sum" }
    """
    with pytest.raises(
        AssertionError, match=r"has 1 fault:\n- .*weight = nan .*\(models that do not answer in time\)"
    ):
        check_xapp(write_xapp(tmp_path / "mine", app=app, text=text))


def test_a_folder_that_is_no_xapp_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is no xApp: it has no manifest"):
        check_xapp(tmp_path)


def test_ranloop_check_runs_the_trials(tmp_path: Path, ranloop: Command) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    write_xapp(good, app=HEAD + WEIGH, text=MANIFEST.format(name="good"))
    write_xapp(bad, app=HEAD + "    report['CQI'].max()\n" + WEIGH, text=MANIFEST.format(name="bad"))
    passed, failed = ranloop("check", good, "--trials"), ranloop("check", bad, "--trials")
    assert (passed.code, failed.code) == (0, 1)
    assert "faults    none in all trials\n" in passed.out
    assert "faults    app.py:10 in act: ValueError: zero-size" in failed.out
    assert failed.out.endswith("does not stand what a network does to it\n")
    assert json.loads(ranloop("check", bad, "--trials", "--json").out)[0]["faults"]
    assert "leave one of them out" in ranloop("check", good, "--trials", "--no-run").complaint


def test_a_setting_that_an_operator_may_give_and_the_xapp_cannot_take_is_a_fault(tmp_path: Path) -> None:
    body = "    1 / app.settings['gain']\n" + WEIGH
    with pytest.raises(AssertionError, match=r"ZeroDivisionError.*\(settings changed while it runs\)"):
        check_xapp(write_xapp(tmp_path / "mine", app=HEAD + body))
