"""Live loops on real brokers that die and come back, among clients that send garbage or take somebody's client id."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from ranloop.bus import open_bus
from ranloop.bus.address import MqttAddress
from ranloop.bus.broker import Broker, BrokerKind
from ranloop.bus.mqtt import MqttBus
from ranloop.node import LiveHost, NodeHost, Registration, RunSummary
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import decode_catalogue, decode_presence
from ranloop.wire.messages import Status
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import MANIFEST, write_xapp

pytestmark = pytest.mark.broker
APP = """
from collections import Counter
from ranloop import Report, SetUeWeight, Status, XApp

app = XApp()
asked = 0
answers = Counter()


@app.on_report("DRB.UEThpDl")
def act(report):
    global asked
    asked += len(report)
    return SetUeWeight(ue=report.ue, weight=2.0)


@app.on_result
def learn(result):
    if (result.status != Status.ENDED).any():
        answers[result.id] += 1
"""
PATIENCE_S = 15.0


class Loop:
    """A live host and a live runner, each in a thread with a bus of its own, for as long as the test likes."""

    def __init__(self, url: str, folder: Path, name: str = "loop") -> None:
        manifest = MANIFEST.format(name=name).replace('"CQI"', '"DRB.UEThpDl"')
        package = load_package(write_xapp(folder / name, app=APP, text=manifest))
        self.app: ModuleType = package.module("app")
        self.instance = Instance(package, incarnation="live")
        self.host_bus, self.bus = open_bus(url, name="host"), open_bus(url, name=name)
        registered = {name: Registration(rights=self.instance.manifest.rights)}
        self.host = LiveHost(NodeHost(ToyWorld(duration_s=600.0), self.host_bus, xapps=registered), speed=5.0)
        self.runner = LiveRunner(self.instance, self.bus)
        self.ended: list[RunSummary] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=lambda: self.ended.append(self.host.run()), name="host"),
            threading.Thread(target=lambda: self.runner.run(self._stop), name="runner"),
        ]
        for thread in self._threads:
            thread.start()

    def wait_for_reports(self, more: int) -> None:
        goal = self.runner.stats.reports + more
        wait_until(lambda: self.runner.stats.reports >= goal)

    def stop(self) -> None:
        self._stop.set()
        self._threads[1].join(PATIENCE_S)
        self.host.stop()
        self._threads[0].join(PATIENCE_S)
        assert not any(thread.is_alive() for thread in self._threads)

    def check_the_books(self) -> None:
        """Every target asked for has ended exactly once, whatever was lost on the way."""
        stats = self.runner.stats
        assert sum(stats.results[status] for status in Status if status is not Status.ENDED) == self.app.asked
        assert set(self.app.answers.values()) == {1}
        assert len(self.app.answers) == stats.batches
        assert (stats.failures, stats.skipped) == (0, 0)


def wait_until(true: Callable[[], bool]) -> None:
    """Give other threads the time they need; fail after PATIENCE_S."""
    give_up_s = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not true():
        assert time.monotonic() < give_up_s, "nothing happened"
        pause.wait(0.01)


@contextmanager
def looping(url: str, folder: Path) -> Iterator[Loop]:
    loop = Loop(url, folder)
    try:
        yield loop
    finally:
        loop.stop()
        loop.bus.close()
        loop.host_bus.close()


@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_a_broker_that_dies_and_comes_back_loses_nothing_silently(kind: BrokerKind, tmp_path: Path) -> None:
    with running_broker(kind) as first, looping(first.url, tmp_path) as loop:
        loop.wait_for_reports(20)
        first.kill()
        wait_until(lambda: not loop.bus.connected and not loop.host_bus.connected)
        with Broker.start(kind, port=first.port):
            loop.wait_for_reports(40)
            loop.stop()
            assert loop.bus.stats.reconnects >= 1
            assert loop.runner.stats.missed > 0  # reports of the time without a broker are gone, and counted
            assert loop.runner.stats.results[Status.APPLIED] > 100
            loop.check_the_books()


def test_a_restarted_broker_is_told_again_who_is_there(tmp_path: Path) -> None:
    with running_broker("mosquitto") as first, looping(first.url, tmp_path) as loop:
        loop.wait_for_reports(4)
        first.kill()
        wait_until(lambda: not loop.bus.connected and not loop.host_bus.connected)
        with Broker.start("mosquitto", port=first.port) as second:
            with closing(open_bus(second.url, name="newcomer")) as bus:
                nodes, alive = set[str](), dict[str, bool]()

                def on_presence(_topic: str, payload: bytes) -> None:
                    presence = decode_presence(payload)
                    alive[presence.name] = presence.alive

                bus.subscribe(topics.catalogue("+"), lambda _, p: nodes.add(decode_catalogue(p).node), qos=1)
                bus.subscribe(topics.presence("+"), on_presence, qos=1)
                wait_until(lambda: bus.poll(0.01) >= 0 and len(nodes) == 2 and len(alive) == 2)
                assert alive == {"host": True, "loop": True}
            loop.stop()


def test_somebody_who_takes_the_client_id_is_survived(tmp_path: Path) -> None:
    with running_broker("mosquitto") as broker, looping(broker.url, tmp_path) as loop:
        loop.wait_for_reports(4)
        for bus in (loop.bus, loop.host_bus):
            assert isinstance(bus, MqttBus)
            with closing(
                MqttBus(MqttAddress.from_url(urlsplit(broker.url)), name="thief", client_id=bus.client_id)
            ):
                wait_until(lambda: bus.stats.reconnects >= 1)  # noqa: B023 called in this turn only
        loop.wait_for_reports(20)
        loop.stop()
        loop.check_the_books()


GARBAGE = [b"", b"\x00\xff\xfe", b"{}\n", b'{"v": 1}\n', b"[" * 50_000, b"\xff" * 200_000]


@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_garbage_on_every_topic_is_counted_and_the_loop_goes_on(kind: BrokerKind, tmp_path: Path) -> None:
    with running_broker(kind) as broker, looping(broker.url, tmp_path) as loop:
        loop.wait_for_reports(4)
        heard_by_host = [topics.act("loop", "toy-1"), topics.order("toy-1")]
        n_host = len(heard_by_host) * len(GARBAGE) - 1  # an empty order is one that is withdrawn, no garbage
        heard_by_xapp = [
            topics.catalogue("toy-1"), topics.result("loop", "toy-2"), topics.step("host", "loop"),
        ]  # fmt: skip
        heard_by_nobody = [
            topics.presence("loop"), topics.presence("host"), topics.answer("loop", "host"), topics.act("stranger", "toy-1"),
            topics.act("loop", "no-such-node"),
        ]  # fmt: skip
        with closing(open_bus(broker.url, name="vandal")) as vandal:
            for payload in GARBAGE:
                for topic in (
                    *heard_by_host,
                    *heard_by_xapp,
                    *heard_by_nobody,
                    topics.report("toy-1", "ue", 100),
                ):
                    vandal.publish(topic, payload, qos=1)
            wait_until(
                lambda: (
                    loop.host.runtime.n_dropped + vandal.poll(0.0) >= n_host
                    and loop.runner.stats.malformed >= len(heard_by_xapp) * len(GARBAGE)
                )
            )
        loop.wait_for_reports(20)
        loop.stop()
        assert loop.ended[0].n_dropped == n_host
        # On the report topic the newest message counts: garbage that a report overtakes is never looked at.
        n_xapp = len(heard_by_xapp) * len(GARBAGE)
        assert n_xapp <= loop.runner.stats.malformed <= n_xapp + len(GARBAGE)
        loop.check_the_books()
