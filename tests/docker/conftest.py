"""A stack for each file of tests; a failed test also tells what runs and what it has printed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.docker.engine import Stack, Watch, make_secrets, require_containers, running, told


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_containers()
    folder = tmp_path_factory.mktemp("run") / "secrets"
    make_secrets(folder)
    return folder


@pytest.fixture(scope="module")
def stack(secrets: Path) -> Iterator[Stack]:
    began_s = time.monotonic()
    with running(Stack(secrets=secrets)) as up:
        with contextlib.closing(up.bus("observer", within_s=20)) as bus:
            Watch(bus).loop_closes(90)
        print(f"\ncompose up to the first applied action: {time.monotonic() - began_s:.1f} s")
        yield up


@pytest.fixture
def watch(stack: Stack) -> Iterator[Watch]:
    with contextlib.closing(stack.bus("observer", within_s=20)) as bus:
        yield Watch(bus)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.append(("containers", told()))
    return report
