"""Tables in JSON: an object a line, or one document. Nested keys are joined by dots, as in `cells.ue_list.rnti`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson  # quick, but NaN and numbers of more than 64 bits are errors to it

from ranloop.errors import NodeError
from ranloop.foreign import one_line
from ranloop.node.bounded_lines import BoundedLines
from ranloop.node.table.source import PIECE_ROWS, Piece

__all__ = ("JsonTable",)

_MAX_LINE_BYTES = 1 << 22  # a line holds all cells and UEs of a period
_MOST_COLUMNS = 4096
_MOST_DOCUMENT = 1 << 26  # characters of a document that is not one of lines
_NO_OBJECT = "no JSON object"
Row = Mapping[str, object]


class JsonTable:
    """A `RawTable` of JSON.

    Args:
        rows: Path to the rows in an object: names joined by dots, `[]` behind a list, or an object of objects, whose entries
            are rows, such as "cells[].ue_list[]". "" takes each object as a row. What stands above a row is in it, too.

    Attributes:
        lists: Ways to lists of objects, each of which may be `rows`.
    """

    def __init__(self, path: Path, rows: str = "") -> None:
        self._path, self._steps = path, _steps(rows)
        self.lost: Counter[str] = Counter()
        self.truncated = False
        header: dict[str, None] = {}
        self.lists = tuple(
            dict.fromkeys(way for document in islice(self._documents(), 100) for way in _lists(document))
        )
        for row in self._rows():
            header.update(dict.fromkeys(row))
            if len(header) > _MOST_COLUMNS:
                raise NodeError(
                    f"{path}: more than {_MOST_COLUMNS} keys in the JSON objects, such as {one_line(next(reversed(header)))}; keys that "
                    'are ids belong to `rows`, as in rows = "cells[]"'
                )
        self.header = tuple(header)

    def pieces(self, columns: Collection[str]) -> Iterator[Piece]:
        """As in `RawTable`."""
        self.lost.clear()
        rows = self._rows()
        while piece := list(islice(rows, PIECE_ROWS)):
            yield {column: [row.get(column) for row in piece] for column in columns if column in self.header}

    def _rows(self) -> Iterator[Row]:
        for document in self._documents():
            if isinstance(document, dict):
                try:
                    rows = list(_expanded(document, self._steps, "", {}))
                except RecursionError:
                    raise NodeError(f"{self._path}: JSON that is nested too deeply") from None
                yield from rows
            else:
                self.lost[_NO_OBJECT] += 1

    def _documents(self) -> Iterator[Any]:
        """The objects of the lines; those of one document, if it is a document of several lines."""
        with BoundedLines(self._path, max_line_bytes=_MAX_LINE_BYTES) as lines:
            text = iter(lines)
            first = next((line for line in text if line.strip()), "")
            try:
                document = _loaded(first)
            except ValueError:
                yield from self._whole([first, *text])
                return
            yield from document if isinstance(document, list) else [document]
            for line in text:
                if line.strip():
                    try:
                        yield _loaded(line)
                    except ValueError:
                        self.lost[_NO_OBJECT] += 1
        self.truncated = lines.truncated

    def _whole(self, lines: Sequence[str]) -> Iterator[Any]:
        if sum(map(len, lines)) > _MOST_DOCUMENT:
            raise NodeError(
                f"{self._path}: one JSON document of more than {_MOST_DOCUMENT >> 20} MiB; write each object on a line"
            )
        try:
            document = _loaded("".join(lines))
        except ValueError as error:
            raise NodeError(
                f"{self._path}: neither JSON lines nor one JSON document: {one_line(str(error))}"
            ) from error
        yield from document if isinstance(document, list) else [document]


def _loaded(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is none, is nested too deeply, or holds half a surrogate pair.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(text)
            json.dumps(
                value, ensure_ascii=False
            ).encode()  # half a surrogate pair is no text for anybody else
            return value
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _steps(rows: str) -> list[str]:
    """The lists on the way to the rows, each as the path from the one before."""
    *lists, rest = rows.split("[]")
    if rest:
        raise NodeError(
            f"rows = {rows!r}: want names of lists, each with [] behind it, such as cells[].ue_list[]"
        )
    return [step.strip(".") for step in lists]


def _expanded(node: Mapping[str, Any], steps: list[str], prefix: str, above: Row) -> Iterator[Row]:
    """The rows below `node`, each with the plain values above it."""
    row = dict(above)
    _flatten(node, prefix, row)
    if not steps:
        yield row
        return
    found: Any = node
    for key in steps[0].split("."):
        found = found.get(key) if isinstance(found, dict) else None
    entries = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    own = f"{prefix}{steps[0]}."
    plain = {name: value for name, value in row.items() if not name.startswith(own)}
    for entry in entries:
        if isinstance(entry, dict):
            yield from _expanded(entry, steps[1:], own, plain)


def _lists(node: object, way: str = "", most: int = 8) -> Iterator[str]:
    """The ways to lists of objects below `node`, to a depth of `most`."""
    for key, value in node.items() if isinstance(node, dict) and most else ():
        here = f"{way}.{key}" if way else key
        if isinstance(value, list):
            objects = [entry for entry in value if isinstance(entry, dict)]
            if objects:
                yield f"{here}[]"
                yield from _lists(objects[0], f"{here}[]", most - 1)
        else:
            yield from _lists(value, here, most - 1)


def _flatten(node: Mapping[str, Any], prefix: str, row: dict[str, object]) -> None:
    """Add the plain values of `node` to `row`; lists are left out."""
    for key, value in node.items():
        if isinstance(value, dict):
            _flatten(value, f"{prefix}{key}.", row)
        elif not isinstance(value, list):
            row[f"{prefix}{key}"] = value
