"""The example on the page about testing runs as it stands, and its tables have every trial and every rule."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from ranloop.testing import bus_check, xapp_check

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    monkeypatch.chdir(ROOT)
    assert len(runpy.run_path(str(tmp_path / "example.py"))["action"]) == 1


@pytest.mark.parametrize(
    ("heading", "names"),
    [("trial", [trial.name for trial in xapp_check.TRIALS]), ("rule", list(bus_check.RULES))],
)
def test_the_table_is_complete(heading: str, names: list[str]) -> None:
    (table,) = re.findall(rf"^\| {heading} \|.*\n\|[-|]*\n((?:\|.*\n)*)", PAGE, re.MULTILINE)
    assert re.findall(r"^\| (.*?) \|", table, re.MULTILINE) == names
