"""A private MQTT broker for one machine: mosquitto if it is installed, else the nats-server of a Python wheel.

It serves development, tests, and several processes on one machine. It listens on loopback only, needs no password unless a
password file is given, and keeps nothing after `stop`. A deployment runs its own broker and names it by URL.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ranloop.errors import BusError, MissingExtraError

BrokerKind = Literal["mosquitto", "nats"]

_HOST = "127.0.0.1"
_MAX_MESSAGE_BYTES = 1 << 24
_NATS_IN_FLIGHT = 64  # per QoS 1 filter; nats-server lets a client have 65535 in all, so 1,023 such filters
_ATTEMPTS = 3  # a free port can be taken by another process before the broker binds it
# MQTT 3.1.1 clause 3.1: CONNECT, protocol level 4, clean session, keepalive 10 s, client id "ranloop-knock".
_CLIENT_ID = b"ranloop-knock"
_CONNECT = (
    bytes([0x10, 12 + len(_CLIENT_ID)])
    + b"\x00\x04MQTT\x04\x02\x00\x0a"
    + bytes([0, len(_CLIENT_ID)])
    + _CLIENT_ID
)
_CONNACK = 0x20


def _mosquitto() -> str | None:
    # Debian puts it into /usr/sbin, which is on root's PATH only.
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def _nats() -> str | None:
    return shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")


_BINARIES: dict[BrokerKind, Callable[[], str | None]] = {"mosquitto": _mosquitto, "nats": _nats}


def broker_kinds_available() -> tuple[BrokerKind, ...]:
    """The kinds that can be started here, in the order in which `auto` takes them."""
    return tuple(kind for kind, find in _BINARIES.items() if find() is not None)


class Broker:
    """A broker process that we started: `with Broker.start() as broker: open_bus(broker.url, ...)`.

    Attributes:
        kind: "mosquitto" or "nats".
        port: Its MQTT port on 127.0.0.1.
    """

    def __init__(self, kind: BrokerKind, port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.kind: BrokerKind = kind
        self.port = port
        self._process = process
        self._folder = folder
        # The interpreter's exit stops the broker, too: a caller may forget `stop`.
        self._finalizer = weakref.finalize(self, _stop, process, folder)

    @classmethod
    def start(
        cls,
        kind: BrokerKind | Literal["auto"] = "auto",
        port: int = 0,
        *,
        acl_file: Path | None = None,
        password_file: Path | None = None,
        tcp_nodelay: bool = True,
        timeout_s: float = 10.0,
    ) -> Self:
        """Start a broker and wait until it accepts MQTT connections.

        Args:
            kind: "mosquitto", "nats", or "auto", which takes mosquitto if it is installed.
            port: MQTT port, 0 for a free one.
            acl_file: The topics that each user may read and write: mosquitto's access list, or the `authorization` block
                of nats-server, which takes passwords from the environment.
            password_file: mosquitto's users; with it every client needs a password.
            tcp_nodelay: False leaves Nagle's algorithm on, as mosquitto does by default, to measure its cost.
            timeout_s: Time in which the broker must answer.

        Raises:
            MissingExtraError: Neither broker is installed.
            BusError: The broker did not start; the error ends with the broker's own log.
        """
        if kind == "auto":
            available = broker_kinds_available()
            if not available:
                raise MissingExtraError("a broker", "broker")
            kind = available[0]
        binary = _BINARIES[kind]()
        if binary is None:
            if kind == "nats":
                raise MissingExtraError("nats-server", "broker")
            raise BusError("mosquitto is not installed; apt-get install mosquitto, or take kind='nats'")
        if kind == "nats" and (password_file or not tcp_nodelay):
            raise ValueError("password_file and tcp_nodelay are for mosquitto")
        if port:
            _require_free(port)
        for attempt in range(1, _ATTEMPTS + 1):
            folder = Path(tempfile.mkdtemp(prefix=f"ranloop-{kind}-"))
            chosen = port or _free_port()
            configuration = folder / f"{kind}.conf"
            if kind == "mosquitto":
                configuration.write_text(_mosquitto_conf(chosen, acl_file, password_file, tcp_nodelay))
            else:
                configuration.write_text(_nats_conf(chosen, folder, acl_file))
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen(
                    [*_leash(), binary, "-c", str(configuration)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for the xApps; the broker goes when they have left
                )
            broker = cls(kind, chosen, process, folder)
            failure = _wait_for_connack(chosen, process, timeout_s)
            if failure is None:
                return broker
            last_words = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
            broker.stop()
            if port or attempt == _ATTEMPTS:
                break
        raise BusError(f"{kind} on port {chosen}: {failure}; it said: {' '.join(last_words) or 'nothing'}")

    @property
    def url(self) -> str:
        return f"mqtt://{_HOST}:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> str:
        """Wait for the end of the process; its status ("status 1") or the name of the signal ("SIGKILL")."""
        status = self._process.wait()
        return f"status {status}" if status >= 0 else signal.Signals(-status).name

    def stop(self) -> None:
        """End the process and remove its folder. A second call changes nothing."""
        self._finalizer()

    def kill(self) -> None:
        """End the process as a power cut would: its clients get no goodbye."""
        self._process.kill()
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _leash() -> tuple[str, ...]:
    """The command that ends the broker when we are killed. Linux ties the broker to the thread that starts it."""
    setpriv = shutil.which("setpriv") if threading.current_thread() is threading.main_thread() else None
    if setpriv is None:
        return ()
    leash = (setpriv, "--pdeathsig", "TERM")
    tried = subprocess.run([*leash, "true"], capture_output=True, check=False)
    return leash if tried.returncode == 0 else ()  # that of BusyBox has no such option


def _require_free(port: int) -> None:
    """Refuse a port that is in use: another broker would answer in place of ours.

    Raises:
        BusError: No process can listen there now.
    """
    try:
        with socket.socket() as probe:
            # Brokers do the same: an old connection that the kernel still remembers is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_HOST, port))
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise BusError(
            f"a broker cannot listen on port {port}: {reason}; take another one, 0 for any"
        ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_connack(port: int, process: subprocess.Popen[bytes], timeout_s: float) -> str | None:
    """None once the broker answers a CONNECT, else the reason. A refusal for a missing password is an answer."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            process.wait(0.005)
        except subprocess.TimeoutExpired:
            if _answers_connect(port):
                return None
        else:
            return f"it ended with status {process.returncode}"
    return f"no answer within {timeout_s:g} s"


