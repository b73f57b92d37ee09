"""Tests of my_xapp: `pytest my_xapp`."""

from pathlib import Path

import numpy as np
import pytest

from ranloop.testing import XAppHarness, check_xapp, make_report

FOLDER = Path(__file__).parent
policy = XAppHarness(FOLDER).module("policy")


def test_a_flow_needs_the_share_that_carries_its_bits() -> None:
    # 2 Mb/s at 400 bit/PRB are 5000 PRB/s, of 100 000 PRB/s 5 %.
    columns = ([2000, 2000, np.nan], [400, 0, 400], [1e5, 1e5, 1e5])
    need = policy.needed_share(*(np.array(column, np.float32) for column in columns))
    assert need.tolist() == [pytest.approx(0.05), np.inf, np.inf]


def test_in_each_cell_the_cheapest_come_first_until_the_cell_is_full() -> None:
    cell, need = np.array([0, 0, 0, 1], np.int32), np.array([0.5, 0.3, 0.4, 0.9], np.float32)
    assert policy.fitting(cell, need, np.ones(4, bool), 0.8).tolist() == [False, True, True, False]


def test_it_boosts_what_fits_and_leaves_best_effort_alone() -> None:
    xapp = XAppHarness(FOLDER)
    xapp.send(make_report({"RRU.PrbAvailDl": [50.0]}, level="cell"))
    flows = {
        "CQI": [12.0] * 3,
        "X.UE.MeanMcsDl": [20.0] * 3,
        "RSRP": [-80.0] * 3,
        "X.DRB.RadioBudgetDl": [100.0, 100.0, np.nan],  # the third is best effort
        "X.DRB.OfferedVolDl": [200.0, 9e4, 200.0],  # kbit in 100 ms
        "X.UE.SpectralEffDl": [400.0, 400.0, 400.0],
        "X.DRB.BudgetMissRateDl": [0.0, 0.0, np.nan],
    }
    (action,) = xapp.send(make_report(flows, level="qos_flow", ids={"ue": [7, 8, 9]}))
    assert action.targets().ravel().tolist() == [7, 8]
    assert action.parameters().ravel().tolist() == [64.0, pytest.approx(0.2)]


def test_it_copes_with_what_a_network_does() -> None:
    check_xapp(FOLDER)
