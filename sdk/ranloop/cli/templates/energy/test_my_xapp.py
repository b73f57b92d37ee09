"""Tests of my_xapp: `pytest my_xapp`."""

from pathlib import Path

import numpy as np
import pytest

from ranloop import CellState, SetCellState
from ranloop.testing import XAppHarness, check_xapp, make_report

FOLDER = Path(__file__).parent
NAN = float("nan")


@pytest.mark.parametrize(
    ("load_pct", "ues", "asleep", "most", "sleepers"),
    [
        ([5.0, 2.0, 9.0], [1.0, 0.0, 3.0], [], 1, [1]),  # the empty one
        ([5.0, 2.0, 9.0], [1.0, 0.1, 3.0], [], 1, []),
        ([5.0, 2.0, 11.0], [1.0, 0.0, 3.0], [], 1, []),  # another one has something to do
        (
            [5.0, NAN, 39.0],
            [1.0, NAN, 3.0],
            [1],
            1,
            [1],
        ),  # between the two limits what sleeps goes on sleeping
        ([5.0, NAN, 41.0], [1.0, NAN, 3.0], [1], 1, []),
        ([5.0, NAN, 9.0], [1.0, NAN, 3.0], [], 1, []),  # a cell that says nothing counts as full
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [], 9, [0, 1]),  # one stays awake
        ([0.0], [0.0], [], 1, []),
        ([], [], [], 1, []),
    ],
)
def test_which_cells_sleep(
    load_pct: list[float], ues: list[float], asleep: list[int], most: int, sleepers: list[int]
) -> None:
    policy = XAppHarness(FOLDER).module("policy")
    limits = policy.Limits(sleep_pct=10.0, most_ues=0.0, wake_pct=40.0, most_asleep=most)
    columns = (
        np.array(load_pct, np.float32),
        np.array(ues, np.float32),
        np.isin(np.arange(len(ues)), asleep),
    )
    assert policy.sleepers(*columns, limits).tolist() == sleepers


def test_it_asks_for_sleep_alone() -> None:
    columns = {
        "RRU.PrbTotDl": [5.0, 0.0, 9.0],
        "RRC.ConnMean": [1.0, 0.0, 2.0],
        "X.Cell.State": [0.0, 0.0, 0.0],
    }
    report = make_report(columns, level="cell", period_ms=1000)
    assert XAppHarness(FOLDER).send(report) == [SetCellState(cell=[1], state=CellState.DEEP_SLEEP)]


def test_it_copes_with_what_a_network_does() -> None:
    check_xapp(FOLDER)
