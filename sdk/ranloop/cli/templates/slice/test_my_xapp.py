"""Tests of my_xapp: `pytest my_xapp`."""

from pathlib import Path

import pytest

from ranloop import SetSliceQuota
from ranloop.testing import XAppHarness, check_xapp, make_report
from ranloop.wire.messages import Catalogue, Report

FOLDER = Path(__file__).parent
NAN = float("nan")


def harness(*min_pct: float) -> XAppHarness:
    """The xApp at a node whose slices 0, 1, … are guaranteed these shares."""
    xapp = XAppHarness(FOLDER, extra_pct=30.0)
    slices = dict(enumerate(min_pct))
    xapp.know(
        Catalogue(
            node="site0",
            measurements={},
            actions=(),
            periods_ms=(),
            cells={0: "a"},
            slices=dict.fromkeys(slices, "1-1"),
            slice_min_pct=slices,
        )
    )
    return xapp


def slices(missed: list[float], max_pct: list[float]) -> Report:
    columns = {
        "X.DRB.BudgetMissRateDl": missed,
        "X.Slice.MaxQuota": max_pct,
        "X.Slice.DedicatedQuota": [5.0] * len(missed),
    }
    return make_report(columns, level="slice", period_ms=1000)


@pytest.mark.parametrize(
    ("configured", "missed", "max_pct", "wanted"),
    [
        ((30.0, 30.0), [NAN, 0.2], [100.0, 100.0], {1: 60.0}),
        ((30.0, 30.0), [0.2, 0.2], [100.0, 100.0], {0: 50.0, 1: 50.0}),  # 40 % are left for both
        ((30.0, 5.0), [0.0, 0.2], [100.0, 20.0], {1: 20.0}),  # its maximum
        ((60.0, 40.0), [0.0, 0.2], [100.0, 100.0], {1: 40.0}),  # there is no room
        ((30.0, 30.0), [0.0, 0.01], [100.0, 100.0], {}),  # as many may be late
        ((30.0, 30.0), [0.0, 0.2], [NAN, 100.0], {}),  # the room is not known
        ((30.0, 4.0), [0.0, 0.2], [100.0, 100.0], {}),  # less than the dedicated 5 %: no node has that
    ],
)
def test_late_slices_are_guaranteed_more(
    configured: tuple[float, ...], missed: list[float], max_pct: list[float], wanted: dict[int, float]
) -> None:
    actions = harness(*configured).send(slices(missed, max_pct))
    rows = list(wanted)
    action = SetSliceQuota(
        cell=[0] * len(rows),
        slice=rows,
        min_pct=list(wanted.values()),
        max_pct=[max_pct[row] for row in rows],
        dedicated_pct=5.0,
    )
    assert actions == ([action] if rows else [])


def test_it_copes_with_what_a_network_does() -> None:
    check_xapp(FOLDER)
