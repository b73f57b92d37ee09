"""Opens a table, or a folder of tables, as RAN nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from ranloop.errors import NodeError
from ranloop.node.table.address import TableOptions
from ranloop.node.table.losses import told
from ranloop.node.table.mapping import TableMapping, shipped_mappings
from ranloop.node.table.recognise import TableFile, recognised, why_nothing
from ranloop.node.table.rows import MOST_ROWS, Rows, read_rows
from ranloop.node.table.source import counted, shown, without_suffix
from ranloop.node.table.streams import TableStream, make_stream
from ranloop.node.table.topic_names import topic_names
from ranloop.node.table.values import Dense
from ranloop.vocabulary import LEVELS, Level
from ranloop.wire.messages import Catalogue

__all__ = ("SLOT_NS", "OpenedTables", "open_tables")

SLOT_NS = 1_000_000  # tables have no slots of their own; timers of xApps fall on this grid
_MOST_TOLD = 40  # lines about one path


class OpenedTables(NamedTuple):
    """What a replay of tables needs.

    Attributes:
        days: Node -> date of its first row: in UTC where the zone of its times is known, else as it is written.
        used: The mappings, each with the number of its tables.
    """

    catalogues: tuple[Catalogue, ...]
    streams: tuple[TableStream, ...]
    days: Mapping[str, date]
    left_out: tuple[str, ...]
    used: tuple[tuple[TableMapping, int], ...]


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
    files = list(recognised(path, options, left_out))
    if not files:
        raise NodeError(why_nothing(path, left_out))
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
        raise NodeError(why_nothing(path, left_out))
    left_out += _columns_left_out(files)
    left_out += [line for stream in streams for line in stream.notes]
    left_out += told([loss for stream in streams for loss in stream.losses], path)
    if len(left_out) > _MOST_TOLD:
        left_out[_MOST_TOLD - 1 :] = [f"{path}: and {len(left_out) - _MOST_TOLD + 1} more lines like these"]
    used: dict[tuple[str, str], tuple[TableMapping, int]] = {}
    for file in files:
        key = file.mapping.name, file.mapping.level
        used[key] = file.mapping, used.get(key, (file.mapping, 0))[1] + 1
    return OpenedTables(tuple(catalogues), tuple(streams), first_days, tuple(left_out), tuple(used.values()))


def _read(
    path: Path, files: Sequence[TableFile], left_out: list[str]
) -> Iterator[tuple[str, Dense, list[Rows]]]:
    """Each node with its rows. A file that cannot be read is left out; a single one is the error."""
    groups: dict[tuple[Path, int], list[TableFile]] = {}
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


def _columns_left_out(files: Sequence[TableFile]) -> Iterator[str]:
    """For each mapping the columns of its files that it does not read, and those that it reads and none of them has."""
    for name in dict.fromkeys(file.mapping.name for file in files):
        own = [file for file in files if file.mapping.name == name]
        header = {column for file in own for column in file.table.header}
        others = dict.fromkeys(
            column
            for file in own
            for column in file.table.header
            if column and column not in file.mapping.used
        )
        if others:
            yield f"mapping {name}: {counted(len(others), 'column')} not read: {shown(others, 600)}"
        lacking = [column for column in own[0].mapping.used if column not in header]
        if (
            lacking and name not in shipped_mappings()
        ):  # those have columns that not every version of a tool writes
            yield f"mapping {name}: {counted(len(lacking), 'column')} not in the table: {shown(lacking, 600)}"
