"""Which xApp speaks: its name stands before what it prints and in what it logs, also where several share a process."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TextIO

__all__ = ("named_output", "speaker", "speaks")

_speaker: ContextVar[str] = ContextVar("ranloop_speaker", default="")


def speaker() -> str:
    """Name of the xApp whose code runs now; "" if none does."""
    return _speaker.get()


class speaks:
    """The code in the block is that of the xApp `name`."""

    __slots__ = ("_name", "_token")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._token = _speaker.set(self._name)

    def __exit__(self, *_: object) -> None:
        _speaker.reset(self._token)


@contextlib.contextmanager
def named_output(*, to_stderr: bool, level: int = logging.WARNING) -> Iterator[None]:
    """Show the name of an xApp before each line that it prints, and in each record of the standard `logging`.

    Args:
        to_stderr: Send also what is printed to standard error: standard output is for a JSON document alone.
        level: Least level of the standard `logging` that is shown.
    """
    printed = _Named(sys.stderr if to_stderr else sys.stdout)
    told = _Named(sys.stderr)
    handler, root = _IntoOurLog(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        printed.end()
        told.end()


class _Named(io.TextIOBase):
    """Passes text on; lines of an xApp are whole and have its name before them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._begun: dict[str, str] = {}  # xApp -> a line without an end
        self._lock = threading.Lock()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # because the base class has a plain attribute
        return self._out.encoding

    def isatty(self) -> bool:
        return self._out.isatty()

    def fileno(self) -> int:
        return self._out.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        name = speaker()
        if not name:
            return self._out.write(text)
        with self._lock:
            *lines, rest = (self._begun.pop(name, "") + text).split("\n")
            if rest:
                self._begun[name] = rest
            self._out.write("".join(f"[{name}] {line}\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        self._out.flush()

    def end(self) -> None:
        """Print what was begun and has no end."""
        for name, rest in self._begun.items():
            self._out.write(f"[{name}] {rest}\n")
        self._begun.clear()
        self._out.flush()


class _IntoOurLog(logging.Handler):
    """Records of the standard `logging` as events of ours, with the xApp's name and the level that ours has."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[0] is not None:
                text += "\n" + logging.Formatter().formatException(record.exc_info)
        except (TypeError, ValueError):  # the arguments do not fit the text
            self.handleError(record)
            return
        import structlog  # loads rich, which an xApp's process without such records need not

        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)  # one of the five
        structlog.get_logger().log(level, text, logger=record.name.rpartition(".")[2])
