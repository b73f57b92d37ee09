"""Tables in text: whatever the encoding, the separator and the decimal sign, the same values are read."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranloop.errors import NodeError
from tests.ranloop.node.table.played import CELLS, opened, played, values, write

TABLE = "time;cell;prb;thp\n2025-03-01T10:00:00Z;Zürich 1;40;12,5\n2025-03-01T10:00:01Z;Zürich 1;41;1.234,5\n"
BOMS = {"utf-8-sig": "utf-8-sig", "utf-16": "utf-16", "utf-16-le": "utf-16-le", "utf-16-be": "utf-16-be"}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", *BOMS])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_encoding_and_decimal_comma_are_found(tmp_path: Path, encoding: str, packed: bool) -> None:
    data = TABLE.encode(encoding)
    (tmp_path / "cells.csv").write_bytes(gzip.compress(data) if packed else data)
    reports = played(opened(tmp_path / "cells.csv", CELLS))
    assert values(reports, "DRB.UEThpDl") == [
        {"Zürich 1": 12_500},
        {"Zürich 1": 1_234_500},
    ]  # Mbit/s to kbit/s


cells_of_a_row = st.tuples(
    st.one_of(st.none(), st.integers(0, 100), st.floats(0, 100, width=32)),
    st.one_of(st.none(), st.floats(0, 9e6, width=32)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(cells_of_a_row, min_size=2, max_size=6).filter(
        lambda rows: any(v is not None for r in rows for v in r)
    ),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    decimal=st.sampled_from(".,"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    nothing=st.sampled_from(["", "-", "NaN", "n/a", "NULL"]),
    line=st.sampled_from(["\n", "\r\n"]),
    packed=st.booleans(),
)
def test_what_is_written_in_any_dialect_is_read_back(
    rows: list[tuple[float | None, float | None]],
    separator: str,
    encoding: str,
    decimal: str,
    quoting: int,
    nothing: str,
    line: str,
    packed: bool,
) -> None:
    def spelt(value: float | None) -> str:
        return nothing if value is None else f"{value:.9f}".replace(".", decimal)

    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=line)  # type: ignore[arg-type]
    writer.writerow(["time", "cell", "prb", "thp", "remark"])
    for second, (prb, thp) in enumerate(rows):
        writer.writerow([f"2025-03-01T10:00:{second:02d}Z", "Köln", spelt(prb), spelt(thp), f"a{separator}b"])
    data = out.getvalue().encode(encoding)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cells.txt"
        path.write_bytes(gzip.compress(data) if packed else data)
        reports = played(opened(path, CELLS))
    assert len(reports) == len(rows)
    for column, (name, factor) in enumerate({"RRU.PrbTotDl": 1, "DRB.UEThpDl": 1000}.items()):
        wanted = [np.nan if (value := row[column]) is None else round(value, 9) * factor for row in rows]
        assert np.allclose([r[name][0] for r in reports], wanted, rtol=1e-6, atol=0, equal_nan=True)
    assert all(r.names_of("cell").tolist() == ["Köln"] for r in reports)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1,234.5", 1234.5),
        ("1 234,5", 1234.5),
        ("1.234.567,5", 1234567.5),
        ("\u22127,5", -7.5),
        ("1e3", 1000),
        ("'1,5", 1.5),
    ],
)
def test_numbers_as_people_write_them(tmp_path: Path, text: str, wanted: float) -> None:
    mapping = CELLS.replace('prb = "RRU.PrbTotDl"', 'prb = { measurement = "X.Cell.TxPower", factor = 1e-6 }')
    path = write(tmp_path / "t.csv", f"time\tcell\tprb\tthp\n0\ta\t{text}\t1\n1\ta\t{text}\t1\n")
    found = values(played(opened(path, mapping, time_format="s")), "X.Cell.TxPower")
    assert found[0]["a"] == pytest.approx(wanted * 1e-6, rel=1e-5)


def test_a_comma_that_may_be_either_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time;cell;prb;thp\n0;a;1;1,234\n1;a;2;5,678\n")
    with pytest.raises(
        NodeError, match=r"1,234 in the column thp may have a decimal comma .* decimal = \",\" or"
    ) as caught:
        opened(path, CELLS, time_format="s")
    assert "\n" not in str(caught.value)
    as_said = {",": 1_234, ".": 1_234_000}
    for sign, kbps in as_said.items():
        found = values(played(opened(path, CELLS, time_format="s", decimal=sign)), "DRB.UEThpDl")
        assert found[0] == {"a": kbps}


def test_one_value_that_is_clear_decides_for_the_table(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time;cell;prb;thp\n0;a;12.5;1,234\n1;a;2;5,678\n")
    assert values(played(opened(path, CELLS, time_format="s")), "DRB.UEThpDl")[0] == {"a": 1_234_000}
    write(path, "time;cell;prb;thp\n0;a;12,5;1.234\n1;a;2;5.678\n")
    assert values(played(opened(path, CELLS, time_format="s")), "DRB.UEThpDl")[0] == {"a": 1_234_000}


def test_spellings_of_no_value_may_be_added(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time;cell;prb;thp\n0;a;99;n.v.\n1;a;98;98\n2;a;97;2\n")
    world = opened(path, 'no_value = ["n.v.", "99", 98]\n' + CELLS, time_format="s")
    assert values(played(world), "RRU.PrbTotDl") == [{}, {}, {"a": 97}]
    assert values(played(opened(path, time_format="s", mapping=(tmp_path / "mappings/own.toml").read_text())), "DRB.UEThpDl") == [
        {}, {}, {"a": 2000}
    ]  # fmt: skip
    assert world.left_out == ()


@pytest.mark.parametrize("module", ["text", "json_rows", "columnar"])
def test_a_table_of_many_pieces_is_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setattr(f"ranloop.node.table.{module}.PIECE_ROWS", 2)
    rows = [{"time": k, "cell": "ab"[k % 2], "prb": k, "thp": k + 0.5} for k in range(7)]
    path = tmp_path / "t.any"
    if module == "json_rows":
        write(path, "\n".join(map(json.dumps, rows)))
    elif module == "columnar":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        write(
            path,
            "time;cell;prb;thp\n" + "".join(f"{r['time']};{r['cell']};{r['prb']};{r['thp']}\n" for r in rows),
        )
    found = values(played(opened(path, CELLS, time_format="s", period_ms="1000")), "DRB.UEThpDl")
    assert found == [{"ab"[k % 2]: 1000 * k + 500} for k in range(7)]


def test_lines_before_the_header_and_blank_fields_behind_a_row_are_no_matter(tmp_path: Path) -> None:
    text = 'sep=;\n"time";"cell";"prb";"thp"\n0;a;1;2;;\n\n1;a;3;4\n#eof\n'
    world = opened(write(tmp_path / "t.csv", text), CELLS, time_format="s")
    assert values(played(world), "RRU.PrbTotDl") == [{"a": 1}, {"a": 3}]
    assert world.left_out == ()
    remarks = "# exported by a tool, version; 3\n\ntime;cell;prb;thp\n0;a;1;2\n1;a;3;4\n"
    assert len(played(opened(write(tmp_path / "r.csv", remarks), CELLS, time_format="s"))) == 2


def test_rows_of_another_width_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,cell,prb,thp\n0,a,1,2\n1,a,3\n2,a,1,2,9\n3,a,1,2\n")
    world = opened(path, CELLS, time_format="s", period_ms="1000")
    assert [report.seq for report in played(world)] == [0, 3]
    assert world.left_out == (f"{path}: 2 rows left out: cut short, or with more fields than the header",)


def test_two_columns_of_one_name_are_refused_only_if_they_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "time,,cell,,prb,thp\n0,,a,,1,2\n1,,a,,1,2\n")
    assert len(played(opened(path, CELLS, time_format="s"))) == 2
    write(path, "time,cell,prb,prb,thp\n0,a,1,1,2\n1,a,1,1,2\n")
    with pytest.raises(NodeError, match=r"t\.csv: has two columns called prb; rename one of them"):
        opened(path, CELLS, time_format="s")
