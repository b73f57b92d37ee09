"""The live page and Prometheus in their containers: they show what runs, and nothing of theirs holds up a loop."""

from __future__ import annotations

import json
import os
import signal
import struct
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from websockets.sync.client import connect

from tests.docker.engine import GRACE_S, ROOT, XAPPS, Stack, Watch, podman, running
from tests.ranloop.metrics.scraped import get, scrape

pytestmark = pytest.mark.containers

OTHERS = ("broker", "node", *XAPPS)
# What qos_scheduler and kpm_monitor read: an observer hears that and no more.
WATCHED = {
    "op": "watch",
    "columns": {"qos_flow": ["CQI"], "cell": ["RRU.PrbTotDl"]},
    "span": None,
}


def url_of(stack: Stack, path: str = "") -> str:
    return f"http://localhost:{stack.page_port}/{path}"


def health_of(stack: Stack, page: str) -> tuple[int, str]:
    return get(f"http://{stack.address('page')}:9464/{page}")


def until(done: Callable[[], object], within_s: float = 60.0) -> float:
    """Seconds until `done`, which may fail with an OSError meanwhile."""
    began_s, why = time.monotonic(), "it never became true"
    while time.monotonic() - began_s < within_s:
        try:
            if done():
                return time.monotonic() - began_s
        except OSError as error:
            why = repr(error)
        time.sleep(0.2)
    raise AssertionError(f"not within {within_s:g} s: {why}")


def shown(stack: Stack, within_s: float = 60.0) -> dict[str, Any]:
    """What a browser is shown, up to reports of cells and flows, a decision that was applied, and the bus's health."""
    seen: dict[str, Any] = {"levels": set(), "decisions": [], "bus": {}}
    give_up_s = time.monotonic() + within_s
    with connect(url_of(stack, "events").replace("http", "ws"), open_timeout=30) as client:
        client.send(json.dumps(WATCHED))
        while not (len(seen["levels"]) == 2 and seen["decisions"] and seen["bus"]):
            assert time.monotonic() < give_up_s, seen
            message = client.recv(timeout=within_s)
            if isinstance(message, bytes):
                n_bytes, _ = struct.unpack_from("<II", message)
                seen["levels"].add(json.loads(message[8 : 8 + n_bytes])["level"])
                continue
            fact = json.loads(message)
            if fact["kind"] == "health":
                seen["bus"] = fact["broker"]
            if fact["kind"] == "said":
                of_results = "result", "qos_scheduler"
                seen["decisions"] += [
                    line for line in fact["lines"] if (line["event"], line["xapp"]) == of_results
                ]
    return seen


def query(stack: Stack, expression: str) -> dict[str, float]:
    """Instance -> value, as Prometheus answers now."""
    status, text = get(f"http://localhost:{stack.prometheus_port}/api/v1/query?query={quote(expression)}")
    assert status == 200, text
    found = json.loads(text)["data"]["result"]
    return {one["metric"].get("instance", ""): float(one["value"][1]) for one in found}


def test_a_browser_is_shown_reports_and_decisions_of_containers(stack: Stack) -> None:
    with urllib.request.urlopen(url_of(stack), timeout=30) as answer:
        assert answer.read().startswith(b"<!doctype html>")
    seen = shown(stack)
    assert seen["levels"] == {"qos_flow", "cell"}
    assert seen["bus"]["connected"]
    assert seen["decisions"][0]["node"].startswith("site")


def test_it_watches_only_and_goes_by_the_name_of_this_machine_alone(stack: Stack) -> None:
    status, text = get_as(stack, "evil.example")
    assert (status, text) == (421, "this page is not served under that name")
    assert order(stack, "", {}) == (403, "this page watches only: start it with --operator-token FILE")
    (published,) = stack.state("page")["NetworkSettings"]["Ports"]["8480/tcp"]
    assert published["HostIp"] == "127.0.0.1"


def get_as(stack: Stack, name: str) -> tuple[int, str]:
    return asked(urllib.request.Request(url_of(stack), headers={"Host": name}))


def asked(request: urllib.request.Request) -> tuple[int, str]:
    """Status and text of the answer."""
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_a_page_that_is_killed_comes_back_and_the_loop_goes_on(stack: Stack, watch: Watch) -> None:
    watch.loop_closes(60)
    others, old = {other: stack.pid(other) for other in OTHERS}, stack.pid("page")
    stack.kill("page")
    began_s = time.monotonic()
    watch.loop_closes(30)
    until(lambda: stack.pid("page") not in (0, old) and get_as(stack, "localhost")[0] == 200)
    back_s = time.monotonic() - began_s
    assert shown(stack)["bus"]["connected"]
    print(f"\npage killed; it is back after {back_s:.1f} s")
    assert {other: stack.pid(other) for other in OTHERS} == others


