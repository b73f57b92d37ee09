"""A host under hostile load, each party in a process of its own, on a real broker.

The flooder is admitted and keeps to its own topics, so the broker lets it. What is held: the honest xApp's loop goes on, the
flooder is shut out and named, memory stays bounded, the kill switch works, and a signal ends the host.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from ranloop.bus import Broker, open_bus
from ranloop.testing.brokers import running_broker
from ranloop.wire import topics
from ranloop.wire.codec import decode_standing, encode, encode_json
from ranloop.wire.messages import Order, Presence
from tests.ranloop.hostile import NODE, Honest, a_batch, flooding, hosting, manifest, wait_until

pytestmark = pytest.mark.broker

WORST_S = (
    0.5  # the 99th percentile of the honest loop, 10 ms of control delay included; 0.03 s without a flood
)
WORST_AMONG_LIFE_SIGNS_S = (
    1.0  # nobody is shut out of these: to read and drop 20,000 a second takes half a core
)
KILLED_S = 1.0
ENDED_S = 5.0
MORE_MB = 100.0  # of the host: a few messages of each kind may wait
FOR_EVER_NS = 1 << 50
ACT, LIFE = topics.act("flooder", NODE), topics.presence("flooder")


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running_broker("mosquitto") as broker:
        yield broker


def wrong_entries() -> bytes:
    """An action batch with 65,000 targets, none of which is a number."""
    batch = json.loads(encode_json(a_batch("flooder", "wrong", FOR_EVER_NS)))
    return json.dumps(batch | {"targets": {"ue": ["x"] * 65_000}}).encode()


def padded() -> bytes:
    """A good batch of one target, and blanks up to a megabyte."""
    return encode_json(a_batch("flooder", "padded", FOR_EVER_NS)).ljust((1 << 20) - 1)


class Scene:
    """A host, an honest xApp whose loop runs, and an operator."""

    def __init__(self, stack: ExitStack, url: str, folder: Path) -> None:
        self.url = url
        allowed = [manifest(folder, "honest"), manifest(folder, "flooder")]
        self.host = stack.enter_context(hosting(url, folder, allowed))
        self.honest = Honest(stack.enter_context(closing(open_bus(url, name="honest"))))
        self.operator = stack.enter_context(closing(open_bus(url, name="operator")))
        self.obeyed: list[str] = []
        self.operator.subscribe(
            topics.standing(NODE),
            lambda _, payload: self.obeyed.append(decode_standing(payload).order),
            qos=1,
        )
        self.honest.loop_until(lambda: self.honest.n_reports >= 3)
        self.honest.forget_times()

    def order(self, order: Order) -> float:
        """Give an order, as `ranloop order` does; the seconds until the host has confirmed it."""
        began_s = time.monotonic()
        self.operator.publish(topics.order(NODE, order.xapp), encode(order), qos=1, retain=True)
        wait_until(lambda: order.id in self.obeyed, lambda: self.operator.poll(0.01))
        return time.monotonic() - began_s


@pytest.fixture
def scene(broker: Broker, tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack, broker.url, tmp_path)


@pytest.mark.parametrize(
    ("payload", "per_s"),
    [
        pytest.param(wrong_entries, 5, id="65000-wrong-entries"),
        pytest.param(lambda: b"[" + b"1," * 1_500_000 + b"1]", 1, id="3-MB", marks=pytest.mark.slow),
        pytest.param(lambda: b'{"v":1}\n', 10_000, id="10000-small-ones"),
        pytest.param(padded, 20, id="padding-within-the-rate", marks=pytest.mark.slow),
    ],
)
def test_the_honest_loop_goes_on_and_the_flooder_is_shut_out_and_named(
    scene: Scene, payload: Callable[[], bytes], per_s: int
) -> None:
    host, honest = scene.host, scene.honest
    resident_mb = host.resident_mb
    with flooding(scene.url, ACT, payload(), per_s=per_s):
        honest.loop_until(lambda: bool(host.events("xapp_shut_out")))
        honest.loop_for(2.0)
    assert [event["xapp"] for event in host.events("xapp_shut_out")] == ["flooder"]
    assert honest.n_reports >= 15  # 20 in two seconds; the newest counts, so that one may be overtaken
    assert honest.worst_s < WORST_S
    assert len(honest.results) >= honest.n_reports - 1
    assert host.resident_mb < resident_mb + MORE_MB
    code, took_s = host.end()
    assert (code, took_s < ENDED_S) == (0, True)
    assert host.summary["xapps_shut_out"] == ["flooder"]


def test_good_batches_within_the_rate_are_no_flood(scene: Scene) -> None:
    payload = encode(a_batch("flooder", "busy", FOR_EVER_NS))
    with flooding(scene.url, ACT, payload, per_s=18):
        scene.honest.loop_for(3.0)
    assert not scene.host.events("xapp_shut_out")
    assert scene.honest.worst_s < WORST_S


@pytest.mark.parametrize(
    ("sign", "per_s"),
    [
        pytest.param(
            encode(Presence(name="flooder", alive=True, facts={"run": "1"})), 20_000, id="20000-a-second"
        ),
        pytest.param(b'{"v":1}'.ljust(5_000_000), 5, id="5-MB", marks=pytest.mark.slow),
    ],
)
def test_a_flood_of_life_signs_holds_up_neither_the_loop_nor_the_kill_switch_nor_the_end(
    scene: Scene, sign: bytes, per_s: int
) -> None:
    host, honest = scene.host, scene.honest
    resident_mb = host.resident_mb
    with flooding(scene.url, LIFE, sign, per_s=per_s):
        honest.loop_for(3.0)
        assert honest.n_reports >= 20
        assert honest.worst_s < WORST_AMONG_LIFE_SIGNS_S
        assert host.resident_mb < resident_mb + MORE_MB
        assert "flooder" in host.log  # by its name or its topic
        assert host.log.count("\n") < 40
        assert scene.order(Order(id="stop", kill=True)) < KILLED_S
        code, took_s = host.end()
    assert (code, took_s < ENDED_S) == (0, True)


def test_the_kill_switch_is_obeyed_at_once_while_a_flood_begins(scene: Scene) -> None:
    with flooding(scene.url, ACT, b'{"v":1}\n', per_s=10_000), flooding(scene.url, ACT, padded(), per_s=20):
        assert max(scene.order(Order(id=f"kill-{k}", kill=True)) for k in range(30)) < KILLED_S


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_host_at_once_whose_broker_hangs(
    scene: Scene, broker: Broker, number: signal.Signals
) -> None:
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        code, took_s = scene.host.end(number)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert (code, took_s < ENDED_S) == (0, True)
