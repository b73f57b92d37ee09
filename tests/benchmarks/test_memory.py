"""The memory of a live host stays flat; the benchmark shows it over a million reports, this over ten thousand."""

from __future__ import annotations

import gc
import sys

import pytest

from benchmarks.memory import host_for
from ranloop.guard import AuditLog


def test_a_live_host_keeps_nothing_of_the_reports_that_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """One object kept of each report would be 8,000 here; what is kept on purpose is full by 2,000 reports."""
    monkeypatch.setattr("ranloop.node.summary.PASSES_KEPT", 1000)
    n_objects: list[int] = []

    def look() -> None:
        gc.collect()
        n_objects.append(sys.getallocatedblocks())

    host_for({2000: look, 10_000: look}, audit=AuditLog(capacity=1000))
    assert n_objects[1] - n_objects[0] < 1000