def test_a_page_that_hangs_and_browsers_that_read_nothing_hold_nobody_up(stack: Stack, watch: Watch) -> None:
    watch.loop_closes(60)
    with ExitStack() as browsers:
        for _ in range(8):
            browser = connect(url_of(stack, "events").replace("http", "ws"), open_timeout=30, max_queue=1)
            browsers.enter_context(browser).send(json.dumps(WATCHED))
        os.kill(stack.pid("page"), signal.SIGSTOP)
        try:
            for _ in range(3):
                print(f"\nwith a page that hangs the loop is closed after {watch.loop_closes(30):.1f} s")
                time.sleep(1)
        finally:
            os.kill(stack.pid("page"), signal.SIGCONT)
    until(lambda: health_of(stack, "healthz") == (200, "ok\n"))
    before = scrape(f"http://{stack.address('page')}:9464")["ranloop_page_reports_total",]
    until(lambda: scrape(f"http://{stack.address('page')}:9464")["ranloop_page_reports_total",] > before)
    assert scrape(f"http://{stack.address('node')}:9464")["ranloop_bus_messages_unsent_total", "all"] == 0


def test_prometheus_scrapes_host_xapps_and_page(stack: Stack) -> None:
    wanted = {f"{service}:9464": 1.0 for service in ("node", *XAPPS, "page")}
    took_s = until(lambda: query(stack, "up") == wanted)
    print(f"\nPrometheus has scraped all four after {took_s:.1f} s")
    assert query(stack, "ranloop_ready") == wanted
    until(lambda: query(stack, 'ranloop_host_targets_total{status="applied"} > 0'))
    until(lambda: query(stack, "ranloop_page_reports_total > 0"))


def test_an_alert_rule_is_loaded_and_fires(stack: Stack) -> None:
    groups = json.loads(get(f"http://localhost:{stack.prometheus_port}/api/v1/rules")[1])["data"]["groups"]
    loaded = {rule["name"] for group in groups for rule in group["rules"]}
    text = (ROOT / "docker/prometheus/alerts.yml").read_text()
    assert loaded == {line.split()[-1] for line in text.splitlines() if "- alert: " in line}
    fires = 'count by () (ALERTS{alertname="RanloopKillSwitchOn", alertstate="firing"}) or vector(0)'
    for order, wanted in (("--kill", 7), ("--revive", 0)):
        done = stack.compose("--profile", "operator", "run", "--rm", "operator", "order", "all", order)
        assert done.returncode == 0, done.stderr
        until(lambda wanted=wanted: query(stack, fires) == {"": wanted})  # type: ignore[misc]  # because mypy infers no lambda with defaults


def test_sigterm_ends_the_page_in_order(stack: Stack) -> None:
    began_s = time.monotonic()
    podman("stop", "-t", str(GRACE_S), stack.container("page"))
    assert time.monotonic() - began_s < GRACE_S
    assert stack.state("page")["State"]["ExitCode"] == 0, stack.logs("page")


def test_a_page_with_a_token_orders_and_the_guards_obey(secrets: Path) -> None:
    files = ("docker/compose.yaml", "docker/compose.orders.yaml")
    token = (secrets / "page-operator" / "token").read_text().strip()
    with running(Stack(secrets=secrets, files=files, project="ranloop-orders")) as up:
        until(lambda: get_as(up, "localhost")[0] == 200)
        until(lambda: health_of(up, "readyz")[0] == get(f"http://{up.address('node')}:9464/readyz")[0] == 200)
        for what in ("kill", "revive"):
            wanted = {"what": what, "node": "site3", "confirm": "site3"}
            assert order(up, "not-the-operators-token", wanted) == (403, "that is not the operator's token")
            assert order(up, token, wanted) == (200, "site3 obeys")


def order(stack: Stack, token: str, wanted: dict[str, str]) -> tuple[int, str]:
    headers = {"Origin": url_of(stack)[:-1], "Authorization": f"Bearer {token}"}
    return asked(urllib.request.Request(url_of(stack, "order"), json.dumps(wanted).encode(), headers))
