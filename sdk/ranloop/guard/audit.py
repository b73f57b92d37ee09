"""The audit log: which report and which models led to which decision, what the guard said, what the node did.

The newest records in memory, and a file of JSON lines if a path is given. A file that cannot be opened is an error at the
start. One that can no longer be written costs one warning and is counted; the log goes on in memory, because a full disk
must not stop a network.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import structlog

from ranloop.closing import Closing
from ranloop.errors import NodeError
from ranloop.wire.messages import ActionBatch, Result, Status

log = structlog.get_logger(__name__)

MAX_LISTED = (
    1024  # targets of one batch that a line spells out: what a manifest grants by default, and no megabytes
)

MAX_TARGETS = 1 << 22  # of the records in memory: 14 bytes each where an action has one parameter


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditRecord:
    """One event. `batch` is what was decided on, `result` what became of it."""

    event: str  # "result", "ended", "dropped", "shut_out", "order"
    ran_time_ns: int
    node: str
    xapp: str
    batch: ActionBatch | None = None
    result: Result | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_targets(self) -> int:
        """What a record takes: the rows of its batch or its result."""
        return len(self.batch.action) if self.batch is not None else len(self.result or ())

    def to_json(self) -> str:
        """One line, with the decision's targets and values and the verdict per cause."""
        line: dict[str, Any] = {
            "event": self.event,
            "ran_time_ns": self.ran_time_ns,
            "node": self.node,
            "xapp": self.xapp,
            **self.facts,
        }
        if self.batch is not None:
            action = self.batch.action
            line |= {
                "id": self.batch.id,
                "report_seq": self.batch.report_seq,
                "models": list(self.batch.models),
                "action": action.spec.name,
            }
            if self.event == "result":
                line["n_targets"] = len(action)
                line["targets"] = action.targets()[:MAX_LISTED].tolist()
                line["parameters"] = _json_numbers(action.parameters()[:MAX_LISTED])
        if self.result is not None:
            line["verdict"] = verdict_counts(self.result)
            line["causes"] = {cause: text for cause, text in self.result.causes if text}
            line["applied"] = _json_numbers(self.result.applied[:MAX_LISTED])
            if self.event == "ended":
                line["targets"] = self.result.targets[:MAX_LISTED].tolist()
        return json.dumps(line, separators=(",", ":"))


def verdict_counts(result: Result) -> dict[str, int]:
    """How many targets met which fate: {"applied": 7, "refused/conflict": 1}."""
    counts: dict[str, int] = {}
    pairs, n = np.unique(np.stack([result.status, result.cause]), axis=1, return_counts=True)
    for (status, cause), count in zip(pairs.T.tolist(), n.tolist(), strict=True):
        reason = result.causes[cause][0]
        name = Status(status).name.lower() + (f"/{reason}" if cause else "")
        counts[name] = counts.get(name, 0) + count
    return counts


def _json_numbers(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> list[list[float | None]]:
    """Rows of numbers; JSON has no NaN."""
    return [[None if math.isnan(value) else value for value in row] for row in values.tolist()]


class Notes(Protocol):
    """Where a guard notes what it decides."""

    def add(self, record: AuditRecord) -> None: ...


class AuditLog(Closing):
    """The last `capacity` records, and all of them in a file if `path` is given. Use it as a context manager.

    Fewer than `capacity` stay in memory where they have more than `MAX_TARGETS` targets together.

    Raises:
        NodeError: The file cannot be opened.
    """

    def __init__(self, path: Path | None = None, *, capacity: int = 10_000) -> None:
        self._ring: deque[AuditRecord] = deque()
        self._capacity = capacity
        self._n_targets = 0  # of the records in the ring
        self._path = path
        self._file: FileIO | None = None
        self.n_records = 0
        self.n_not_written = 0  # records that the file should have and has not
        if path is not None:
            try:
                self._file = path.open("ab", buffering=0)  # whole lines survive a crash
            except OSError as error:
                raise NodeError(f"audit log {path}: cannot be written ({error.strerror})") from error

    def add(self, record: AuditRecord) -> None:
        self._ring.append(record)
        self._n_targets += record.n_targets
        while len(self._ring) > self._capacity or self._n_targets > MAX_TARGETS:
            self._n_targets -= self._ring.popleft().n_targets
        self.n_records += 1
        if self._path is None:
            return
        if self._file is None:
            self.n_not_written += 1
            return
        try:
            self._file.write(record.to_json().encode() + b"\n")
        except OSError as error:
            self.n_not_written += 1
            self.close()
            log.warning("audit_file_not_writable", path=str(self._path), reason=error.strerror)

    def take(self, event: object) -> None:
        """As an outlet: keep the records among a run's events."""
        if isinstance(event, AuditRecord):
            self.add(event)

    def __len__(self) -> int:
        return len(self._ring)

    def __iter__(self) -> Iterator[AuditRecord]:
        """Oldest first."""
        return iter(tuple(self._ring))

    def close(self) -> None:
        """Close the file; what is in memory stays."""
        if self._file is not None:
            self._file.close()
            self._file = None
