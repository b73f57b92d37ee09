"""The table reads each interval in a word, and says where that is better."""

from __future__ import annotations

import math

import pytest

from ranloop.comparison import Row, table
from ranloop.kpi import Better, Kpi


def row(old: list[float], new: list[float], better: Better = "higher") -> Row:
    kpi = Kpi(key="k", label="k", unit="UE", better=better, definition="")
    return table([kpi], [{"k": x} for x in old], [{"k": x} for x in new])[0]


@pytest.mark.parametrize(
    ("new", "better", "reading", "effect"),
    [
        ([11.0, 12.1, 10.9], "higher", "higher", "better"),
        ([11.0, 12.1, 10.9], "lower", "higher", "worse"),
        ([11.0, 12.1, 10.9], "neither", "higher", ""),
        ([9.0, 10.1, 8.9], "lower", "lower", "better"),
        ([0.0, 22.0, 11.0], "higher", "not decided", ""),
        ([10.0, 11.0, 10.0], "higher", "the same", ""),
        ([math.nan, math.nan, math.nan], "higher", "no value", ""),
        ([math.nan, math.nan, 11.0], "higher", "no value", ""),
    ],
)
def test_a_row_reads_its_interval(new: list[float], better: Better, reading: str, effect: str) -> None:
    found = row([10.0, 11.0, 10.0], new, better)
    assert (found.reading, found.effect) == (reading, effect)


def test_a_drop_without_a_value_in_one_arm_is_left_out_of_both_means() -> None:
    # without the first pair: 11 and 10 against 13 and 12
    found = row([100.0, 11.0, 10.0], [math.nan, 13.0, 12.0])
    assert (found.old, found.new, found.n) == (10.5, 12.5, 2)
    assert found.difference is not None
    assert found.difference.mean == 2.0
