"""What only a network brings: lost connections, rights, Nagle's algorithm."""

from __future__ import annotations

import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ranloop.bus import Broker, broker_kinds_available, open_bus
from ranloop.bus.address import MqttAddress, spare_cpus
from ranloop.bus.broker import BrokerKind
from ranloop.bus.interest import FIRST_ASK_S
from ranloop.bus.lookout import Lookout
from ranloop.bus.mqtt import OUTBOX, MqttBus
from ranloop.errors import BusError
from ranloop.testing.brokers import running_broker
from tests.ranloop.bus.conftest import Curt, Pump, in_the_socket, retain, settle

pytestmark = pytest.mark.broker

KINDS: list[BrokerKind] = ["mosquitto", "nats"]


def mqtt(broker: Broker, name: str, client_id: str | None = None) -> MqttBus:
    return MqttBus(MqttAddress(host="127.0.0.1", port=broker.port), name=name, client_id=client_id)


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_restart_of_the_broker_subscriptions_are_renewed_and_qos_1_is_kept(
    kind: BrokerKind, pump: Pump
) -> None:
    heard: list[bytes] = []
    with running_broker(kind) as first:
        receiver, sender = mqtt(first, "receiver"), mqtt(first, "sender")
        receiver.subscribe("t", lambda topic, payload: heard.append(payload), qos=1)
        settle(receiver, pump)
        sender.publish("t", b"before", qos=1)
        pump(lambda: heard == [b"before"], sender, receiver)
        first.kill()
        pump(lambda: not sender.connected and not receiver.connected, sender, receiver)
        sender.publish("t", b"lost", qos=0)
        assert sender.stats.unsent == 1
        with receiver, sender, running_broker(kind, first.port):
            pump(lambda: receiver.connected, receiver)
            settle(receiver, pump)  # its subscription is in force before the sender is back
            for n in range(3):
                sender.publish("t", b"away %d" % n, qos=1)
            pump(lambda: len(heard) == 4, sender, receiver)
            assert heard == [b"before", b"away 0", b"away 1", b"away 2"]
            assert (sender.stats.reconnects, receiver.stats.reconnects) == (1, 1)
            sender.publish("t", b"after")
            pump(lambda: heard[-1] == b"after", sender, receiver)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_retained_while_one_subscribes_is_heard(kind: BrokerKind, pump: Pump) -> None:
    """Without asking again nats-server loses 0 to 15 of these 200, which subscribe while they are being stored."""
    topics = [f"t/{n}" for n in range(200)]
    heard: set[str] = set()
    with running_broker(kind) as broker, ExitStack() as stack:
        sender, *receivers = (stack.enter_context(mqtt(broker, name)) for name in ("sender", *"abcd"))
        for topic, receiver in zip(topics, cycle(receivers), strict=False):
            sender.publish(topic, b"kept", qos=1, retain=True)
            receiver.subscribe(topic, lambda topic, payload: heard.add(topic), qos=1)
            sender.poll()
            receiver.poll(0.001)
        pump(lambda: heard == set(topics), sender, *receivers)


def test_a_dropped_retained_message_comes_when_the_client_asks_again(mosquitto: Broker, pump: Pump) -> None:
    """A topic that was heard is not delivered again."""
    topics = [f"crowd/{n}" for n in range(5)]
    heard: list[str] = []
    with mqtt(mosquitto, "receiver") as receiver, mqtt(mosquitto, "sender") as sender:
        for topic in topics:
            retain(sender, pump, topic, b"kept", qos=1)
        crowd = receiver.subscribe("crowd/+", lambda topic, payload: heard.append(topic), qos=1, keep=3)
        pump(lambda: in_the_socket(receiver).count(b"crowd/") == 5, sender)  # and one poll takes all
        pump(lambda: len(heard) == 5, receiver)
    assert (sorted(heard), crowd.dropped) == (topics, 2)


def test_a_subscription_that_the_broker_refuses_is_told_once(pump: Pump) -> None:
    """Our nats-server keeps 64 messages for each QoS 1 subscription and 65535 for one client: it grants 1,023 of them.

    It refuses all of the packet in which that is passed, the one from 1,000 on.
    """
    with running_broker("nats") as broker, mqtt(broker, "greedy") as bus, capture_logs() as logs:
        for n in range(1025):
            bus.subscribe(f"t/{n}", lambda topic, payload: None, qos=1)
        pump(lambda: sum(len(log["filters"]) for log in logs) >= 2, bus)
        asked_again_s = time.monotonic() + 3 * FIRST_ASK_S  # for what is retained, 0.5 and 1 s later
        pump(lambda: time.monotonic() > asked_again_s, bus)
    assert {(log["event"], log["bus"]) for log in logs} == {("subscription_refused", "greedy")}
    refused = sorted(topic_filter for log in logs for topic_filter in log["filters"])
    assert refused == [f"t/{n}" for n in range(1000, 1025)]


