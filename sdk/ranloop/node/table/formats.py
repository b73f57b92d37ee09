"""Opens a file as tables, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ranloop.node.table.mapping import TableMapping
from ranloop.node.table.source import RawTable
from ranloop.node.table.text import TextTable

__all__ = ("open_table",)


def open_table(path: Path, mappings: Sequence[TableMapping]) -> Mapping[str, RawTable]:
    """The tables of a file, by the `rows` of the mappings that they are for.

    Raises:
        NodeError: The file is no table.
        MissingExtraError: A Parquet file, and pyarrow is not installed.
    """
    return {"": TextTable(path)}
