"""Reading what a phone logged, quirks included."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from ranloop.errors import NodeError
from ranloop.node.gnettrack import MEASUREMENTS, PhoneTrace, read_trace
from ranloop.vocabulary import MEASUREMENTS as CATALOGUE
from tests.ranloop.node.phone_logs import COLUMNS, log, row


def read(folder: Path, content: str | bytes, name: str = "trace.csv") -> PhoneTrace:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_trace(path)


def column(trace: PhoneTrace, name: str) -> list[float]:
    values: list[float] = trace.values[:, MEASUREMENTS.index(name)].tolist()
    return values


def test_a_row_becomes_measurements_of_the_catalogue(tmp_path: Path) -> None:
    trace = read(tmp_path, log(row(0)))
    assert set(MEASUREMENTS) <= set(CATALOGUE)
    values = dict(zip(MEASUREMENTS, trace.values[0].tolist(), strict=True))
    assert np.isnan(values.pop("X.UE.Rssi"))
    assert values == {
        "X.UE.AppThpDl": 20000,
        "X.UE.AppThpUl": 300,
        "X.UE.Speed": 30,
        "X.UE.Snr": 8,
        "RSRP": -100,
        "RSRQ": -11,
        "CQI": 12,
        "X.UE.NeighbourRsrp": -105,
        "X.UE.NeighbourRsrq": -13,
        "X.UE.NrMode": 1,
        "X.UE.Downloading": 1,
    }
    assert trace.day == date(2019, 11, 28)
    assert trace.cell_names == ("11016972",)


def test_the_last_row_of_a_second_counts(tmp_path: Path) -> None:
    trace = read(tmp_path, log(row(0, SNR="1"), row(0, SNR="2"), row(1, SNR="3")))
    assert column(trace, "X.UE.Snr") == [2, 3]
    assert trace.n_repeated == 1


def test_seconds_without_a_row_stay_missing(tmp_path: Path) -> None:
    assert read(tmp_path, log(row(0), row(1), row(5))).seconds.tolist() == [0, 1, 5]


def test_time_that_goes_back_is_left_out(tmp_path: Path) -> None:
    trace = read(tmp_path, log(row(0), row(7), row(3), row(8)))
    assert trace.seconds.tolist() == [0, 7, 8]
    assert trace.n_back == 1


def test_a_log_over_midnight_belongs_to_the_day_on_which_it_began(tmp_path: Path) -> None:
    late = row(0, Timestamp="2019.11.28_23.59.59")
    trace = read(tmp_path, log(late, row(0, Timestamp="2019.11.29_00.00.00")))
    assert trace.day == date(2019, 11, 28)
    assert trace.seconds.tolist() == [0, 1]


def test_no_value_and_nonsense_are_nan_and_only_nonsense_is_counted(tmp_path: Path) -> None:
    rows = [
        row(0, NRxRSRQ="-", SNR="", CQI="abc"),
        row(1, NRxRSRQ="2147483647", RSRP="-200", CQI="nan"),
        row(2, CQI="inf"),
    ]
    trace = read(tmp_path, log(*rows))
    assert np.isnan(column(trace, "X.UE.NeighbourRsrq")).tolist() == [True, True, False]
    assert np.isnan(column(trace, "X.UE.Snr")).tolist() == [True, False, False]
    assert np.isnan(column(trace, "CQI")).all()
    assert trace.n_out_of_range == {"X.UE.NeighbourRsrq": 1, "RSRP": 1}


def test_mode_state_and_cell_may_change_on_the_way(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        log(
            row(0, State="I"),
            row(1, NetworkMode="LTE", State="VD", RAWCELLID="7"),
            row(2, NetworkMode="-", State="-"),
        ),
    )
    assert column(trace, "X.UE.NrMode")[:2] == [1, 0]
    assert column(trace, "X.UE.Downloading")[:2] == [0, 1]
    assert np.isnan([column(trace, "X.UE.NrMode")[2], column(trace, "X.UE.Downloading")[2]]).all()
    assert trace.cells.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("latin-1"),
        lambda text: text.encode("utf-8-sig"),
        lambda text: b"\xef\xbb\xbf" + text.encode("latin-1"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: gzip.compress(text.encode()),
    ],
    ids=["latin-1", "utf-8 with mark", "latin-1 behind a mark", "windows lines", "gzip"],
)
def test_any_usual_encoding_is_read(tmp_path: Path, encode: object) -> None:
    assert callable(encode)
    trace = read(tmp_path, encode(log(row(0, Operatorname="Télécom"), row(1))))
    assert len(trace) == 2


def test_other_columns_are_one_line_of_advice(tmp_path: Path) -> None:
    with pytest.raises(NodeError) as caught:
        read(tmp_path, log(row(0)).replace("SNR", "SINR").replace("Timestamp", "Time"))
    text = str(caught.value)
    assert text.startswith(
        f"{tmp_path / 'trace.csv'}: no G-NetTrack log: its columns are Time, Longitude, Latitude, Speed, "
    )
    assert text.endswith("…; it lacks Timestamp, SNR")
    assert "\n" not in text


def test_a_table_of_something_else_is_told_what_came_and_once_what_was_wanted(tmp_path: Path) -> None:
    with pytest.raises(NodeError) as caught:
        read(tmp_path, "time,value\n1,2\n")
    text = str(caught.value)
    assert (
        "its columns are time, value; it lacks Timestamp, NetworkMode, State, RAWCELLID, DL_bitrate" in text
    )
    assert text.count("Timestamp") == 1


def test_bytes_of_no_table_do_not_reach_the_terminal_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(NodeError) as caught:
        read(tmp_path, b"\x1b[2J\x07" + bytes(range(1, 9)) * 1000 + b"\n")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("content", [b"", b"\x00\xff\x00", COLUMNS.encode(), b"\x1f\x8bnot really gzip"])
def test_what_is_no_log_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(NodeError, match=r"trace\.csv: "):
        read(tmp_path, content)


def test_a_gzip_file_that_breaks_off_gives_its_whole_rows(tmp_path: Path) -> None:
    noise = random.Random(1)  # incompressible, so that half of the bytes is about half of the rows
    rows = [row(s, Longitude=str(noise.random()), SNR=str(noise.randint(-9, 30))) for s in range(400)]
    packed = gzip.compress(log(*rows).encode())
    trace = read(tmp_path, packed[: len(packed) // 2])
    assert trace.truncated
    assert trace.n_unreadable == 0
    assert 100 < len(trace) < 300
    whole = read(tmp_path, packed, "whole.csv.gz")
    assert not whole.truncated
    assert np.array_equal(whole.values[: len(trace)], trace.values, equal_nan=True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"\n" * (16 << 20), "more than 256 MiB or 1000000 lines of text; split the log"),
        ((b"," * 1000 + b"\n") * (16 << 10), "more than 1 MiB or 1000000 lines of text; split the log"),
        (bytes(16 << 20), "no CSV file: a line of more than 16384 bytes"),
        (b'"' + b"\n" * (16 << 20), "no CSV file: field larger than field limit (131072)"),
    ],
    ids=["lines", "bytes", "one line", "one field"],
)
def test_a_small_file_that_unpacks_to_more_than_a_log_costs_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, complaint: str
) -> None:
    if "1 MiB" in complaint:
        monkeypatch.setattr("ranloop.node.bounded_lines._MAX_BYTES", 1 << 20)
    packed = gzip.compress(COLUMNS.encode() + b"\n" + text)
    del text
    tracemalloc.start()
    with pytest.raises(NodeError) as caught:
        read(tmp_path, packed)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(caught.value) == f"{tmp_path / 'trace.csv'}: {complaint}"
    assert most_bytes < 8 << 20


def at(hour: int, minute: int, second: int, **fields: str) -> str:
    """One row at that time of 27 October 2019, on which clocks went back an hour."""
    return row(0, Timestamp=f"2019.10.27_{hour:02d}.{minute:02d}.{second:02d}", **fields)


def test_a_clock_that_goes_back_an_hour_begins_a_later_part(tmp_path: Path) -> None:
    with capture_logs() as logs:
        trace = read(
            tmp_path, log(at(1, 59, 58), at(1, 59, 59), at(1, 0, 0, SNR="3"), at(1, 0, 1), at(1, 0, 5))
        )
    assert trace.seconds.tolist() == [0, 1, 61, 62, 66]  # a minute after the row before
    assert column(trace, "X.UE.Snr")[2] == 3
    assert (trace.n_clock_set, trace.n_back) == (1, 0)
    assert [(line["event"], line["clock_set"]) for line in logs] == [("trace_read_in_part", 1)]


def test_a_single_row_of_another_year_costs_nothing_but_gaps(tmp_path: Path) -> None:
    stray = row(0, Timestamp="2035.01.01_00.00.00")
    trace = read(tmp_path, log(row(0), row(1), stray, row(2), row(3)))
    assert trace.seconds.tolist() == [0, 1, 61, 121, 122]
    assert trace.n_clock_set == 2


def test_a_pause_of_hours_is_a_gap_of_hours(tmp_path: Path) -> None:
    trace = read(tmp_path, log(at(1, 0, 0), at(3, 0, 0)))
    assert trace.seconds.tolist() == [0, 7200]
    assert trace.n_clock_set == 0


def test_a_row_cut_short_is_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, log(row(0), "2019.11.28_07.00.01,-8.4", row(2)))
    assert (len(trace), trace.n_unreadable) == (2, 1)


def test_a_cell_s_identity_is_cut_to_what_the_wire_carries(tmp_path: Path) -> None:
    trace = read(tmp_path, log(row(0, RAWCELLID="7" * 9000), row(1, RAWCELLID="8")))
    assert trace.cell_names == ("7" * 64, "8")


def test_a_column_of_cells_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    rows = [row(second, RAWCELLID=str(second)) for second in range(3000)]
    late = [row(s, RAWCELLID=f"x{s}").replace("_07.", "_08.", 1) for s in range(3000)]
    with pytest.raises(
        NodeError, match=r"more than 4096 cells in the column RAWCELLID; no phone sees so many"
    ):
        read(tmp_path, log(*rows, *late))