def test_while_the_broker_is_away_poll_keeps_its_timeout_and_the_outbox_its_bound(pump: Pump) -> None:
    with running_broker("mosquitto") as broker:
        bus = mqtt(broker, "alone")
    pump(lambda: not bus.connected, bus)
    for n in range(OUTBOX + 7):
        bus.publish("t", b"%d" % n, qos=1)
    assert (bus.stats.unsent, bus.stats.outbox) == (7, OUTBOX)
    for timeout_s in (0.0, 0.02, 0.15):
        began_s = time.monotonic()
        assert bus.poll(timeout_s) == 0
        assert timeout_s <= time.monotonic() - began_s < timeout_s + 0.1
    bus.close()


def test_a_client_that_is_kicked_off_by_its_double_comes_back(pump: Pump) -> None:
    heard: list[bytes] = []
    with running_broker("mosquitto") as broker, mqtt(broker, "me", "the-same") as mine:
        mine.subscribe("t", lambda topic, payload: heard.append(payload))
        double = mqtt(broker, "double", "the-same")
        pump(lambda: not mine.connected, mine)
        double.close()
        pump(lambda: mine.connected, mine)
        mine.publish("t", b"back")
        pump(lambda: heard == [b"back"], mine)
        assert mine.stats.reconnects >= 1


def test_client_ids_carry_the_name_and_128_random_bits(mosquitto: Broker) -> None:
    with mqtt(mosquitto, "qos") as one, mqtt(mosquitto, "qos") as other:
        prefix, bits = one.client_id.rsplit("-", 1)
        assert prefix == "ranloop-qos"
        assert len(bytes.fromhex(bits)) * 8 == 128
        assert one.client_id != other.client_id


def test_a_qos_1_round_trip_does_not_stall_on_a_broker_that_leaves_nagle_on(pump: Pump) -> None:
    """Nagle's algorithm at the broker waits 40 ms for our delayed ACK, unless we acknowledge at once."""
    if "mosquitto" not in broker_kinds_available():
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    with (
        Broker.start("mosquitto", tcp_nodelay=False) as broker,
        mqtt(broker, "near") as near,
        mqtt(broker, "far") as far,
    ):
        back: list[bytes] = []
        far.subscribe("ping", lambda topic, payload: far.publish("pong", payload, qos=1), qos=1)
        near.subscribe("pong", lambda topic, payload: back.append(payload), qos=1)
        settle(near, pump)
        settle(far, pump)
        round_trip_s = []
        for n in range(40):
            began_s = time.perf_counter()
            near.publish("ping", b"%d" % n, qos=1)
            while len(back) == n:
                far.poll(0.0005)
                near.poll(0.0005)
            round_trip_s.append(time.perf_counter() - began_s)
    assert statistics.median(round_trip_s) < 0.020


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Broker]:
    """mosquitto where each xApp may write its own action topics only, and the operator everything."""
    with running_broker("mosquitto"):  # skips where it is not installed
        pass
    passwords, acl = tmp_path / "passwords", tmp_path / "acl"
    passwords.touch(mode=0o600)
    for user in ("qos", "node"):
        subprocess.run(["mosquitto_passwd", "-b", passwords, user, f"{user}-secret"], check=True)
    acl.write_text("pattern write ranloop/1/act/%u/+\nuser node\ntopic read ranloop/1/act/+/+\n")
    with Broker.start("mosquitto", acl_file=acl, password_file=passwords) as broker:
        yield broker


def with_user(broker: Broker, user: str, password: str) -> str:
    return broker.url.replace("mqtt://", f"mqtt://{user}:{password}@")


