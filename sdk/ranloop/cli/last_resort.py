"""Ends a process that was told to end and does not: a RAN node, a disk or a library that hangs would hold it for ever."""

from __future__ import annotations

import os
import sys
import threading

from ranloop.closing import Closing

__all__ = ("END_S", "LastResort")

END_S = 10.0  # a drain, a program behind a pipe and two slow outlets together take less


class LastResort(Closing):
    """From `start` on the process has `END_S`; then it leaves at once, with status 1, unless this was closed before.

    Nothing is closed then: the broker publishes the process's will.
    """

    def __init__(self) -> None:
        self._timer = threading.Timer(END_S, self._leave)
        self._timer.daemon = True

    def start(self) -> None:
        """Begin to count. A second call changes nothing."""
        if self._timer.ident is None:
            self._timer.start()

    def close(self) -> None:
        self._timer.cancel()

    def _leave(self) -> None:
        print(
            f"error: this process did not end within {END_S:g} s of the signal: a node, a disk or a library hangs. "
            "It leaves now; settings may stay at the nodes",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)
