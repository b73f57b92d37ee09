"""A host and an xApp, each in a process of its own on a real broker, scraped as Prometheus does it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from ranloop.metrics.server import listen
from ranloop.testing.brokers import running_broker
from tests.builders import MANIFEST, write_xapp
from tests.command import Command
from tests.ranloop.hostile import environment_of, hosting, wait_until
from tests.ranloop.metrics.promtool import promtool, require
from tests.ranloop.metrics.scraped import get, scrape

pytestmark = pytest.mark.broker
RULES = Path(__file__).parents[3] / "docker" / "prometheus" / "alerts.yml"
APP = """
from ranloop import SetUeWeight, XApp
app = XApp()

@app.on_report("DRB.UEThpDl")
def act(report):
    return SetUeWeight(ue=report.ue, weight=2.0)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manifest = MANIFEST.format(name="weigher").replace("CQI", "DRB.UEThpDl")
    return write_xapp(tmp_path / "weigher", app=APP, text=manifest)


@contextmanager
def running(folder: Path, url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`ranloop run` of an xApp on a bus, with metrics."""
    command: list[str | Path] = [
        Path(sys.executable).with_name("ranloop"),
        "run",
        folder,
        "--bus",
        url,
        "--metrics",
        "0",
    ]
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, stderr=said, stdout=subprocess.DEVNULL, env=environment_of(log.parent)
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def base_url(log: str) -> str:
    """Where the pages are, "" if that is not said yet."""
    found = re.search(r"metrics are on (http://127\.0\.0\.1:\d+)/metrics", log)
    return found[1] if found else ""


def test_host_and_xapp_are_scraped_and_say_why_they_are_not_ready(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "xapp.log"
    with running_broker("mosquitto") as broker, running(folder, broker.url, log):
        wait_until(lambda: bool(base_url(log.read_text())))
        xapp = base_url(log.read_text())
        wait_until(lambda: "hosts seen: none" in get(f"{xapp}/readyz")[1])
        assert get(f"{xapp}/readyz")[0] == 503
        with hosting(broker.url, tmp_path, [folder], "--metrics", "0") as host:
            there = base_url(host.log)
            wait_until(lambda: get(f"{xapp}/readyz")[0] == 200)
            assert get(f"{there}/readyz") == get(f"{there}/healthz") == (200, "ok\n")
            applied = "SetUeWeight", "none", "applied", "weigher"
            wait_until(lambda: scrape(there).get(("ranloop_host_targets_total", *applied), 0) >= 10)
            seen, counted = scrape(xapp), scrape(there)
            assert (
                counted["ranloop_bus_connected", "operator"] == counted["ranloop_bus_connected", "all"] == 1
            )
            # One report of each node every 100 ms: what the xApp has had, the host has sent by then.
            had = seen["ranloop_xapp_reports_total", "toy-1", "weigher"]
            assert 0 < had <= counted["ranloop_host_reports_total", "toy-1"]
            assert seen["ranloop_xapp_answer_seconds_count", "weigher"] > 0
            assert (
                seen["ranloop_xapp_handler_seconds_count", "report", "100", "act", "weigher"] >= 2 * had - 1
            )
            assert seen["process_resident_memory_bytes",] > 1e7
            for base in (xapp, there):
                checked = promtool("check", "metrics", stdin=get(f"{base}/metrics")[1])
                assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
            broker.kill()
            wait_until(lambda: get(f"{there}/readyz") == (503, "the broker is away\n"))
            wait_until(lambda: get(f"{xapp}/readyz") == (503, "the broker is away\n"))
            assert (
                get(f"{there}/healthz")[0] == get(f"{xapp}/healthz")[0] == 200
            )  # to start anew would not help
            assert scrape(there)["ranloop_bus_connected", "all"] == 0


@pytest.mark.slow
def test_prometheus_itself_scrapes_both_and_fires_the_alert_of_the_kill_switch(
    ranloop: Command, folder: Path, tmp_path: Path
) -> None:
    require("prometheus")
    log = tmp_path / "xapp.log"
    with ExitStack() as stack:
        broker = stack.enter_context(running_broker("mosquitto"))
        stack.enter_context(running(folder, broker.url, log))
        host = stack.enter_context(hosting(broker.url, tmp_path, [folder], "--metrics", "0"))
        wait_until(lambda: bool(base_url(log.read_text())))
        query = stack.enter_context(prometheus(tmp_path, [base_url(host.log), base_url(log.read_text())]))
        wait_until(lambda: query("sum(up) == 2 and sum(rate(ranloop_xapp_reports_total[5s])) > 5"))
        assert query('sum(ranloop_host_targets_total{status="applied"}) > 0')
        assert not query('ALERTS{alertstate="firing"}')
        assert ranloop("order", "toy-2", "--kill", "--bus", broker.url).code == 0
        wait_until(
            lambda: query('ALERTS{alertname="RanloopKillSwitchOn", alertstate="firing", node="toy-2"}')
        )
        assert not query('ALERTS{alertname="RanloopKillSwitchOn", node="toy-1"}')


@contextmanager
def prometheus(folder: Path, bases: Sequence[str]) -> Iterator[Callable[[str], bool]]:
    """Prometheus with our alert rules; whether an expression has any result now."""
    with closing(listen("0")) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    targets = [base.removeprefix("http://") for base in bases]
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "ranloop", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.json").write_text(json.dumps(configuration))
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.json'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
    ]
    with (folder / "prometheus.log").open("wb") as said:
        process = subprocess.Popen([*command, f"--web.listen-address={place}"], stderr=said, stdout=said)
    try:

        def query(expression: str) -> bool:
            try:
                status, text = get(f"http://{place}/api/v1/query?{urlencode({'query': expression})}")
            except OSError:  # it is starting
                return False
            return status == 200 and bool(json.loads(text)["data"]["result"])

        yield query
    finally:
        process.kill()
        process.wait()


def test_a_taken_port_ends_a_command_before_it_begins(ranloop: Command, folder: Path) -> None:
    with running_broker("mosquitto") as broker:
        port = str(broker.port)
        taken = f"--metrics {port}: the port is taken; choose another one, or 0 for any that is free"
        assert ranloop("run", folder, "--bus", broker.url, "--metrics", port).complaint == taken
        assert ranloop("host", "sim:one-cell", "--bus", broker.url, "--metrics", port).complaint == taken


def test_without_the_extra_one_line_has_the_install_line(
    ranloop: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    said = ranloop("run", folder, "--node", "sim:one-cell", "--metrics", "0").complaint
    assert said == "--metrics needs an optional part: pip install 'ranloop[metrics]'"
