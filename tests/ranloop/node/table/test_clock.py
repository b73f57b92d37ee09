"""Times of tables: formats, zones, summer time, and what is asked for because it is not clear."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranloop.errors import NodeError
from tests.ranloop.node.table.played import CELLS, opened, played, values, write


def seconds(path: Path, times: list[str], **options: str) -> list[float]:
    """The end of each report in RAN time, less one period of 1 s."""
    rows = "".join(f"{time};a;{row};1\n" for row, time in enumerate(times))
    write(path / "t.csv", "time;cell;prb;thp\n" + rows)
    return [
        report.time_s - 1 for report in played(opened(path / "t.csv", CELLS, period_ms="1000", **options))
    ]


@pytest.mark.parametrize(
    "times",
    [
        ["2025-03-01T10:00:00Z", "2025-03-01T10:00:02Z"],
        ["2025-03-01 10:00:00.000", "2025-03-01 10:00:02.000"],
        ["2025-03-01T10:00:00+01:00", "2025-03-01T11:00:02+02:00"],
        ["1740823200", "1740823202"],
        ["1740823200000", "1740823202000"],
        ["1740823200000000", "1740823202000000"],
        ["1740823200.0", "1740823202.0"],
        ["2025.03.01_10.00.00", "2025.03.01_10.00.02"],
        ["01.03.2025 10:00:00", "01.03.2025 10:00:02"],
        ["25/03/2025 10:00:00", "25/03/2025 10:00:02"],
        ["03/25/2025 10:00:00 AM", "03/25/2025 10:00:02 AM"],
        ["01-Mar-2025 10:00:00", "01-Mar-2025 10:00:02"],
        ["20250301100000", "20250301100002"],
    ],
)
def test_the_usual_formats_are_found(tmp_path: Path, times: list[str]) -> None:
    assert seconds(tmp_path, times) == [0, 2]


def test_day_and_month_that_may_be_either_way_round_are_asked_for(tmp_path: Path) -> None:
    times = ["03/04/2025 10:00:00", "03/04/2025 10:00:01"]
    with pytest.raises(
        NodeError, match=r"the day or the month may come first; give format = .*%d/%m.* or .*%m/%d"
    ) as caught:
        seconds(tmp_path, times)
    assert "\n" not in str(caught.value)
    assert seconds(tmp_path, times, time_format="%d/%m/%Y %H:%M:%S") == [0, 1]


def test_small_numbers_do_not_say_their_unit(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r'do not say their unit; give format = "s", "ms", "us" or "ns"'):
        seconds(tmp_path, ["0", "1000"])
    assert seconds(tmp_path, ["0", "1000"], time_format="ms") == [0, 1]
    assert seconds(tmp_path, ["5", "6"], time_format="s") == [0, 1]


def test_a_unit_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r'are not in s since 1970; give format = "ms" under \[time\]'):
        seconds(tmp_path, ["1740823200000", "1740823201000"], time_format="s")


def test_times_in_no_known_format_are_told_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"times such as yesterday in the column time are in no known format"):
        seconds(tmp_path, ["yesterday", "today"])


# Berlin, 26 October 2025: at 03:00 summer time ends, and 02:00 to 03:00 comes twice.
TWICE = [
    "2025-10-26 02:59:58",
    "2025-10-26 02:59:59",
    "2025-10-26 02:00:00",
    "2025-10-26 02:00:01",
    "2025-10-26 03:00:01",
]


def test_an_hour_that_comes_twice_is_told_apart_by_the_zone(tmp_path: Path) -> None:
    assert seconds(tmp_path, TWICE, zone="Europe/Berlin") == [0, 1, 2, 3, 3603]


def test_an_hour_that_comes_twice_is_followed_on_without_a_zone_too(tmp_path: Path) -> None:
    assert seconds(tmp_path, TWICE) == [0, 1, 2, 3, 3603]
    world = opened(tmp_path / "t.csv", CELLS, period_ms="1000")
    assert any("times go back an hour once" in line for line in world.left_out)


def test_an_hour_that_does_not_exist_is_no_gap_in_a_zone_and_one_without(tmp_path: Path) -> None:
    spring = ["2025-03-30 01:59:59", "2025-03-30 03:00:00"]
    assert seconds(tmp_path, spring, zone="Europe/Berlin") == [0, 1]
    assert seconds(tmp_path, spring) == [0, 3601]


def test_the_double_hour_of_each_target_is_its_own(tmp_path: Path) -> None:
    rows = "".join(
        f"{time};{cell};{k};1\n" for cell in "ab" for k, time in enumerate(TWICE)
    )  # sorted by cell
    path = write(tmp_path / "t.csv", "time;cell;prb;thp\n" + rows)
    for options in ({}, {"zone": "Europe/Berlin"}):
        found = values(played(opened(path, CELLS, period_ms="1000", **options)), "RRU.PrbTotDl")
        assert found == [{"a": k, "b": k} for k in range(5)]


def test_a_double_hour_is_told_apart_among_the_rows_that_are_chosen(tmp_path: Path) -> None:
    rows = "".join(f"{time};a;{k};{kind}\n" for k, time in enumerate(TWICE) for kind in (1, 2))
    path = write(tmp_path / "t.csv", "time;cell;prb;kind\n" + rows)
    mapping = 'only = { kind = "2" }\n' + CELLS
    reports = played(opened(path, mapping, period_ms="1000", zone="Europe/Berlin"))
    assert [(r.seq, r["RRU.PrbTotDl"].tolist()) for r in reports] == [(k, [k]) for k in range(4)] + [
        (3603, [4])
    ]


def test_rows_that_are_in_no_order_are_put_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time;cell;prb;thp\n3;a;3;1\n1;a;1;1\n2;a;2;1\n0;a;0;1\n")
    found = values(played(opened(path, CELLS, time_format="s")), "RRU.PrbTotDl")
    assert found == [{"a": 0}, {"a": 1}, {"a": 2}, {"a": 3}]


def test_a_zone_that_there_is_not_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        NodeError, match=r"^\?zone=Mars: no time zone; want a name such as UTC or Europe/Dublin$"
    ):
        seconds(tmp_path, ["2025-03-01T10:00:00"], zone="Mars")


def test_date_and_time_in_two_columns_are_joined(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "Date,Time,cell,prb\n2025-03-01,10:00:00,a,1\n2025-03-01,10:00:01,a,2\n")
    reports = played(opened(path, CELLS.replace('column = "time"', 'column = ["Date", "Time"]')))
    assert values(reports, "RRU.PrbTotDl") == [{"a": 1}, {"a": 2}]


def test_a_row_without_a_time_is_left_out_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time;cell;prb;thp\n0;a;1;1\n;a;2;1\nbad;a;2;1\n1;;2;1\n2;a;2;1\n")
    world = opened(path, CELLS, time_format="s", period_ms="1000")
    assert [report.seq for report in played(world)] == [0, 2]
    assert world.left_out == (
        f"{path}: 2 rows left out: without a time",
        f"{path}: 1 row left out: without an id",
    )


def test_a_clock_that_was_not_set_yet_does_not_make_ran_time_begin_in_1970(tmp_path: Path) -> None:
    times = ["1970-01-01T00:00:03Z", "2025-03-01T10:00:00Z", "2025-03-01T10:00:01Z", "9999-12-31T23:59:59Z"]
    assert seconds(tmp_path, times) == [0, 1]
    world = opened(tmp_path / "t.csv", CELLS, period_ms="1000")
    assert world.left_out == (
        f"{tmp_path / 't.csv'}: 1 row left out: with a time more than a year from the others",
        f"{tmp_path / 't.csv'}: 1 row left out: without a time",
    )
