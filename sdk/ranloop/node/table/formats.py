"""Opens a file as tables, whatever its format: its first bytes tell it, not its name."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ranloop.errors import NodeError
from ranloop.node.table.columnar import ParquetTable, sqlite_tables
from ranloop.node.table.json_rows import JsonTable
from ranloop.node.table.mapping import TableMapping
from ranloop.node.table.source import RawTable, shown
from ranloop.node.table.text import TextTable

__all__ = ("open_table",)

_HEAD_BYTES = 256


def open_table(path: Path, mappings: Sequence[TableMapping]) -> Mapping[str, RawTable]:
    """The tables of a file, by the `rows` of the mappings that may read them.

    Raises:
        NodeError: The file is no table, or has several tables of which none is named; one line.
        MissingExtraError: A Parquet file, and pyarrow is not installed.
    """
    head = _head(path)
    if not head:
        raise NodeError(f"{path}: no table: the file is empty")
    if head.startswith(b"PAR1"):
        return {"": ParquetTable(path)}
    if head.startswith(b"SQLite format 3\0"):
        return _of_database(path, mappings)
    if head.startswith(b"PK\x03\x04"):
        raise NodeError(f"{path}: no table: a spreadsheet or another packed file; export it as CSV")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"{", b"[")):
        return {rows: JsonTable(path, rows) for rows in dict.fromkeys(["", *_paths(mappings)])}
    return {"": TextTable(path)}


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head.startswith(b"\x1f\x8b"):
            with (
                suppress(OSError, EOFError, zlib.error),
                gzip.open(path) as packed,
            ):  # a damaged one is told by its reader
                head = packed.read(_HEAD_BYTES)
    except OSError as error:
        raise NodeError(f"{path}: cannot be read: {error.strerror}") from error
    return head


def _paths(mappings: Sequence[TableMapping]) -> list[str]:
    """The paths to rows in JSON; names of tables have no brackets."""
    return [mapping.rows for mapping in mappings if "[]" in mapping.rows]


def _of_database(path: Path, mappings: Sequence[TableMapping]) -> dict[str, RawTable]:
    """The tables that mappings name, and as "" the only one that a mapping without a name may read."""
    tables = sqlite_tables(path)
    found: dict[str, RawTable] = {m.rows: tables[m.rows] for m in mappings if m.rows in tables}
    unnamed = [mapping for mapping in mappings if not mapping.rows]
    fitting = [
        table
        for table in tables.values()
        if len(tables) == 1 or any(mapping.fits(table.header) for mapping in unnamed)
    ]
    if len(fitting) == 1:
        found[""] = fitting[0]
    if not found:
        raise NodeError(f"{path}: has the tables {shown(tuple(tables))}; say which is to be read: ?rows=NAME")
    return found
