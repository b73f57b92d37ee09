"""The same table in every format gives the same reports."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranloop.errors import MissingExtraError, NodeError
from ranloop.node.table import formats
from tests.ranloop.node.table.played import CELLS, opened, played, values, write

Row = tuple[str, int, float, float | None]
ROWS: Sequence[Row] = [
    ("2025-03-01T10:00:00Z", 208950000000031, 40, 12.5),
    ("2025-03-01T10:00:00Z", 208950000000032, 41, None),
    ("2025-03-01T10:00:01Z", 208950000000031, 42.5, 1),
]
HEADER = ("time", "cell", "prb", "thp")


def as_csv(path: Path) -> None:
    lines = [",".join("" if value is None else str(value) for value in row) for row in ROWS]
    write(path, "\n".join([",".join(HEADER), *lines]))


def as_json_lines(path: Path) -> None:
    write(path, "\n".join(json.dumps(dict(zip(HEADER, row, strict=True))) for row in ROWS))


def as_json(path: Path) -> None:
    write(path, json.dumps([dict(zip(HEADER, row, strict=True)) for row in ROWS], indent=2))


def as_parquet(path: Path) -> None:
    columns = dict(zip(HEADER, map(list, zip(*ROWS, strict=True)), strict=True))
    pq.write_table(pa.table(columns), path)


def as_parquet_with_times(path: Path) -> None:
    columns = dict(zip(HEADER, map(list, zip(*ROWS, strict=True)), strict=True))
    times = pa.array([datetime.fromisoformat(time) for time, *_ in ROWS], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({**columns, "time": times}), path)


def as_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE kpm (time TEXT, cell INT, prb REAL, thp REAL)")
        database.executemany("INSERT INTO kpm VALUES (?, ?, ?, ?)", ROWS)
        database.commit()


@pytest.mark.parametrize(
    "write_as", [as_csv, as_json_lines, as_json, as_parquet, as_parquet_with_times, as_sqlite]
)
def test_every_format_gives_the_same_reports(tmp_path: Path, write_as: Callable[[Path], None]) -> None:
    write_as(tmp_path / "table.any")
    world = opened(tmp_path / "table.any", CELLS)
    reports = played(world)
    assert values(reports, "RRU.PrbTotDl") == [
        {"208950000000031": 40, "208950000000032": 41},
        {"208950000000031": 42.5},
    ]
    assert values(reports, "DRB.UEThpDl") == [{"208950000000031": 12_500}, {"208950000000031": 1000}]
    assert world.days == {"table-any": date(2025, 3, 1)}
    assert world.left_out == ()


def test_rows_lie_in_lists_of_json_and_have_what_stands_above_them(tmp_path: Path) -> None:
    mapping = """\
