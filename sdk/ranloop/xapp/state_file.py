"""The file of an xApp's state: read before its first handler, written when it has changed, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from ranloop.closing import Closing
from ranloop.errors import RanloopError
from ranloop.xapp.state import MAX_BYTES, State

__all__ = ("StateFile",)

log = structlog.get_logger(__name__)

EVERY_S = 10.0  # a crash loses so much at most


class StateFile(Closing):
    """Keeps `state` in `FOLDER/<xapp>.json`; without a folder it keeps nothing, and says so as soon as there is something.

    Args:
        folder: Made if it does not exist; None for none.
        xapp: Name of the xApp.
        clock: Seconds, monotonic.

    Attributes:
        state: As the file had it; empty if there was none, or a damaged one.

    Raises:
        RanloopError: The folder cannot be made or written.
    """

    def __init__(
        self, folder: Path | None, xapp: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._xapp, self._clock = xapp, clock
        self._path = None if folder is None else folder / f"{xapp}.json"
        self._written = b""
        self._complaint = ""
        self._next_s = clock() + EVERY_S
        self._is_told = False
        self.state = State() if self._path is None else self._read(self._path)

    def _read(self, path: Path) -> State:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(path.parent, os.W_OK):
                raise PermissionError(13, "this user may not write there")
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                self._written = file.read(4 * MAX_BYTES)
        except OSError as error:
            raise RanloopError(
                f"--state {path.parent}: {error.strerror}; want a folder to write in"
            ) from error
        if not self._written:
            return State()
        try:
            return State.from_bytes(self._written)
        except ValueError as error:
            aside = path.with_suffix(".json.damaged")
            path.replace(aside)
            log.error(
                "state_damaged", xapp=self._xapp, kept_as=str(aside), reason=str(error), goes_on="empty"
            )
            return State()

    def turn(self) -> None:
        """Write the state if it has changed and `EVERY_S` have passed."""
        if self._path is None and not self._is_told and len(self.state):
            self._is_told = True
            log.warning(
                "state_not_kept", xapp=self._xapp, reason="it ends with this process: --state FOLDER keeps it"
            )
        if self._clock() >= self._next_s:
            self._next_s = self._clock() + EVERY_S
            self._write()

    def close(self) -> None:
        """Write the state if it has changed."""
        self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            written = self.state.to_bytes()
            if written != self._written and (self._written or len(self.state)):
                _replace(self._path, written)
                self._written = written
            self._complaint = ""
        except (OSError, TypeError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
            if reason != self._complaint:  # once, not every ten seconds
                log.error("state_not_written", xapp=self._xapp, file=str(self._path), reason=reason)
            self._complaint = reason


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole: a reader, and a start after a power cut, finds the former content or this one."""
    beside = path.with_suffix(".json.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
