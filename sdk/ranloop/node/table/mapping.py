"""Mappings: which columns of a table are which measurements, in which unit, of which target, at which time.

A mapping is a TOML file. The shipped ones lie in `mappings/`, each with its source; they are recognised by the header of
a table. docs/tables.md is the reference.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    model_validator,
)

from ranloop.errors import NodeError
from ranloop.node.table.units import factor_to_catalogue
from ranloop.toml import read_toml
from ranloop.vocabulary import ID_COLUMNS, Level, Measurement, measurement
from ranloop.vocabulary.near import near_matches

__all__ = ("Column", "TableMapping", "TimeColumn", "load_mapping", "shipped_mappings")

_FOLDER = Path(__file__).parent / "mappings"
_MOST_PERIOD_MS = 86_400_000  # as on the wire
_NEEDED: Mapping[Level, tuple[str, ...]] = {
    "slice": ("slice",),
    "qos_flow": ("five_qi",),
    "ue_cell": ("measured_cell",),
}  # ids that neither the name of the file nor "unknown" can stand for
Number = StrictInt | StrictFloat
EPOCH_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}


def _a_measurement(name: str) -> str:
    return measurement(name).name


def _a_zone(name: str) -> str:
    if name:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("no time zone; want a name such as UTC or Europe/Dublin") from error
    return name


def _as_list(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def _as_column(given: Any) -> Any:
    return {"measurement": given} if isinstance(given, str) else given


Zone = Annotated[str, AfterValidator(_a_zone)]
Columns = Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TimeColumn(_Table):
    """The time of a row.

    Attributes:
        column: Several, such as date and time, are joined by a blank.
        format: "s", "ms", "us" or "ns" since 1970, "iso", or a format of `strptime`; "" finds it.
        zone: IANA name of the zone of times that name none. Without it they are taken as they are.
        clock: "phone": rows are in the order of writing, and a clock that was set begins a later part.
    """

    column: Columns
    format: str = ""
    zone: Zone = ""
    clock: Literal["", "phone"] = ""


class Column(_Table):
    """What one column means. A value is `(number * factor + offset)` in `unit`.

    Attributes:
        unit: Of the table; "" is the catalogue's.
        values: Text -> value, for a column of words; `otherwise` is the value of any other word.
        plus: Columns that are added to it.
        where: Column -> words: a row where this other column says something else has no value.
        unless: Column -> words: a row where this other column says one of them has no value.
        cumulative: It counts since some start: the value is the difference to the target's row before.
        remark: How it differs from the catalogue's definition.
    """

    measurement: Annotated[str, AfterValidator(_a_measurement)]
    unit: str = ""
    factor: Number = 1
    offset: Number = 0
    values: Mapping[str, Number] | None = None
    otherwise: Number | None = None
    plus: tuple[str, ...] = ()
    where: Mapping[str, Columns] = Field(default_factory=dict)
    unless: Mapping[str, Columns] = Field(default_factory=dict)
    cumulative: bool = False
    remark: str = ""

    @model_validator(mode="after")
    def _unit_fits(self) -> Self:
        if self.unit:
            factor_to_catalogue(self.unit, self.entry)
        if self.otherwise is not None and self.values is None:
            raise ValueError("`otherwise` belongs to `values`")
        if self.plus and self.values is not None:
            raise ValueError("words of `values` have no sum; leave out `plus`")
        return self

    @cached_property
    def entry(self) -> Measurement:
        return measurement(self.measurement)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Factor and offset to the catalogue's unit."""
        to_catalogue = factor_to_catalogue(self.unit, self.entry) if self.unit else 1.0
        return self.factor * to_catalogue, self.offset * to_catalogue


class Ids(_Table):
    """Columns of the ids of a row; several are joined by "-"."""

    ue: Columns | None = None
    cell: Columns | None = None
    slice: Columns | None = None
    five_qi: Columns | None = None
    measured_cell: Columns | None = None

    def of(self, column: str) -> tuple[str, ...]:
        return getattr(self, column) or ()


