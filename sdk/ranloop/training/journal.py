"""The journal of a contender's search: a line per round, so that a training that was stopped goes on where it was."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from ranloop.errors import TrainingError

__all__ = ("JOURNALS", "Journal", "read_journal")

JOURNALS: Final = "journal"  # folder of the journals, one per contender


class Journal:
    """An open journal; one process at a time has it. The first line tells what the search depends on.

    Attributes:
        lines: What was there, without the first line.
    """

    def __init__(self, path: Path, file: int, lines: list[dict[str, Any]]) -> None:
        self.path, self._file, self.lines = path, file, lines

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, name: str, of: str) -> Iterator[Journal]:
        """The journal of a contender, which `of`, a digest, stands at the head of.

        Raises:
            TrainingError: Another process is at work in it, it is of another search, or it cannot be written.
        """
        path = folder / JOURNALS / f"{name}.jsonl"
        try:
            path.parent.mkdir(exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise TrainingError(f"{path} cannot be written: {error.strerror}") from error
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise TrainingError(
                    f"{path}: another training is at work in it; wait for it or end it"
                ) from error
            lines = list(_whole_lines(path))
            _check(path, lines, of)
            os.truncate(file, sum(len(_encoded(line)) for line in lines))  # a line that was not ended is gone
            journal = cls(path, file, lines[1:])
            if not lines:
                journal.append({"of": of})
            yield journal
        finally:
            os.close(file)

    def append(self, line: Mapping[str, Any]) -> None:
        """Keep a line; it is on the disk afterwards."""
        os.lseek(self._file, 0, os.SEEK_END)
        os.write(self._file, _encoded(line))
        os.fsync(self._file)


def read_journal(folder: Path, name: str, of: str) -> list[dict[str, Any]]:
    """The lines of a journal but the first; none if there is no journal.

    Raises:
        TrainingError: It is of another search.
    """
    path = folder / JOURNALS / f"{name}.jsonl"
    lines = list(_whole_lines(path)) if path.exists() else []
    _check(path, lines, of)
    return lines[1:]


def _check(path: Path, lines: list[dict[str, Any]], of: str) -> None:
    if lines and lines[0].get("of") != of:
        raise TrainingError(
            f"{path} is of another plan, space or reference; put those back, or remove the file to train anew"
        )


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Up to the first that is not whole."""
    for text in path.read_bytes().splitlines(keepends=True):
        try:
            line = json.loads(text)
        except ValueError:
            return
        if not text.endswith(b"\n") or _encoded(line) != text:
            return
        yield cast("dict[str, Any]", line)


def _encoded(line: Mapping[str, Any]) -> bytes:
    return (json.dumps(line) + "\n").encode()