def _answers_connect(port: int) -> bool:
    try:
        with socket.create_connection((_HOST, port), timeout=1.0) as connection:
            connection.sendall(_CONNECT)
            answer = connection.recv(4)
    except OSError:  # not listening yet
        return False
    return answer[:1] == bytes([_CONNACK])


def _mosquitto_conf(port: int, acl_file: Path | None, password_file: Path | None, tcp_nodelay: bool) -> str:
    lines = [
        f"listener {port} {_HOST}",
        f"set_tcp_nodelay {'true' if tcp_nodelay else 'false'}",
        f"allow_anonymous {'false' if password_file else 'true'}",
        "persistence false",
        "max_inflight_messages 1000",
        "max_queued_messages 10000",
        f"message_size_limit {_MAX_MESSAGE_BYTES}",
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # else it drops to the user mosquitto, which cannot read a private folder
    if acl_file is not None:
        lines.append(f"acl_file {acl_file}")
    if password_file is not None:
        lines.append(f"password_file {password_file}")
    return "\n".join(lines) + "\n"


def _nats_conf(port: int, folder: Path, acl_file: Path | None) -> str:
    return f"""\
{acl_file.read_text() if acl_file is not None else ""}
host: {_HOST}
port: -1
server_name: ranloop
max_payload: {_MAX_MESSAGE_BYTES}
jetstream {{ store_dir: "{folder}/jetstream" }}
mqtt {{ host: {_HOST}, port: {port}, max_ack_pending: {_NATS_IN_FLIGHT} }}
"""
