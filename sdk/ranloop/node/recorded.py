"""Reads the folder of Parquet files that a `Recorder` wrote, or that another tool changed, one part at a time.

A part that cannot be played is left out with one line that says why, and the others are played.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import structlog

from ranloop.errors import NodeError, WireError
from ranloop.node.recording import EMPTY_KEY, FORMAT, MANIFEST, WITHOUT_NAMES, parquet, stream_folder
from ranloop.vocabulary import ID_COLUMNS, LEVELS, MEASUREMENTS, Level
from ranloop.wire.codec import decode_catalogue
from ranloop.wire.messages import F32, MAX_ID, Catalogue, Labels, Report
from ranloop.wire.topics import is_topic_level

log = structlog.get_logger(__name__)

_MOST_ROWS = 1 << 20  # of one part: a `Recorder` writes 2**16
_MOST_MANIFEST_BYTES = 1 << 24
_COUNTERS = ("seq", "ran_time_ns")
# What pyarrow raises about bytes that are not what they should be; its own errors are children of these.
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    MemoryError,
    NotImplementedError,
    RecursionError,
)


class _File(NamedTuple):
    """One part as its footer describes it."""

    path: Path
    names: tuple[str, ...]
    empty: tuple[tuple[int, int], ...]  # (RAN time, seq) of reports without a row


@dataclass(slots=True, eq=False)
class RecordedPart:
    """The reports of one part, in memory. Report `i` has the rows `start[i]` to `stop[i]` of the block."""

    node: str
    level: Level
    period_ms: int
    names: tuple[str, ...]
    seq: Sequence[int]
    times_ns: Sequence[int]
    start: Sequence[int]
    stop: Sequence[int]
    block: F32
    spelt: dict[str, dict[int, str]]  # id column -> {dense id: name}
    _labels: tuple[bytes, Labels] = (b"none yet", Labels({}))

    def report(self, index: int, names: frozenset[str]) -> Report:
        """One report, with those of `names` that were recorded; its labels name the targets in its rows."""
        ids = ID_COLUMNS[self.level]
        kept = [i for i, name in enumerate(self.names) if name in names]
        rows = self.block[self.start[index] : self.stop[index]]
        return Report(
            node=self.node,
            level=self.level,
            period_ms=self.period_ms,
            seq=self.seq[index],
            ran_time_ns=self.times_ns[index],
            ids=ids,
            names=tuple(self.names[i] for i in kept),
            block=np.ascontiguousarray(rows[:, [*range(len(ids)), *(len(ids) + i for i in kept)]]),
            labels=self._labels_of(rows[:, : len(ids)]),
        )

    def _labels_of(self, ids: F32) -> Labels:
        """The same object for as long as the targets are the same: the codec knows it by identity."""
        key = ids.tobytes()
        if key != self._labels[0]:
            columns = zip(ID_COLUMNS[self.level], ids.T.astype(np.int32).tolist(), strict=True)
            named = {
                column: {dense: self.spelt[column][dense] for dense in own if dense in self.spelt[column]}
                for column, own in columns
                if column in self.spelt
            }
            self._labels = key, Labels({column: names for column, names in named.items() if names})
        return self._labels[1]


class RecordedStream:
    """A `Source` of a replay: one stream, of which one part at a time is in memory.

    Attributes:
        names: Measurements of all parts.
        left_out: What cannot be played, and why: a line each. It may grow while the stream is played.
    """

    def __init__(self, folder: Path, node: str, level: Level, period_ms: int) -> None:
        self._level: Level = level
        self.node, self.period_ms = node, period_ms
        self.left_out: list[str] = []
        paths = sorted(folder.glob("[!.]*.parquet"))  # a hidden one was being written when the recorder died
        self._files = [file for path in paths if (file := self._described(path))]
        self.names = tuple(dict.fromkeys(name for file in self._files for name in file.names))
        first, last = self._first_played(), self._first_played(from_the_end=True)
        self.start_ns = first.times_ns[0] - period_ms * 1_000_000 if first else 0
        self.end_ns = last.times_ns[-1] if last else 0
        number = int(stem) if self._files and (stem := self._files[0].path.stem).isdecimal() else 0
        if number:
            self.left_out.append(f"{folder}: begins with part {number}; older ones were deleted")

    @property
    def level(self) -> Level:
        return self._level

    @property
    def stream(self) -> tuple[str, str, int]:
        return self.node, str(self.level), self.period_ms

    @property
    def is_empty(self) -> bool:
        return not self._files

    def __iter__(self) -> Iterator[tuple[int, RecordedPart, int]]:
        now_ns = -1
        for file in self._files:
            try:
                part = self._load(file, now_ns)
            except NodeError as error:
                self.left_out.append(str(error))
                log.warning("part_left_out", reason=str(error))
                continue
            yield from ((time_ns, part, index) for index, time_ns in enumerate(part.times_ns))
            now_ns = part.times_ns[-1] if part.times_ns else now_ns

    def _first_played(self, *, from_the_end: bool = False) -> RecordedPart | None:
        """The part that the stream begins or ends with; what stands before it and cannot be read is left out."""
        while self._files:
            at = -1 if from_the_end else 0
            try:
                return self._load(self._files[at], -1)
            except NodeError as error:
                self.left_out.append(str(error))
                del self._files[at]
        return None

    def _described(self, path: Path) -> _File | None:
        """The footer of a part; None, and a line in `left_out`, where it does not describe one."""
        _, pq = parquet()
        try:
            with pq.ParquetFile(path) as file:
                return self._checked(path, file)
        except NodeError as error:
            self.left_out.append(str(error))
        except _DAMAGE:
            self.left_out.append(f"{path}: cut short, changed or no Parquet file at all")
        return None

    def _checked(self, path: Path, file: Any) -> _File:
        pa, _ = parquet()
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
        ids = ID_COLUMNS[self.level]
        lacking = [column for column in (*_COUNTERS, *ids) if column not in schema.names]
        if lacking:
            raise NodeError(f"{path}: lacks the columns {', '.join(lacking)} of {self.level} reports")
        if len(set(schema.names)) < len(schema.names):
            raise NodeError(f"{path}: has two columns of one name")
        names = tuple(
            name for name in schema.names if name in MEASUREMENTS and self.level in MEASUREMENTS[name].levels
        )
        kinds = dict.fromkeys((*_COUNTERS, *ids), ("whole numbers", pa.types.is_integer))
        kinds |= dict.fromkeys(names, ("floating-point numbers", pa.types.is_floating))
        for column, (wanted, is_wanted) in kinds.items():
            kind = schema.field(column).type
            if not is_wanted(kind):
                raise NodeError(f"{path}: column {column} holds {kind}, want {wanted}")
        if n_rows > _MOST_ROWS:
            raise NodeError(f"{path}: {n_rows} rows in one part, at most {_MOST_ROWS} are read; split it")
        empty = json.loads((schema.metadata or {}).get(EMPTY_KEY, b"[]"))
        silent = tuple((int(time_ns), int(seq)) for seq, time_ns in empty)
        if not n_rows and not silent:
            raise NodeError(f"{path}: has no report")
        return _File(path, names, silent)

    def _load(self, file: _File, after_ns: int) -> RecordedPart:
        """Read one part.

        Raises:
            NodeError: It is damaged, or its reports are no reports.
        """
        _, pq = parquet()
        path, ids = file.path, ID_COLUMNS[self.level]
        named = [f"{column}_name" for column in ids if column not in WITHOUT_NAMES]
        wanted = [*_COUNTERS, *ids, *named, *file.names]
        try:
            table = pq.read_table(
                path, columns=wanted, partitioning=None, page_checksum_verification=True
            ).combine_chunks()
            for column in (*_COUNTERS, *ids):
                if table[column].null_count:
                    raise NodeError(f"{path}: column {column} has {table[column].null_count} nulls")
            seq, times_ns, *targets = (
                table[column].to_numpy().astype(np.int64) for column in (*_COUNTERS, *ids)
            )
            block = np.empty((len(table), len(ids) + len(file.names)), np.float32)
            for i, column in enumerate((*ids, *file.names)):
                block[:, i] = table[column].to_numpy()
            spelt = {
                column: _names_of(dense, table[f"{column}_name"])
                for column, dense in zip(ids, targets, strict=True)
                if f"{column}_name" in table.column_names
            }
        except _DAMAGE as error:
            raise NodeError(f"{path}: cut short or changed") from error
        if any(((dense < 0) | (dense >= MAX_ID)).any() for dense in targets):
            raise NodeError(f"{path}: an id outside 0 to {MAX_ID - 1}")
        begins = np.flatnonzero(np.diff(seq, prepend=-1) | np.diff(times_ns, prepend=-1))
        rows = zip(
            times_ns[begins].tolist(),
            seq[begins].tolist(),
            begins.tolist(),
            [*begins[1:].tolist(), len(seq)],
            strict=True,
        )
        reports = sorted([*rows, *((time_ns, number, 0, 0) for time_ns, number in file.empty)])
        times, numbers, start, stop = map(list, zip(*reports, strict=True))
        is_in_order = bool((np.diff(times_ns) >= 0).all()) and all(
            b > a for a, b in pairwise([after_ns, *times])
        )
        if not is_in_order or min(numbers) < 0:
            raise NodeError(f"{path}: reports are not in the order of RAN time, each with its rows together")
        return RecordedPart(
            self.node, self.level, self.period_ms, file.names, numbers, times, start, stop, block, spelt
        )


def _names_of(ids: np.ndarray[Any, np.dtype[np.int64]], names: Any) -> dict[int, str]:
    """Dense id -> name, for those that have one."""
    known, at = np.unique(ids, return_index=True)
    spelt = zip(known.tolist(), names.take(at).to_pylist(), strict=True)
    return {dense: name for dense, name in spelt if isinstance(name, str)}


class Recording(NamedTuple):
    """A recorded run: catalogues cut down to what was recorded, without actions."""

    slot_ns: int
    catalogues: tuple[Catalogue, ...]
    streams: tuple[RecordedStream, ...]
    left_out: tuple[str, ...]  # what is known to be missing before it is played


def read_recording(folder: Path) -> Recording:
    """Open the folder that a `Recorder` wrote.

    Raises:
        NodeError: It is none, it is an old one, or no part of it can be read.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        with (folder / MANIFEST).open("rb") as file:
            manifest = json.loads(file.read(_MOST_MANIFEST_BYTES))
        if manifest["format"] == 1:
            raise NodeError(
                f"{folder}: an old recording (.npz); convert it: python -m ranloop.node.npz_recording {folder} NEW_FOLDER"
            )
        if manifest["format"] != FORMAT:
            raise NodeError(f"{folder}: recording format {manifest['format']}, this version reads {FORMAT}")
        catalogues = [decode_catalogue(json.dumps(entry).encode()) for entry in manifest["catalogues"]]
        slot_ns, closed = int(manifest["slot_ns"]), bool(manifest["closed"])
        if slot_ns <= 0:
            raise ValueError(f"slot_ns {slot_ns}")
    except (*_DAMAGE, WireError) as error:
        raise NodeError(
            f"{folder}: damaged recording: {MANIFEST}: {type(error).__name__}: {error}"
        ) from error
    streams = [
        RecordedStream(folder / stream_folder(*key), *key)
        for path in sorted(folder.iterdir())
        if path.is_dir() and (key := _stream_of(path.name, catalogues))
    ]
    left_out = [line for stream in streams for line in stream.left_out]
    played = tuple(stream for stream in streams if not stream.is_empty)
    if not played:
        problem = f"the first of {len(left_out)} problems: {left_out[0]}" if left_out else "no report in it"
        raise NodeError(f"{folder}: damaged recording: {problem}")
    if not closed:
        left_out.append(f"{folder}: was not closed; what was in memory then is missing")
    for line in left_out:
        log.warning("recording_read_in_part", reason=line)
    return Recording(
        slot_ns, tuple(_cut_down(catalogue, played) for catalogue in catalogues), played, tuple(left_out)
    )


