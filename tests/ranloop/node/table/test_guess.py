"""The start of a mapping that `ranloop table --write` gives, and what `ranloop table` tells."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from ranloop.cli.table import show_table, write_mapping
from ranloop.errors import NodeError
from ranloop.node import open_replay
from ranloop.node.table import TableOptions, describe_tables, load_mapping
from ranloop.node.table.guess import guessed
from tests.ranloop.node.table.played import CELLS, played, values, write

OWN = (
    'Zeit;Datum;IMSI;"Cell ID";DRB.UEThpDl (Mbps);dl_brate [kbps];RSRP_dBm;Laune\n'
    "2025-03-01 10:00:00;x;208950000000031;7;12,5;1;-90;gut\n"
    "2025-03-01 10:00:01;x;208950000000031;7;13,5;2;-91;gut\n"
)


def started(folder: Path, text: str) -> tuple[str, Path]:
    file = folder / "own.toml"
    assert write_mapping(str(write(folder / "kpm.csv", text)), file) == 0
    return file.read_text(), file


def test_a_start_can_be_used_as_it_is_and_suggests_the_rest(tmp_path: Path) -> None:
    text, file = started(tmp_path, OWN)
    given = tomllib.loads(text)
    assert (given["level"], given["time"], given["ids"]) == (
        "ue",
        {"column": "Zeit", "format": "iso"},
        {"ue": "IMSI", "cell": "Cell ID"},
    )
    assert given["columns"] == {"DRB.UEThpDl (Mbps)": {"measurement": "DRB.UEThpDl", "unit": "Mbps"}}
    assert '# "RSRP_dBm" = { measurement = "RSRP", unit = "dBm" }  # such as -90; or L1M.DL-SS-RSRP' in text
    assert '# "dl_brate [kbps]" = { measurement = "DRB.UEThpDl", unit = "kbps" }  # such as 1' in text
    assert '# "Laune" = ""  # such as gut; no measurement is near' in text
    assert load_mapping(str(file)).name == "kpm"


def test_a_line_that_is_taken_out_of_its_comment_is_valid(tmp_path: Path) -> None:
    text, file = started(tmp_path, OWN)
    file.write_text(text.replace('# "RSRP_dBm"', '"RSRP_dBm"'))
    reports = played(open_replay(tmp_path / "kpm.csv", TableOptions(mapping=str(file))))
    assert values(reports, "RSRP") == [{"208950000000031": -90}, {"208950000000031": -91}]
    assert values(reports, "DRB.UEThpDl") == [{"208950000000031": 12_500}, {"208950000000031": 13_500}]


def test_what_is_not_clear_stands_in_the_start_as_a_question(tmp_path: Path) -> None:
    text, _ = started(tmp_path, "time,cell,prb\n03/04/2025 10:00:00,a,1\n03/04/2025 10:00:01,a,2\n")
    assert (
        '# format = ""  # in times such as 03/04/2025 10:00:00 in the column time the day or the month may come first'
        in text
    )


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    _, file = started(tmp_path, OWN)
    with pytest.raises(NodeError, match=r"own\.toml is there already; choose another file"):
        write_mapping(str(tmp_path / "kpm.csv"), file)


def test_text_of_a_header_stays_inside_its_quotes(tmp_path: Path) -> None:
    text, _ = started(tmp_path, 'time;"a"" = 1 # \\ü";x\x7f\n2025-03-01 10:00:00;1;2\n')
    assert "\\u007f" in text
    assert tomllib.loads(text)["time"] == {"column": "time", "format": "iso"}
    assert '# "a\\" = 1 # \\\\ü" = ' in text


@pytest.mark.parametrize(
    ("header", "level"),
    [
        (("time", "RRC.ConnMean"), "cell"),
        (("time", "cell", "DRB.UEThpDl"), "cell"),
        (("time", "slice", "DRB.UEThpDl"), "slice"),
        (("time", "imsi", "5qi", "slice", "DRB.UEThpDl"), "qos_flow"),
        (("time", "ue", "cell", "DRB.UEThpDl"), "ue"),
        (("time", "ue", "cell", "measured_cell", "SINR"), "ue_cell"),
    ],
)
def test_the_level_is_that_of_the_ids_and_the_measurements(header: tuple[str, ...], level: str) -> None:
    guess = guessed(header)
    assert (guess.level, guess.time, list(guess.columns)) == (level, ("time",), [header[-1]])


def test_a_table_is_described_as_facts_and_as_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "t.csv", "time;cell;prb;thp;x\n0;a;1;2;9\n1;a;;2;9\n1;b;120;2;9\n")
    mapping = write(tmp_path / "own.toml", CELLS)
    target = f"table:{path}?mapping={mapping}&time_format=s"
    assert show_table(target, json_output=True) == 0
    facts = json.loads(capsys.readouterr().out)
    (stream,) = facts["nodes"][0]["streams"]
    assert (stream["level"], stream["period_ms"], stream["reports"], stream["rows"], stream["ids"]) == (
        "cell",
        1000,
        2,
        3,
        {"cell": 2},
    )
    assert stream["measurements"] == [
        {"name": "RRU.PrbTotDl", "unit": "%", "values": 1},
        {"name": "DRB.UEThpDl", "unit": "kbit/s", "values": 3},
    ]
    assert facts["left_out"] == [
        "mapping cells: 1 column not read: x",
        f"{path}: 1 value of RRU.PrbTotDl left out: outside 0 to 100 %",
    ]
    show_table(target, json_output=False)
    out = capsys.readouterr().out
    assert "  thp [Mbit/s] -> DRB.UEThpDl\n" in out
    assert "node t, from 1970-01-01\n  cell every 1000 ms: 2 reports, 3 rows, 2 s; 2 cell\n" in out
    assert out.endswith("left out:\n" + "\n".join(f"  {line}" for line in facts["left_out"]) + "\n")


def test_a_description_of_the_shipped_mapping_says_how_it_differs(tmp_path: Path) -> None:
    text = "Timestamp,IMSI,tx_brate downlink [Mbps]\n1617070531726,1,2\n1617070531976,1,2\n"
    facts = describe_tables(write(tmp_path / "m.csv", text))
    (brate,) = [c for c in facts["mappings"][0]["columns"] if c["measurement"] == "DRB.UEThpDl"]
    assert brate["remark"] == "over the whole period, idle time included"
    assert "not documented" in facts["mappings"][0]["without"]["sum_granted_prbs"]


def test_the_start_of_a_json_table_names_its_lists(tmp_path: Path) -> None:
    document = {
        "at": "2025-03-01T10:00:00Z",
        "a": {"cells": [{"ues": [{"rnti": 1, "cqi": 3}], "tags": ["x"]}]},
    }
    text, file = started(tmp_path, json.dumps(document))
    assert re.findall(r"^# rows = (.*?)  ", text, re.MULTILINE) == ['"a.cells[]"', '"a.cells[].ues[]"']
    file.unlink()
    write_mapping(f"{tmp_path / 'kpm.csv'}?rows=a.cells[].ues[]", file)
    given = tomllib.loads(file.read_text())
    assert (given["rows"], given["time"]["column"]) == ("a.cells[].ues[]", "at")
    assert '# "a.cells.ues.cqi" = { measurement = "CQI", unit = "1" }  # such as 3' in file.read_text()
