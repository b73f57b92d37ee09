"""Recorded runs: a folder of columns that can be replayed, or read with NumPy alone.

    recording.json                     what was recorded: nodes, streams, slot length
    <node>.<level>.<period ms>.npz     one stream: seq [k], ran_time_ns [k], first_row [k + 1], block [rows, columns],
                                       labels [k]: index into the manifest's table of that stream

The rows of report i are block[first_row[i] : first_row[i + 1]]. What is left out: results and stamps; the audit log
has the former.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ranloop.closing import Closing
from ranloop.errors import NodeError, WireError
from ranloop.node.port import NodePort
from ranloop.vocabulary import ID_COLUMNS, LEVELS, Level
from ranloop.wire.codec import decode_catalogue, encode
from ranloop.wire.messages import F32, Catalogue, Report

MANIFEST = "recording.json"
_FORMAT = 1
_ARRAYS = ("seq", "ran_time_ns", "first_row", "block", "labels")
# What zipfile, zlib and NumPy raise about bytes that are not what they should be.
_NO_ARRAYS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
# And JSON, about a manifest whose entries are missing or of another kind.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, WireError)
Labels = Mapping[str, Mapping[int, str]]


@dataclass(slots=True, eq=False)
class _Columns:
    """One stream while it is being recorded; its labels change rarely, so each state of them is kept once."""

    first: Report
    reports: list[Report] = field(default_factory=list)
    label_states: list[Labels] = field(default_factory=list)
    label_of_report: list[int] = field(default_factory=list)

    def add(self, report: Report) -> None:
        if not self.label_states or self.label_states[-1] != report.labels:
            self.label_states.append(report.labels)
        self.reports.append(report)
        self.label_of_report.append(len(self.label_states) - 1)


class Recorder(Closing):
    """An observer that keeps every report of a run in memory, and writes the folder when it is closed.

    210 UEs with a dozen measurements every 100 ms come to 0.1 MB per second of RAN time, so it is for runs of a known length.

    Args:
        folder: Made if it does not exist; it must not hold a recording yet.
        world: Whose run it is.

    Raises:
        NodeError: The folder cannot be written, or holds a recording.
    """

    def __init__(self, folder: Path, world: NodePort) -> None:
        if (folder / MANIFEST).exists():
            raise NodeError(f"{folder} holds a recording already; choose another folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass  # a folder that cannot be written is told now, not after the run
        except OSError as error:
            raise NodeError(f"{folder}: cannot be written: {error.strerror}") from error
        self._folder = folder
        self._world = world
        self._streams: dict[tuple[str, str, int], _Columns] = {}

    def take(self, event: object) -> None:
        """Keep a report; nothing else is recorded."""
        if isinstance(event, Report):
            report = event
            stream = (report.node, str(report.level), report.period_ms)
            columns = self._streams.setdefault(stream, _Columns(report))
            if report.names != columns.first.names:
                raise ValueError(f"the columns of {stream} changed in the middle of the run")
            columns.add(report)

    def close(self) -> None:
        """Write the streams, then the manifest: a folder without one is no recording."""
        streams = []
        for (node, level, period_ms), columns in sorted(self._streams.items()):
            name = f"{node}.{level}.{period_ms}.npz"
            reports = columns.reports
            np.savez_compressed(
                self._folder / name,
                seq=np.array([report.seq for report in reports], np.int64),
                ran_time_ns=np.array([report.ran_time_ns for report in reports], np.int64),
                first_row=np.cumsum([0, *map(len, reports)], dtype=np.int64),
                block=np.concatenate([report.block for report in reports]),
                labels=np.array(columns.label_of_report, np.int64),
            )
            streams.append(
                {
                    "file": name,
                    "node": node,
                    "level": level,
                    "period_ms": period_ms,
                    "names": list(columns.first.names),
                    "labels": [
                        {column: dict(names) for column, names in state.items()}
                        for state in columns.label_states
                    ],
                }
            )
        manifest = {
            "format": _FORMAT,
            "slot_ns": self._world.slot_ns,
            "catalogues": [json.loads(encode(catalogue)) for catalogue in self._world.catalogues],
            "streams": streams,
        }
        (self._folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


@dataclass(frozen=True, slots=True, eq=False)
class RecordedStream:
    """One stream of a recording; a `Source` of a replay."""

    node: str
    level: Level
    period_ms: int
    names: tuple[str, ...]
    seq: Sequence[int]
    times_ns: Sequence[int]
    first_row: Sequence[int]
    block: F32
    label_states: Sequence[Labels]
    label_of_report: Sequence[int]

    @property
    def stream(self) -> tuple[str, str, int]:
        return self.node, str(self.level), self.period_ms

    def report(self, index: int, names: frozenset[str]) -> Report:
        ids = ID_COLUMNS[self.level]
        kept = [i for i, name in enumerate(self.names) if name in names]
        rows = self.block[self.first_row[index] : self.first_row[index + 1]]
        return Report(
            node=self.node,
            level=self.level,
            period_ms=self.period_ms,
            seq=self.seq[index],
            ran_time_ns=self.times_ns[index],
            ids=ids,
            names=tuple(self.names[i] for i in kept),
            block=np.ascontiguousarray(rows[:, [*range(len(ids)), *(len(ids) + i for i in kept)]]),
            labels=self.label_states[self.label_of_report[index]],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recorded run: catalogues cut down to what was recorded, without actions."""

    slot_ns: int
    catalogues: tuple[Catalogue, ...]
    streams: tuple[RecordedStream, ...]


