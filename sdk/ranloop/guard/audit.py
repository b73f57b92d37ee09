"""The audit log: each decision with its report and models, the guard's verdict, and the node's answer.

A guard notes records, which are data and cheap to make. An `AuditLog` keeps the newest in memory and writes all of them as
JSON lines if it has a path (`audit_lines`, `audit_file`); it may be fed from a thread of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import structlog

from ranloop.closing import Closing
from ranloop.guard.audit_file import LineFile
from ranloop.guard.audit_lines import AuditLines
from ranloop.guard.audit_record import AuditRecord
from ranloop.guard.footprint import n_bytes

__all__ = ("AuditLog",)

log = structlog.get_logger(__name__)

MAX_BYTES = 1 << 26  # of the records in memory


class AuditLog(Closing):
    """The newest records, and all of them in a file if `path` is given. Use it as a context manager.

    A file that cannot be opened is an error at the start. If the file can no longer be written, the log goes on in memory,
    because a full disk must not stop a network. No line is left half written, and the next line that can be written gives the
    number of missing records.

    Args:
        path: The file. It is rotated by size: `path`, then `path.1`, `path.2`, …, oldest last. If another program moves the
            file away, the log begins it anew.
        capacity: Records that stay in memory; fewer where they take more than `MAX_BYTES` together.
        file_bytes: Largest size of one file.
        n_files: Number of files that stay, with the one that is being written.
        bytes_per_day: Largest amount of one xApp per day of RAN time (see `AuditLines`).

    Raises:
        NodeError: The file cannot be opened.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        capacity: int = 10_000,
        file_bytes: int = 1 << 26,
        n_files: int = 16,
        bytes_per_day: float = float(1 << 30),
    ) -> None:
        self._ring: deque[tuple[AuditRecord, int]] = deque()
        self._capacity = capacity
        self._n_bytes = 0  # of the records in the ring
        self._lines = AuditLines(bytes_per_day=bytes_per_day)
        self._file = None if path is None else LineFile(path, max_bytes=file_bytes, n_files=n_files)
        self._n_missing = 0  # in a row, up to now
        self.n_records = 0
        self.n_not_written = 0  # records that the file should have and has not

    def add(self, record: AuditRecord, /) -> None:
        size = n_bytes(record.batch) + n_bytes(record.result)
        self._ring.append((record, size))
        self._n_bytes += size
        while len(self._ring) > self._capacity or self._n_bytes > MAX_BYTES:
            self._n_bytes -= self._ring.popleft()[1]
        self.n_records += 1
        if self._file is not None:
            if self._file.turn_over():
                self._lines.forget()  # each file can be read without the one before
            self._write(self._file, self._lines.text(record))

    def _write(self, file: LineFile, text: bytes) -> None:
        if not text:
            return
        gap = self._lines.gap(self._n_missing) if self._n_missing else b""
        try:
            file.write(gap + text)
        except OSError as error:
            self._n_missing += 1
            self.n_not_written += 1
            self._lines.forget()
            if self._n_missing == 1:
                log.warning("audit_file_not_writable", path=str(file.path), reason=error.strerror)
        else:
            if self._n_missing:
                log.warning("audit_file_writable_again", path=str(file.path), records_missing=self._n_missing)
            self._n_missing = 0

    def take(self, event: object) -> None:
        """As an outlet: keep the records among a run's events."""
        if isinstance(event, AuditRecord):
            self.add(event)

    def __len__(self) -> int:
        return len(self._ring)

    def __iter__(self) -> Iterator[AuditRecord]:
        """Oldest first."""
        return iter([record for record, _ in tuple(self._ring)])

    def close(self) -> None:
        """Close the file; the records in memory stay."""
        if self._file is not None:
            self._write(self._file, self._lines.rest())
            self._file.close()
            self._file = None
