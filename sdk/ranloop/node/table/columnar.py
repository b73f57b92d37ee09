"""Tables in Parquet files and in SQLite databases."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ranloop.errors import NodeError
from ranloop.node.parts import DAMAGE
from ranloop.node.recording import parquet
from ranloop.node.table.source import PIECE_ROWS, Piece, refuse_twice

__all__ = ("ParquetTable", "SqliteTable", "sqlite_tables")


class ParquetTable:
    """A `RawTable` of a Parquet file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lost: Counter[str] = Counter()
        self.truncated = False
        _, pq = parquet("a Parquet file")
        try:
            self.header: tuple[str, ...] = tuple(pq.read_schema(path).names)
        except DAMAGE as error:
            raise NodeError(f"{path}: cut short, changed or no Parquet file at all") from error

    def pieces(self, columns: Collection[str]) -> Iterator[Piece]:
        """As in `RawTable`."""
        refuse_twice(self._path, self.header, columns)
        _, pq = parquet()
        wanted = [column for column in columns if column in self.header]
        try:
            with pq.ParquetFile(self._path) as file:
                for batch in file.iter_batches(PIECE_ROWS, columns=wanted):
                    yield {name: _raw(batch.column(name)) for name in wanted}
        except DAMAGE as error:
            raise NodeError(f"{self._path}: cut short or changed") from error


def _raw(column: Any) -> Any:
    """Numbers as an array, if none is missing; else a list."""
    pa, _ = parquet()
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False).to_pylist()
    if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and not column.null_count:
        return column.to_numpy(zero_copy_only=False)
    return column.to_pylist()


class SqliteTable:
    """A `RawTable` of one table of a SQLite database."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self.lost: Counter[str] = Counter()
        self.truncated = False
        rows = _query(path, f"PRAGMA table_info({_quoted(name)})")
        self.header: tuple[str, ...] = tuple(str(row[1]) for row in next(rows, []))

    def pieces(self, columns: Collection[str]) -> Iterator[Piece]:
        """As in `RawTable`."""
        wanted = [column for column in columns if column in self.header]
        names = ", ".join(map(_quoted, wanted))
        for rows in _query(self._path, f"SELECT {names} FROM {_quoted(self._name)}"):
            yield dict(zip(wanted, zip(*rows, strict=True), strict=True))


def sqlite_tables(path: Path) -> dict[str, SqliteTable]:
    """The tables of a database by their names; views are left out, because they may compute without end.

    Raises:
        NodeError: It is damaged or no database.
    """
    rows = _query(
        path, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    return {str(name): SqliteTable(path, str(name)) for piece in rows for (name,) in piece}


def _query(path: Path, command: str) -> Iterator[list[tuple[Any, ...]]]:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as database:
            cursor = database.execute(command)
            while rows := cursor.fetchmany(PIECE_ROWS):
                yield rows
    except sqlite3.Error as error:
        raise NodeError(f"{path}: damaged, locked or no SQLite database: {error}") from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
