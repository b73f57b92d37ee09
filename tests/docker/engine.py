"""Containers of the compose files, as a test starts, watches, kills and stops them with podman."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ranloop.bus import Bus, open_bus
from ranloop.errors import BusError, WireError
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence, decode_result
from ranloop.wire.messages import Status

ROOT = Path(__file__).parents[2]
XAPPS = ("qos_scheduler", "kpm_monitor")
IMAGES = tuple(f"localhost/ranloop/{name}:0.1.0" for name in (*XAPPS, "node", "page"))
GRACE_S = 15
MOST_S = 180  # of any one command; a test that waits for one that hangs would tell nothing
_PODMAN = ("podman", "--log-level=fatal")  # this podman complains that no systemd runs its health checks


def require_containers() -> None:
    """Skip without podman, podman-compose or the images; fail instead where RANLOOP_REQUIRE_CONTAINERS says that they must be there."""
    lacking = [name for name in ("podman", "podman-compose") if not shutil.which(name)]
    if not lacking:
        lacking = [name for name in IMAGES if podman("image", "exists", name).returncode]
    if lacking:
        give_up = pytest.fail if os.environ.get("RANLOOP_REQUIRE_CONTAINERS") else pytest.skip
        give_up(f"{', '.join(lacking)} not there: docker/ci/prepare.sh installs and builds it")


def podman(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*_PODMAN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=MOST_S)


def told() -> str:
    """What podman knows of all containers, and the last lines of each; nothing without podman."""
    if not shutil.which("podman"):
        return ""
    parts = [podman("ps", "--all").stdout]
    for name in podman("ps", "--all", "--format", "{{.Names}}").stdout.split():
        logs = podman("logs", "--tail", "25", name)
        parts.append(f"--- {name}\n{logs.stdout}{logs.stderr}")
    return "\n".join(parts)


def make_secrets(folder: Path, names: str = "") -> None:
    """Certificates and access lists, as docker/secrets.sh makes them; `names` are more host names of the broker."""
    command = [str(ROOT / "docker/secrets.sh"), str(folder), *(str(ROOT / "xapps" / name) for name in XAPPS)]
    environment = os.environ | {"RANLOOP": f"{sys.executable} -m ranloop_start", "NAMES": names}
    subprocess.run(command, check=True, env=environment, cwd=ROOT, timeout=MOST_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The services of compose files that run as one project, each published port a free one."""

    secrets: Path
    port: int = field(default_factory=free_port)
    page_port: int = field(default_factory=free_port)
    prometheus_port: int = field(default_factory=free_port)
    files: Sequence[str] = ("docker/compose.yaml",)
    project: str = "ranloop-test"

    def compose(self, *arguments: str, secrets: bool = True) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "RANLOOP_REGISTRY": "localhost/ranloop",
            "RANLOOP_PORT": str(self.port),
            "RANLOOP_PAGE_PORT": str(self.page_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "PROMETHEUS_IMAGE": "localhost/prometheus:2.42",
            "MOSQUITTO_IMAGE": "localhost/mosquitto:2.0",
            "NATS_IMAGE": "localhost/nats:2.15",
        }
        if secrets:
            environment["RANLOOP_SECRETS"] = str(self.secrets)
        files = [part for file in self.files for part in ("-f", str(ROOT / file))]
        return subprocess.run(
            ["podman-compose", "-p", self.project, *files, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=MOST_S,
        )

    def container(self, service: str) -> str:
        return f"{self.project}_{service}_1"

    def state(self, service: str) -> dict[str, Any]:
        """What podman knows of a service's container."""
        found = podman("inspect", self.container(service))
        assert found.returncode == 0, found.stderr
        (facts,) = json.loads(found.stdout)
        return dict(facts)

    def address(self, service: str) -> str:
        """Where this machine reaches a service's container, published or not."""
        networks = self.state(service)["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def pid(self, service: str) -> int:
        """Process id on this machine of the container's first process, 0 while it does not run."""
        return int(self.state(service)["State"]["Pid"])

    def kill(self, service: str) -> None:
        """End the process as a crash would: the engine was not asked to stop it, and starts it anew."""
        os.kill(self.pid(service), signal.SIGKILL)

    def logs(self, service: str) -> str:
        done = podman("logs", self.container(service))
        return done.stdout + done.stderr

    def bus(self, client: str, *, within_s: float = 0.0) -> Bus:
        """A client with its own certificate, from outside of the containers.

        Args:
            within_s: How long to wait for the broker.
        """
        give_up_s = time.monotonic() + within_s
        with pytest.MonkeyPatch.context() as patch:
            for name, file in (("CA", "ca.crt"), ("CERT", "tls.crt"), ("KEY", "tls.key")):
                patch.setenv(f"RANLOOP_MQTT_{name}", str(self.secrets / client / file))
            while True:
                try:
                    return open_bus(f"mqtts://localhost:{self.port}", name=client)
                except BusError:
                    if time.monotonic() > give_up_s:
                        raise
                    time.sleep(0.2)


@contextmanager
def running(stack: Stack) -> Iterator[Stack]:
    """The stack, up; at the end it is gone with its volumes."""
    stack.compose("down", "-v")
    try:
        up = stack.compose("up", "-d")
        assert up.returncode == 0, up.stderr
        yield stack
    except BaseException:
        print(told())  # before they are gone
        raise
    finally:
        stack.compose("down", "-v", "-t", "2")


class Watch:
    """What an observer of the bus has seen: reports, actions, results with applied targets, life signs."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.seen = dict.fromkeys(("reports", "cell reports", "actions", "applied"), 0)
        self.alive: dict[str, bool] = {}
        bus.subscribe(topics.report("+", "qos_flow", "+"), self._count("reports"))
        bus.subscribe(topics.report("+", "cell", 1000), self._count("cell reports"))
        bus.subscribe(topics.act("+", "+"), self._count("actions"), qos=1)
        bus.subscribe(topics.result("+", "+"), self._on_result, qos=1)
        bus.subscribe(topics.presence("+"), self._on_presence, qos=1)

    def until(self, done: Callable[[], bool], what: str, within_s: float) -> float:
        """Seconds until `done`.

        Raises:
            AssertionError: It does not come within `within_s`.
        """
        began_s = time.monotonic()
        while not done():
            assert time.monotonic() - began_s < within_s, (
                f"{what} not within {within_s:g} s; seen {self.seen}, {self.alive}"
            )
            self.bus.poll(0.2)
        return time.monotonic() - began_s

    def loop_closes(self, within_s: float) -> float:
        """Seconds until, from now on, reports of both xApps, actions and applied targets have been seen."""
        for name in self.seen:
            self.seen[name] = 0
        return self.until(lambda: all(self.seen.values()), "reports, actions and results", within_s)

    def _count(self, what: str) -> Callable[[str, bytes], None]:
        def count(_topic: str, _payload: bytes) -> None:
            self.seen[what] += 1

        return count

    def _on_result(self, _topic: str, payload: bytes) -> None:
        self.seen["applied"] += int((decode_result(payload).status == Status.APPLIED).sum())

    def _on_presence(self, _topic: str, payload: bytes) -> None:
        try:
            sign = decode_presence(payload)
        except WireError:
            return
        if not sign.facts.get("asks") and "answers" not in sign.facts:
            self.alive[sign.name] = sign.alive
