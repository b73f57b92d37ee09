"""Rows become reports: periods, phases, targets, repeated rows, counters that go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranloop.errors import NodeError
from tests.ranloop.node.table.played import CELLS, opened, played, values, write

UES = """\
name = "ues"
level = "ue"
[time]
column = "t"
format = "ms"
[ids]
ue = "imsi"
cell = "cell"
[columns]
cqi = "CQI"
"""


def rows(*lines: str) -> str:
    return "\n".join(["t,imsi,cell,cqi", *lines]) + "\n"


def test_rows_that_come_a_little_early_or_late_are_each_in_their_own_period(tmp_path: Path) -> None:
    """Two UEs report each 250 ms, the second one half a period after the first, both some ms off."""
    one = [0, 249, 501, 750, 999]
    two = [126, 374, 625, 876, 1124]
    lines = [f"{t},1010123456002,a,{k}" for k, t in enumerate(one)] + [
        f"{t},1010123456003,a,{k}" for k, t in enumerate(two)
    ]
    world = opened(write(tmp_path / "t.csv", rows(*lines)), UES)
    reports = played(world)
    assert [(r.period_ms, r.ran_time_ns) for r in reports] == [(250, (k + 1) * 250_000_000) for k in range(5)]
    assert values(reports, "CQI") == [{"1010123456002": k, "1010123456003": k} for k in range(5)]
    assert world.left_out == ()


def test_ids_of_many_digits_are_dense_and_keep_their_name(tmp_path: Path) -> None:
    lines = ["0,208950000000031,2,7", "0,208950000000030,1,8", "1000,208950000000031,1,9"]
    reports = played(opened(write(tmp_path / "t.csv", rows(*lines)), UES))
    assert [r.ue.tolist() for r in reports] == [[0, 1], [0]]
    assert reports[0].labels["ue"] == {0: "208950000000031", 1: "208950000000030"}
    assert [r.names_of("cell").tolist() for r in reports] == [["2", "1"], ["1"]]


def test_ids_that_a_spreadsheet_has_rounded_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows("0,2.0895E+14,a,7", "1000,2.0895E+14,a,7"))
    with pytest.raises(
        NodeError, match=r"2\.0895E\+14 in the column imsi was an id of many digits until a spreadsheet"
    ):
        opened(path, UES)


def test_two_rows_of_one_target_and_time_are_refused_unless_the_last_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows("0,1,a,7", "1000,1,a,8", "1000,1,b,9", "2000,1,a,5"))
    with pytest.raises(NodeError) as caught:
        opened(path, UES)
    assert str(caught.value) == (
        f"{path}: 1 row with the target and time of another one, the first ue 1 at 1970-01-01 00:00:01; name the column "
        'that tells them apart under [ids] in the mapping, or give repeated = "last"'
    )
    world = opened(path, 'repeated = "last"\n' + UES)
    assert values(played(world), "CQI") == [{"1": 7}, {"1": 9}, {"1": 5}]
    assert world.left_out == (f"{path}: 1 row left out: a later row of the same target and period counts",)


def test_a_period_that_is_not_clear_is_asked_for(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        rows("0,1,a,7", "100,1,a,8", "170,1,a,9", "1130,1,a,9", "1170,1,a,9", "1300,1,a,1"),
    )
    with pytest.raises(
        NodeError, match=r"rows come at irregular times, 100 ms apart in the median; give period_ms in the"
    ):
        opened(path, UES)
    world = opened(path, UES, period_ms="1000")
    assert [(r.seq, r["CQI"].tolist()) for r in played(world)] == [(0, [9]), (1, [1])]
    assert world.left_out[0].startswith(f"{path}: 4 rows left out: a later row")
    single = write(tmp_path / "one.csv", rows("0,1,a,7"))
    with pytest.raises(
        NodeError, match="each target has one row, so the period is not clear; give period_ms"
    ):
        opened(single, UES)


def test_counters_that_go_on_become_what_they_counted(tmp_path: Path) -> None:
    mapping = UES.replace('cqi = "CQI"', 'cqi = { measurement = "TB.TotNbrDl", cumulative = true }')
    lines = ["0,1,a,4000000000", "0,2,a,7", "1000,1,a,4000000010", "1000,2,a,9", "2000,1,a,3", "3000,1,a,5"]
    found = values(played(opened(write(tmp_path / "t.csv", rows(*lines)), mapping)), "TB.TotNbrDl")
    assert found == [{}, {"1": 10, "2": 2}, {}, {"1": 2}]  # none at the start, and none where it began anew


def test_values_outside_the_catalogue_s_range_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows("0,1,a,7", "1000,1,a,16", "2000,1,a,-1"))
    world = opened(path, UES)
    assert values(played(world), "CQI") == [{"1": 7}, {}, {}]
    assert world.left_out == (f"{path}: 2 values of CQI left out: outside 0 to 15",)


@pytest.mark.parametrize(
    ("column", "raw", "wanted"),
    [
        ('{ measurement = "DRB.UEThpDl", unit = "Mbit/s" }', 2.5, 2500),
        ('{ measurement = "DRB.UEThpDl", unit = "bit/s" }', 2500, 2.5),
        ('{ measurement = "DRB.UEThpDl", unit = "byte/s" }', 1000, 8),
        ('{ measurement = "DRB.PdcpSduVolumeDL", unit = "byte" }', 1000, 8),
        ('{ measurement = "DRB.PdcpSduVolumeDL", unit = "KiB" }', 1, 8.192),
        ('{ measurement = "DRB.RlcSduDelayDl", unit = "ms" }', 3, 30),
        ('{ measurement = "DRB.RlcSduDelayDl", unit = "us" }', 300, 3),
        ('{ measurement = "RRU.PrbTotDl", unit = "1" }', 0.4, 40),
        ('{ measurement = "X.DRB.BudgetMissRateDl", unit = "%" }', 5, 0.05),
        ('{ measurement = "DRB.RlcPacketDropRateDl", unit = "%" }', 1, 10_000),
        ('{ measurement = "PEE.AvgPower", unit = "kW" }', 1.5, 1500),
        ('{ measurement = "PEE.Energy", unit = "J" }', 3_600_000, 1),
        ('{ measurement = "CARR.MaxTxPwr", factor = 0.1, offset = -5 }', 480, 43),
    ],
)
def test_units_become_the_catalogue_s(tmp_path: Path, column: str, raw: float, wanted: float) -> None:
    mapping = CELLS.replace('prb = "RRU.PrbTotDl"', f"prb = {column}").replace(
        'thp = { measurement = "DRB.UEThpDl", unit = "Mbit/s" }', ""
    )
    path = write(tmp_path / "t.csv", f"time,cell,prb\n0,a,{raw}\n1,a,{raw}\n")
    (report, _) = played(opened(path, mapping, time_format="s"))
    assert report[report.names[0]].tolist() == pytest.approx([wanted])


def test_of_two_columns_with_one_measurement_the_first_that_has_a_value_counts(tmp_path: Path) -> None:
    mapping = UES.replace('cqi = "CQI"', 'nr = "RSRP"\nlte = "RSRP"')
    text = "t,imsi,cell,nr,lte\n0,1,a,-90,-100\n1000,1,a,,-101\n"
    found = values(played(opened(write(tmp_path / "t.csv", text), mapping)), "RSRP")
    assert found == [{"1": -90}, {"1": -101}]


def test_slices_and_flows_have_their_ids(tmp_path: Path) -> None:
    text = "t,imsi,qi,s,v\n0,1,9,01-000001,5\n0,1,1,01-000001,6\n1000,1,9,01-000001,5\n1000,1,1,01-000001,6\n"
    flows = (
        UES.replace('ue"', 'qos_flow"', 1)
        .replace('cell = "cell"', 'five_qi = "qi"\nslice = "s"')
        .replace('cqi = "CQI"', 'v = "DRB.UEThpDl"')
    )
    report = played(opened(write(tmp_path / "t.csv", text), flows))[0]
    assert (report.five_qi.tolist(), report.names_of("slice").tolist()) == ([9, 1], ["01-000001"] * 2)
    slices = flows.replace("qos_flow", "slice").replace('ue = "imsi"\nfive_qi = "qi"\n', "")
    text = "t,imsi,qi,s,v\n0,1,9,embb,5\n0,1,1,urllc,6\n1000,1,9,embb,5\n1000,1,1,urllc,6\n"
    world = opened(write(tmp_path / "t.csv", text), slices)
    assert values(played(world), "DRB.UEThpDl")[0] == {"embb": 5, "urllc": 6}
    assert world.catalogues[0].slices == {0: "embb", 1: "urllc"}
