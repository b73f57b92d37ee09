"""Tests of my_xapp: `pytest my_xapp`."""

from pathlib import Path

import numpy as np
import pytest

from ranloop import CellState, SetCellState
from ranloop.testing import XAppHarness, check_xapp, make_report

FOLDER = Path(__file__).parent
NAN = float("nan")


@pytest.mark.parametrize(
    ("load_pct", "asleep", "most", "sleepers"),
    [
        ([5.0, 2.0, 9.0], [], 1, [1]),  # the emptiest
        ([5.0, 2.0, 11.0], [], 1, []),  # one has something to do
        ([5.0, NAN, 39.0], [1], 1, [1]),  # between the two limits what sleeps goes on sleeping
        ([5.0, NAN, 41.0], [1], 1, []),
        ([5.0, NAN, 9.0], [], 1, []),  # a cell that says nothing counts as full
        ([5.0, 2.0, 9.0], [], 9, [0, 1]),  # one stays awake
        ([5.0], [], 1, []),
        ([], [], 1, []),
    ],
)
def test_who_sleeps(load_pct: list[float], asleep: list[int], most: int, sleepers: list[int]) -> None:
    policy = XAppHarness(FOLDER).module("policy")
    sleeps = np.isin(np.arange(len(load_pct)), asleep)
    assert (
        policy.sleepers(np.array(load_pct, np.float32), sleeps, policy.Limits(10.0, 40.0, most)).tolist()
        == sleepers
    )


def test_it_asks_for_sleep_alone() -> None:
    report = make_report(
        {"RRU.PrbTotDl": [5.0, 2.0, 9.0], "X.Cell.State": [0, 0, 0]}, level="cell", period_ms=1000
    )
    assert XAppHarness(FOLDER).send(report) == [SetCellState(cell=[1], state=CellState.DEEP_SLEEP)]


def test_it_copes_with_what_a_network_does() -> None:
    check_xapp(FOLDER)
