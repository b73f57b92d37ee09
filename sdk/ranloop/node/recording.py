"""Records a run as a folder of Parquet files, written while the run goes on, that any tool for tables reads.

    recording.json                     format, slot length, catalogues and truth of the run, and whether it was closed
    <node>.<level>.<period>ms/         one folder per stream
        000000.parquet                 one part: a minute of RAN time, or `PART_ROWS` rows if these are fewer

A part has one row per target and report. Its columns are `node`, `seq`, `ran_time_ns`, the id columns of the level, the
node's own names of these ids (`ue_name`), and the measurements by their catalogue names; no value is null. Reports
without a target have no row: their counters stand in the metadata of the part. Results and stamps are left out; the
audit log has the former. docs/decisions/0017-recordings-are-parquet.md says why.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from ranloop.closing import Closing
from ranloop.errors import MissingExtraError, NodeError
from ranloop.node.port import NodePort, truth
from ranloop.wire.codec import encode
from ranloop.wire.messages import Labels, Report

log = structlog.get_logger(__name__)

MANIFEST = "recording.json"
FORMAT = 2  # 1 was .npz files
EMPTY_KEY = (
    b"ranloop.empty"  # of a part's metadata: JSON, [[seq, ran_time_ns], ...] of the reports without a row
)
WITHOUT_NAMES = ("five_qi",)  # the id columns that are numbers for people, too
PART_ROWS = 1 << 16
PART_NS = 60_000_000_000
MAX_BYTES = 4 << 30


def parquet(what: str = "a recording") -> tuple[Any, Any]:
    """`pyarrow` and `pyarrow.parquet`, imported here because they take 0.1 s.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(what, "record") from error
    return pyarrow, pyarrow.parquet


def stream_folder(node: str, level: str, period_ms: int) -> str:
    """Name of the folder of a stream; a node's name has no dot."""
    return f"{node}.{level}.{period_ms}ms"


@dataclass(slots=True, eq=False)
class ReportRows:
    """The reports of one stream that are not written yet: with the same columns, and one name per id."""

    first: Report
    reports: list[Report] = field(default_factory=list)
    n_rows: int = 0
    names: dict[str, dict[int, str]] = field(default_factory=dict)  # id column -> {dense id: name}
    _labels: Mapping[str, Mapping[int, str]] | None = None

    def add(self, report: Report) -> bool:
        """Take `report`, or return False: it begins another part."""
        if (
            report.names != self.first.names
            or report.ran_time_ns - self.first.ran_time_ns >= PART_NS
            or self.n_rows + len(report) > max(PART_ROWS, len(self.first))
            or not self._learn(report.labels)
        ):
            return False
        self.reports.append(report)
        self.n_rows += len(report)
        return True

    def _learn(self, labels: Mapping[str, Mapping[int, str]]) -> bool:
        """Add `labels` to the names, unless an id has another name there."""
        if labels is self._labels and isinstance(labels, Labels):
            return True  # other mappings may have been changed in place
        fresh = {
            column: dict(names.items() - self.names.get(column, {}).items())
            for column, names in labels.items()
        }
        if any(names.keys() & self.names.get(column, {}).keys() for column, names in fresh.items()):
            return False
        for column, names in fresh.items():
            self.names.setdefault(column, {}).update(names)
        self._labels = labels
        return True

    def table(self) -> Any:
        """The part as a `pyarrow.Table`."""
        pa, _ = parquet()
        ids, names = self.first.ids, self.first.names
        block = np.concatenate([report.block for report in self.reports])
        n_rows = [len(report) for report in self.reports]
        columns: dict[str, Any] = {
            "node": pa.repeat(self.first.node, len(block)),
            "seq": np.repeat(np.array([report.seq for report in self.reports], np.int64), n_rows),
            "ran_time_ns": np.repeat(
                np.array([report.ran_time_ns for report in self.reports], np.int64), n_rows
            ),
        }
        columns |= {column: block[:, i].astype(np.int32) for i, column in enumerate(ids)}
        for column in ids:
            if column not in WITHOUT_NAMES:
                known, place = np.unique(columns[column], return_inverse=True)
                spelt = self.names.get(column, {})
                columns[f"{column}_name"] = pa.array(
                    [spelt.get(dense) for dense in known.tolist()], pa.string()
                ).take(pa.array(place))
        for i, name in enumerate(names, len(ids)):
            values = np.ascontiguousarray(block[:, i])
            columns[name] = pa.array(values, mask=np.isnan(values))
        empty = [[report.seq, report.ran_time_ns] for report in self.reports if not len(report)]
        return pa.table(columns, metadata={EMPTY_KEY: json.dumps(empty)})


