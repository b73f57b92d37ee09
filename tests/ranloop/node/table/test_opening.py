"""Folders of tables: what becomes a node, what is left out, and that each thing left out is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ranloop.errors import NodeError
from ranloop.node import ReplayWorld, open_world
from ranloop.node.table import load_mapping
from tests.ranloop.node.phone_logs import log, row
from tests.ranloop.node.table.played import CELLS, opened, played, values, write

RAW = (
    "Timestamp\tLongitude\tLatitude\tNode\tCellID\tNetworkTech\tLevel\tQual\tSNR\tCQI\tLTERSSI\t\n"
    "2025.07.18_22.11.08\t-17.4\t14.6\t1032\t1\t4G\t-96\t-15\t0.0\t-\t-85\t\n"
    "2025.07.18_22.11.09\t-17.4\t14.6\t\t0\t2G\t-113\t-\t-\t-\t-\t\n"
)
SLICES = (
    "Timestamp,num_ues,IMSI,RNTI,,slice_id,,dl_mcs,dl_n_samples,dl_buffer [bytes],tx_brate downlink [Mbps],dl_cqi\n"
    "1617070531726,1,{imsi},82,,2,,4.12,33,1000,0.5,8\n"
    "1617070531975,1,{imsi},82,,2,,0,0,0,0,7.5\n"
)


def hostile(folder: Path) -> Path:
    """Logs of several tools, in nested folders and odd encodings, beside what is no table."""
    folder.mkdir()
    phones = folder / "phones"
    write(phones / "A 1.csv", log(row(0), row(1), "2019.11.28_07.00.02,cut"))
    (phones / "raw").mkdir()
    (phones / "raw" / "Ünïcode.txt").write_bytes(RAW.encode("utf-16"))
    for bs, imsi in ((1, "1010123456002"), (1, "1010123456003"), (2, "1010123456009")):
        write(folder / f"exp1/bs{bs}/slices_bs{bs}" / f"{imsi}_metrics.csv", SLICES.format(imsi=imsi))
    write(folder / "exp1" / "notes.csv", "who,what\nme,this\n")
    (folder / "exp1" / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "exp1" / "book.csv").write_bytes(b"PK\x03\x04")
    write(folder / ".hidden" / "x.csv", "a,b\n")
    lines = [
        {"timestamp": 1740823200 + k, "cells": [{"ue_list": [{"rnti": 17921, "pci": 1, "dl_brate": 5e6}]}]}
        for k in (0, 1)
    ]
    write(folder / "gnb.jsonl", "\n".join(map(json.dumps, lines)))
    return folder


def test_a_folder_of_logs_of_many_tools_is_read_as_far_as_it_can_and_tells_the_rest(tmp_path: Path) -> None:
    folder = hostile(tmp_path / "mixed")
    world = open_world(f"replay:{folder}")
    assert isinstance(world, ReplayWorld)
    assert sorted(c.node for c in world.catalogues) == ["a-1", "mixed", "n-code", "slices_bs1", "slices_bs2"]
    reports = played(world)
    of = {node: [r for r in reports if r.node == node] for node in {r.node for r in reports}}
    assert values(of["slices_bs1"], "DRB.UEThpDl") == [
        {"1010123456002": 500, "1010123456003": 500},
        {"1010123456002": 0, "1010123456003": 0},
    ]
    assert values(of["slices_bs1"], "X.UE.MeanMcsDl") == [{"1010123456002": 4.12, "1010123456003": 4.12}, {}]
    assert values(of["slices_bs2"], "X.DRB.BufferedVolDl") == [{"1010123456009": 8}, {"1010123456009": 0}]
    assert values(of["mixed"], "DRB.UEThpDl") == [{"17921": 5000}, {"17921": 5000}]
    assert [r["RSRP"].tolist() for r in of["a-1"]] == [[-100], [-100]]
    raw = of["n-code"]
    assert [values(raw, name)[0] for name in ("RSRP", "RSRQ", "X.UE.Rssi")] == [
        {"n-code": v} for v in (-96, -15, -85)
    ]
    assert values(raw, "RSRP")[1] == {}  # -113 of 2G is no RSRP
    told = "\n".join(world.left_out)
    for line in (
        "notes.csv: no table that is known: its columns are who, what",
        "book.csv: no table: a spreadsheet",
        f"{folder}: 1 file left out, with a name that is no table's: photo.jpg",
        "A 1.csv: 1 row left out: cut short",
        "mapping colosseum: 3 columns not read: num_ues, RNTI, slice_id",
    ):
        assert line in told, line


def test_files_of_one_mapping_are_one_node_where_it_does_not_say_otherwise(tmp_path: Path) -> None:
    day = tmp_path / "day"
    write(day / "00.csv", "time;cell;prb;thp\n0;a;1;1\n1;a;2;1\n")
    write(day / "later" / "01.csv", "time;cell;prb;thp\n2;a;3;1\n2;b;4;1\n")
    mapping = write(tmp_path / "m.toml", CELLS)
    world = open_world(f"table:{day}?mapping={mapping}&time_format=s")
    assert isinstance(world, ReplayWorld)
    assert [c.node for c in world.catalogues] == ["day"]
    assert values(played(world), "RRU.PrbTotDl") == [{"a": 1}, {"a": 2}, {"a": 3, "b": 4}]


def test_cells_and_ues_of_two_tables_are_one_node_and_share_their_cells(tmp_path: Path) -> None:
    write(tmp_path / "t" / "a_cells.csv", "time;cell;prb;thp\n100;A;1;1\n101;B;2;1\n101;A;2;1\n")
    write(tmp_path / "t" / "b_ues.csv", "time;ue;serving;cqi\n101;x;B;7\n102;x;A;8\n")
    cells = write(tmp_path / "cells.toml", CELLS)
    ues = write(
        tmp_path / "ues.toml",
        CELLS.replace('cell"', 'ue"', 1)
        .replace('cell = "cell"', 'ue = "ue"\ncell = "serving"')
        .replace('prb = "RRU.PrbTotDl"', 'cqi = "CQI"')
        .replace('"cells"', '"ues"')
        .replace("[time]", 'recognise = ["serving"]\n[time]', 1),
    )
    write(cells, CELLS.replace("[time]", 'recognise = ["prb"]\n[time]', 1))
    world = open_world(f"table:{tmp_path / 't'}?mapping={cells},{ues}&time_format=s")
    assert isinstance(world, ReplayWorld)
    (catalogue,) = world.catalogues
    assert set(catalogue.measurements) == {"cell", "ue"}
    assert catalogue.cells == {0: "A", 1: "B"}
    found = [(r.level, r.time_s, r.cell.tolist()) for r in played(world)]
    assert found == [("cell", 1, [0]), ("cell", 2, [1, 0]), ("ue", 2, [1]), ("ue", 3, [0])]


def test_an_xapp_is_told_what_a_table_lacks(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "time;cell;prb\n0;a;1\n1;a;2\n")
    world = opened(tmp_path / "t.csv", CELLS, time_format="s")
    assert dict(world.catalogues[0].measurements) == {"cell": ("RRU.PrbTotDl",)}
    assert world.left_out == ("mapping cells: 1 column not in the table: thp",)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('cell = "cell"', 'cell = "zelle"', "no column zelle, by which a row's target is named"),
        ("[time]", 'only = { kind = ["x"] }\n[time]', "no column kind, by which rows are chosen"),
        (
            'prb = "RRU.PrbTotDl"',
            'prb = { measurement = "RRU.PrbTotDl", where = { kind = "x" } }',
            "no column kind, by which prb is read",
        ),
        (
            'prb = "RRU.PrbTotDl"',
            'prb = { measurement = "RRU.PrbTotDl", plus = ["more"] }',
            "no column more, by which prb is read",
        ),
    ],
)
def test_a_column_without_which_other_rows_or_values_would_be_read_is_needed(
    tmp_path: Path, old: str, new: str, what: str
) -> None:
    path = write(tmp_path / "t.csv", "time;cell;prb\n0;a;1\n1;a;2\n")
    with pytest.raises(NodeError, match=f"t.csv: {what}; its columns are time, cell, prb"):
        opened(path, CELLS.replace(old, new), time_format="s")


def test_tables_of_two_tools_in_one_folder_are_two_nodes(tmp_path: Path) -> None:
    ues = "tstamp,rnti,dl_aggr_tbs,wb_cqi\n1700000000000000,9261,1,15\n1700000000100000,9261,1,14\n"
    write(tmp_path / "gnb" / "mac.csv", ues)
    lines = [
        {"timestamp": 1.7e9 + k, "ue_list": [{"ue_container": {"rnti": 9261, "dl_brate": 1e6}}]}
        for k in (0, 1)
    ]
    write(tmp_path / "gnb" / "metrics.json", "\n".join(map(json.dumps, lines)))
    world = open_world(f"replay:{tmp_path / 'gnb'}")
    assert {c.node: c.measurements["ue"] for c in world.catalogues} == {
        "gnb": ("CQI",),
        "gnb-2": ("DRB.UEThpDl",),
    }


def test_a_table_whose_columns_are_called_as_in_the_catalogue_needs_no_mapping(tmp_path: Path) -> None:
    text = "Time,IMSI,NCI,DRB.UEThpDl [Mbps],CQI,mood\n2025-03-01 10:00:00,1,5,2,7,good\n2025-03-01 10:00:01,1,5,3,8,bad\n"
    world = open_world(f"table:{write(tmp_path / 'kpm.csv', text)}")
    assert isinstance(world, ReplayWorld)
    reports = played(world)
    assert values(reports, "DRB.UEThpDl") == [{"1": 2000}, {"1": 3000}]
    assert (reports[0].level, reports[0].names_of("cell").tolist()) == ("ue", ["5"])
    assert world.left_out == ("mapping by-names: 1 column not read: mood",)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("mapping=colosseeum", "no mapping 'colosseeum'; did you mean colosseum?"),
        ("mapping=gone.toml", "gone.toml: no such mapping"),
        ("maping=x", "no option 'maping' for a table; want mapping"),
        ("period_ms=fast", r"\?period_ms=fast: want a whole number of milliseconds"),
        (
            "mapping=colosseum",
            r"t\.csv: no column Timestamp for the time; its columns are time, cell, prb, thp",
        ),
        ("decimal=;", r"\?decimal=;: Input should be"),
    ],
)
def test_what_an_address_says_wrong_is_one_line(tmp_path: Path, query: str, complaint: str) -> None:
    path = write(tmp_path / "t.csv", "time;cell;prb;thp\n0;a;1;2\n1;a;1;2\n")
    with pytest.raises(NodeError, match=complaint) as caught:
        open_world(f"table:{path}?{query}")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "RRU.PrbTotDl",
            "RRU.PrbTotDI",
            r"columns\.prb\.measurement: unknown measurement 'RRU\.PrbTotDI'; did you mean RRU\.PrbTotDl",
        ),
        ("Mbit/s", "Mbit", r"unit 'Mbit': DRB\.UEThpDl is in kbit/s; want Mbit/s"),
        ("Mbit/s", "parsec", r"unit 'parsec': DRB\.UEThpDl is in kbit/s; want kbit/s or bit/s or Mbit/s or"),
        ("RRU.PrbTotDl", "CQI", "columns.prb: CQI is measured per ue or qos_flow, not per cell"),
        ('"cell"\n[time]', '"slice"\n[time]', "ids.slice: rows of level slice need the column that names it"),
        ('cell = "cell"', 'ue = "cell"', "ids.ue: rows of level cell have no such id"),
        ("[time]", "tyme = 1\n[time]", "tyme: no such key"),
        ('column = "time"', "", "time.column: Field required"),
    ],
)
def test_a_mapping_that_is_wrong_is_one_line_with_near_matches(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = write(tmp_path / "own.toml", CELLS.replace(old, new))
    with pytest.raises(NodeError, match=complaint) as caught:
        load_mapping(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_empty_folder_and_a_path_that_is_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NodeError, match="empty: nothing to replay: an empty folder"):
        open_world(f"table:{tmp_path / 'empty'}")
    with pytest.raises(NodeError, match="gone: nothing to replay: there is no such file or folder"):
        open_world(f"table:{tmp_path / 'gone'}")


def test_one_reason_of_many_tables_is_one_line(tmp_path: Path) -> None:
    for number in range(60):
        rows = [row(0), row(1, CQI="99"), *([row(2, CQI="99")] if number == 7 else [])]
        write(tmp_path / "t" / f"{number:02d}.csv", log(*rows))
    world = open_world(f"replay:{tmp_path / 't'}")
    assert isinstance(world, ReplayWorld)
    columns, values_left_out = world.left_out
    assert columns.startswith("mapping gnettrack: 12 columns not read")
    assert values_left_out == (
        f"{tmp_path / 't'}: 61 values of CQI in 60 tables left out: outside 0 to 15; most in 07.csv, 2"
    )


def test_a_table_that_two_mappings_fit_alike_is_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time;cell;prb;thp\n0;a;1;2\n1;a;1;2\n")
    own = CELLS.replace("[time]", 'recognise = ["prb", "thp"]\n[time]', 1)
    one, two = (
        write(tmp_path / "one.toml", own),
        write(tmp_path / "two.toml", own.replace('"cells"', '"others"', 1)),
    )
    with pytest.raises(
        NodeError, match=r"t\.csv: may be read as cells or others; say which: \?mapping=cells"
    ):
        open_world(f"table:{path}?mapping={one},{two}&time_format=s")
    write(two, own.replace('"cells"', '"others"', 1).replace('["prb", "thp"]', '["prb", "thp", "cell"]'))
    assert isinstance(world := open_world(f"table:{path}?mapping={one},{two}&time_format=s"), ReplayWorld)
    assert played(world)  # the one that knows more of its columns is taken


def test_at_most_forty_lines_are_told(tmp_path: Path) -> None:
    write(tmp_path / "t" / "good.csv", log(row(0), row(1)))
    for number in range(60):
        write(tmp_path / "t" / f"{number:02d}.csv", "a,b\n")
    world = open_world(f"replay:{tmp_path / 't'}")
    assert isinstance(world, ReplayWorld)
    assert len(world.left_out) == 40
    assert (
        world.left_out[-1] == f"{tmp_path / 't'}: and 22 more lines like these"
    )  # 60 files and the columns: 61 lines
