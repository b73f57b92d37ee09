"""TLS: the certificate is checked, and a bus behaves behind it as without it."""

from __future__ import annotations

import gc
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ranloop.bus import Bus, open_bus
from ranloop.bus.broker import broker_kinds_available
from ranloop.errors import BusError

pytestmark = pytest.mark.broker


@dataclass(frozen=True)
class Secured:
    url: str
    ca_file: Path
    url_by_certificate: (
        str  # of a listener that takes clients with a certificate of the broker's own CA alone
    )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """mosquitto with a certificate of its own making for 127.0.0.1."""
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if "mosquitto" not in broker_kinds_available() or mosquitto is None or shutil.which("openssl") is None:
        pytest.skip("needs mosquitto and openssl: apt-get install mosquitto openssl")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = made_certificate(folder)
    with socket.socket() as one, socket.socket() as another:
        one.bind(("127.0.0.1", 0))
        another.bind(("127.0.0.1", 0))
        port, by_certificate = one.getsockname()[1], another.getsockname()[1]
    own = f"certfile {certificate}\nkeyfile {key}\n"
    configuration = folder / "mosquitto.conf"
    configuration.write_text(
        f"user root\nallow_anonymous true\nlistener {port} 127.0.0.1\n{own}"
        f"listener {by_certificate} 127.0.0.1\n{own}cafile {certificate}\nrequire_certificate true\n"
    )
    with subprocess.Popen([mosquitto, "-c", str(configuration)], stderr=subprocess.DEVNULL) as process:
        address = "mqtts://127.0.0.1"
        yield Secured(f"{address}:{port}", certificate, f"{address}:{by_certificate}")
        process.terminate()


def made_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own CA, and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=test"
    files = ("-keyout", str(key), "-out", str(certificate))
    command = [*make.split(), "-addext", "subjectAltName=IP:127.0.0.1", *files]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def opened(url: str, name: str) -> Bus:
    """A bus, as soon as the broker listens."""
    give_up_s = time.monotonic() + 10.0
    while True:
        try:
            return open_bus(url, name=name)
        except BusError:
            if time.monotonic() > give_up_s:
                raise


def test_messages_pass_whole_and_in_order(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANLOOP_MQTT_CA", str(secured.ca_file))
    heard: list[bytes] = []
    with opened(secured.url, "receiver") as receiver, opened(secured.url, "sender") as sender:
        receiver.subscribe("t", lambda topic, payload: heard.append(payload), qos=1)
        receiver.poll(0.2)
        # One TLS record holds up to 16 KiB: small messages come many to a record, large ones in many records.
        sent = [bytes([n]) * (100_000 if n % 5 == 0 else 10) for n in range(50)]
        for payload in sent:
            sender.publish("t", payload, qos=1)
        give_up_s = time.monotonic() + 10.0
        while len(heard) < len(sent) and time.monotonic() < give_up_s:
            sender.poll(0.005)
            receiver.poll(0.005)
    assert heard == sent


# paho leaves the socket of a failed handshake to the garbage collector, which warns.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
def test_a_certificate_that_nobody_vouches_for_is_refused(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANLOOP_MQTT_CA", str(secured.ca_file))
    opened(secured.url, "first").close()
    monkeypatch.delenv("RANLOOP_MQTT_CA")
    with pytest.raises(BusError, match=r"certificate verify failed.*; check the certificates"):
        open_bus(secured.url, name="trusting")
    gc.collect()


@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
def test_a_broker_that_refuses_our_certificate_is_told_with_the_certificate(
    secured: Secured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """TLS 1.3 tells a client so only after its handshake: all that is seen is that the broker hangs up."""
    monkeypatch.setenv("RANLOOP_MQTT_CA", str(secured.ca_file))
    opened(secured.url, "first").close()
    with pytest.raises(
        BusError, match=r"refused 'page': .*; it may want a certificate of ours: RANLOOP_MQTT_CERT"
    ):
        open_bus(secured.url_by_certificate, name="page")
    certificate, key = made_certificate(tmp_path)
    monkeypatch.setenv("RANLOOP_MQTT_CERT", str(certificate))
    monkeypatch.setenv("RANLOOP_MQTT_KEY", str(key))
    with pytest.raises(BusError) as refusal:
        open_bus(secured.url_by_certificate, name="page")
    assert str(refusal.value) == (
        f"the broker at {secured.url_by_certificate} refused 'page': the connection was closed; check the certificate "
        f"{certificate} (RANLOOP_MQTT_CERT): the broker must trust its CA and know its name, and it must be valid now"
    )
    gc.collect()
