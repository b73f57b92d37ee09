"""A failed test in containers also tells what runs and what it has printed."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.docker.engine import told


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.append(("containers", told()))
    return report