name = "nested"
level = "ue"
rows = "cells[].ues[]"
[time]
column = "at"
[ids]
ue = "cells.ues.rnti"
cell = "cells.info.pci"
[columns]
"cells.ues.radio.cqi" = "CQI"
"""

    def document(second: int, ues: dict[int, list[tuple[int, int]]]) -> str:
        cells = [
            {"info": {"pci": pci}, "ues": [{"rnti": rnti, "radio": {"cqi": cqi}} for rnti, cqi in own]}
            for pci, own in ues.items()
        ]
        return json.dumps({"at": f"2025-03-01T10:00:{second:02d}Z", "cells": cells})

    lines = [
        document(0, {}),
        document(1, {7: [(17921, 12), (17922, 5)], 8: [(17921, 3)]}),
        "broken",
        document(2, {7: [(17921, 11)]}),
    ]
    path = write(tmp_path / "m.json", "\n".join(lines))
    with pytest.raises(
        NodeError, match=r"1 row with the target and time of another one, the first ue 17921 at"
    ):
        opened(path, mapping)
    world = opened(
        path, mapping.replace('ue = "cells.ues.rnti"', 'ue = ["cells.info.pci", "cells.ues.rnti"]')
    )
    reports = played(world)
    assert values(reports, "CQI") == [{"7-17921": 12, "7-17922": 5, "8-17921": 3}, {"7-17921": 11}]
    assert reports[0].names_of("cell").tolist() == ["7", "7", "8"]
    assert world.left_out == (f"{path}: 1 row left out: no JSON object",)


def test_keys_that_are_ids_are_rows_and_not_columns(tmp_path: Path) -> None:
    many = {"time": 1, "cells": {str(cell): {"prb": 1} for cell in range(5000)}}
    path = write(tmp_path / "m.json", json.dumps(many))
    with pytest.raises(
        NodeError,
        match=r'more than 4096 keys .* keys that are ids belong to `rows`, as in rows = "cells\[\]"',
    ):
        opened(path, CELLS)


def test_a_database_of_several_tables_is_asked_about(tmp_path: Path) -> None:
    as_sqlite(tmp_path / "kpm.db")
    with closing(sqlite3.connect(tmp_path / "kpm.db")) as database:
        database.execute('CREATE TABLE "other table" (a INT)')
    with pytest.raises(
        NodeError, match=r"kpm\.db: has the tables kpm, other table; say which is to be read: \?rows=NAME"
    ):
        opened(tmp_path / "kpm.db", CELLS)
    assert len(played(opened(tmp_path / "kpm.db", CELLS, rows="kpm"))) == 2


def test_json_with_nan_is_read_and_json_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    rows = ('{"time": "2025-03-01T10:00:00Z", "cell": 1, "prb": NaN, "thp": 1}\n'
            '{"time": "2025-03-01T10:00:01Z", "cell": 1, "prb": 4, "thp": 1, "big": 123456789012345678901234567890}\n'
            '{"time": "2025-03-01T10:00:02Z", "cell": "\\ud800", "prb": 4, "thp": 1}\n')  # fmt: skip
    world = opened(write(tmp_path / "m.json", rows), CELLS)
    assert values(played(world), "RRU.PrbTotDl") == [{}, {"1": 4}]
    assert world.left_out[-1] == f"{tmp_path / 'm.json'}: 1 row left out: no JSON object"
    for depth in (990, 100_000):
        path = write(tmp_path / "deep.json", '{"a":' * depth + "1" + "}" * depth)
        with pytest.raises(NodeError, match=r"deep\.json: "):
            opened(path, CELLS)


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("a.csv", b"", "no table: the file is empty"),
        ("a.xlsx", b"PK\x03\x04rest", "no table: a spreadsheet or another packed file; export it as CSV"),
        ("a.parquet", b"PAR1 and nothing else", "cut short, changed or no Parquet file at all"),
        ("a.db", b"SQLite format 3\0" + b"?" * 200, "damaged, locked or no SQLite database"),
        ("a.json", b'{"time": 1,\n', "neither JSON lines nor one JSON document"),
        ("a.csv", bytes(range(256)) * 20, "no table: it holds zeros, so it is no text"),
        ("a.csv", b"\x1f\x8bnot really gzip", "damaged gzip file"),
        ("a.csv", b"time;cell;prb;thp\n", "no row with a time in the column time"),
    ],
)
def test_what_is_no_table_is_told_in_one_line(tmp_path: Path, name: str, data: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NodeError, match=complaint) as caught:
        opened(tmp_path / name, CELLS)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert str(caught.value).isprintable()


def test_without_pyarrow_a_parquet_file_names_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_parquet(tmp_path / "a.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(
        MissingExtraError, match=r"a Parquet file needs an optional part: pip install 'ranloop\[record\]'"
    ):
        opened(tmp_path / "a.parquet", CELLS)
    as_csv(tmp_path / "a.csv")
    assert len(played(opened(tmp_path / "a.csv", CELLS))) == 2  # text needs nothing
    assert formats.open_table(tmp_path / "a.csv", [])[""].header == HEADER
