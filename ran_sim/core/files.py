"""Reads whole files that people wrote, with a bound on their length."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Final

__all__ = ("MAX_TABLE_BYTES", "MAX_TABLE_ROWS", "check_regular", "read_bytes")

MAX_TABLE_BYTES: Final = 1 << 26  # of a CSV file
MAX_TABLE_ROWS: Final = 1_000_000  # of such a file; to read so many takes some two seconds


def check_regular(path: Path) -> None:
    """Refuse a path that may never end or never open, such as /dev/zero or a pipe.

    Raises:
        OSError: There is no such file, or it is a device, a pipe or a socket.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a folder has an error of its own when it is opened
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes.

    Raises:
        OSError: The file cannot be read, or is no regular file.
        ValueError: It is longer.
    """
    check_regular(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"more than {most} bytes")
    return content
