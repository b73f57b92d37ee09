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
    """Lines as text, in UTF-8 or UTF-16. Bytes that are neither are taken as Latin-1, line by line.

    UTF-16 is known by its byte order mark, or by the zeros of its ASCII letters.

    Attributes:
        truncated: Whether the compressed form broke off; the lines before the break are given, the cut one is not.

    Raises:
        NodeError: The file cannot be read, or has more bytes, lines or bytes in a line than are read.
    """

    def __init__(self, path: Path, *, max_line_bytes: int = _MAX_LINE_BYTES) -> None:
        self._path, self._max_line_bytes = path, max_line_bytes
        self.truncated = False
        try:
            self._file = path.open("rb")
            packed = self._file.read(2) == b"\x1f\x8b"
            self._file.seek(0)
        except OSError as error:
            raise NodeError(f"{path}: cannot be read: {error.strerror}") from error
        self._bytes: gzip.GzipFile | io.BufferedReader = (
            gzip.GzipFile(fileobj=self._file) if packed else self._file
        )
        self._wide: io.TextIOWrapper | None = None  # in UTF-16

    def __iter__(self) -> Iterator[str]:
        n_bytes = 0
        for number in itertools.count():
            line = self._line(is_first=not number)
            n_bytes += len(line)
            if n_bytes > _MAX_BYTES or number >= _MAX_LINES:
                raise NodeError(
                    f"{self._path}: more than {_MAX_BYTES >> 20} MiB or {_MAX_LINES} lines of text; split the log"
                )
            if len(line) > self._max_line_bytes:
                raise NodeError(
                    f"{self._path}: no table of lines: a line of more than {self._max_line_bytes} bytes"
                )
            if not line:
                return
            yield _decoded(line.removeprefix(codecs.BOM_UTF8) if not number else line)

    def close(self) -> None:
        self._file.close()

    def _line(self, *, is_first: bool) -> bytes:
        """The next line; that of a file in UTF-16 comes in UTF-8."""
        try:
            if is_first and (encoding := _wide_encoding(self._bytes.peek(64)[:64])):
                self._wide = io.TextIOWrapper(self._bytes, encoding, "replace", newline="\n")
            if self._wide is not None:
                return self._wide.readline(self._max_line_bytes + 1).encode()
            return self._bytes.readline(self._max_line_bytes + 1)
        except EOFError:
            self.truncated = True
            return b""
        except (gzip.BadGzipFile, zlib.error) as error:
            raise NodeError(f"{self._path}: damaged gzip file: {error}") from error
        except OSError as error:
            raise NodeError(f"{self._path}: cannot be read: {error.strerror}") from error


def _wide_encoding(head: bytes) -> str:
    """The encoding of a text that begins with `head`, if it is UTF-16; else ""."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) * 4 < len(head) or min(even, odd) * 4 > max(even, odd):
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")
