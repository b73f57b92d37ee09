"""Finds the tables at a path, and for each the mapping that reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ranloop.errors import NodeError
from ranloop.node.table.address import TableOptions
from ranloop.node.table.formats import open_table
from ranloop.node.table.guess import by_names
from ranloop.node.table.mapping import TableMapping, load_mapping, shipped_mappings
from ranloop.node.table.source import RawTable, counted, shown, without_suffix

__all__ = ("TableFile", "files_at", "recognised", "why_nothing")

_MOST_FILES = 20_000


class TableFile(NamedTuple):
    """One table of a file, and the mapping that reads it."""

    path: Path
    table: RawTable
    mapping: TableMapping


def recognised(path: Path, options: TableOptions, left_out: list[str]) -> Iterator[TableFile]:
    """The tables at a path with their mappings; why others are none goes to `left_out`."""
    given = [load_mapping(name) for name in options.mapping.split(",") if name]
    known = [options.over(mapping) for mapping in given or shipped_mappings().values()]
    for file in files_at(path, left_out):
        try:
            found = open_table(file, known)
            chosen = _chosen(file, found, known, options, are_given=bool(given))
        except NodeError as error:
            if path == file:
                raise
            left_out.append(str(error))
            continue
        yield from (TableFile(file, found[mapping.rows], mapping) for mapping in chosen)


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


def files_at(path: Path, left_out: list[str]) -> Iterator[Path]:
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


def why_nothing(path: Path, left_out: Sequence[str]) -> str:
    """Why there is nothing to replay; of a single file it is the reason itself."""
    if not left_out:
        return f"{path}: nothing to replay: an empty folder"
    if path.is_file():
        return left_out[0]
    return f"{path}: nothing to replay; the first of {len(left_out)} reasons: {left_out[0]}"
