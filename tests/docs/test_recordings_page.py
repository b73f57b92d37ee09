"""The page about recordings: its example runs, and its table has the columns that there are."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ran_sim.bridge import open_world
from ranloop.node import Recorder
from ranloop.vocabulary import MEASUREMENTS

PAGE = (Path(__file__).parents[2] / "docs" / "recordings.md").read_text("utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A tenth of a second of every stream of the simulator."""
    world = open_world("one-cell")
    wanted = {
        (catalogue.node, str(level), 100): frozenset(names)
        for catalogue in world.catalogues
        for level, names in catalogue.measurements.items()
    }
    with Recorder(tmp_path / "run", world) as recorder:
        world.advance(world.next_report_ns())
        for report in world.reports(wanted):
            recorder.take(report)
    return tmp_path / "run"


def test_the_example_prints_a_mean_per_ue(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(run.parent)
    (run.parent / "example.py").write_text(example)
    runpy.run_path("example.py")
    printed = capsys.readouterr().out
    assert "ue-000" in printed
    assert "DRB.UEThpDl_mean: double" in printed


def test_the_table_has_the_columns_and_types_that_are_written(run: Path) -> None:
    rows = re.findall(r"^\| (`.*?) \| (int32|int64|string|float32) \|", PAGE, re.MULTILINE)
    said = {name: kind for names, kind in rows for name in re.findall(r"`([\w.]+)`", names)}
    written = {
        field.name: str(field.type).replace("float", "float32")
        for path in run.rglob("*.parquet")
        for field in pq.read_schema(path)
    }
    own = {name: kind for name, kind in written.items() if name not in MEASUREMENTS}
    assert own == {name: kind for name, kind in said.items() if name not in MEASUREMENTS}
    assert {written[name] for name in written.keys() & MEASUREMENTS.keys()} == {said["DRB.UEThpDl"]}