def test_an_xapp_writes_its_own_actions_and_nobody_elses(guarded: Broker, pump: Pump) -> None:
    heard: list[str] = []
    with (
        open_bus(with_user(guarded, "node", "node-secret"), name="node") as node,
        open_bus(with_user(guarded, "qos", "qos-secret"), name="qos") as qos,
    ):
        node.subscribe("ranloop/1/act/+/+", lambda topic, payload: heard.append(topic), qos=1)
        node.poll(0.1)  # it may write nothing, so it cannot ask its own subscription back
        qos.publish(
            "ranloop/1/act/energy/gnb-1", b"not mine", qos=1
        )  # acknowledged all the same, and dropped
        qos.publish("ranloop/1/act/qos/gnb-1", b"mine", qos=1)
        give_up_s = time.monotonic() + 5.0
        while not heard and time.monotonic() < give_up_s:
            qos.poll(0.01)
            node.poll(0.01)
        node.poll(0.1)
    assert heard == ["ranloop/1/act/qos/gnb-1"]


@pytest.mark.parametrize("credentials", [("qos", "wrong"), ("nobody", "x")])
def test_a_wrong_password_is_refused_with_advice(guarded: Broker, credentials: tuple[str, str]) -> None:
    with pytest.raises(BusError, match="refused 'qos': not authorized; check RANLOOP_MQTT_USER"):
        open_bus(with_user(guarded, *credentials), name="qos")


PUBACK = b"\x40\x02"


def news(number: int, payload: bytes = b"") -> bytes:
    """A PUBLISH on topic t with QoS 1 and this packet id, or with QoS 0 where that is 0. MQTT 3.1.1 clause 3.3."""
    body = b"\x00\x01t" + (number.to_bytes(2, "big") if number else b"") + payload
    length = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 + 128, len(body) // 128])
    return bytes([0x32 if number else 0x30]) + length + body


