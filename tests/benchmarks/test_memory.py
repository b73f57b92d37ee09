"""The memory of a live host stays flat; the benchmark shows it over a million reports, this over ten thousand."""

from __future__ import annotations

import gc
import sys

import pytest

from benchmarks.memory import host_for
from ranloop.guard import AuditLog


def test_a_live_host_keeps_nothing_of_the_reports_that_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """One object kept of each report would be 3,000 here; what is kept on purpose is full by 1,000 reports."""
    monkeypatch.setattr("ranloop.node.summary.PASSES_KEPT", 500)
    n_objects: list[int] = []

    def look() -> None:
        gc.collect()
        n_objects.append(sys.getallocatedblocks())

    host_for({1000: look, 4000: look}, audit=AuditLog(capacity=500))
    assert n_objects[1] - n_objects[0] < 1000
