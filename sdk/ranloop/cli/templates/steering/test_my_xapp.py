"""Tests of my_xapp: `pytest my_xapp`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ranloop import Handover
from ranloop.testing import XAppHarness, check_xapp, make_report
from ranloop.wire.messages import Catalogue, CellRelation, Report

FOLDER = Path(__file__).parent
NAMES = {0: "own", 1: "sister", 5: "far"}


def cells(**load_pct: float) -> Report:
    """The load of the cells, by their names."""
    report = make_report({"RRU.PrbTotDl": list(load_pct.values())}, level="cell", period_ms=1000)
    return replace(report, labels={"cell": dict(enumerate(load_pct))})


def heard(rsrp_dbm: list[float]) -> Report:
    """UE 7 of cell 0 and its RSRP of cells 0, 1 and 5."""
    ids = {"ue": [7] * 3, "cell": [0] * 3, "measured_cell": [0, 1, 5]}
    report = make_report({"RSRP": rsrp_dbm}, level="ue_cell", ids=ids, period_ms=1000)
    return replace(report, labels={"measured_cell": NAMES})


def budgets(*budget_ms: float) -> Report:
    """The delay budgets of UEs 7, 8, …; NaN is best effort."""
    ids = {"ue": np.arange(7, 7 + len(budget_ms))}
    return make_report({"X.DRB.RadioBudgetDl": budget_ms}, ids=ids, period_ms=1000)


def node(*, far_is_allowed: bool = True) -> Catalogue:
    far = CellRelation(cell=5, name="far", is_ho_allowed=far_is_allowed)
    table = {0: (CellRelation(cell=1, name="sister"), far)}
    return Catalogue(
        node="site0",
        measurements={},
        actions=(),
        periods_ms=(),
        cells={0: "own", 1: "sister"},
        neighbours=table,
    )


@pytest.mark.parametrize(
    ("rsrp_dbm", "far_is_allowed", "target"),
    [
        ([-90.0, -90.5, -91.0], True, 5),  # the emptier one, though it is weaker
        ([-90.0, -90.5, -91.0], False, 1),
        ([-90.0, -90.5, -91.5], True, 1),  # 1.5 dB below: too weak
        ([-90.0, np.nan, -91.5], True, None),  # no value is no candidate
    ],
)
def test_it_steers_to_the_emptiest_of_the_near_neighbours(
    rsrp_dbm: list[float], far_is_allowed: bool, target: int | None
) -> None:
    xapp = XAppHarness(FOLDER, within_db=1.0, relief_pct=40.0)
    xapp.know(node(far_is_allowed=far_is_allowed))
    xapp.send(cells(own=90.0, sister=50.0, far=20.0))
    xapp.send(budgets(np.nan))
    assert xapp.send(heard(rsrp_dbm)) == ([] if target is None else [Handover(ue=7, target_cell=target)])


def test_a_cell_with_less_room_than_asked_for_is_no_target() -> None:
    xapp = XAppHarness(FOLDER, within_db=1.0, relief_pct=40.0)
    xapp.know(node())
    xapp.send(cells(own=90.0, sister=51.0, far=51.0))
    xapp.send(budgets(np.nan))
    assert xapp.send(heard([-90.0, -90.0, -90.0])) == []


@pytest.mark.parametrize("known", [budgets(100.0), budgets()])
def test_a_ue_with_a_delay_budget_or_an_unknown_one_stays(known: Report) -> None:
    xapp = XAppHarness(FOLDER)
    xapp.know(node())
    xapp.send(cells(own=90.0, sister=10.0, far=10.0))
    xapp.send(known)
    assert xapp.send(heard([-90.0, -90.0, -90.0])) == []


def test_it_copes_with_what_a_network_does() -> None:
    check_xapp(FOLDER)
