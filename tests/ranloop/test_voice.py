"""Who speaks: the name of an xApp before what it prints and in what it logs, also of several in one process."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from ranloop.voice import named_output, speaks
from tests.builders import MANIFEST, write_xapp
from tests.command import Command

APP = """
import logging, sys
from ranloop import XApp
app = XApp()
print("imported")

@app.on_report("CQI")
def act(report):
    if report.seq == 0:
        print("first", end=" ")
        print("report\\nof", len(report), "UEs")
        print("to stderr", file=sys.stderr)
        logging.getLogger(__name__).warning("saw %d UEs", len(report))
    if report.seq == 1:
        print("no end", end="")

@app.summary
def found():
    print("summing up")
    return {}
"""


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [write_xapp(tmp_path / name, app=APP, text=MANIFEST.format(name=name)) for name in ("a", "b")]


def test_lines_of_two_xapps_in_one_process_have_their_names(ranloop: Command, folders: list[Path]) -> None:
    run = ranloop("run", *folders, "--node", "sim:one-cell", "--duration-s", "0.2")
    printed = [line for line in run.out.splitlines() if line.startswith("[")]
    for name in ("a", "b"):
        mine = [line.removeprefix(f"[{name}] ") for line in printed if line.startswith(f"[{name}] ")]
        assert mine[:2] == ["imported", "first report"]
        assert mine[2].startswith("of ")
        assert mine[3:] == ["no endsumming up"]
        assert f"[{name}] to stderr\n" in run.err
    logged = [json.loads(line) for line in run.err.splitlines() if line.startswith("{")]
    assert [(line["xapp"], line["logger"], line["level"]) for line in logged] == [
        ("a", "app", "warning"),
        ("b", "app", "warning"),
    ]
    assert logged[0]["event"].startswith("saw ")


def test_with_json_standard_output_has_the_document_alone(ranloop: Command, folders: list[Path]) -> None:
    run = ranloop("run", *folders, "--node", "sim:one-cell", "--duration-s", "0.2", "--json")
    assert json.loads(run.out)["xapps"] == {"a": {}, "b": {}}
    assert "[a] imported\n" in run.err
    assert "[b] no endsumming up\n" in run.err


def test_what_is_not_an_xapps_passes_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with named_output(to_stderr=False):
        print("ours", end="")
        with speaks("a"):
            print(" theirs")
        with speaks("b"):
            print("begun", end="")
    assert capsys.readouterr().out == "ours[a]  theirs\n[b] begun\n"
    assert sys.stdout.write  # restored
    assert logging.getLogger().handlers == [
        handler for handler in logging.getLogger().handlers if "ranloop" not in type(handler).__module__
    ]
