"""The start of a mapping for the tables at a path."""

from __future__ import annotations

from pathlib import Path

from ranloop.errors import NodeError
from ranloop.node.table.address import TableOptions
from ranloop.node.table.formats import open_table
from ranloop.node.table.guess import as_toml
from ranloop.node.table.mapping import shipped_mappings
from ranloop.node.table.recognise import files_at, why_nothing

__all__ = ("start_of_mapping",)


def start_of_mapping(path: Path, options: TableOptions) -> str:
    """The text of a TOML file to begin a mapping with, after the first table at `path`.

    Raises:
        NodeError: Nothing there is a table.
    """
    reasons: list[str] = []
    for file in files_at(path, reasons):
        try:
            tables = open_table(file, [options.over(mapping) for mapping in shipped_mappings().values()])
            table = tables.get(options.rows) or next(iter(tables.values()))
            return as_toml(file, table, options.rows)
        except NodeError as error:
            reasons.append(str(error))
    raise NodeError(why_nothing(path, reasons))
