"""Values of a table's columns as numbers and as names: decimal signs, spellings of "no value", ids of many digits."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ranloop.errors import NodeError
from ranloop.foreign import one_line
from ranloop.vocabulary import ID_COLUMNS, Level

__all__ = ("Dense", "Numbers", "is_no_value", "name_of")

F64 = NDArray[np.float64]
_NO_VALUE = frozenset({"", "-", "--", "?", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "inf", "-inf"})
_BLANKS = str.maketrans({" ": None, "\u00a0": None, "\u202f": None, "'": None, "\u2212": "-"})
_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d+(?:[eE][+-]?\d+)?")  # 1,5 and 1.234,5
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # 1,234 is a thousand, or one and a quarter
_DOT = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")  # 1,234.5
_POINT = re.compile(
    r"[+-]?\d*\.(?:\d{1,2}|\d{4,})(?:[eE][+-]?\d+)?"
)  # 1.5; a point before three digits tells nothing
_ROUNDED = re.compile(r"\d[.,]\d+[eE]\+?\d\d")  # what a spreadsheet makes of an id of many digits
_MOST_NAME = 64  # characters of a target's name; a longer one is cut, and told apart by its digest
_MOST_IDS = {"ue": 1 << 16}
_MOST_OTHER_IDS = 4096


def is_no_value(value: object) -> bool:
    """Whether a raw value is one of the usual spellings of "no value"."""
    return value is None or (isinstance(value, str) and value.strip().lower() in _NO_VALUE)


class Numbers:
    """Turns raw columns of one file into numbers.

    Args:
        where: The file, for errors.
        decimal: Decimal sign, "" finds it: the first value that only one of them can have decides.
        no_value: Spellings and numbers that mean "no value" beside the usual ones.

    Attributes:
        odd: Column -> how many of its values are neither a number nor "no value".
        example: Column -> the first of them.
    """

    def __init__(self, where: str, *, decimal: str = "", no_value: Collection[str | float] = ()) -> None:
        self._where, self._decimal = where, decimal
        self._words = {word.strip().lower() for word in no_value if isinstance(word, str)} | _NO_VALUE
        self._codes = [number for code in no_value if (number := _plain(code)) is not None]
        self.odd: Counter[str] = Counter()
        self.example: dict[str, str] = {}

    def of(self, raw: Mapping[str, Sequence[object]]) -> dict[str, F64]:
        """Columns as numbers, NaN where there is no value.

        Raises:
            NodeError: Commas may be decimal signs or stand between thousands.
        """
        if not self._decimal:
            self._decimal = self._decided(raw)
        numbers = {}
        for column, values in raw.items():
            block = self._quickly(values)
            numbers[column] = block = self._slowly(column, values) if block is None else block
            block[~np.isfinite(block)] = np.nan
            for code in self._codes:
                block[block == code] = np.nan
        return numbers

    def _quickly(self, values: Sequence[object]) -> F64 | None:
        """Numbers, if all of them are plain; not with decimal commas, where a point may stand between thousands."""
        if isinstance(values, np.ndarray):
            return values.astype(np.float64)
        if self._decimal == ",":
            return None
        try:
            return np.array([None if value in ("", "-") else value for value in values], np.float64)
        except (ValueError, TypeError, OverflowError):
            return None

    def _decided(self, raw: Mapping[str, Sequence[object]]) -> str:
        """The decimal sign; "" where no value tells."""
        unclear: tuple[str, str] | None = None
        for column, values in raw.items():
            for value in values if not isinstance(values, np.ndarray) else ():
                if not isinstance(value, str) or not ("," in value or "." in value):
                    continue
                text = value.strip().translate(_BLANKS)
                if _EITHER.fullmatch(text):
                    unclear = unclear or (column, text)
                elif _COMMA.fullmatch(text):
                    return ","
                elif _DOT.fullmatch(text) or _POINT.fullmatch(text):
                    return "."
        if unclear:
            column, text = unclear
            raise NodeError(
                f"{self._where}: {text} in the column {one_line(column)} may have a decimal comma or a thousands sign; "
                f'give decimal = "," or decimal = "." in the mapping, or ?decimal=, behind the path'
            )
        return ""

    def _slowly(self, column: str, values: Sequence[object]) -> F64:
        numbers = np.full(len(values), np.nan)
        for row, value in enumerate(values):
            if not isinstance(value, str):
                number = _plain(value)
            elif (text := value.strip()).lower() in self._words:
                continue
            else:
                number = self._read(text.translate(_BLANKS))
            if number is None:
                if value is not None:
                    self.odd[column] += 1
                    self.example.setdefault(column, one_line(str(value), 40))
            else:
                numbers[row] = number
        return numbers

    def _read(self, text: str) -> float | None:
        if self._decimal == ",":
            if _COMMA.fullmatch(text) or re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+", text):
                text = text.replace(".", "").replace(",", ".")
        elif _DOT.fullmatch(text):
            text = text.replace(",", "")
        try:
            return float(text)
        except ValueError:
            return None


def _plain(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def name_of(value: object) -> str:
    """The name of a target as a table spells it; "" where it has none."""
    if isinstance(value, float):
        return "" if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    if is_no_value(value):
        return ""
    text = str(value).strip()
    return (
        text[:-2] if text.endswith(".0") and text[:-2].isdigit() else text
    )  # a whole number that was a float once


def _short(name: str) -> str:
    if len(name) <= _MOST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:15]
    return f"{name[: _MOST_NAME - len(digest) - 1]}~{digest}"


class Dense:
    """Dense ids of one node's targets, in the order of appearance, and their names."""

    def __init__(self, where: str) -> None:
        self._where = where
        self.ids: dict[str, dict[str, int]] = {}  # id column -> name -> dense id

    def codes(self, column: str, names: Sequence[str], source: str) -> NDArray[np.int32]:
        """The dense ids of `names`; -1 for "".

        Args:
            column: Id column of a report.
            source: Column of the table, for errors.

        Raises:
            NodeError: More targets than a node has, or names that a spreadsheet has rounded.
        """
        known = self.ids.setdefault(column, {})
        for name in dict.fromkeys(names):
            if name and (short := _short(name)) not in known:
                if _ROUNDED.fullmatch(name):
                    raise NodeError(
                        f"{self._where}: {name} in the column {one_line(source)} was an id of many digits until a spreadsheet "
                        "rounded it; export the table again with this column as text"
                    )
                known[short] = len(known)
        most = _MOST_IDS.get(column, _MOST_OTHER_IDS)
        if len(known) > most:
            raise NodeError(
                f"{self._where}: more than {most} {column}s in the column {one_line(source)}; no node has so many"
            )
        return np.array([known[_short(name)] if name else -1 for name in names], np.int32)

    def spelt(self, level: Level) -> dict[str, dict[int, str]]:
        """Id column of a level -> {dense id: name}."""
        return {
            column: {dense: name for name, dense in self.ids[column].items()}
            for column in ID_COLUMNS[level]
            if column in self.ids
        }
