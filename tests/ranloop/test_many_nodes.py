"""A host of more nodes than nats-server, as it comes, lets a client have filters of QoS 1: 65535 / 1024 = 63."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from ranloop.bus import open_bus
from ranloop.bus.broker import BrokerKind
from ranloop.node import LiveHost, NodeHost, Registration
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import decode_standing, encode
from ranloop.wire.messages import FOR_EVER_NS, Order
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import MANIFEST, write_xapp

pytestmark = pytest.mark.broker
NODES = [f"gnb-{number}" for number in range(80)]
APP = """
from ranloop import SetUeWeight, XApp
app = XApp()

@app.on_report("DRB.UEThpDl")
def act(report):
    return SetUeWeight(ue=report.ue, weight=2.0)
"""


@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_each_of_many_nodes_hears_its_xapp_and_its_operator(kind: BrokerKind, tmp_path: Path) -> None:
    text = MANIFEST.format(name="mine").replace('"CQI"', '"DRB.UEThpDl"')
    package = load_package(write_xapp(tmp_path / "mine", app=APP, text=text))
    killed: set[str] = set()

    def on_standing(_topic: str, payload: bytes) -> None:
        standing = decode_standing(payload)
        if standing.killed:
            killed.add(standing.node)

    with (
        running_broker(kind) as broker,
        closing(open_bus(broker.url, name="host")) as host_bus,
        closing(open_bus(broker.url, name="host-operator")) as line,
        closing(open_bus(broker.url, name="mine")) as bus,
        closing(open_bus(broker.url, name="operator")) as operator,
    ):
        xapps = {"mine": Registration(rights=package.manifest.rights)}
        host = NodeHost(ToyWorld(nodes=NODES, duration_s=600.0), host_bus, xapps=xapps, operator_bus=line)
        live, runner = LiveHost(host), LiveRunner(Instance(package), bus)
        operator.subscribe(topics.standing("+"), on_standing, qos=1, keep=1000)
        live.begin()
        stopped = {NODES[0], NODES[-1]}
        for node in stopped:
            order = encode(Order(id="stop", kill=True))
            operator.publish(topics.order(node), order, qos=1, retain=True)
        give_up_s = time.monotonic() + 30.0
        applied = set[str]()  # at some time: on a busy machine a lease ends before the last node has one
        while not (killed == stopped and applied >= set(NODES) - stopped):
            assert time.monotonic() < give_up_s, (killed, set(NODES) - applied)
            live.turn(FOR_EVER_NS)
            live.settle()
            runner.turn()
            operator.poll()
            applied |= {node for node, guard in host.runtime.guards.items() if len(guard.held_targets("ue"))}
        host.announce(alive=False)
