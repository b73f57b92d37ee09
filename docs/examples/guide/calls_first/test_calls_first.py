"""Tests of calls_first: `pytest calls_first`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ranloop.testing import VirtualRan, XAppHarness, check_xapp, make_report

FOLDER = Path(__file__).parent
policy = XAppHarness(FOLDER).module("policy")


def test_best_effort_is_in_no_hurry_and_the_hopeless_are_left_alone() -> None:
    ue = np.array([5, 6, 7], np.int32)
    budget_ms, missed = np.array([100, np.nan, 15], np.float32), np.array([0.1, np.nan, 0.9], np.float32)
    assert policy.in_a_hurry(ue, budget_ms, missed, give_up=0.5).tolist() == [5]


def test_a_report_becomes_an_action() -> None:
    flows = {"X.DRB.RadioBudgetDl": [100, np.nan], "X.DRB.BudgetMissRateDl": [0, np.nan]}
    (action,) = XAppHarness(FOLDER, boost=4.0).send(
        make_report(flows, level="qos_flow", ids={"ue": [11, 12]})
    )
    assert action.targets().tolist() == [[11]]
    assert action.parameters().tolist() == [[4.0]]


def test_without_reports_its_settings_end(ran: Callable[..., VirtualRan]) -> None:
    network = ran(FOLDER, boost=4.0)
    flow = {"X.DRB.RadioBudgetDl": [100], "X.DRB.BudgetMissRateDl": [0]}
    network.show(flow, level="qos_flow", ids={"ue": [3]})
    network.run(300)
    assert network.held == {("SetUeWeight", (3,)): {"weight": 4.0}}
    network.lose(10)
    network.run(500)  # longer than the lease, three report periods
    assert network.held == {}


def test_it_copes_with_what_a_network_does() -> None:
    check_xapp(FOLDER)
