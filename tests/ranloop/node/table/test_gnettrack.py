"""The mapping `gnettrack` on what a phone logged, quirks included."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ranloop.errors import NodeError
from ranloop.node import ReplayWorld, open_replay
from ranloop.node.table import load_mapping
from ranloop.wire.messages import Report
from tests.ranloop.node.phone_logs import COLUMNS, log, row


@dataclass
class Trace:
    """A log as it is replayed."""

    world: ReplayWorld
    reports: list[Report]

    def __len__(self) -> int:
        return len(self.reports)

    @property
    def seconds(self) -> list[int]:
        return [report.seq for report in self.reports]

    @property
    def cells(self) -> list[str]:
        return [report.names_of("cell")[0] for report in self.reports]

    def column(self, name: str) -> list[float]:
        return [float(report[name][0]) for report in self.reports]

    def told(self, about: str) -> str:
        """The line about something that was left out, without its path; "" if there is none."""
        lines = [line for line in self.world.left_out if about in line]
        return lines[0].split(": ", 1)[1] if lines else ""


def read(folder: Path, content: str | bytes, name: str = "trace.csv") -> Trace:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    world = open_replay(path)
    (catalogue,) = world.catalogues
    wanted = {(catalogue.node, "ue", 1000): frozenset(catalogue.measurements["ue"])}
    reports = []
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        reports += world.reports(wanted)
    return Trace(world, reports)


def test_a_row_becomes_measurements_of_the_catalogue(tmp_path: Path) -> None:
    trace = read(tmp_path, log(row(0)))
    (report,) = trace.reports
    values = {name: float(report[name][0]) for name in report.names}
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
    assert trace.world.days == {"trace": date(2019, 11, 28)}
    assert (trace.cells, report.names_of("ue").tolist()) == (["11016972"], ["trace"])


def test_the_last_row_of_a_second_counts(tmp_path: Path) -> None:
    trace = read(tmp_path, log(row(0, SNR="1"), row(0, SNR="2"), row(1, SNR="3")))
    assert trace.column("X.UE.Snr") == [2, 3]
    assert trace.told("later row") == "1 row left out: a later row of the same target and period counts"


def test_seconds_without_a_row_stay_missing(tmp_path: Path) -> None:
    assert read(tmp_path, log(row(0), row(1), row(5))).seconds == [0, 1, 5]


def test_time_that_goes_back_is_left_out(tmp_path: Path) -> None:
    trace = read(tmp_path, log(row(0), row(7), row(3), row(8)))
    assert trace.seconds == [0, 7, 8]
    assert trace.told("left out") == "1 row left out: with a time that goes back"


def test_a_log_over_midnight_belongs_to_the_day_on_which_it_began(tmp_path: Path) -> None:
    late = row(0, Timestamp="2019.11.28_23.59.59")
    trace = read(tmp_path, log(late, row(0, Timestamp="2019.11.29_00.00.00")))
    assert trace.world.days == {"trace": date(2019, 11, 28)}
    assert trace.seconds == [0, 1]


def test_no_value_is_nan_and_nonsense_is_nan_and_counted(tmp_path: Path) -> None:
    rows = [
        row(0, NRxRSRQ="-", SNR="", CQI="abc"),
        row(1, NRxRSRQ="2147483647", RSRP="-200", CQI="nan"),  # the app's word for "unknown"
        row(2, CQI="inf"),
    ]
    trace = read(tmp_path, log(*rows))
    assert np.isnan(trace.column("X.UE.NeighbourRsrq")).tolist() == [True, True, False]
    assert np.isnan(trace.column("X.UE.Snr")).tolist() == [True, False, False]
    assert np.isnan(trace.column("CQI")).all()
    assert trace.told("RSRP") == "1 value of RSRP left out: outside -156 to -31 dBm"
    assert trace.told("CQI") == "1 value of the column CQI left out: no number, such as abc"
    assert len(trace.world.left_out) == 3  # these two, and the columns that are not read


def test_mode_state_and_cell_may_change_on_the_way(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        log(
            row(0, State="I"),
            row(1, NetworkMode="LTE", State="VD", RAWCELLID="7"),
            row(2, NetworkMode="-", State="-"),
        ),
    )
    assert trace.column("X.UE.NrMode")[:2] == [1, 0]
    assert trace.column("X.UE.Downloading")[:2] == [0, 1]
    assert np.isnan([trace.column("X.UE.NrMode")[2], trace.column("X.UE.Downloading")[2]]).all()
    assert trace.cells == ["11016972", "7", "11016972"]


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


def test_columns_that_are_not_there_leave_the_catalogue(tmp_path: Path) -> None:
    trace = read(tmp_path, log(row(0)).replace("SNR", "SINR").replace("RAWCELLID", "Cell"))
    (catalogue,) = trace.world.catalogues
    assert "X.UE.Snr" not in catalogue.measurements["ue"]
    assert "RSRP" in catalogue.measurements["ue"]
    assert trace.cells == ["unknown"]
    assert "SINR, " in trace.told("columns not read")


def test_a_table_of_something_else_is_told_what_came_and_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(NodeError) as caught:
        read(tmp_path, "time,value\n1,2\n")
    path = tmp_path / "trace.csv"
    assert str(caught.value) == (
        f"{path}: no table that is known: its columns are time, value; start a mapping of your own: "
        f"ranloop table {path} --write mapping.toml"
    )


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
    assert trace.told("breaks off") == "the file breaks off; the rows before are read"
    assert not trace.told("cut short")
    assert 100 < len(trace) < 300
    whole = read(tmp_path, packed, "whole.csv.gz")
    assert not whole.told("breaks off")
    assert whole.column("X.UE.Snr")[: len(trace)] == trace.column("X.UE.Snr")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"\n" * (16 << 20), "more than 256 MiB or 50000 lines of text; split the log"),
        ((b"," * 1000 + b"\n") * (16 << 10), "more than 1 MiB or 1000000 lines of text; split the log"),
        (bytes(16 << 20), "no table of lines: a line of more than 16384 bytes"),
        (b'"' + b"\n" * (16 << 20), "no table of lines: field larger than field limit (131072)"),
    ],
    ids=["lines", "bytes", "one line", "one field"],
)
def test_a_small_file_that_unpacks_to_more_than_a_log_costs_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, complaint: str
) -> None:
    if "50000 lines" in complaint:
        monkeypatch.setattr("ranloop.node.bounded_lines._MAX_LINES", 50_000)
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


def test_an_hour_that_comes_twice_is_followed_on(tmp_path: Path) -> None:
    trace = read(tmp_path, log(at(1, 59, 58), at(1, 59, 59), at(1, 0, 0, SNR="3"), at(1, 0, 1), at(1, 0, 5)))
    assert trace.seconds == [0, 1, 2, 3, 7]
    assert trace.column("X.UE.Snr")[2] == 3
    assert trace.told("hour") == "the clock goes back an hour (1 x); the rows from there on follow on"


def test_a_clock_that_goes_back_by_more_begins_a_later_part(tmp_path: Path) -> None:
    trace = read(
        tmp_path, log(at(1, 59, 58), at(1, 59, 59), at(1, 30, 0, SNR="3"), at(1, 30, 1), at(1, 30, 5))
    )
    assert trace.seconds == [0, 1, 61, 62, 66]  # a minute after the row before
    assert trace.column("X.UE.Snr")[2] == 3
    assert "the clock was set (1 x)" in trace.told("clock")
    assert not trace.told("left out")


def test_a_single_row_of_another_year_costs_nothing_but_gaps(tmp_path: Path) -> None:
    stray = row(0, Timestamp="2035.01.01_00.00.00")
    trace = read(tmp_path, log(row(0), row(1), stray, row(2), row(3)))
    assert trace.seconds == [0, 1, 61, 121, 122]
    assert "the clock was set (2 x)" in trace.told("clock")


def test_a_pause_of_hours_is_a_gap_of_hours(tmp_path: Path) -> None:
    trace = read(tmp_path, log(at(1, 0, 0), at(3, 0, 0)))
    assert trace.seconds == [0, 7200]
    assert not trace.told("clock")


def test_a_row_cut_short_is_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, log(row(0), "2019.11.28_07.00.01,-8.4", row(2)))
    assert trace.seconds == [0, 2]
    assert trace.told("cut short") == "1 row left out: cut short, or with more fields than the header"


def test_a_long_identity_of_a_cell_is_cut_and_stays_its_own(tmp_path: Path) -> None:
    trace = read(
        tmp_path, log(row(0, RAWCELLID="7" * 9000), row(1, RAWCELLID="7" * 9001), row(2, RAWCELLID="8"))
    )
    one, two, short = trace.cells
    assert (one[:48], two[:48], short) == ("7" * 48, "7" * 48, "8")
    assert one != two
    assert len(one) == len(two) == 64


def test_a_column_of_cells_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    rows = [row(second, RAWCELLID=str(second)) for second in range(3000)]
    late = [row(s, RAWCELLID=f"x{s}").replace("_07.", "_08.", 1) for s in range(3000)]
    with pytest.raises(NodeError, match=r"more than 4096 cells in the column RAWCELLID; no node has so many"):
        read(tmp_path, log(*rows, *late))


def test_any_word_of_a_state_has_a_meaning(tmp_path: Path) -> None:
    states = {"I": 0, "D": 1, "V": 0, "VD": 1}
    trace = read(tmp_path, log(*(row(second, State=state) for second, state in enumerate(states))))
    assert trace.column("X.UE.Downloading") == list(states.values())
    assert load_mapping("gnettrack").node == "file"
