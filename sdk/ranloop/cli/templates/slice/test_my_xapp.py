"""Tests of my_xapp: `pytest my_xapp`."""

from pathlib import Path

from ranloop import SetSliceQuota
from ranloop.testing import XAppHarness, check_xapp, make_report
from ranloop.wire.messages import Report

FOLDER = Path(__file__).parent
NAN = float("nan")


def slices(used_prb: list[float], dedicated_pct: list[float]) -> Report:
    """Slices 1, 2, … of cell 0, each with 5 to 20 percent."""
    n = len(used_prb)
    columns = {
        "RRU.PrbUsedDl": used_prb,
        "X.Slice.MinQuota": [5.0] * n,
        "X.Slice.MaxQuota": [20.0] * n,
        "X.Slice.DedicatedQuota": dedicated_pct,
    }
    return make_report(columns, level="slice", ids={"slice": range(1, n + 1)}, period_ms=1000)


def test_a_slice_keeps_headroom_and_lends_the_rest() -> None:
    xapp = XAppHarness(FOLDER, headroom=2.0, least_pct=1.0)
    xapp.send(make_report({"RRU.PrbAvailDl": [100.0]}, level="cell", period_ms=1000))
    # They use 1, 0.1, 3 and an unknown share; twice as much is 2 and 0.2, which is less than the least; 6 is more than there is.
    # The last one has nothing to lend.
    action = SetSliceQuota(cell=[0, 0], slice=[1, 2], min_pct=5.0, max_pct=20.0, dedicated_pct=[2.0, 1.0])
    assert xapp.send(slices([1.0, 0.1, 3.0, NAN, 0.1], [5.0, 5.0, 5.0, 5.0, 0.0])) == [action]


def test_without_the_cells_size_it_does_nothing() -> None:
    assert XAppHarness(FOLDER).send(slices([1.0], [5.0])) == []


def test_it_copes_with_what_a_network_does() -> None:
    check_xapp(FOLDER)
