"""`ranloop schema`: the wire as documents, on the screen or in a folder."""

from __future__ import annotations

import json
from pathlib import Path

from ranloop.wire.schema import BINARY_ONLY, MESSAGES, NODE_SIDE, asyncapi, json_schema
from tests.command import Command


def test_a_message_is_printed_as_its_schema(ranloop: Command) -> None:
    for arguments in (["report"], ["report", "--json"]):
        assert json.loads(ranloop("schema", *arguments).out) == json_schema("report")
    assert json.loads(ranloop("schema", "asyncapi").out) == asyncapi()


def test_without_a_name_every_topic_is_listed_with_its_message(ranloop: Command) -> None:
    listed = json.loads(ranloop("schema", "--json").out)
    assert {entry["message"] for entry in listed} == {*MESSAGES, *BINARY_ONLY}
    shown = ranloop("schema").out
    assert all(entry["topic"] in shown for entry in listed)


def test_all_documents_are_written_into_a_folder(ranloop: Command, tmp_path: Path) -> None:
    files = [Path(file) for file in json.loads(ranloop("schema", "--out", tmp_path / "new", "--json").out)]
    assert files[0] == tmp_path / "new" / "asyncapi.json"
    assert [file.stem for file in files[1:]] == [*MESSAGES, *NODE_SIDE]
    assert all(json.loads(file.read_text()) for file in files)


def test_wrong_input_is_one_line(ranloop: Command, tmp_path: Path) -> None:
    assert ranloop("schema", "reprot").complaint == "unknown message 'reprot'; did you mean report?"
    assert "--out writes all documents" in ranloop("schema", "report", "--out", tmp_path).complaint
    (tmp_path / "schemas").write_text("a file in the way")
    assert "cannot be written (File exists)" in ranloop("schema", "--out", tmp_path).complaint
