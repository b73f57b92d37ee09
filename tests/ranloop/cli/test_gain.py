"""`ranloop gain`: what xApps gain over nothing, on paired drops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ranloop.evaluate import run_drop
from tests.builders import MANIFEST, write_xapp
from tests.command import Command

SHORT = (
    "--node",
    "sim:one-cell",
    "--drops",
    "2",
    "--duration-s",
    "1",
    "--override",
    "run.warmup_s=0.2",
    "--override",
    "load=0.3",
)
IDLE = """
from ranloop import Report, XApp
app = XApp()

@app.on_report("CQI")
def act(report: Report) -> None:
    pass
"""


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers take seconds to start; what they do is tested with `run_tasks`."""
    monkeypatch.setattr("ranloop.cli.gain.run_tasks", lambda tasks: [run_drop(task) for task in tasks])


def test_an_xapp_that_does_nothing_gains_nothing(ranloop: Command, tmp_path: Path) -> None:
    folder = write_xapp(tmp_path / "idle", app=IDLE)
    told = json.loads(ranloop("gain", folder, *SHORT, "--json").out)
    assert (told["drops"], told["targets"]) == (2, {})
    assert told["figures"]["delivered_mbps"]["nothing"] > 0
    for figure in told["figures"].values():
        assert (figure["mean"], figure["low"], figure["high"]) == (0.0, 0.0, 0.0)


def test_what_an_xapp_changes_is_told_with_its_interval(ranloop: Command, tmp_path: Path) -> None:
    out = ranloop("gain", write_xapp(tmp_path / "weigher"), *SHORT, "--set", "gain=2").out
    assert out.startswith("2 drops of 1 s, seeds 1 to 2; means over drops, 95 % intervals\n")
    (line,) = (line for line in out.splitlines() if line.startswith("best_effort_mbps"))
    assert line.count("[") == 1
    assert " applied" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "gian=1"), "weigher has no setting 'gian'; it has: gain"),
        (("--override", "lod=1"), "lod: got 1, want no such field"),
        (("--override", "run.warmup_s=1"), "one-cell: ended at 1 s, within its warm-up of 1 s"),
    ],
)
def test_a_wrong_one_is_one_line(
    ranloop: Command, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    folder = write_xapp(tmp_path / "weigher", text=MANIFEST.format(name="weigher"))
    assert words in ranloop("gain", folder, *SHORT, *arguments).complaint
