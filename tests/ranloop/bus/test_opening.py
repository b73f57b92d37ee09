"""How a bus is opened, and what is said when it cannot be."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ranloop.bus import Bus, Handler, open_bus
from ranloop.bus.address import SPIN_US, MqttAddress
from ranloop.errors import BusError
from ranloop.testing.brokers import running_broker


@pytest.mark.parametrize(
    "url", ["nats://h:1", "localhost:1883", "", "mqtt://", "mqtt://h:99999999", "mqtt://[::1"]
)
def test_an_address_that_cannot_be_used_says_what_can(url: str) -> None:
    with pytest.raises(BusError, match=r"mqtt://host|cannot be used|needs a host"):
        open_bus(url, name="x")


def test_a_password_is_not_shown_in_an_error() -> None:
    with pytest.raises(BusError) as error:
        open_bus("amqp://me:secret@host", name="x")
    assert "secret" not in str(error.value)


def test_where_nobody_listens_the_error_says_how_to_start_a_broker() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refused
        port = unused.getsockname()[1]
        with pytest.raises(BusError) as error:
            open_bus(f"mqtt://127.0.0.1:{port}", name="x")
    assert str(error.value) == (
        f"no broker at mqtt://127.0.0.1:{port}: connection refused; start one with: ranloop broker"
    )


def test_a_port_that_never_answers_is_given_up_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began_s = time.monotonic()
        with pytest.raises(BusError, match=r"no answer within 0\.2 s"):
            open_bus(f"mqtt://127.0.0.1:{mute.getsockname()[1]}", name="x", connect_timeout_s=0.2)
        assert time.monotonic() - began_s < 2.0


def test_a_server_that_is_no_broker_is_a_bus_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:

        def answer() -> None:
            connection, _ = web.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        server = threading.Thread(target=answer, name="not-a-broker")
        server.start()
        with pytest.raises(BusError, match=r"refused|no broker"):
            open_bus(f"mqtt://127.0.0.1:{web.getsockname()[1]}", name="x", connect_timeout_s=1.0)
        server.join()


def test_tls_files_that_are_not_there_are_a_bus_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RANLOOP_MQTT_CA", str(tmp_path / "none.pem"))
    told = rf"the TLS files for mqtts://h:8883 cannot be used: {tmp_path}/none.pem \(RANLOOP_MQTT_CA\) cannot be read"
    with pytest.raises(BusError, match=told):
        open_bus("mqtts://h", name="x")


def test_the_url_comes_before_the_environment() -> None:
    environment = {"RANLOOP_MQTT_USER": "env", "RANLOOP_MQTT_PASSWORD": "env", "RANLOOP_MQTT_CA": "/ca.pem"}
    address = MqttAddress.from_url(urlsplit("mqtts://me:p%40ss@broker"), environment)
    assert (address.user, address.password, address.ca_file) == ("me", "p@ss", "/ca.pem")
    assert (address.host, address.port, address.tls) == ("broker", 8883, True)
    assert "p@ss" not in repr(address)
    assert str(address) == "mqtts://broker:8883"
    assert MqttAddress.from_url(urlsplit("mqtt://broker"), environment).user == "env"


def test_the_embedded_bus_loads_no_mqtt_client() -> None:
    program = (
        "import sys\n"
        "from ranloop.bus import open_bus\n"
        "open_bus('memory://x', name='x').close()\n"
        "sys.exit(any(name.startswith('paho') for name in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("text", ["", "-1", "0.5", "soon", "100001", "²"])
def test_a_time_to_wait_awake_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BusError, match=r"RANLOOP_MQTT_SPIN_US is .*; write microseconds from 0"):
        MqttAddress.from_url(urlsplit("mqtt://h"), {"RANLOOP_MQTT_SPIN_US": text})


def test_the_time_to_wait_awake_comes_from_the_environment() -> None:
    assert MqttAddress.from_url(urlsplit("mqtt://h"), {"RANLOOP_MQTT_SPIN_US": "0"}).spin_us == 0
    assert MqttAddress.from_url(urlsplit("mqtt://h"), {}).spin_us == SPIN_US


# A cluster: several servers in one URL


def test_the_servers_of_a_cluster_stand_in_one_url_with_one_user() -> None:
    address = MqttAddress.from_url(urlsplit("mqtts://me:p@one,two:1,[::1]:2"), {})
    assert address.servers == (("one", 8883), ("two", 1), ("::1", 2))
    assert (address.user, address.password) == ("me", "p")
    assert str(address) == "mqtts://one:8883,two:1,[::1]:2"


@pytest.mark.parametrize("url", ["mqtt://one,", "mqtt://,one", "mqtt://one:x,two", "mqtt://one,two:99999"])
def test_a_server_that_is_none_is_refused_among_others(url: str) -> None:
    with pytest.raises(BusError, match=r"cannot be used|needs a host"):
        open_bus(url, name="x")


@pytest.mark.broker
def test_a_client_takes_the_first_server_that_answers_and_goes_round_when_it_dies() -> None:
    """Two brokers that are no cluster show which one a client is at: each hears only its own clients."""
    with running_broker("mosquitto") as one, running_broker("mosquitto") as two:
        url = f"mqtt://127.0.0.1:{closed_port()},127.0.0.1:{one.port},127.0.0.1:{two.port}"
        with closing(open_bus(url, name="client")) as bus, closing(open_bus(two.url, name="watch")) as watch:
            heard: dict[str, set[bytes]] = {"client": set(), "watch": set()}
            for name, listener in (("client", bus), ("watch", watch)):
                listener.subscribe("where", noted_in(heard[name]), qos=1)
            bus.publish("where", b"before", qos=1)
            poll_until(lambda: b"before" in heard["client"], bus, watch)
            one.kill()
            poll_until(lambda: bus.connected and bus.stats.reconnects == 1, bus, watch)
            bus.publish("where", b"after", qos=1)
            poll_until(lambda: b"after" in heard["client"], bus, watch)
            poll_until(lambda: b"after" in heard["watch"], bus, watch)
            assert b"before" not in heard["watch"]


def noted_in(payloads: set[bytes]) -> Handler:
    return lambda _, payload: payloads.add(payload)


def poll_until(true: Callable[[], bool], *buses: Bus) -> None:
    give_up_s = time.monotonic() + 15.0
    while not true():
        assert time.monotonic() < give_up_s
        for bus in buses:
            bus.poll(0.02)


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])