class TestReadingAhead:
    """Few system calls a message, and the broker's acknowledgement after the handler."""

    def test_a_packet_costs_one_read_of_the_socket_and_none_in_vain(
        self, curt: Curt, bus: MqttBus, pump: Pump, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard: list[bytes] = []
        reads: list[int] = []
        bus.subscribe("t", lambda topic, payload: heard.append(payload))
        pump(lambda: b"\x82" in curt.heard(), bus)  # its SUBSCRIBE
        read = socket.socket.recv

        def counted(this: socket.socket, size: int, flags: int = 0) -> bytes:
            if this.getpeername()[1] == curt.port and not flags:
                reads.append(size)
            return read(this, size, flags)

        monkeypatch.setattr(socket.socket, "recv", counted)
        for n in range(20):
            curt.say(news(0, bytes(8000)))
            pump(lambda n=n: len(heard) > n, bus)
        # TCP may hand a packet over in two pieces; byte by byte it would be five reads, and one that finds nothing.
        assert 20 <= len(reads) < 30

    @pytest.mark.parametrize("n_bytes", [1, 16_384 - 9, 16_384, 100_000])
    def test_packets_of_any_size_come_out_whole_and_in_order(
        self, mosquitto: Broker, pump: Pump, n_bytes: int
    ) -> None:
        heard: list[bytes] = []
        with mqtt(mosquitto, "receiver") as receiver, mqtt(mosquitto, "sender") as sender:
            receiver.subscribe("ahead", lambda topic, payload: heard.append(payload), qos=1, keep=100)
            settle(receiver, pump)
            sent = [bytes([n]) * n_bytes for n in range(40)]
            for payload in sent:
                sender.publish("ahead", payload, qos=1)
            pump(lambda: len(heard) == 40, sender, receiver)
        assert heard == sent

    def test_the_broker_is_answered_after_the_handler(self, curt: Curt, bus: MqttBus, pump: Pump) -> None:
        answered: list[int] = []
        bus.subscribe("t", lambda topic, payload: answered.append(curt.heard().count(PUBACK)), qos=1)
        curt.say(news(1))
        pump(lambda: curt.heard().count(PUBACK) == 1, bus)
        assert answered == [0]

    def test_a_handler_that_raises_leaves_no_message_unanswered(
        self, curt: Curt, bus: MqttBus, pump: Pump
    ) -> None:
        def fail(topic: str, payload: bytes) -> None:
            raise ZeroDivisionError

        bus.subscribe("t", fail, qos=1)
        curt.say(news(1))
        with pytest.raises(ZeroDivisionError):
            pump(lambda: False, bus)
        pump(lambda: curt.heard().count(PUBACK) == 1, bus)
        assert bus.poll() == 0

    def test_many_messages_at_once_are_answered_before_the_handlers(
        self, curt: Curt, bus: MqttBus, pump: Pump
    ) -> None:
        """mosquitto, as it comes, sends twenty and waits: a slow handler must not keep `latest` from the newest."""
        answered: list[int] = []
        bus.subscribe("t", lambda topic, payload: answered.append(curt.heard().count(PUBACK)), qos=1)
        sent = b"".join(news(number) for number in range(1, 31))
        curt.say(sent)
        pump(lambda: len(in_the_socket(bus)) == len(sent))
        pump(lambda: len(answered) == 30, bus)
        assert answered == [30] * 30

    @pytest.mark.parametrize("qos", [0, 1])
    def test_a_handler_may_kill_its_bus(self, mosquitto: Broker, pump: Pump, qos: int) -> None:
        me = mqtt(mosquitto, "me")
        me.subscribe("ahead", lambda topic, payload: me.kill(), qos=qos)
        me.publish("ahead", b"1", qos=qos)
        pump(lambda: not me.connected, me)
        with pytest.raises(BusError, match="closed"):
            me.poll()


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="this system cannot hold back what TCP has")
def test_an_answer_leaves_together_with_the_acknowledgement_of_what_it_answers(
    mosquitto: Broker, pump: Pump
) -> None:
    """And only that of the last message: what others publish does not wait for the handlers that follow."""
    heard_meanwhile: list[list[bytes]] = []
    with mqtt(mosquitto, "near") as near, mqtt(mosquitto, "far") as far:
        heard: list[bytes] = []
        far.subscribe("answer", lambda topic, payload: heard.append(payload))

        def answer(topic: str, payload: bytes) -> None:
            near.publish("answer", payload)
            far.poll(0.05)
            heard_meanwhile.append(list(heard))

        near.subscribe("question", answer, qos=1)
        settle(far, pump)
        settle(near, pump)
        far.publish("question", b"1", qos=1)
        far.publish("question", b"2", qos=1)
        pump(lambda: in_the_socket(near).count(b"question") == 2, far)  # and one poll takes both
        assert near.poll(1.0) == 2
        assert heard_meanwhile == [[b"1"], [b"1"]]
        pump(lambda: heard == [b"1", b"2"], far)


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="this system cannot hold back what TCP has")
def test_what_a_handler_publishes_before_it_raises_leaves_at_once(mosquitto: Broker, pump: Pump) -> None:
    with mqtt(mosquitto, "near") as near, mqtt(mosquitto, "far") as far:
        heard: list[bytes] = []
        far.subscribe("last-words", lambda topic, payload: heard.append(payload))

        def fail(topic: str, payload: bytes) -> None:
            near.publish("last-words", payload)
            raise ZeroDivisionError

        near.subscribe("question", fail, qos=1)
        settle(far, pump)
        settle(near, pump)
        far.publish("question", b"1", qos=1)
        with pytest.raises(ZeroDivisionError):
            pump(lambda: False, near)
        connection = near._client.socket()
        assert isinstance(connection, socket.socket)
        # Else they would leave as well, 200 ms later.
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 0
        pump(lambda: heard == [b"1"], far)


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_client_is_awake_after_what_it_sends_and_reads_for_as_long_as_its_address_says(
    cpus: int, mosquitto: Broker, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_s: list[float] = []
    traffic: list[str] = []

    class Watched(Lookout):
        def __init__(self, awake_s: float) -> None:
            told_s.append(awake_s)
            super().__init__(awake_s)

        def stay_awake(self) -> None:
            traffic.append("here")
            super().stay_awake()

    monkeypatch.setattr("ranloop.bus.mqtt.Lookout", Watched)
    monkeypatch.setattr("ranloop.bus.mqtt.spare_cpus", lambda: cpus > 1)
    address = MqttAddress(host="127.0.0.1", port=mosquitto.port, spin_us=700)
    heard: list[bytes] = []
    with MqttBus(address, name="looks") as bus:
        assert told_s == [0.0007 if cpus > 1 else 0.0]
        bus.subscribe("t", lambda topic, payload: heard.append(payload))
        settle(bus, pump)
        traffic.clear()
        bus.publish("t", b"x")
        assert len(traffic) == 1
        pump(lambda: heard == [b"x"], bus)
        assert len(traffic) > 1


def test_with_one_cpu_nobody_waits_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3}, raising=False)
    assert not spare_cpus()
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 3}, raising=False)
    assert spare_cpus()
