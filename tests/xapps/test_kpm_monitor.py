"""The monitor prints what a report says, one line a cell, and asks for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranloop.embedded import run_embedded
from ranloop.node import open_world
from ranloop.testing import XAppHarness, make_report

XAPP = Path(__file__).parents[2] / "xapps" / "kpm_monitor"


def test_it_prints_a_line_for_each_cell_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    report = make_report(
        {"RRU.PrbTotDl": [41.6, 100], "DRB.UEThpDl": [12345.4, float("nan")], "RRC.ConnMean": [7.25, 0]},
        level="cell",
        ids={"cell": [3, 12]},
        period_ms=1000,
        seq=4,
    )
    assert XAppHarness(XAPP).send(report) == []
    # The fifth period of a second ends at 5 s. A cell without users has no throughput, which is not 0.
    assert capsys.readouterr().out == (
        "   5.0 s  cell  3  PRB  42 %    12345 kbit/s   7.2 UEs\n"
        "   5.0 s  cell 12  PRB 100 %      nan kbit/s   0.0 UEs\n"
    )


def test_it_has_no_right_to_change_anything_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    harness = XAppHarness(XAPP)
    assert harness.instance.manifest.actions == ()
    world = open_world("sim:one-cell")
    summary = run_embedded(world, [XAPP], until_ns=1_000_000_000).summary
    world.close()
    assert summary.outcomes == {}
    assert capsys.readouterr().out.count("\n") == 1
