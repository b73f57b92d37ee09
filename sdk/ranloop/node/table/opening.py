"""Opens a table, or a folder of tables, as RAN nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from ranloop.errors import NodeError
from ranloop.node.table.formats import open_table
from ranloop.node.table.guess import as_toml, by_names
from ranloop.node.table.losses import told
from ranloop.node.table.mapping import TableMapping, load_mapping, shipped_mappings
from ranloop.node.table.rows import MOST_ROWS, Rows, read_rows
from ranloop.node.table.source import RawTable, counted, shown, without_suffix
from ranloop.node.table.streams import TableStream, make_stream
from ranloop.node.table.topic_names import topic_names
from ranloop.node.table.values import Dense
from ranloop.vocabulary import LEVELS, Level
from ranloop.vocabulary.near import near_matches
from ranloop.wire.messages import Catalogue

__all__ = ("SLOT_NS", "OpenedTables", "TableOptions", "open_tables", "split_address", "start_of_mapping")

SLOT_NS = 1_000_000  # tables have no slots of their own; timers of xApps fall on this grid
_MOST_FILES = 20_000
_MOST_TOLD = 40  # lines about one path


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """What an address says about its tables, over what their mappings say.

    Attributes:
        mapping: Names or .toml files, separated by commas; "" recognises each table by its header.
    """

    mapping: str = ""
    zone: str = ""
    time_format: str = ""
    period_ms: str = ""
    decimal: str = ""
    rows: str = ""

    def over(self, mapping: TableMapping) -> TableMapping:
        """The mapping with these options in it.

        Raises:
            NodeError: One of them is no such value.
        """
        time = {"zone": self.zone, "format": self.time_format}
        own: dict[str, object] = {"decimal": self.decimal, "rows": self.rows}
        if self.period_ms:
            if not (self.period_ms.isascii() and self.period_ms.isdigit() and int(self.period_ms[:9])):
                raise NodeError(f"?period_ms={self.period_ms}: want a whole number of milliseconds")
            own["period_ms"] = int(self.period_ms)
        changed = {key: value for key, value in own.items() if value}
        changed_time = {key: value for key, value in time.items() if value}
        if not changed and not changed_time:
            return mapping
        fields = mapping.model_dump() | changed
        fields["time"] |= changed_time
        try:
            return TableMapping.model_validate(fields)
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            told = wrong["msg"].removeprefix("Value error, ")
            raise NodeError(f"?{wrong['loc'][-1]}={wrong['input']}: {told}") from error


def split_address(target: str) -> tuple[Path, TableOptions]:
    """The path and the options of PATH?mapping=NAME&zone=ZONE; a path that exists as it stands has none.

    Raises:
        NodeError: There is no such option.
    """
    place, mark, query = target.rpartition("?")
    if not mark or Path(target).exists():
        return Path(target), TableOptions()
    given = {key: value for key, _, value in (part.partition("=") for part in query.split("&"))}
    names = TableOptions.__slots__
    for name in given:
        if name not in names:
            near = " or ".join(near_matches(name, names)) or ", ".join(names)
            raise NodeError(f"{target}: no option {name!r} for a table; want {near}")
    return Path(place), TableOptions(**given)


def start_of_mapping(path: Path, options: TableOptions) -> str:
    """The text of a TOML file to begin a mapping with, after the first table at `path`.

    Raises:
        NodeError: Nothing there is a table.
    """
    reasons: list[str] = []
    for file in _files(path, reasons):
        try:
            tables = open_table(file, [options.over(mapping) for mapping in shipped_mappings().values()])
            table = tables.get(options.rows) or next(iter(tables.values()))
            return as_toml(file, table)
        except NodeError as error:
            reasons.append(str(error))
    raise NodeError(_nothing(path, reasons))


class OpenedTables(NamedTuple):
    """What a replay of tables needs.

    Attributes:
        days: Node -> date of its first row, in the zone of its times.
        used: The mappings, each with the number of its tables.
    """

    catalogues: tuple[Catalogue, ...]
    streams: tuple[TableStream, ...]
    days: Mapping[str, date]
    left_out: tuple[str, ...]
    used: tuple[tuple[TableMapping, int], ...]


class _File(NamedTuple):
    path: Path
    table: RawTable
    mapping: TableMapping


def open_tables(
    path: Path, options: TableOptions | None = None, *, days: Collection[date] | None = None
) -> OpenedTables:
    """Read the tables at `path`: a file, or a folder with all that is in it.

    Files that cannot be read are left out, with a line each; so are rows, values and columns.

    Args:
        days: Only nodes whose first row is of these days.

    Raises:
        NodeError: Nothing there is a table, or none can be read; or something about them is not clear. One line.
    """
    options = options or TableOptions()
    left_out: list[str] = []
    files = list(_recognised(path, options, left_out))
    if not files:
        raise NodeError(_nothing(path, left_out))
    streams: list[TableStream] = []
    catalogues, first_days, n_rows = [], {}, 0
    for node, dense, parts in _read(path, files, left_out):
        n_rows += sum(map(len, parts))
        if n_rows > MOST_ROWS:
            raise NodeError(f"{path}: more than {MOST_ROWS} rows; give a part of it")
        start_ns = min(int(part.times_ns.min()) for part in parts)
        day = datetime.fromtimestamp(start_ns // 1_000_000_000, UTC).date()
        if days is not None and day not in days:
            continue
        try:
            own = _streams(node, dense, parts, start_ns)
        except NodeError as error:
            left_out.append(str(error))
            continue
        first_days[node] = day
        streams += own
        catalogues.append(_catalogue(node, own, dense))
    if not streams:
        if n_rows and days is not None:
            raise NodeError(f"{path}: no log of {', '.join(sorted(map(str, days)))}")
        raise NodeError(_nothing(path, left_out))
    left_out += _columns_left_out(files)
    left_out += [line for stream in streams for line in stream.notes]
    left_out += told([loss for stream in streams for loss in stream.losses], path)
    if len(left_out) > _MOST_TOLD:
        left_out[_MOST_TOLD - 1 :] = [f"{path}: and {len(left_out) - _MOST_TOLD + 1} more lines like these"]
    names = Counter(file.mapping.name for file in files)
    by_name = {file.mapping.name: file.mapping for file in files}
    used = tuple((by_name[name], n_files) for name, n_files in names.items())
    return OpenedTables(tuple(catalogues), tuple(streams), first_days, tuple(left_out), used)


def _recognised(path: Path, options: TableOptions, left_out: list[str]) -> Iterator[_File]:
    """The tables at a path with their mappings; why others are none goes to `left_out`."""
    given = [load_mapping(name) for name in options.mapping.split(",") if name]
    known = [options.over(mapping) for mapping in given or shipped_mappings().values()]
    for file in _files(path, left_out):
        try:
            found = open_table(file, known)
            chosen = _chosen(file, found, known, options, are_given=bool(given))
        except NodeError as error:
            if path == file:
                raise
            left_out.append(str(error))
            continue
        yield from (_File(file, found[mapping.rows], mapping) for mapping in chosen)


def _chosen(
    file: Path,
    found: Mapping[str, RawTable],
    known: Sequence[TableMapping],
    options: TableOptions,
    *,
    are_given: bool,
) -> list[TableMapping]:
    """For each table of a file its mapping, by the header; one that is given needs its time column alone.

    Args:
        found: Path to the rows -> the table that it leads to.
    """
    of_file = [mapping for mapping in known if mapping.rows in found]
    fitting = [mapping for mapping in of_file if mapping.fits(found[mapping.rows].header)]
    if not fitting and not are_given and "" in found and (named := by_names(found[""].header)):
        fitting = [options.over(named)]
    if not fitting and are_given:
        fitting = [m for m in of_file if all(name in found[m.rows].header for name in m.time.column)]
    if not fitting:
        header = next(iter(found.values())).header if found else ()
        if are_given:
            times = " or ".join(" ".join(mapping.time.column) for mapping in known)
            raise NodeError(f"{file}: no column {times} for the time; its columns are {shown(header)}")
        raise NodeError(
            f"{file}: no table that is known: its columns are {shown(header)}; start a mapping of your own: "
            f"ranloop table {file} --write mapping.toml"
        )
    return [
        _best(file, [mapping for mapping in fitting if mapping.rows == rows])
        for rows in dict.fromkeys(mapping.rows for mapping in fitting)
    ]


def _best(file: Path, fitting: Sequence[TableMapping]) -> TableMapping:
    """The mapping that recognises a table by the most columns."""
    most = max(len(mapping.recognise) for mapping in fitting)
    best = [mapping for mapping in fitting if len(mapping.recognise) == most]
    if len(best) > 1:
        raise NodeError(
            f"{file}: may be read as {' or '.join(mapping.name for mapping in best)}; say which: ?mapping={best[0].name}"
        )
    return best[0]


def _files(path: Path, left_out: list[str]) -> Iterator[Path]:
    """The files that may be tables, in the order of their names."""
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise NodeError(f"{path}: nothing to replay: there is no such file or folder")
    others = []
    for count, file in enumerate(sorted(file for file in path.rglob("*") if file.is_file())):
        if count >= _MOST_FILES:
            raise NodeError(f"{path}: more than {_MOST_FILES} files; give a part of it")
        if any(part.startswith(".") for part in file.relative_to(path).parts):
            continue
        if without_suffix(file.name) is None:
            others.append(file.name)
        else:
            yield file
    if others:
        left_out.append(
            f"{path}: {counted(len(others), 'file')} left out, with a name that is no table's: {shown(others, 60)}"
        )


def _read(path: Path, files: Sequence[_File], left_out: list[str]) -> Iterator[tuple[str, Dense, list[Rows]]]:
    """Each node with its rows. A file that cannot be read is left out; a single one is the error."""
    groups: dict[tuple[Path, int], list[_File]] = {}
    seen: dict[
        tuple[Path, Level], list[str]
    ] = {}  # mappings of one level in one place: each is a node of its own
    for file in files:
        own = {"all": path, "folder": file.path.parent, "file": file.path}[file.mapping.node]
        alike = seen.setdefault((own, file.mapping.level), [])
        if file.mapping.name not in alike:
            alike.append(file.mapping.name)
        groups.setdefault((own, alike.index(file.mapping.name)), []).append(file)
    for ((own, _), members), node in zip(
        groups.items(), topic_names([own for own, _ in groups]), strict=True
    ):
        dense, parts = Dense(str(own)), []
        for file in members:
            name = node if file.mapping.node == "file" else without_suffix(file.path.name) or file.path.name
            try:
                parts.append(read_rows(file.path, file.table, file.mapping, dense, name))
            except NodeError as error:
                if len(files) == 1:
                    raise
                left_out.append(str(error))
        if parts:
            yield node, dense, parts


def _streams(node: str, dense: Dense, parts: Sequence[Rows], start_ns: int) -> list[TableStream]:
    """A stream for each level that the rows of a node are of."""
    return [
        make_stream(node, own, dense, period_ms=own[0].mapping.period_ms, start_ns=start_ns)
        for level in LEVELS
        if (own := [part for part in parts if part.mapping.level == level])
    ]


def _catalogue(node: str, streams: Sequence[TableStream], dense: Dense) -> Catalogue:
    measurements: dict[Level, tuple[str, ...]] = {
        stream.table.level: stream.table.names for stream in streams
    }
    spelt = {column: {at: name for name, at in ids.items()} for column, ids in dense.ids.items()}
    return Catalogue(
        node=node,
        measurements=measurements,
        actions=(),
        periods_ms=tuple(sorted({stream.table.period_ms for stream in streams})),
        cells=spelt.get("cell", {}),
        slices=spelt.get("slice", {}),
    )


def _columns_left_out(files: Sequence[_File]) -> Iterator[str]:
    """For each mapping the columns of its files that it does not read, and those that it reads and none of them has."""
    for name in dict.fromkeys(file.mapping.name for file in files):
        own = [file for file in files if file.mapping.name == name]
        header = dict.fromkeys(column for file in own for column in file.table.header if column)
        mapping = own[0].mapping
        if others := [column for column in header if column not in mapping.used]:
            yield f"mapping {name}: {counted(len(others), 'column')} not read: {shown(others, 600)}"
        lacking = [column for column in mapping.used if column not in header]
        if (
            lacking and name not in shipped_mappings()
        ):  # those have columns that not every version of a tool writes
            yield f"mapping {name}: {counted(len(lacking), 'column')} not in the table: {shown(lacking, 600)}"


def _nothing(path: Path, left_out: Sequence[str]) -> str:
    """Why there is nothing to replay; of a single file it is the reason itself."""
    if not left_out:
        return f"{path}: nothing to replay: an empty folder"
    if path.is_file():
        return left_out[0]
    return f"{path}: nothing to replay; the first of {len(left_out)} reasons: {left_out[0]}"
