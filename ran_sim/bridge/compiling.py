"""Tells ranloop while numba compiles, in whatever part of a run that comes: a loop that waits for it does not hang."""

from __future__ import annotations

from functools import cache
from typing import Any

from numba.core import event

from ranloop.node.doing import begin, end

__all__ = ("COMPILING", "tell_compiling")

COMPILING = "compiling the simulator's kernels"
_event: Any = event  # numba ships no types


class _Tells(_event.Listener):  # type: ignore[misc]  # because its base has no types
    """Compilations are nested: a kernel's callees are compiled within it."""

    def __init__(self) -> None:
        self._begun: list[tuple[str, float]] = []

    def on_start(self, _started: object) -> None:
        self._begun.append(begin(COMPILING))

    def on_end(self, _ended: object) -> None:
        end(self._begun.pop())


@cache
def tell_compiling() -> None:
    """From the first call on."""
    _event.register("numba:compile", _Tells())
