"""A health check hears that kernels are compiled, whether that comes while a world is opened or in the midst of a run."""

from __future__ import annotations

from typing import Any

import numba
import pytest
from numba.core import event

from ran_sim.bridge import compiling, world
from ranloop.node.doing import now_doing


def test_numba_compiles_in_front_of_ranloop_s_eyes() -> None:
    """Our listener comes first; the one behind it sees what a health check would."""
    compiling.tell_compiling()
    compiling.tell_compiling()
    seen: list[str] = []

    class Behind(event.Listener):
        def on_start(self, _event: object) -> None:
            seen.append(now_doing())

        def on_end(self, _event: object) -> None:
            pass

    with event.install_listener("numba:compile", Behind()):
        numba.njit(numba.int64(numba.int64))(lambda x: x + 1)
    assert seen == [compiling.COMPILING]
    assert now_doing() == ""


def test_a_world_whose_opening_compiles_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def opened(*_: Any) -> None:
        seen.append(now_doing())

    monkeypatch.setattr(world, "SimWorld", opened)
    for notice in ("compiling, some 30 s", None):
        monkeypatch.setattr(world, "compile_notice", lambda notice=notice: notice)
        world.open_world("one-cell")
    assert seen == [compiling.COMPILING, ""]
    assert now_doing() == ""
