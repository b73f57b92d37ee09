"""Two hosts or two xApps of one name over a broker: the second is turned away in one line, the first runs on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ranloop.bus import open_bus
from ranloop.bus.broker import BrokerKind
from ranloop.errors import BusError
from ranloop.node import LiveHost, NodeHost
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import write_xapp

COMMAND = [sys.executable, "-c", "from ranloop.cli import main; main()"]
pytestmark = pytest.mark.broker


@pytest.fixture(params=["mosquitto", "nats"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    kind: BrokerKind = request.param
    with running_broker(kind) as broker:
        yield broker.url


def shown(url: str, name: str, n_signs: int = 1) -> bool:
    """Whether the broker says that `name` lives."""
    signs: list[bool] = []
    with closing(open_bus(url, name="watcher")) as bus:
        bus.subscribe(topics.presence(name), lambda _, p: signs.append(decode_presence(p).alive), qos=1)
        for _ in range(100):
            if len(signs) >= n_signs:
                break
            bus.poll(0.1)
    return signs[-1]


@pytest.mark.parametrize("name", ["host", "another"])
def test_a_second_host_of_a_name_or_a_node_is_refused_and_the_first_runs_on(url: str, name: str) -> None:
    with closing(open_bus(url, name="host")) as bus:
        live = LiveHost(NodeHost(ToyWorld(duration_s=3600), bus, xapps={}))
        thread = threading.Thread(target=live.run, name="first")
        thread.start()
        try:
            assert shown(url, "host")
            with closing(open_bus(url, name=name)) as second, pytest.raises(BusError) as refused:
                NodeHost(ToyWorld(), second, name=name, xapps={})
            assert shown(url, "host")
            assert thread.is_alive()
        finally:
            live.stop()
            thread.join(10)
    what = "another node-host 'host'" + ("" if name == "host" else " with toy-1, toy-2")
    assert str(refused.value).startswith(f"{what} is on this bus already; ")


def test_a_second_xapp_of_a_name_is_refused_in_one_line_and_the_first_runs_on(
    url: str, tmp_path: Path
) -> None:
    folder = write_xapp(tmp_path / "twin")
    stop = threading.Event()
    with closing(open_bus(url, name="twin")) as bus:
        runner = LiveRunner(Instance(load_package(folder)), bus)
        thread = threading.Thread(target=runner.run, args=(stop,), name="first")
        thread.start()
        try:
            assert shown(url, "twin")
            command = [*COMMAND, "run", str(folder), "--bus", url, "--duration-s", "20"]
            second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert shown(url, "twin")
            assert thread.is_alive()
        finally:
            stop.set()
            thread.join(10)
    assert second.returncode == 2
    assert second.stderr == (
        "error: another xapp 'twin' is on this bus already; one name is one process: stop the other one, or take "
        "another name for this one\n"
    )
