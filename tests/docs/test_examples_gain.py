"""What acts on a network in this repository does no harm there: each against doing nothing, on drops that nothing was tuned on.

The templates of `ranloop new` are held to the same by the comparisons in their READMEs (tests/ranloop/cli/test_new.py).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ranloop.claims import judge, parse_claim
from ranloop.evaluate import Arm, Task, run_tasks
from ranloop.statistics import Shown
from ranloop.xapp.manifest import load_manifest

ROOT = Path(__file__).parents[2]
# Folder -> seeds, and the share of best effort that it may cost. The shares were fixed before the drops were run.
ACTING = {
    "docs/examples/foreign_xapp": (range(3101, 3105), "15%"),
    "docs/examples/keep_in_budget": (range(3101, 3105), "15%"),
    "xapps/qos_scheduler": (range(3201, 3209), "20%"),  # as the templates that decide as it does
}
# What gives no airtime: their KPIs beside a network without them are in docs/xapps.json, see test_xapps_page.
JUDGED_ON_THE_PAGE = tuple(
    f"xapps/{name}" for name in ("energy_saver", "link_tuner", "slice_tuner", "traffic_steering")
)

# Folders that are to recommend only, because no gain of theirs is shown; their manifests say so.
RECOMMENDING = {"docs/examples/fault_steering"}

# Decides by the very code of the example, whose MQTT client is a stub.
IN_THIS_PROCESS = """
import json, runpy, sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock, patch
from ranloop import Report, SetUeWeight, XApp

app = XApp()
paho = dict.fromkeys(("paho", "paho.mqtt", "paho.mqtt.client"), MagicMock())
with patch.dict(sys.modules, paho), patch.object(sys, "argv", ["xapp.py", "HOST", "1883"]), patch("builtins.print"):
    act = runpy.run_path(str(Path(__file__).with_name("xapp.py")))["act"]

@app.on_report("X.DRB.BudgetMissRateDl", level="qos_flow", every_ms=100)
def handed_on(report: Report) -> list[SetUeWeight]:
    missed = report["X.DRB.BudgetMissRateDl"].tolist()
    said = {
        "node": report.node, "seq": report.seq, "ran_time_ns": report.ran_time_ns, "ids": {"ue": report.ue.tolist()},
        "values": {"X.DRB.BudgetMissRateDl": [None if value != value else value for value in missed]},
    }
    sent = []
    act(SimpleNamespace(publish=lambda topic, payload, qos: sent.append(json.loads(payload))), said)
    return [SetUeWeight(ue=batch["targets"]["ue"], **batch["parameters"]) for batch in sent]
"""


def runnable(folder: Path, scratch: Path) -> Path:
    """The folder, or for an xApp in another language one that decides as it does."""
    if load_manifest(folder).encoding != "json":
        return folder
    twin = shutil.copytree(folder, scratch / folder.name)
    manifest = twin / "manifest.toml"
    manifest.write_text(manifest.read_text("utf-8").replace('encoding = "json"\n', ""), "utf-8")
    (twin / "app.py").write_text(IN_THIS_PROCESS, "utf-8")
    return twin


def test_every_xapp_that_acts_is_held_to_it() -> None:
    folders = [
        path.parent for place in ("docs/examples", "xapps") for path in ROOT.glob(f"{place}/*/manifest.toml")
    ]
    acting = [folder for folder in folders if load_manifest(folder).rights.actions]
    assert sorted(folder.relative_to(ROOT).as_posix() for folder in acting) == sorted(
        {*ACTING, *JUDGED_ON_THE_PAGE, *RECOMMENDING}
    )
    assert all("recommend only" in load_manifest(ROOT / folder).summary for folder in RECOMMENDING)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ACTING)
def test_more_users_are_satisfied_and_best_effort_loses_no_more_than_the_margin(
    folder: str, tmp_path: Path
) -> None:
    seeds, margin = ACTING[folder]
    claims = ["satisfied more", f"best_effort_mbps at most {margin} less"]
    arms = Arm(name="nothing"), Arm(name="xapp", xapps=(runnable(ROOT / folder, tmp_path),))
    overrides = {"run.duration_s": 12.0}
    tasks = [
        Task(arm=arm, seed=seed, node="sim:seven-sites", overrides=overrides)
        for seed in seeds
        for arm in arms
    ]
    scores = [result.score for result in run_tasks(tasks)]
    verdicts = judge([parse_claim(text) for text in claims], scores[0::2], scores[1::2])
    assert [verdict.shown for verdict in verdicts] == [Shown.YES] * 2, verdicts
