"""No value outside the catalogue's range and no report with two rows of one target reaches an xApp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ranloop.errors import WireError
from ranloop.vocabulary import ID_COLUMNS, LEVELS, MEASUREMENTS, Level
from ranloop.wire.checked import checked
from ranloop.wire.messages import Report


def report(level: Level, names: Sequence[str], rows: Sequence[Sequence[float]]) -> Report:
    ids = ID_COLUMNS[level]
    return Report(
        node="gnb-1",
        level=level,
        period_ms=100,
        seq=0,
        ran_time_ns=100_000_000,
        ids=ids,
        names=tuple(names),
        block=np.array(rows, np.float32).reshape(-1, len(ids) + len(names)),
    )


def test_values_outside_their_range_become_no_value_and_are_counted() -> None:
    """As seen on real nodes: a CQI of 36, a delay of -33.9 ms, an infinity."""
    came = report(
        "ue",
        ["CQI", "DRB.RlcSduDelayDl", "DRB.UEThpDl"],
        [[0, 0, 36, 12, 5], [1, 0, 7, -339, np.inf], [2, 0, np.nan, 0, 0]],
    )
    passed, n_out_of_range = checked(came)
    assert n_out_of_range == 3
    assert np.array_equal(
        passed.block,
        np.array([[0, 0, np.nan, 12, 5], [1, 0, 7, np.nan, np.nan], [2, 0, np.nan, 0, 0]], np.float32),
        equal_nan=True,
    )
    assert came.block[0, 2] == 36  # the node's own array is left as it is
    assert passed.names == came.names


def test_prb_use_of_more_than_everything_is_no_value() -> None:
    passed, n_out_of_range = checked(report("cell", ["RRU.PrbTotDl"], [[0, 1835], [1, 100]]))
    assert (n_out_of_range, passed["RRU.PrbTotDl"][1]) == (1, 100)
    assert np.isnan(passed["RRU.PrbTotDl"][0])


@pytest.mark.parametrize("level", LEVELS)
def test_the_ends_of_every_range_are_inside_it(level: Level) -> None:
    entries = [entry for entry in MEASUREMENTS.values() if level in entry.levels]
    names = [entry.name for entry in entries]
    ends = [[entry.low for entry in entries], [min(entry.high, 1e30) for entry in entries]]
    rows = [[k] * len(ID_COLUMNS[level]) + end for k, end in enumerate(ends)]
    came = report(level, names, rows)
    assert checked(came) == (came, 0)
    beyond = report(level, names, rows)
    beyond.block[0, -len(names) :] -= np.maximum(1, np.abs(beyond.block[0, -len(names) :])) * 1e-3
    assert checked(beyond)[1] == len(names)


@pytest.mark.parametrize(
    ("level", "rows", "complaint"),
    [
        ("cell", [[3], [4], [3]], "cell report of gnb-1: 2 rows have one target, cell 3"),
        ("ue", [[7, 0], [7, 1]], "ue report of gnb-1: 2 rows have one target, ue 7"),
        ("slice", [[0, 1], [0, 1], [0, 1]], "slice report of gnb-1: 3 rows have one target, slice 0, cell 1"),
        (
            "qos_flow",
            [[7, 0, 9, 1], [7, 1, 9, 1]],
            "qos_flow report of gnb-1: 2 rows have one target, ue 7, five_qi 9, slice 1",
        ),
        (
            "ue_cell",
            [[7, 0, 1], [7, 0, 0], [7, 0, 1]],
            "ue_cell report of gnb-1: 2 rows have one target, ue 7, measured_cell 1",
        ),
    ],
)
def test_two_rows_of_one_target_are_malformed(level: Level, rows: list[list[float]], complaint: str) -> None:
    with pytest.raises(WireError) as caught:
        checked(report(level, [], rows))
    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("level", "rows"),
    [
        ("cell", [[3], [4]]),
        ("ue", [[7, 0], [8, 0]]),
        ("slice", [[0, 1], [0, 2], [1, 1]]),
        ("qos_flow", [[7, 0, 9, 1], [7, 0, 1, 1], [7, 0, 9, 2], [8, 0, 9, 1]]),
        ("ue_cell", [[7, 0, 0], [7, 0, 1], [8, 0, 1]]),
        ("ue", []),
    ],
)
def test_rows_that_differ_in_their_target_are_well(level: Level, rows: list[list[float]]) -> None:
    came = report(level, [], rows)
    assert checked(came) == (came, 0)


def test_a_name_that_the_catalogue_does_not_have_has_no_range() -> None:
    came = report("ue", ["X.Vendor.Own"], [[0, 0, -1e30], [1, 0, np.nan]])
    assert checked(came) == (came, 0)
