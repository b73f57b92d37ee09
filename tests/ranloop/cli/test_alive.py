"""`ranloop alive`, the health check of a container: it asks the loop itself and disturbs nobody."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ranloop.bus import open_bus
from ranloop.testing.brokers import running_broker
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import write_xapp
from tests.command import Command


@pytest.fixture
def url() -> Iterator[str]:
    with running_broker("mosquitto") as broker:
        yield broker.url


@pytest.mark.broker
def test_a_running_xapp_answers_and_a_hanging_one_does_not(
    ranloop: Command, tmp_path: Path, url: str
) -> None:
    folder = write_xapp(tmp_path / "weigher")
    stop, hang, hangs = threading.Event(), threading.Event(), threading.Event()
    with closing(open_bus(url, name="weigher")) as bus:
        runner = LiveRunner(Instance(load_package(folder)), bus)
        poll = bus.poll

        def may_hang(timeout_s: float = 0.0) -> int:
            if hang.is_set():
                hangs.set()
                stop.wait(30)
            return poll(timeout_s)

        bus.poll = may_hang  # type: ignore[method-assign]  # because the test takes the place of the user's slow code
        thread = threading.Thread(target=runner.run, args=(stop,), name="weigher")
        thread.start()
        try:
            for who in ("weigher", folder):  # by its name, and as its image's health check does
                told = ranloop("alive", who, "--bus", url)
                assert (told.code, told.out) == (0, "weigher is alive\n")
            hang.set()
            assert hangs.wait(5)
            told = ranloop("alive", "weigher", "--bus", url, "--timeout-s", "0.3", "--json")
            assert told.code == 1  # although its life sign is still retained
            why = f"weigher does not answer on {url}"
            assert json.loads(told.out) == {"name": "weigher", "alive": False, "why": why}
        finally:
            stop.set()
            thread.join()
        told = ranloop("alive", "weigher", "--bus", url, "--timeout-s", "0.3")
    assert told.code == 1


def test_a_broker_that_is_away_may_count(ranloop: Command) -> None:
    nobody = ("alive", "weigher", "--bus", "mqtt://localhost:1", "--timeout-s", "1")
    for more, code in (((), 1), (("--or-no-broker",), 0)):
        told = ranloop(*nobody, *more)
        assert (told.code, told.err) == (code, "")
        assert told.out.startswith("no broker at mqtt://localhost:1")


def test_what_is_no_name_or_no_broker_is_told(ranloop: Command) -> None:
    assert "name 'No Name'" in ranloop("alive", "No Name").complaint
    assert "inside one process" in ranloop("alive", "weigher", "--bus", "memory://x").complaint
    assert "--timeout-s" in ranloop("alive", "weigher", "--timeout-s", "0").complaint
