"""`ranloop table`: what a table is as a RAN node, and the start of a mapping of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ranloop.errors import NodeError
from ranloop.foreign import one_line
from ranloop.node.table import describe_tables, split_address, start_of_mapping
from ranloop.node.table.source import counted

__all__ = ("show_table", "write_mapping")

_MOST_NODES = 20  # shown to a person


def show_table(target: str, *, json_output: bool) -> int:
    """Print the nodes of PATH?OPTIONS, the mappings, and what is left out."""
    path, options = split_address(target.removeprefix("table:"))
    facts = describe_tables(path, options)
    print(json.dumps(facts, indent=2) if json_output else "\n".join(_lines(facts)))
    return 0


def write_mapping(target: str, file: Path) -> int:
    """Write the start of a mapping of the first table at PATH into a new file.

    Raises:
        NodeError: No table there, or the file exists or cannot be written.
    """
    path, options = split_address(target.removeprefix("table:"))
    text = start_of_mapping(path, options)
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise NodeError(f"{file} is there already; choose another file") from None
    except OSError as error:
        raise NodeError(f"{file} cannot be written: {error.strerror}") from error
    print(f"{file}: check it, then ranloop table '{path}?mapping={file}'")
    return 0


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    for mapping in facts["mappings"]:
        title = f": {mapping['title']}" if mapping["title"] else ""
        yield f"mapping {mapping['name']}{title}; {counted(mapping['files'], 'table')}"
        for column in mapping["columns"]:
            remark = f"  ({column['remark']})" if column["remark"] else ""
            yield f"  {one_line(column['column'])} [{column['unit']}] -> {column['measurement']}{remark}"
        for name, why in mapping["without"].items():
            yield f"  {one_line(name)} -> not read: {why}"
    for node in facts["nodes"][:_MOST_NODES]:
        yield f"node {node['node']}, from {node['day']}"
        for stream in node["streams"]:
            ids = ", ".join(f"{n} {column}" for column, n in stream["ids"].items())
            yield (
                f"  {stream['level']} every {stream['period_ms']} ms: {stream['reports']} reports, {stream['rows']} rows, "
                f"{stream['seconds']:g} s; {ids}"
            )
            for entry in stream["measurements"]:
                yield f"    {entry['name']} [{entry['unit']}]: {entry['values']} values"
    if len(facts["nodes"]) > _MOST_NODES:
        yield f"and {len(facts['nodes']) - _MOST_NODES} more nodes"
    if facts["left_out"]:
        yield "left out:"
        yield from (f"  {line}" for line in facts["left_out"])
