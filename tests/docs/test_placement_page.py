"""The page about placement shows what its command prints."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_of_splits_is_what_the_example_prints(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(DOCS / "examples/split_pays.py"), run_name="__main__")
    printed = capsys.readouterr().out.strip()
    assert "| wins |" in printed
    assert "| refused |" in printed
    assert printed in (DOCS / "placement.md").read_text("utf-8")
