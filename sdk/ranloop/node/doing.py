"""What a process is doing that takes long and is no fault, such as compiling: `/healthz` says so instead of failing.

A world may do such a thing while it is opened, or in the midst of its loop. Any thread may begin, end and ask.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ("begin", "doing", "end", "now_doing")

LONGEST_S = 600.0  # whatever takes longer hangs
_now: list[tuple[str, float]] = []


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say that the process is doing this for as long as the block runs."""
    begun = begin(what)
    try:
        yield
    finally:
        end(begun)


def begin(what: str) -> tuple[str, float]:
    """Say that the process is doing this until `end` is called with what is returned."""
    begun = what, time.monotonic()
    _now.append(begun)
    return begun


def end(begun: tuple[str, float]) -> None:
    """It is done."""
    _now.remove(begun)


def now_doing() -> str:
    """What the process is doing, begun last; "" if it is nothing that takes long, or takes longer than `LONGEST_S`."""
    long_ago_s = time.monotonic() - LONGEST_S
    return "".join(what for what, since_s in _now[-1:] if since_s > long_ago_s)
