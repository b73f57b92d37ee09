"""Reads the tables of `docs/calibration.md` back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[3] / "docs" / "calibration.md"


class Row(NamedTuple):
    """One figure of the page."""

    low: float
    high: float
    unit: str
    fits: str
    source: str


def _below(title: str) -> str:
    return PAGE.read_text("utf-8").split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def was_quick(title: str) -> bool:
    """Whether the page shows a quick run of a subject."""
    return " --quick`" in _below(title).lstrip().partition("\n")[0]


def rows(title: str) -> dict[str, Row]:
    """The figures under a heading, by what they are called; empty where nothing is checked."""
    lines = [line for line in _below(title).splitlines() if line.startswith("| ")][1:]
    cells = [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines
    ]
    return {
        what: Row(*_range(passes_in), unit, fits, source)
        for what, _, _, passes_in, unit, fits, source in cells
    }


def _range(text: str) -> tuple[float, float]:
    text = text.replace("−", "-")
    if text.startswith("≥"):
        return float(text[1:]), float("inf")
    if text.startswith("≤"):
        return float("-inf"), float(text[1:])
    low, high = text.split(" … ")
    return float(low), float(high)
