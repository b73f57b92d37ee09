"""Tests of my_xapp: `pytest my_xapp`."""

from pathlib import Path

import numpy as np
import pytest

from ranloop.testing import XAppHarness, check_xapp, make_report

FOLDER = Path(__file__).parent


def test_the_busiest_cell_comes_first_and_no_value_is_not_busy() -> None:
    policy = XAppHarness(FOLDER).module("policy")
    prb_pct = np.array([70.0, np.nan, 95.0, 69.0], np.float32)
    assert policy.busy(prb_pct, 70.0).tolist() == [2, 0]


def test_it_says_which_cell_is_busy(capsys: pytest.CaptureFixture[str]) -> None:
    xapp = XAppHarness(FOLDER, busy_pct=50.0)
    assert xapp.send(make_report({"RRU.PrbTotDl": [10.0, 80.0]}, level="cell", period_ms=1000)) == []
    assert capsys.readouterr().out.count("80 % of its PRBs") == 1


def test_it_copes_with_what_a_network_does() -> None:
    check_xapp(FOLDER)