def _stream_of(name: str, catalogues: Sequence[Catalogue]) -> tuple[str, Level, int] | None:
    """The stream whose folder is called `name`; None for a folder of something else."""
    node, _, rest = name.partition(".")
    named, _, period = rest.partition(".")
    digits = period.removesuffix("ms")
    level = next((known for known in LEVELS if known == named), None)
    if level is None or not (digits.isascii() and digits.isdigit() and len(digits) < 10 and int(digits)):
        return None
    key = node, level, int(digits)
    known = is_topic_level(node) and any(catalogue.node == node for catalogue in catalogues)
    return key if known and stream_folder(*key) == name else None


def _cut_down(catalogue: Catalogue, streams: Sequence[RecordedStream]) -> Catalogue:
    """What a replay of these streams offers of a node."""
    own = [stream for stream in streams if stream.node == catalogue.node]
    return Catalogue(
        node=catalogue.node,
        measurements={
            level: tuple(dict.fromkeys(name for s in own if s.level == level for name in s.names))
            for level in LEVELS
            if any(s.level == level for s in own)
        },
        actions=(),
        periods_ms=tuple(sorted({stream.period_ms for stream in own})),
        cells=catalogue.cells,
        slices=catalogue.slices,
        slice_min_pct=catalogue.slice_min_pct,
        control_delay_ms=catalogue.control_delay_ms,
    )
