"""Tables in text: CSV, TSV and the like, plain or gzip-compressed. Encoding, separator and header are found."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from ranloop.errors import NodeError
from ranloop.node.bounded_lines import BoundedLines
from ranloop.node.table.source import PIECE_ROWS, Piece, refuse_twice

__all__ = ("TextTable",)

_SEPARATORS = ",;\t|"
_LINES_TO_JUDGE = 50
_CUT_SHORT = "cut short, or with more fields than the header"


class TextTable:
    """A `RawTable` of lines.

    - Blank lines and remarks, which begin with #, are skipped; "sep=;" before the header names the separator.
    - A row that has fewer fields than the header, or more that are not blank, is counted in `lost`.

    Raises:
        NodeError: No line, or no text.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lost: Counter[str] = Counter()
        self.truncated = False
        with BoundedLines(path) as lines:
            self._separator, self._first = _judged(path, list(islice(lines, _LINES_TO_JUDGE)))
        with BoundedLines(path) as lines:
            self.header = tuple(name.strip() for name in next(self._rows(lines), []))
        if not any(self.header):
            raise NodeError(f"{path}: no table: it has no line")

    def pieces(self, columns: Collection[str]) -> Iterator[Piece]:
        """As in `RawTable`."""
        refuse_twice(self._path, self.header, columns)
        places = {column: self.header.index(column) for column in columns if column in self.header}
        self.lost.clear()
        with BoundedLines(self._path) as lines:
            rows = self._whole(islice(self._rows(lines), 1, None))
            while piece := list(islice(rows, PIECE_ROWS)):
                yield {column: [row[at] for row in piece] for column, at in places.items()}
        self.truncated = lines.truncated

    def _rows(self, lines: BoundedLines) -> Iterator[list[str]]:
        try:
            yield from csv.reader(
                islice(lines, self._first, None), delimiter=self._separator, skipinitialspace=True
            )
        except csv.Error as error:
            raise NodeError(f"{self._path}: no table of lines: {error}") from error

    def _whole(self, rows: Iterator[list[str]]) -> Iterator[list[str]]:
        """The rows that are as wide as the header, but for blank fields behind."""
        width = len(self.header)
        for row in rows:
            if len(row) == width or (len(row) > width and not any(row[width:])):
                yield row[:width]
            elif any(row) and not row[0].startswith("#"):
                self.lost[_CUT_SHORT] += 1


def _judged(path: Path, lines: Sequence[str]) -> tuple[str, int]:
    """The separator, and how many lines stand before the header."""
    first = 0
    for first, line in enumerate(lines):
        text = line.strip()
        if text.lower().startswith("sep=") and len(text) == 5:
            return text[-1], first + 1
        if text and not text.startswith("#"):
            break
    if "\0" in "".join(lines):
        raise NodeError(f"{path}: no table: it holds zeros, so it is no text")
    return max(_SEPARATORS, key=lambda separator: _agreement(lines[first:], separator)), first


def _agreement(lines: Sequence[str], separator: str) -> tuple[int, int]:
    """How many lines a separator cuts into as many fields as the header, and into how many."""
    try:
        header, *rows = csv.reader(chain(lines), delimiter=separator, skipinitialspace=True)
    except (ValueError, csv.Error):
        return 0, 0
    if len(header) < 2:
        return 0, 0
    return 1 + sum(len(row) >= len(header) and not any(row[len(header) :]) for row in rows), len(header)
