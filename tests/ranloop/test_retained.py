"""Everybody who lives on retained messages finds them, also when the broker does not send them at the first asking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ranloop.bus import Bus, open_bus
from ranloop.cli.operator import send_order
from ranloop.node import LiveHost, LockstepHost, NodeHost, Registration
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Order
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import MANIFEST, write_xapp
from tests.ranloop.lossy import loses_first_copies
from tests.ranloop.node.scripted import MS, ScriptedXApp, rights

pytestmark = pytest.mark.broker
Connect = Callable[[str], Bus]
PATIENCE_S = 10.0


@pytest.fixture
def url() -> Iterator[str]:
    with running_broker("mosquitto") as broker:
        yield broker.url


@pytest.fixture
def connect(url: str) -> Iterator[Connect]:
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(closing(open_bus(url, name=name)))


def poll_until(done: Callable[[], bool], *buses: Bus) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < give_up_s, f"it did not happen within {PATIENCE_S:g} s"
        for bus in buses:
            bus.poll(0.01)


def kept(connect: Connect, topic: str) -> None:
    """Return when the broker hands out what is retained on `topic`."""
    heard: list[bytes] = []
    witness = connect("witness")
    witness.subscribe(topic, lambda _, payload: heard.append(payload), qos=1)
    poll_until(lambda: bool(heard), witness)


def test_an_xapp_joins_every_node_that_announced_itself_before(connect: Connect, tmp_path: Path) -> None:
    NodeHost(ToyWorld(), connect("host"), xapps={}).announce(alive=True)
    kept(connect, topics.catalogue("toy-2"))
    manifest = MANIFEST.format(name="late").replace('"CQI"', '"DRB.UEThpDl"')
    app = "from ranloop import XApp\n\napp = XApp()\n\n\n@app.on_report('DRB.UEThpDl')\ndef act(report):\n    pass\n"
    instance = Instance(load_package(write_xapp(tmp_path / "late", app=app, text=manifest)))
    bus = loses_first_copies(connect("late"))
    with capture_logs() as logs:
        LiveRunner(instance, bus)
        poll_until(lambda: len([line for line in logs if line["event"] == "node_joined"]) == 2, bus)


def test_a_lockstep_host_finds_the_xapp_that_was_there_before(connect: Connect) -> None:
    xapp = ScriptedXApp("early", connect("early"), lambda _: [])
    kept(connect, topics.presence("early"))
    host = NodeHost(
        ToyWorld(), loses_first_copies(connect("host")), xapps={"early": Registration(rights=rights())}
    )
    assert LockstepHost(host, poll_others=[xapp.bus.poll]).run(300 * MS, timeout_s=PATIENCE_S).steps == 3


def test_a_kill_switch_that_was_thrown_before_holds_for_a_host_that_starts(connect: Connect) -> None:
    connect("operator").publish(topics.order("toy-1"), encode(Order(kill=True)), qos=1, retain=True)
    kept(connect, topics.order("toy-1"))
    bus = loses_first_copies(connect("host"))
    live = LiveHost(NodeHost(ToyWorld(), bus, xapps={}))
    poll_until(lambda: live.host.runtime.guards["toy-1"].killed, bus)


def test_an_order_finds_the_nodes_that_announced_themselves_before(
    connect: Connect, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = LiveHost(NodeHost(ToyWorld(duration_s=3600), connect("host"), xapps={}))
    thread = threading.Thread(target=live.run, name="live-host")
    thread.start()
    try:
        kept(connect, topics.catalogue("toy-2"))
        monkeypatch.setattr(
            "ranloop.cli.operator.open_bus", lambda url, name: loses_first_copies(open_bus(url, name=name))
        )
        assert send_order("all", url, kill=True, xapp="", autonomy="") == 0
    finally:
        live.stop()
        thread.join(PATIENCE_S)
    assert all(guard.killed for guard in live.host.runtime.guards.values())
