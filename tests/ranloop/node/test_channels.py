"""What hosts, xApps and operators publish is what the table of channels, and with it the AsyncAPI document, says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ranloop.bus import is_question
from ranloop.bus.filters import matches
from ranloop.bus.memory import MemoryBus, memory_broker
from ranloop.cli.operator import publish_orders
from ranloop.inference import load_model
from ranloop.node import LiveHost, LockstepHost, NodeHost, Registration, VirtualClock
from ranloop.placement import BusTiers, InferenceHost, Question
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import Admission, Order, Settings, topics
from ranloop.wire.channels import CHANNELS, Channel, Role
from ranloop.wire.codec import decode_presence, encode
from ranloop.wire.plain import is_json
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from tests.builders import write_xapp
from tests.ranloop.placement.places import tiers, write_models

MANIFEST = """\
name = "{name}"
version = "0.1.0"
summary = "Holds weight 2."
encoding = "{encoding}"

[[streams]]
level = "ue"
every_ms = 100
measurements = ["DRB.UEThpDl"]

[[actions]]
name = "SetUeWeight"
"""
APP = """
from ranloop import Report, SetUeWeight, XApp
app = XApp()

@app.on_report("DRB.UEThpDl")
def act(report: Report) -> SetUeWeight:
    return SetUeWeight(ue=report.ue, weight=2.0)
"""
END_NS = 350_000_000


class NotingBus(MemoryBus):
    """A client of an in-process broker that notes what it publishes: topic, bytes, QoS, whether retained."""

    def __init__(self, broker: str, role: Role) -> None:
        super().__init__(memory_broker(broker), name=role)
        self.role = role
        self.noted: list[tuple[str, bytes, int, bool]] = []

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        self.noted.append((topic, payload, qos, retain))
        super().publish(topic, payload, qos=qos, retain=retain)


class Room(VirtualClock):
    """A virtual clock that lets the others poll whenever the host waits."""

    def __init__(self, others: Sequence[MemoryBus]) -> None:
        super().__init__()
        self.others = others

    def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
        for bus in self.others:
            bus.poll()
        super().wait(until_ns, poll)


def channel_of(topic: str) -> Channel:
    found = [c for c in CHANNELS if matches(c.topic(*["+"] * len(c.parameters)), topic)]
    (channel,) = [c for c in found if not c.parameters] or found  # `order/all` is no node's
    return channel


def check(buses: Sequence[NotingBus]) -> set[str]:
    """Hold all that was published to the table; the names of the channels."""
    seen = set()
    for bus in buses:
        for topic, payload, qos, retained in bus.noted:
            channel = channel_of(topic)
            seen.add(channel.name)
            assert bus.role in channel.writers, topic
            is_asked = channel.name == "presence" and is_question(decode_presence(payload))
            assert (qos, retained) == (channel.qos, channel.retained and not is_asked), topic
            assert (
                channel.forms == ("json",) or ("json" if is_json(payload) else "binary") in channel.forms
            ), topic
    return seen


def test_all_that_is_published_stands_in_the_table(tmp_path: Path) -> None:
    instances = [
        Instance(
            load_package(write_xapp(tmp_path / name, app=APP, text=MANIFEST.format(name=name, encoding=name)))
        )
        for name in ("binary", "json")
    ]
    registered = {
        i.name: Registration(rights=i.manifest.rights, encoding=i.manifest.encoding) for i in instances
    }
    host, operator = NotingBus("live", "host"), NotingBus("live", "operator")
    xapps = [NotingBus("live", "xapp") for _ in instances]
    live = LiveHost(NodeHost(ToyWorld(), host, xapps=registered), clock=Room([*xapps, operator]))
    orders = Order(id="0", kill=False), Order(id="1", xapp="json", autonomy="act")
    publish_orders(operator, [("all", orders[0]), *(("toy-1", order) for order in orders)])
    for instance, bus in zip(instances, xapps, strict=True):
        LiveRunner(instance, bus)
    coming = Admission(id="2", xapp="new")
    operator.publish(topics.admission("host", "new"), encode(coming), qos=1, retain=True)
    given = Settings(id="3", values={})
    operator.publish(topics.settings("host", "json"), encode(given), qos=1, retain=True)
    live.run(END_NS / 1e9)
    seen = check([host, operator, *xapps])

    host = NotingBus("lockstep", "host")
    xapps = [NotingBus("lockstep", "xapp") for _ in instances]
    runners = [LockstepRunner(instance, bus) for instance, bus in zip(instances, xapps, strict=True)]
    LockstepHost(NodeHost(ToyWorld(), host, xapps=registered), poll_others=[bus.poll for bus in xapps]).run(
        END_NS
    )
    for runner in runners:
        runner.close()
    seen |= check([host, *xapps])
    assert seen | question_and_answer(tmp_path / "models") == {channel.name for channel in CHANNELS}


def question_and_answer(folder: Path) -> set[str]:
    """What an xApp asks of an inference host, and what that answers."""
    model = load_model(write_models(folder) / "small")
    serving, asking = NotingBus("tiers", "inference"), NotingBus("tiers", "xapp")
    host = InferenceHost(serving, "inference", "regional", [model])
    way = BusTiers(tiers(), "xapp", lambda _: asking)
    way.turn()
    question = Question(
        model=model.tag,
        matrix=np.zeros((1, 1), np.float32),
        n_outputs=1,
        node="toy-1",
        level="ue",
        asked_ns=0,
        sensitivity="per-ue",
    )
    number = way.send("regional", question, way.now_ns(0) + 10**10)
    host.turn()
    assert [reply.fault for reply in way.arrived([number])] == [""]
    return check([serving, asking])
