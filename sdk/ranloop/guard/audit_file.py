"""A file of whole lines: rotated by size, begun anew after it was moved away, never left with half a line."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ranloop.closing import Closing
from ranloop.errors import NodeError

__all__ = ("LineFile",)


class LineFile(Closing):
    """Lines appended to `path`; older ones are in `path.1`, `path.2`, …

    Args:
        max_bytes: Size from which on the next line begins a new file.
        n_files: Files that stay, the one that is being written included.

    Raises:
        NodeError: The file cannot be opened.
    """

    def __init__(self, path: Path, *, max_bytes: int, n_files: int) -> None:
        self.path = path
        self._max_bytes, self._n_files = max_bytes, n_files
        try:
            self._fd = self._open()
        except OSError as error:
            raise NodeError(f"audit log {path}: cannot be written ({error.strerror})") from error

    def _open(self) -> int:
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        with contextlib.suppress(OSError):  # a line that a crash tore off
            if os.fstat(fd).st_size:
                with self.path.open("rb") as file:
                    file.seek(-1, os.SEEK_END)
                    if file.read() != b"\n":
                        os.write(fd, b"\n")
        return fd

    def turn_over(self) -> bool:
        """Begin a new file if this one is full, or was moved away; whether one was begun.

        Where that is not possible the present one goes on.
        """
        mine = os.fstat(self._fd)
        try:
            there = os.stat(self.path)
            moved = (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino)
        except FileNotFoundError:
            moved = True
        except OSError:
            return False
        if not moved and mine.st_size < self._max_bytes:
            return False
        try:
            if not moved:
                self._shift()
            fresh = self._open()
        except OSError:
            return False
        os.close(self._fd)
        self._fd = fresh
        return True

    def _shift(self) -> None:
        """Move each file one number on; the oldest goes."""
        if self._n_files == 1:
            self.path.unlink()
            return
        for number in range(self._n_files - 1, 0, -1):
            source = self._numbered(number - 1)
            if source.exists():
                source.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def write(self, lines: bytes) -> None:
        """Append all of `lines`, or nothing.

        Raises:
            OSError: It cannot be written; the file ends with the line before.
        """
        before = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, lines)
            while written < len(lines):
                written += os.write(self._fd, lines[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, before)
            raise

    def close(self) -> None:
        """Close the file; its lines are complete."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
