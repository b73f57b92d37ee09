"""The word before the first compilation: nothing where there is none, else how long it will take here."""

from __future__ import annotations

import os
import re
import time

import pytest

from ran_sim.engine import first_use


def test_nothing_is_announced_where_the_kernels_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_use, "compiled_before", lambda: True)
    assert first_use.compile_notice() is None


def seconds(monkeypatch: pytest.MonkeyPatch, *, clock: float, cpus: int) -> int:
    """That are announced where all clocks run `clock` times as fast and a process has so many processors."""
    now = time.perf_counter
    monkeypatch.setattr(first_use, "compiled_before", lambda: False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)))
    monkeypatch.setattr(time, "perf_counter", lambda: clock * now())
    notice = first_use.compile_notice()
    monkeypatch.undo()
    found = re.search(r"some (\d+) s on this machine", notice or "")
    assert found, notice
    return int(found[1])


def test_the_announced_time_follows_the_speed_of_the_machine_and_its_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The sample takes some 40 ms a time, so 14 s for two processes of 350 samples each; a busy machine takes several times that.
    here = seconds(monkeypatch, clock=1.0, cpus=2)
    assert 5 <= here <= 300
    assert (
        seconds(monkeypatch, clock=10.0, cpus=2) > 3 * here
    )  # ten times as slow, less what the machine's own load moves
    assert seconds(monkeypatch, clock=10.0, cpus=1) > 6 * here
