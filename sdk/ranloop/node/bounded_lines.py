"""The lines of a text file of people, plain or gzip-compressed, read one at a time and with bounds."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path

from ranloop.closing import Closing
from ranloop.errors import NodeError

__all__ = ("BoundedLines",)

_MAX_BYTES = 256 * 1024 * 1024  # unpacked: a phone's log of a day is 10 MB
_MAX_LINES = 1_000_000  # a phone's log of a day has 86,400
_MAX_LINE_BYTES = 1 << 14


class BoundedLines(Closing):
    """Lines as text. Bytes that are not UTF-8 are taken as Latin-1, line by line.

    Attributes:
        truncated: Whether the compressed form broke off; the lines before the break are given, the cut one is not.

    Raises:
        NodeError: The file cannot be read, or has more bytes, lines or bytes in a line than are read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.truncated = False
        try:
            self._file = path.open("rb")
            packed = self._file.read(2) == b"\x1f\x8b"
            self._file.seek(0)
        except OSError as error:
            raise NodeError(f"{path}: cannot be read: {error.strerror}") from error
        self._text: gzip.GzipFile | io.BufferedReader = (
            gzip.GzipFile(fileobj=self._file) if packed else self._file
        )

    def __iter__(self) -> Iterator[str]:
        n_bytes = 0
        for number in itertools.count():
            line = self._line()
            n_bytes += len(line)
            if n_bytes > _MAX_BYTES or number >= _MAX_LINES:
                raise NodeError(
                    f"{self._path}: more than {_MAX_BYTES >> 20} MiB or {_MAX_LINES} lines of text; split the log"
                )
            if len(line) > _MAX_LINE_BYTES:
                raise NodeError(f"{self._path}: no CSV file: a line of more than {_MAX_LINE_BYTES} bytes")
            if not line:
                return
            yield _decoded(line.removeprefix(codecs.BOM_UTF8) if not number else line)

    def close(self) -> None:
        self._file.close()

    def _line(self) -> bytes:
        try:
            return self._text.readline(_MAX_LINE_BYTES + 1)
        except EOFError:
            self.truncated = True
            return b""
        except (gzip.BadGzipFile, zlib.error) as error:
            raise NodeError(f"{self._path}: damaged gzip file: {error}") from error
        except OSError as error:
            raise NodeError(f"{self._path}: cannot be read: {error.strerror}") from error


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")