class TableMapping(_Table):
    """One kind of table.

    Attributes:
        source: Where the facts about it come from.
        level: Of all its measurements.
        period_ms: From one row of a target to the next; 0 finds it.
        node: What is a RAN node: "all" tables of a path together, each "folder", or each "file".
        rows: Path to the rows in JSON, such as "cells[].ue_list[]"; name of the table in SQLite.
        recognise: Columns that only such a table has together; empty: it is never recognised by its header.
        repeated: What two rows of one target and time mean: an error, or that the "last" counts.
        no_value: Spellings of "no value" beside the usual ones.
        decimal: Decimal sign; "" finds it.
        only: Column -> words: rows where this column says something else are left out.
        columns: Column of the table -> measurement. Of several columns with one measurement the first that has a value counts.
        without: Column -> why it is no measurement of the catalogue.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    title: str = ""
    source: str = ""
    level: Level
    period_ms: int = Field(default=0, ge=0, le=_MOST_PERIOD_MS, strict=True)
    node: Literal["all", "folder", "file"] = "all"
    rows: str = ""
    recognise: tuple[str, ...] = ()
    repeated: Literal["refuse", "last"] = "refuse"
    no_value: tuple[str | Number, ...] = ()
    decimal: Literal["", ".", ","] = ""
    time: TimeColumn
    ids: Ids = Field(default_factory=Ids)
    only: Mapping[str, Columns] = Field(default_factory=dict)
    columns: Mapping[str, Annotated[Column, BeforeValidator(_as_column)]] = Field(min_length=1)
    without: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_its_level(self) -> Self:
        for needed in _NEEDED.get(self.level, ()):
            if not self.ids.of(needed):
                raise ValueError(f"ids.{needed}: rows of level {self.level} need the column that names it")
        for name, column in self.columns.items():
            if self.level not in column.entry.levels:
                levels = " or ".join(column.entry.levels)
                raise ValueError(
                    f"columns.{name}: {column.measurement} is measured per {levels}, not per {self.level}"
                )
        for known in Ids.model_fields:
            if self.ids.of(known) and known not in ID_COLUMNS[self.level]:
                raise ValueError(f"ids.{known}: rows of level {self.level} have no such id")
        return self

    @property
    def used(self) -> tuple[str, ...]:
        """Every column that is read where it is there."""
        ids = [name for column in ID_COLUMNS[self.level] for name in self.ids.of(column)]
        others = [
            name for column in self.columns.values() for name in (*column.plus, *column.where, *column.unless)
        ]
        return tuple(dict.fromkeys([*self.time.column, *ids, *self.columns, *others, *self.only]))

    def fits(self, header: Collection[str]) -> bool:
        """Whether a table with these columns is of this kind."""
        return bool(self.recognise) and all(column in header for column in self.recognise)


@cache
def shipped_mappings() -> Mapping[str, TableMapping]:
    """The mappings of the package, by name."""
    return {path.stem: _read(path) for path in sorted(_FOLDER.glob("*.toml"))}


def load_mapping(name: str) -> TableMapping:
    """A shipped mapping by name, or one's own by the path of its TOML file.

    Raises:
        NodeError: No such mapping, or a file that is none; one line.
    """
    if name.endswith(".toml") or "/" in name:
        return _read(Path(name))
    shipped = shipped_mappings()
    if name not in shipped:
        near = " or ".join(near_matches(name, shipped))
        hint = f"; did you mean {near}?" if near else ";"
        raise NodeError(
            f"no mapping {name!r}{hint} there is {', '.join(shipped)}, or the path of a .toml file"
        )
    return shipped[name]


def _read(path: Path) -> TableMapping:
    return read_toml(path, TableMapping, missing=f"{path}: no such mapping", error_type=NodeError)
