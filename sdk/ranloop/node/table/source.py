"""What a file of a table gives, whatever its format: column names, and raw values in pieces of some thousand rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ranloop.errors import NodeError
from ranloop.foreign import one_line

__all__ = ("PIECE_ROWS", "Piece", "RawTable", "counted", "shown", "without_suffix")

PIECE_ROWS = 8192
Piece = Mapping[str, Sequence[object]]  # column -> values; all columns have the same length
_SHOWN = 200  # characters of a foreign table's columns
_SUFFIXES = (
    ".csv",
    ".tsv",
    ".txt",
    ".log",
    ".jsonl",
    ".ndjson",
    ".json",
    ".parquet",
    ".db",
    ".sqlite",
    ".sqlite3",
)


class RawTable(Protocol):
    """One table of a file.

    Attributes:
        header: Names of its columns.
        lost: Why rows could not be read -> how many. It grows while pieces are read.
        truncated: Whether the file breaks off.
    """

    header: tuple[str, ...]
    lost: Counter[str]
    truncated: bool

    def pieces(self, columns: Collection[str]) -> Iterator[Piece]:
        """These columns of all rows, some thousand rows at a time, in the order of the file.

        Raises:
            NodeError: The file is damaged or too large, or has two of these columns.
        """
        ...


def counted(n: int, noun: str) -> str:
    """A number of things: "1 row", "2 rows"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def shown(names: Collection[str], most: int = _SHOWN) -> str:
    """Names of columns, as far as a line has room."""
    return one_line(", ".join(name for name in names if name) or "none", most)


def without_suffix(name: str) -> str | None:
    """The name of a table's file without its suffix; None where the suffix is not that of a table."""
    stem = name.lower().removesuffix(".gz")
    return next((name[: len(stem) - len(suffix)] for suffix in _SUFFIXES if stem.endswith(suffix)), None)


def refuse_twice(path: Path, header: Sequence[str], columns: Collection[str]) -> None:
    """Raise a NodeError if one of `columns` stands in the header twice."""
    for column in columns:
        if header.count(column) > 1:
            raise NodeError(f"{path}: has two columns called {one_line(column)}; rename one of them")
