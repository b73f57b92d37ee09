"""The tables of `ranloop evaluate placement`: shares of the way to the oracle, and the page that they are written into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ranloop.cli import evaluate_placement as command
from ranloop.cli.evaluate_placement import _gate_rows, _judge, _page
from ranloop.errors import PlacementError
from ranloop.placement.trial import Outcome
from tests.command import Command


def outcome(value: float) -> Outcome:
    """Two questions of the same value."""
    none = np.zeros(2)
    return Outcome(
        value=np.full(2, value),
        is_better=np.zeros(2, bool),
        asked=np.zeros(2, bool),
        waited_ms=none,
        joules=none,
        sent_bytes=none,
        n_switches=0,
    )


def test_the_share_of_the_way_is_counted_from_the_fixed_tier_that_is_best_over_all_seeds() -> None:
    """Fixed: a has 1 and 0, b 0.9 and 0.9, so b. The oracle has 1.9; the planner 1.2 and 1.6: 0.5 of 1 more than b."""
    seeds = [
        {"always a": outcome(1.0), "always b": outcome(0.9), "planner": outcome(1.2), "oracle": outcome(1.9)},
        {"always a": outcome(0.0), "always b": outcome(0.9), "planner": outcome(1.6), "oracle": outcome(1.9)},
    ]
    judged = _judge(seeds)
    assert judged.fixed == "always b"
    share, low, high = judged.closed("planner")
    assert share == pytest.approx(0.5)
    assert [low, high] == pytest.approx([0.3, 0.7])  # both seeds the one, or both the other


def test_a_gate_beats_as_many_rows_at_random_and_keeps_its_budget_on_drops_that_were_not_calibrated_on() -> (
    None
):
    for row in _gate_rows():
        if 0 < row.budget < 1:
            assert row.offloaded <= row.budget + 0.02, row
            assert row.right >= row.right_at_random, row


def test_a_page_without_a_place_for_the_tables_is_refused_before_anything_runs(
    tmp_path: Path, ranloop: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ProcessPoolExecutor", None)  # nothing may run
    (tmp_path / "page.md").write_text("# A page\n")
    complaint = ranloop("evaluate", "placement", "--write", tmp_path / "page.md").complaint
    assert "<!-- placement --> … <!-- /placement -->" in complaint


def test_a_page_keeps_what_stands_around_the_tables(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("before\n<!-- placement -->\nold\n<!-- /placement -->\nafter\n")
    assert _page(tmp_path / "page.md") == ("before\n", "\nafter\n")
    with pytest.raises(PlacementError, match="No such file"):
        _page(tmp_path / "none.md")