class Recorder(Closing):
    """An outlet that keeps every report of a run, in memory for a minute of RAN time at most.

    A crash loses that minute. A part that cannot be written, because the disk is full, is lost, logged and counted;
    the next one is tried again.

    Args:
        folder: Made if it does not exist; it must not hold a recording yet.
        world: Whose run it is.
        max_bytes: Of all parts. Beyond it the oldest part is deleted, which is logged once and told by a replay.

    Raises:
        NodeError: The folder cannot be written, or holds a recording.
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, folder: Path, world: NodePort, *, max_bytes: int = MAX_BYTES) -> None:
        _, self._pq = parquet()
        if (folder / MANIFEST).exists():
            raise NodeError(f"{folder} holds a recording already; choose another folder")
        self._folder, self._max_bytes = folder, max_bytes
        self._facts: dict[str, object] = {
            "format": FORMAT,
            "slot_ns": world.slot_ns,
            "catalogues": [json.loads(encode(catalogue)) for catalogue in world.catalogues],
            "truth": [dict(event) for event in truth(world)],
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write_manifest(closed=False)
        except OSError as error:
            raise NodeError(f"{folder}: cannot be written: {error.strerror}") from error
        self._parts: dict[tuple[str, str, int], ReportRows] = {}
        self._last: dict[tuple[str, str, int], tuple[int, int]] = {}  # RAN time and seq of each stream
        self._late: set[tuple[str, str, int]] = set()  # streams that were told of
        self._n_begun: dict[str, int] = {}  # folder of a stream -> parts so far
        self._written: deque[tuple[Path, int]] = deque()  # with their sizes, oldest first
        self._n_bytes = 0
        self.n_deleted = 0  # parts
        self.n_lost = 0  # reports

    def take(self, event: object) -> None:
        """Keep `event` if it is a report; other events are ignored."""
        if not isinstance(event, Report):
            return
        stream = (event.node, str(event.level), event.period_ms)
        time_ns, seq = self._last.get(stream, (-1, -1))
        if event.ran_time_ns <= time_ns or event.seq <= seq:  # a replay could not give it
            self.n_lost += 1
            if stream not in self._late:
                log.warning("late_reports_not_recorded", node=event.node, level=event.level, seq=event.seq)
                self._late.add(stream)
            return
        self._last[stream] = event.ran_time_ns, event.seq
        part = self._parts.get(stream)
        if part is None or not part.add(event):
            if part is not None:
                self._write(part)
            self._parts[stream] = part = ReportRows(event)
            part.add(event)

    def close(self) -> None:
        """Write the parts that are still in memory."""
        for part in self._parts.values():
            self._write(part)
        self._parts.clear()
        try:
            self._write_manifest(closed=True)
        except OSError as error:
            log.error("recording_not_closed", folder=str(self._folder), reason=error.strerror)

    def _write(self, part: ReportRows) -> None:
        """Write a part under a hidden name, then rename it: a part that can be seen is whole."""
        name = stream_folder(part.first.node, part.first.level, part.first.period_ms)
        number = self._n_begun.get(name, 0)
        self._n_begun[name] = number + 1
        path = self._folder / name / f"{number:06d}.parquet"
        hidden = path.with_name(f".{path.name}")
        try:
            path.parent.mkdir(exist_ok=True)
            self._pq.write_table(part.table(), hidden, compression="zstd", write_page_checksum=True)
            size = hidden.stat().st_size
            hidden.replace(path)
        except OSError as error:
            self.n_lost += len(part.reports)
            log.error("part_lost", path=str(path), n_reports=len(part.reports), reason=error.strerror)
            with suppress(OSError):
                hidden.unlink()
            return
        self._written.append((path, size))
        self._n_bytes += size
        while self._n_bytes > self._max_bytes and len(self._written) > 1:
            self._delete_oldest()

    def _delete_oldest(self) -> None:
        path, size = self._written.popleft()
        self._n_bytes -= size
        if not self.n_deleted:
            log.warning("oldest_parts_deleted", folder=str(self._folder), max_bytes=self._max_bytes)
        self.n_deleted += 1
        with suppress(OSError):
            path.unlink()

    def _write_manifest(self, *, closed: bool) -> None:
        facts = self._facts | {"closed": closed}
        if closed:
            facts |= {"parts_deleted": self.n_deleted, "reports_lost": self.n_lost}
        hidden = self._folder / f".{MANIFEST}"
        hidden.write_text(json.dumps(facts, indent=1), encoding="utf-8")
        os.replace(hidden, self._folder / MANIFEST)
