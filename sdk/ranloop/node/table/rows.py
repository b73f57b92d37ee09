"""The rows of one file as its mapping reads them: times, dense ids and measurements in the catalogue's units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranloop.errors import NodeError
from ranloop.foreign import one_line
from ranloop.node.table.clock import NO_TIME, Clock, without_double_hours
from ranloop.node.table.losses import Loss
from ranloop.node.table.mapping import Column, TableMapping
from ranloop.node.table.phone_clock import as_one_run
from ranloop.node.table.source import Piece, RawTable, shown
from ranloop.node.table.values import Dense, Numbers, is_no_value, name_of
from ranloop.vocabulary import ID_COLUMNS, Level
from ranloop.wire.messages import MAX_ID

__all__ = ("MOST_ROWS", "TARGET", "Rows", "numbered", "read_rows")

MOST_ROWS = 4_000_000  # of one path
_MOST_FIVE_QI = 1 << 16
_FAR_NS = 366 * 86_400 * 1_000_000_000  # a clock that was not set yet would make RAN time begin in 1970
_UNKNOWN = "unknown"
TARGET: dict[Level, tuple[str, ...]] = {
    "cell": ("cell",),
    "ue": ("ue",),
    "slice": ("slice", "cell"),
    "qos_flow": ("ue", "five_qi", "slice"),
    "ue_cell": ("ue", "measured_cell"),
}  # ids that together name the target of a row


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Rows in the order of the file.

    Attributes:
        times_ns: Since 1970, or since the first row; shape [n].
        ids: Dense ids, columns as `ID_COLUMNS[level]`, shape [n, n_ids].
        names: Measurements that the file has.
        values: Columns as `names`, in the catalogue's units, NaN = no value, shape [n, n_names].
        losses: What of the file is not in the rows.
        notes: What else there is to know about it: a line each.
    """

    path: Path
    mapping: TableMapping
    times_ns: NDArray[np.int64]
    ids: NDArray[np.int32]
    names: tuple[str, ...]
    values: NDArray[np.float64]
    losses: tuple[Loss, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.times_ns)


def read_rows(path: Path, table: RawTable, mapping: TableMapping, dense: Dense, own_name: str) -> Rows:
    """Read one file.

    Args:
        dense: Of the node that the file belongs to; it learns the file's targets.
        own_name: Of the target, where no column names it.

    Raises:
        NodeError: No row has a time, a unit or format is not clear, or an id is none; one line.
    """
    return _Reader(path, table, mapping, dense, own_name).rows()


class _Cut(NamedTuple):
    """Rows of a piece: times and their other reading in a double hour, dense ids, values."""

    times: NDArray[np.int64]
    other: NDArray[np.int64]
    ids: NDArray[np.int32]
    values: NDArray[np.float64]