def read_recording(folder: Path) -> Recording:
    """Read the folder that a `Recorder` wrote.

    Raises:
        NodeError: It is not one, or is damaged.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != _FORMAT:
            raise NodeError(f"{folder}: recording format {manifest['format']}, this version reads {_FORMAT}")
        streams = tuple(_read_stream(folder, entry) for entry in manifest["streams"])
        catalogues = tuple(
            decode_catalogue(json.dumps(entry).encode() + b"\n") for entry in manifest["catalogues"]
        )
        slot_ns = int(manifest["slot_ns"])
    except _DAMAGE as error:
        raise NodeError(f"{folder}: damaged recording: {type(error).__name__}: {error}") from error
    return Recording(slot_ns, tuple(_cut_down(catalogue, streams) for catalogue in catalogues), streams)


def _read_stream(folder: Path, entry: Mapping[str, Any]) -> RecordedStream:
    level = next((known for known in LEVELS if known == entry["level"]), None)
    if level is None or Path(entry["file"]).name != entry["file"]:
        raise ValueError(f"a stream at level {entry['level']!r} in file {entry['file']!r}")
    arrays = _read_arrays(folder / entry["file"])
    seq, times, first_row, labels = (
        arrays[name].tolist() for name in ("seq", "ran_time_ns", "first_row", "labels")
    )
    block = arrays["block"]
    names = tuple(map(str, entry["names"]))
    states = [
        {column: {int(dense): str(name) for dense, name in ids.items()} for column, ids in state.items()}
        for state in entry["labels"]
    ]
    fits = (
        len(seq) == len(times) == len(labels) == len(first_row) - 1
        and block.dtype == np.float32
        and block.shape == (first_row[-1], len(ID_COLUMNS[level]) + len(names))
        and first_row == sorted(first_row)
        and all(0 <= state < len(states) for state in labels)
    )
    if not fits:
        raise ValueError(f"the arrays of {entry['file']} do not fit together")
    return RecordedStream(
        str(entry["node"]),
        level,
        int(entry["period_ms"]),
        names,
        seq,
        times,
        first_row,
        block,
        states,
        labels,
    )


def _read_arrays(path: Path) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """The arrays of one stream.

    Raises:
        NodeError: In our own words: NumPy's advice on a file that it cannot read is to trust it.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            missing = [name for name in _ARRAYS if name not in arrays]
            if not missing:
                return {name: arrays[name] for name in _ARRAYS}
            problem = f"lacks the arrays {', '.join(missing)}"
    except FileNotFoundError:
        problem = "is not there"
    except _NO_ARRAYS:
        problem = "is cut short, changed or no .npz file at all"
    raise NodeError(f"{path.parent}: damaged recording: {path.name} {problem}; record the run again")


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
