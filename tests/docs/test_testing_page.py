"""The example on the page about testing runs as it stands, and its table has every trial."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from ranloop.testing import xapp_check

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    monkeypatch.chdir(ROOT)
    assert len(runpy.run_path(str(tmp_path / "example.py"))["action"]) == 1


def test_the_table_has_every_trial() -> None:
    rows = re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE)
    assert rows[1:] == [trial.name for trial in xapp_check.TRIALS]
