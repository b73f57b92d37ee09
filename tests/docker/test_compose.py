"""The compose files, run for real: telemetry, actions and results go through containers, and no crash of one is the end.

Each test prints its seconds (`pytest -s -m containers`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.docker.engine import (
    GRACE_S,
    XAPPS,
    Stack,
    Watch,
    podman,
    running,
)

pytestmark = pytest.mark.containers

SERVICES = ("broker", "node", *XAPPS, "page", "prometheus")
USERS = {"broker": "1883", "prometheus": "65534"}  # the others: 10001
CLIENTS = {"node": "host", "qos_scheduler": "qos_scheduler", "kpm_monitor": "kpm_monitor"}


def test_reports_actions_and_results_flow_through_containers(watch: Watch) -> None:
    watch.loop_closes(30)


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_has_no_right_that_it_does_not_need(stack: Stack, service: str) -> None:
    facts = stack.state(service)
    assert facts["HostConfig"]["ReadonlyRootfs"]
    status = Path(f"/proc/{stack.pid(service)}/status").read_text()
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines())}
    assert fields["Uid"][0] == USERS.get(service, "10001")
    assert {int(fields[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == (["1"], ["2"])


def test_a_node_and_an_xapp_reach_nobody_but_the_broker(stack: Stack) -> None:
    for service in CLIENTS:
        assert len(stack.state(service)["NetworkSettings"]["Networks"]) == 1
        route = Path(f"/proc/{stack.pid(service)}/net/route").read_text()
        assert "\t00000000\t" not in "\n".join(line[:20] for line in route.splitlines()[1:])


@pytest.mark.parametrize("service", [*CLIENTS, "page"])
def test_a_process_that_hangs_is_unhealthy(stack: Stack, service: str) -> None:
    give_up_s = time.monotonic() + 180
    while podman(
        "healthcheck", "run", stack.container(service)
    ).returncode:  # 10 s are too few on a machine that does much else
        assert time.monotonic() < give_up_s
    pid = stack.pid(service)  # the first process alone is stopped, so that the check itself can run
    os.kill(pid, signal.SIGSTOP)
    try:
        assert podman("healthcheck", "run", stack.container(service)).returncode != 0
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("service", SERVICES)
def test_a_crash_of_one_is_over_when_it_is_back(stack: Stack, watch: Watch, service: str) -> None:
    watch.loop_closes(60)
    others = {other: stack.pid(other) for other in SERVICES if other != service}
    old = stack.pid(service)
    stack.kill(service)
    began_s = time.monotonic()
    watch.until(lambda: stack.pid(service) not in (0, old), f"{service} started anew", 30)
    watch.loop_closes(60)
    print(
        f"\n{service} killed; reports, actions and results flow again after {time.monotonic() - began_s:.1f} s"
    )
    assert {other: stack.pid(other) for other in others} == others  # nobody else had to start anew


def test_an_operator_stops_and_revives_all_nodes(stack: Stack, watch: Watch) -> None:
    watch.loop_closes(60)
    for order in ("--kill", "--revive"):
        done = stack.compose("--profile", "operator", "run", "--rm", "operator", "order", "all", order)
        assert done.returncode == 0, done.stderr
        assert all(f"site{n} obeys" in done.stdout for n in range(7))
    watch.loop_closes(60)


def test_sigterm_ends_a_client_in_order_within_its_grace(stack: Stack, watch: Watch) -> None:
    watch.loop_closes(60)
    for service in (*XAPPS, "node"):  # the xApps first: the node answers what they have asked
        began_s = time.monotonic()
        podman("stop", "-t", str(GRACE_S), stack.container(service))
        took_s = time.monotonic() - began_s
        assert took_s < GRACE_S
        assert stack.state(service)["State"]["ExitCode"] == 0, stack.logs(service)
        watch.until(lambda name=CLIENTS[service]: not watch.alive[name], f"the end of {service}", 5)  # type: ignore[misc]  # because mypy infers no lambda with defaults
        print(f"\n{service} drained and ended in {took_s:.1f} s")
    summary = stack.logs("qos_scheduler").rpartition("live:")[2]
    assert "applied" in summary
    assert "unknown" not in summary  # the actions of the last moments got their answers, too


def test_without_certificates_nothing_starts_and_one_line_says_why(secrets: Path, tmp_path: Path) -> None:
    bare = Stack(secrets=tmp_path, project="ranloop-bare")
    done = bare.compose("up", "-d", secrets=False)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if "RANLOOP_SECRETS" in line]
    assert "there are no certificates; make them with docker/secrets.sh, or start with make up" in line


def test_a_port_that_is_taken_is_named_in_a_line(secrets: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        lines = complaints(Stack(secrets=secrets, page_port=port, project="ranloop-taken"))
    assert any(f"{port}" in line and "address already in use" in line for line in lines), lines


def test_certificates_from_before_there_was_a_page_are_named_in_a_line(secrets: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(secrets, old, ignore=shutil.ignore_patterns("page*"))
    lines = complaints(Stack(secrets=old, project="ranloop-old"))
    assert any(f"bind source path does not exist: {old}/page" in line for line in lines), lines


def complaints(stack: Stack) -> list[str]:
    """What is said when the page cannot be started."""
    try:
        up = stack.compose("up", "-d", "page")
        assert up.returncode != 0
        return up.stderr.splitlines()
    finally:
        stack.compose("down", "-v", "-t", "2")


def test_a_nats_cluster_loses_each_of_its_servers_in_turn(secrets: Path) -> None:
    files = ("docker/compose.yaml", "docker/compose.nats.yaml")
    cluster = Stack(secrets=secrets, files=files, project="ranloop-nats")
    began_s = time.monotonic()
    with running(cluster) as up, contextlib.closing(up.bus("observer", within_s=30)) as bus:
        watch = Watch(bus)
        watch.loop_closes(120)
        print(f"\nNATS cluster: up to the first applied action {time.monotonic() - began_s:.1f} s")
        for server in ("broker-3", "broker-2", "broker"):
            old = up.pid(server)
            up.kill(server)
            began_s = time.monotonic()
            watch.until(lambda at=server, old=old: up.pid(at) not in (0, old), f"{server} started anew", 30)  # type: ignore[misc]  # because mypy infers no lambda with defaults
            watch.loop_closes(90)
            print(f"{server} killed; the loop is closed again after {time.monotonic() - began_s:.1f} s")