class _Reader:
    def __init__(
        self, path: Path, table: RawTable, mapping: TableMapping, dense: Dense, own_name: str
    ) -> None:
        lacking = [name for name in mapping.time.column if name not in table.header]
        if lacking:
            raise NodeError(
                f"{path}: no column {lacking[0]} for the time; its columns are {shown(table.header)}"
            )
        self._path, self._table, self._mapping = path, table, mapping
        self._dense, self._own_name = dense, own_name
        self._columns = {name: column for name, column in mapping.columns.items() if name in table.header}
        self._names = tuple(dict.fromkeys(column.measurement for column in self._columns.values()))
        self._require(mapping.only, "rows are chosen")
        for name, column in self._columns.items():
            self._require((*column.plus, *column.where, *column.unless), f"{one_line(name)} is read")
        self._require(mapping.ids.of(ID_COLUMNS[mapping.level][0]), "a row's target is named")
        if not self._columns:
            raise NodeError(
                f"{path}: none of the columns of the mapping {mapping.name} is there; its columns are {shown(table.header)}"
            )
        self._clock = Clock(str(path), mapping.time)
        self._numbers = Numbers(str(path), decimal=mapping.decimal, no_value=mapping.no_value)
        self._lost: Counter[str] = Counter()
        self._words: Counter[str] = Counter()  # column -> words without a value

    def _require(self, columns: Collection[str], what: str) -> None:
        """Raise a NodeError if one of `columns` is not there: without it, other rows or values would be read."""
        for name in columns:
            if name not in self._table.header:
                raise NodeError(
                    f"{self._path}: no column {one_line(name)}, by which {what}; its columns are {shown(self._table.header)}"
                )

    def rows(self) -> Rows:
        used = [name for name in self._mapping.used if name in self._table.header]
        pieces, n_rows = list[_Cut](), 0
        for piece in self._table.pieces(used):
            pieces.append(self._cut(piece))
            n_rows += len(pieces[-1].times)
            if n_rows > MOST_ROWS:
                raise NodeError(f"{self._path}: more than {MOST_ROWS} rows; give a part of it")
        if not n_rows:
            raise NodeError(
                f"{self._path}: no row with a time in the column {' '.join(self._mapping.time.column)}"
            )
        times, ids, values, notes = self._on_one_clock(_Cut(*map(np.concatenate, zip(*pieces, strict=True))))
        if self._table.truncated:
            notes.append("the file breaks off; the rows before are read")
        values, outside = self._in_range(values)
        return Rows(
            path=self._path,
            mapping=self._mapping,
            times_ns=times,
            ids=ids,
            names=self._names,
            values=values,
            losses=tuple(self._losses(outside)),
            notes=tuple(f"{self._path}: {line}" for line in notes),
        )

    def _on_one_clock(
        self, cut: _Cut
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64], list[str]]:
        """Times that go on where the clock was put back, the ids and values of the rows that count, and notes."""
        times, other, ids, values = cut
        if self._mapping.time.clock == "phone":
            times, kept, told = as_one_run(times)
            self._lost += told.lost
            return times, ids[kept], values[kept], told.notes
        near = np.abs(times - np.sort(times)[len(times) // 2]) <= _FAR_NS
        self._lost["with a time more than a year from the others"] += int((~near).sum())
        times, other, ids, values = times[near], other[near], ids[near], values[near]
        targets, is_exact = numbered(ids, self._mapping.level), self._clock.is_exact
        times, n_double = without_double_hours(times, other, targets, is_exact=is_exact)
        told_of = n_double and not is_exact
        notes = ["times go back an hour once, so the rows from there on follow on"] if told_of else []
        return times, ids, values, notes

    def _cut(self, piece: Piece) -> _Cut:
        """The rows of a piece that have a time and a target."""
        time = self._mapping.time.column
        raw = (
            piece[time[0]]
            if len(time) == 1
            else [" ".join(map(str, parts)) for parts in _rows_of(piece, time)]
        )
        times, other = self._clock.read(raw)
        ids = self._ids(piece, len(times))
        values = self._values(piece, len(times))
        timed, named = times != NO_TIME, (ids >= 0).all(axis=1)
        self._lost["without a time"] += int((~timed).sum())
        self._lost["without an id"] += int((timed & ~named).sum())
        kept = timed & named
        for column, words in self._mapping.only.items():
            if column in piece:
                others = kept & ~_says(piece[column], words)
                self._lost[f"where {one_line(column)} is not {' or '.join(words)}"] += int(others.sum())
                kept &= ~others
        return _Cut(times[kept], other[kept], ids[kept], values[kept])

    def _ids(self, piece: Piece, n: int) -> NDArray[np.int32]:
        level = self._mapping.level
        target = ID_COLUMNS[level][0]
        columns = []
        for column in ID_COLUMNS[level]:
            sources = [name for name in self._mapping.ids.of(column) if name in piece]
            if column == "five_qi":
                columns.append(self._five_qi(piece[sources[0]]) if sources else np.full(n, -1, np.int32))
                continue
            if sources:
                names = ["-".join(name_of(value) for value in row) for row in _rows_of(piece, sources)]
                names = [name.strip("-") for name in names]
                if column != target and level != "ue_cell":
                    names = [name or _UNKNOWN for name in names]
            else:
                names = [self._own_name if column == target else _UNKNOWN] * n
            columns.append(self._dense.codes(column, names, " ".join(sources)))
        return np.stack(columns, axis=1)

    def _five_qi(self, raw: Sequence[object]) -> NDArray[np.int32]:
        numbers = self._numbers.of({"five_qi": raw})["five_qi"]
        good = (numbers >= 0) & (numbers < _MOST_FIVE_QI)
        return np.where(good, np.where(good, numbers, 0), -1).astype(np.int32)

    def _values(self, piece: Piece, n: int) -> NDArray[np.float64]:
        used = {
            part
            for name, column in self._columns.items()
            if column.values is None
            for part in (name, *column.plus)
            if part in piece
        }
        numbers = self._numbers.of({name: piece[name] for name in sorted(used)})
        block = np.full((n, len(self._names)), np.nan)
        for name, column in self._columns.items():
            if column.values is None:
                factor, offset = column.scale
                values = (
                    sum((numbers[part] for part in column.plus if part in piece), numbers[name]) * factor
                    + offset
                )
            else:
                values = self._of_words(name, column, column.values, piece[name])
            for condition, words in column.where.items():
                if condition in piece:
                    values[~_says(piece[condition], words)] = np.nan
            for condition, words in column.unless.items():
                if condition in piece:
                    values[_says(piece[condition], words)] = np.nan
            at = self._names.index(column.measurement)
            block[:, at] = np.where(np.isnan(block[:, at]), values, block[:, at])
        return block

    def _of_words(
        self, name: str, column: Column, values: Mapping[str, float], raw: Sequence[object]
    ) -> NDArray[np.float64]:
        other = np.nan if column.otherwise is None else column.otherwise
        known = {word: np.nan if is_no_value(word) else values.get(name_of(word), other) for word in set(raw)}
        if column.otherwise is None:
            self._words[name] += sum(known[word] != known[word] and not is_no_value(word) for word in raw)
        return np.array([known[word] for word in raw], np.float64)

    def _in_range(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], dict[str, int]]:
        """Values in the catalogue's ranges; what lies outside is NaN, and counted by measurement."""
        outside = {}
        for name, column in zip(self._names, values.T, strict=True):
            entry = self._columns_by_measurement[name].entry
            wrong = (column < entry.low) | (column > entry.high)
            if n_wrong := int(np.count_nonzero(wrong)):
                outside[name] = n_wrong
                column[wrong] = np.nan
        return values, outside

    @property
    def _columns_by_measurement(self) -> dict[str, Column]:
        return {column.measurement: column for column in self._columns.values()}

    def _losses(self, outside: Mapping[str, int]) -> Iterator[Loss]:
        for why, n in (self._table.lost + self._lost).items():
            if n:
                yield Loss(self._path, n, "row", "", why)
        for name, n in outside.items():
            entry = self._columns_by_measurement[name].entry
            unit = "" if entry.unit == "1" else f" {entry.unit}"
            yield Loss(self._path, n, "value", name, f"outside {entry.low:g} to {entry.high:g}{unit}")
        for name, n in self._numbers.odd.items():
            yield Loss(
                self._path,
                n,
                "value",
                f"the column {one_line(name)}",
                "no number",
                self._numbers.example[name],
            )
        for name, n in self._words.items():
            if n:
                why = "words that the mapping has no value for"
                yield Loss(self._path, n, "value", f"the column {one_line(name)}", why)


def _says(raw: Sequence[object], words: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each value is one of some words."""
    known = {value: name_of(value) in words for value in set(raw)}
    return np.array([known[value] for value in raw], np.bool_)


def numbered(ids: NDArray[np.int32], level: Level) -> NDArray[np.int64]:
    """A number for the target of each row."""
    number = np.zeros(len(ids), np.int64)
    for column in TARGET[level]:
        at = ids[:, ID_COLUMNS[level].index(column)].astype(np.int64)
        number = np.unique(number * MAX_ID + at, return_inverse=True)[1].astype(np.int64)
    return number


def _rows_of(piece: Piece, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
    return zip(*(piece[name] for name in columns), strict=True)
