"""Opens the folder that a `Recorder` wrote, and plays one part of each stream at a time.

A part that cannot be played is left out with one line that says why, and the others are played.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import structlog

from ranloop.errors import NodeError, WireError
from ranloop.node.parts import DAMAGE, Part, load_part, open_part
from ranloop.node.recording import FORMAT, MANIFEST, parquet, stream_folder
from ranloop.node.report_table import ReportTable
from ranloop.vocabulary import LEVELS, Level
from ranloop.wire.codec import decode_catalogue
from ranloop.wire.messages import Catalogue
from ranloop.wire.topics import is_topic_level

log = structlog.get_logger(__name__)

_MOST_MANIFEST_BYTES = 1 << 24
_MOST_PERIOD_MS = 86_400_000  # as on the wire


class RecordedStream:
    """A `Source` of a replay: one stream, of which one part at a time is in memory.

    Attributes:
        names: Measurements of all parts.
        left_out: What cannot be played, and why: a line each. It may grow while the stream is played.
    """

    def __init__(self, folder: Path, node: str, level: Level, period_ms: int) -> None:
        self.stream = node, str(level), period_ms
        self.node, self.level, self.period_ms = node, level, period_ms
        self.left_out: list[str] = []
        # A hidden file was being written when the recorder died. Numbers of more digits come later.
        paths = sorted(folder.glob("[!.]*.parquet"), key=lambda path: (len(path.name), path.name))
        self._parts = [part for path in paths if (part := self._opened(path))]
        self.names = tuple(dict.fromkeys(name for part in self._parts for name in part.names))
        first, last = self._first_played(), self._first_played(from_the_end=True)
        self.start_ns = first.times_ns[0] - period_ms * 1_000_000 if first else 0
        self.end_ns = last.times_ns[-1] if last else 0
        numbers = [int(path.stem) for path in paths if path.stem.isdecimal()]
        n_missing = max(numbers) + 1 - len(numbers) if numbers else 0
        if n_missing > 0:
            self.left_out.append(
                f"{folder}: {n_missing} of {max(numbers) + 1} parts are missing: deleted to make room, or lost"
            )

    @property
    def is_empty(self) -> bool:
        return not self._parts

    def __iter__(self) -> Iterator[tuple[int, ReportTable, int]]:
        after = (-1, -1)
        for part in self._parts:
            try:
                table = load_part(part, self.node, self.period_ms, after)
            except NodeError as error:
                self.left_out.append(str(error))
                log.warning("part_left_out", reason=str(error))
                continue
            yield from ((time_ns, table, index) for index, time_ns in enumerate(table.times_ns))
            after = table.times_ns[-1], table.seq[-1]

    def _first_played(self, *, from_the_end: bool = False) -> ReportTable | None:
        """The part that the stream begins or ends with; what stands before it and cannot be read is left out."""
        while self._parts:
            at = -1 if from_the_end else 0
            try:
                return load_part(self._parts[at], self.node, self.period_ms)
            except NodeError as error:
                self.left_out.append(str(error))
                del self._parts[at]
        return None

    def _opened(self, path: Path) -> Part | None:
        """A part; None, and a line in `left_out`, where it is none."""
        try:
            return open_part(path, self.level)
        except NodeError as error:
            self.left_out.append(str(error))
            return None


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
    parquet()
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
    except (*DAMAGE, WireError) as error:
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
    if level is None or not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        return None
    key = node, level, int(digits)
    known = is_topic_level(node) and any(catalogue.node == node for catalogue in catalogues)
    return key if known and 0 < key[2] <= _MOST_PERIOD_MS and stream_folder(*key) == name else None


def _cut_down(catalogue: Catalogue, streams: Sequence[RecordedStream]) -> Catalogue:
    """What a replay of these streams offers of a node."""
    own = [stream for stream in streams if stream.node == catalogue.node]
    return replace(
        catalogue,
        measurements={
            level: tuple(dict.fromkeys(name for s in own if s.level == level for name in s.names))
            for level in LEVELS
            if any(s.level == level for s in own)
        },
        actions=(),
        periods_ms=tuple(sorted({stream.period_ms for stream in own})),
        run="",
    )
