"""Who floods, and how long a shut-out lasts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pytest

from ranloop.bus import Bus
from ranloop.guard import ActionRight, AuditRecord, Autonomy, Rights
from ranloop.node import LiveHost, NodeHost, NodeRuntime, Registration, VirtualClock
from ranloop.node.flood import FloodMeter, Kind
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import topics
from ranloop.wire.codec import decode_result, encode, encode_json
from ranloop.wire.messages import ActionBatch, Order
from tests.ranloop.node.scripted import MS, rights

Connect = Callable[[str], Bus]
S = 1_000_000_000
XAPPS = {"x": Registration(rights=rights("SetUeWeight"))}  # 20 batches a second at each of two nodes


# The meter


def test_a_flood_is_seen_in_whichever_second_it_comes() -> None:
    meter = FloodMeter()
    meter.admit("x", rights("SetUeWeight"), 1)  # 300 a second
    assert not meter.floods("x", 0)
    for second in (1, 2, 5):
        counted = [meter.floods("x", second * 1_000_000_000 + k) for k in range(302)]
        assert counted == [False] * 300 + [True] * 2


def test_messages_at_the_limit_are_heard_and_counted_anew_each_second() -> None:
    meter = FloodMeter()
    meter.admit("x", rights("SetUeWeight"), 1)
    assert not any(meter.floods("x", 0) for _ in range(300))  # 100 + 10 * 20
    assert meter.floods("x", 999_999_999)
    assert not meter.floods("x", 1_000_000_000)


def test_the_limit_follows_from_the_rates_of_the_manifest_and_the_number_of_nodes() -> None:
    meter = FloodMeter()
    for xapp, granted, n_nodes, most in (
        ("one", rights("SetUeWeight"), 1, 300),  # 100 to spare, and ten times its 20 batches a second
        ("two", rights("SetUeWeight"), 2, 500),
        ("reader", Rights(), 2, 100),
    ):
        meter.admit(xapp, granted, n_nodes)
        assert [meter.floods(xapp, 0) for _ in range(most + 1)] == [False] * most + [True]


@pytest.mark.parametrize(
    ("n_bytes", "kind", "n_heard"),
    [
        (0, "fit", 300),  # 100 + 10 * 20
        (1 << 13, "fit", 150),  # 2 each
        ((1 << 20) - 1, "fit", 2),  # 128 each
        (0, "unreadable", 30),
        (197_000, "unreadable", 1),  # 250 each
        (3_000_000, "unreadable", 0),
        (0, "expired", 3000),
    ],
)
def test_bytes_and_what_cannot_be_read_cost_more_and_what_has_expired_less(
    n_bytes: int, kind: Kind, n_heard: int
) -> None:
    meter = FloodMeter()
    meter.admit("x", rights("SetUeWeight"), 1)
    heard = 0
    while not meter.floods("x", 0, n_bytes, kind):
        heard += 1
    assert heard == n_heard


@pytest.mark.parametrize("max_targets", [1, 1024, 65_536])
@pytest.mark.parametrize("speed", [1.0, 50.0])
def test_an_xapp_that_sends_its_largest_batches_at_its_rate_never_floods(
    max_targets: int, speed: float
) -> None:
    right = ActionRight(name="SetUeWeight", rate_per_s=20, max_targets=max_targets)
    meter = FloodMeter(speed=speed)
    meter.admit("x", Rights(actions=(right,)), 2)
    ues = range(max_targets)
    batch = ActionBatch(
        id="b",
        xapp="x",
        node="n",
        seq=0,
        action=SetUeWeight(ue=ues, weight=[1.123456] * max_targets),
        valid_until_ns=S,
    )
    n_bytes = len(encode_json(batch))
    assert not any(meter.floods("x", 0, n_bytes) for _ in range(round(2 * 20 * speed)))


# How long a shut-out lasts


Script = Mapping[float, Callable[[], object]]  # RAN time in s -> what happens then


class Room:
    """An xApp and an operator on one bus, and hosts that run there one after the other, each on a virtual clock."""

    def __init__(self, connect: Connect) -> None:
        self._connect, self._bus = connect, connect("x")
        self.answered: set[str] = set()
        self._bus.subscribe(topics.result("x", "toy-1"), self._on_result, qos=1, keep=4096)

    def _on_result(self, _topic: str, payload: bytes) -> None:
        self.answered.add(decode_result(payload).id)

    def run(self, seconds: float, script: Script) -> list[AuditRecord]:
        """What was audited of a host that ran so long, from its start on."""
        host = NodeHost(ToyWorld(duration_s=seconds), self._connect("host"), xapps=XAPPS)
        LiveHost(host, clock=_Told(host, script)).run()
        self._bus.poll()
        return list(host.runtime.audit)

    def send(self, id: str, ran_time_s: float, node: str = "toy-1") -> None:
        """Ask for weight 2, in the next 200 ms."""
        until_ns = round(ran_time_s * S) + 200 * MS
        action = SetUeWeight(ue=[0], weight=2)
        batch = ActionBatch(id=id, xapp="x", node=node, seq=0, action=action, valid_until_ns=until_ns)
        self._bus.publish(topics.act("x", node), encode(batch), qos=1)

    def flood(self) -> None:
        for number in range(501):  # 100 + 10 * 20 * 2, and one
            self.send(f"flood-{number}", 100.0)

    def order(self, id: str, autonomy: Autonomy) -> None:
        order = encode(Order(id=id, xapp="x", autonomy=autonomy))
        self._bus.publish(topics.order("toy-1", "x"), order, qos=1, retain=True)


class _Told(VirtualClock):
    """Does what the script says when the host first waits after that time."""

    def __init__(self, host: NodeHost, script: Script) -> None:
        super().__init__()
        self._host, self._script = host, dict(sorted(script.items()))

    def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
        for at_s in [at_s for at_s in self._script if at_s * S <= self._host.runtime.port.now_ns]:
            self._script.pop(at_s)()
        super().wait(until_ns, poll)


def shut_outs(audited: Sequence[AuditRecord]) -> list[str]:
    return [record.xapp for record in audited if record.event == "shut_out"]


@pytest.mark.parametrize("before", [(), ("act",), ("act", "observe")])
def test_a_shut_out_outlasts_older_orders_an_order_to_observe_and_a_restart_and_ends_with_a_fresh_order_to_act(
    connect: Connect, before: Sequence[str]
) -> None:
    room = Room(connect)
    orders = {
        1.0 + k: partial(room.order, f"order-{k}", Autonomy(autonomy)) for k, autonomy in enumerate(before)
    }
    if before:  # of before the flood
        room.order("order-0", Autonomy.ACT)
    in_vain = partial(room.send, "in-vain", 3.5)
    # The first order comes once more, as after a reconnection.
    assert shut_outs(room.run(5.0, {0.0: room.flood, **orders, 3.5: in_vain})) == ["x"]
    assert shut_outs(room.run(2.0, {0.5: partial(room.send, "in-vain-again", 0.5)})) == []
    assert not {"in-vain", "in-vain-again"} & room.answered
    room.order("fresh", Autonomy.ACT)
    room.run(2.0, {0.5: partial(room.send, "heard", 0.5)})
    assert "heard" in room.answered


@pytest.mark.parametrize(
    ("autonomy", "id", "lasts"), [("observe", "2", True), ("act", "1", True), ("act", "2", False)]
)
@pytest.mark.parametrize("first", ["the order", "the standing"])
def test_a_restarted_host_may_hear_the_order_or_its_own_standing_first(
    autonomy: str, id: str, lasts: bool, first: str
) -> None:
    runtime = NodeRuntime(ToyWorld())
    runtime.admit("x", XAPPS["x"])
    order = Order(id=id, xapp="x", autonomy=autonomy)
    hear: list[Callable[[], object]] = [
        lambda: runtime.obey("toy-1", order, 0, kill=None),
        lambda: runtime.remember_shut_out({"x": "1"}),
    ]
    for what in hear if first == "the order" else hear[::-1]:
        what()
    assert ("x" in runtime.shut_out) is lasts


def test_the_backlog_of_an_honest_xapp_after_a_stall_of_25_s_is_no_flood(connect: Connect) -> None:
    room = Room(connect)

    def catch_up() -> None:
        for k in range(
            500
        ):  # 20 a second at each of both nodes, as the manifest says; all but the last have expired
            room.send(f"late-{k}", 5.0 + k / 20)
            room.send(f"late-{k}", 5.0 + k / 20, "toy-2")

    audited = room.run(32.0, {30.0: catch_up, 31.5: partial(room.send, "heard", 31.5)})
    assert shut_outs(audited) == []
    assert {"late-0", "late-499", "heard"} <= room.answered
