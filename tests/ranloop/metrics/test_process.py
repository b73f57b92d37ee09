"""Health and readiness: the reason is what an operator would look for, and a loop that hangs is no healthy one."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from ranloop.bus import Bus, open_bus
from ranloop.metrics import HostSource, Process, XAppSource, serve_metrics
from ranloop.metrics import process as module
from ranloop.node import LiveHost, NodeHost, Registration
from ranloop.node.doing import doing
from ranloop.testing.worlds import ToyWorld
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import MANIFEST, write_xapp
from tests.ranloop.metrics.scraped import get, scrape

_fresh = itertools.count()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manifest = MANIFEST.format(name="weigher").replace("CQI", "DRB.UEThpDl")
    return write_xapp(tmp_path / "weigher", app=APP, text=manifest)


APP = """
from ranloop import XApp
app = XApp()

@app.on_report("DRB.UEThpDl")
def act(report):
    pass
"""


@pytest.fixture
def connect() -> Iterator[Callable[[str], Bus]]:
    url = f"memory://ready-{next(_fresh)}"
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(closing(open_bus(url, name=name)))


def test_a_process_that_starts_lives_and_is_not_ready() -> None:
    places: list[str] = []
    with serve_metrics("0", places.append):
        base = places[0].removesuffix("/metrics")
        assert get(f"{base}/healthz") == (200, "ok\n")
        assert get(f"{base}/readyz") == (503, "the process is starting\n")
        assert scrape(base)["ranloop_ready",] == 0


def test_a_process_that_does_what_takes_long_lives_and_is_not_ready(
    connect: Callable[[str], Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as compiling, while it starts or in the midst of its loop, which has not come back to its bus for so long."""
    monkeypatch.setattr(module, "STALLED_AFTER_S", 0.0)
    places: list[str] = []
    with serve_metrics("0", places.append) as process:
        base = places[0].removesuffix("/metrics")
        for buses in ({}, {"all": connect("host")}):
            process.show("host", "host", buses)
            for bus in buses.values():
                bus.poll()
            with doing("compiling kernels"):
                assert get(f"{base}/healthz") == (200, "alive, compiling kernels\n")
                assert get(f"{base}/readyz") == (503, "compiling kernels\n")
        assert get(f"{base}/healthz")[0] == 503  # it is over, and the loop does not come back
        with doing("compiling kernels"):
            monkeypatch.setattr("ranloop.node.doing.LONGEST_S", 0.0)
            assert get(f"{base}/healthz")[0] == 503  # nothing compiles for so long


def test_a_host_is_ready_from_its_announcement_to_its_end(connect: Callable[[str], Bus]) -> None:
    bus, process = connect("host"), Process()
    live = LiveHost(NodeHost(ToyWorld(), bus, xapps={}))
    process.show("host", "host", {"all": bus}, HostSource(pace=live))
    assert process.not_ready() == "the nodes are not announced"
    live.begin()
    assert process.not_ready() == ""
    live.host.announce(alive=False)
    assert process.not_ready() == "the nodes are not announced"


def test_a_host_whose_broker_is_away_is_not_ready(connect: Callable[[str], Bus]) -> None:
    bus, line = connect("host"), connect("host-operator")
    live = LiveHost(NodeHost(ToyWorld(), bus, xapps={}, operator_bus=line))
    live.begin()
    source = HostSource(pace=live)
    assert source.not_ready() == ""
    line.close()
    assert source.not_ready() == "the broker is away on the operator's connection"
    bus.close()
    assert source.not_ready() == "the broker is away"


def test_an_xapp_is_ready_when_a_living_host_has_admitted_it(
    connect: Callable[[str], Bus], folder: Path
) -> None:
    bus, host_bus = connect("weigher"), connect("host")
    package = load_package(folder)
    source = XAppSource(runner := LiveRunner(Instance(package), bus))
    assert (
        source.not_ready() == "no node has what weigher reads; hosts seen: none. Start one with: ranloop host"
    )
    live = LiveHost(NodeHost(ToyWorld(), host_bus, xapps={}))
    live.begin()
    runner.turn()
    assert source.not_ready().startswith("toy-1, toy-2 is here but has not admitted weigher: ranloop admit")
    live.host.runtime.admit("weigher", Registration(rights=package.manifest.rights))
    live.host._change()
    runner.turn()
    assert source.not_ready() == ""
    live.host.announce(alive=False)
    runner.turn()
    assert "no node has what weigher reads" in source.not_ready()


def test_a_loop_that_does_not_come_back_to_its_bus_is_stalled_and_one_that_waits_is_not(
    connect: Callable[[str], Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, process = connect("host"), Process()
    process.show("host", "host", {"all": bus})
    monkeypatch.setattr(module, "STALLED_AFTER_S", 0.0)
    hangs, go_on = threading.Event(), threading.Event()

    def handler(_topic: str, _payload: bytes) -> None:
        hangs.set()
        go_on.wait(10)

    bus.subscribe("ranloop/1/x", handler)
    loop = threading.Thread(target=lambda: (bus.poll(30), bus.poll(30)))
    loop.start()
    while bus.stats.busy_since_s is not None:
        pass
    assert process.stalled() == ""  # it waits for a message
    connect("other").publish("ranloop/1/x", b"")
    assert hangs.wait(10)
    stalled = "the loop has not come back to its bus for 0 s: a handler or a node hangs"
    assert (process.stalled(), process.not_ready()) == (stalled, stalled)
    go_on.set()
    while bus.stats.busy_since_s is not None:
        pass
    assert process.stalled() == ""
    bus.wake()
    loop.join()
