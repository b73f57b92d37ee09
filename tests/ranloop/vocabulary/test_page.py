"""The printed vocabulary is complete, and the page in docs/ is the printed one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ranloop.vocabulary import ACTIONS, MEASUREMENTS
from ranloop.vocabulary.page import vocabulary_page

PAGE = Path(__file__).parents[3] / "docs" / "vocabulary.md"


def test_the_page_in_docs_is_up_to_date() -> None:
    hint = "renew it: python -m ranloop.vocabulary > docs/vocabulary.md"
    assert PAGE.read_text(encoding="utf-8") == vocabulary_page(), hint


def test_the_module_prints_the_page() -> None:
    printed = subprocess.run([sys.executable, "-m", "ranloop.vocabulary"], capture_output=True, check=True)
    assert printed.stdout.decode("utf-8") == vocabulary_page()


def test_every_entry_has_its_heading() -> None:
    headings = [line for line in vocabulary_page().splitlines() if line.startswith("### ")]
    assert headings == [f"### `{name}`" for name in (*MEASUREMENTS, *ACTIONS)]


def test_whole_numbers_are_written_out() -> None:
    assert "| `target_cell` | id | 0 to 16777215 | none |" in vocabulary_page()
    assert "| `bler_target` | 1 | 0.001 to 0.5 | 0.1 |" in vocabulary_page()
    assert "e+" not in vocabulary_page()
