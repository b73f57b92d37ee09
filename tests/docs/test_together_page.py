"""The page of all xApps together: what the command writes of the results beside it, of every xApp that acts."""

from __future__ import annotations

from pathlib import Path

from ranloop.evaluation import Together, read_together, together_page
from ranloop.evaluation.together import TOGETHER_FILE
from ranloop.node.mishaps import KINDS
from ranloop.xapp.manifest import load_manifest

ROOT = Path(__file__).parents[2]
PLAN = read_together(ROOT / "xapps" / TOGETHER_FILE)
KEPT = Together.model_validate_json((ROOT / "docs" / "together.json").read_bytes())


def test_every_bundled_xapp_that_acts_is_there() -> None:
    folders = [path.parent for path in sorted(ROOT.glob("xapps/*/manifest.toml"))]
    acting = {folder.name for folder in folders if load_manifest(folder).actions}
    assert set(PLAN.xapps) == acting - {"slice_tuner"}  # the network has no slices with promises


def test_the_page_is_what_the_command_writes_of_the_kept_results() -> None:
    assert (ROOT / "docs" / "together.md").read_text("utf-8") == together_page(
        KEPT, "ranloop evaluate together"
    )


def test_the_results_are_of_what_stands_in_the_file() -> None:
    assert KEPT.joint.arms == ("nothing", *PLAN.xapps, "together")
    assert [change.what for change in KEPT.joint.claims] == [claim.text for claim in PLAN.claims]
    assert [(trial.xapp, trial.mishap) for trial in KEPT.fail_safe.trials] == list(PLAN.trials)
    assert {trial.mishap for trial in KEPT.fail_safe.trials} == set(KINDS)
    assert (KEPT.joint.n, KEPT.fail_safe.n) == (len(PLAN.joint.each), len(PLAN.fail_safe.each))
