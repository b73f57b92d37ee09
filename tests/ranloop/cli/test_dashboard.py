"""`--dashboard` and `ranloop dashboard`: a page in a process of its own, and each wrong input in one line."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from websockets.sync.client import connect

from ranloop.bus import open_bus
from ranloop.cli import dashboard_command
from ranloop.embedded import run_embedded
from ranloop.guard import AuditLog
from ranloop.node import Recorder
from ranloop.page import History
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import encode
from tests.builders import write_xapp
from tests.command import Command
from tests.ranloop.hostile import wait_until
from tests.ranloop.metrics.scraped import get, scrape
from tests.ranloop.page.test_onlooker import APP, MANIFEST
from tests.ranloop.wire.samples import result

PAGE = ("--at", "127.0.0.1:0", "--json")


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    return write_xapp(tmp_path / "reader", app=APP, text=MANIFEST)


@contextmanager
def dashboard(*arguments: object, stderr: int | IO[str] = subprocess.PIPE) -> Iterator[str]:
    """`ranloop dashboard …` in a process; its address. It ends in order when it is told to."""
    command = [sys.executable, "-m", "ranloop_start", "dashboard", *map(str, arguments), *PAGE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield json.loads(line)["url"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def told(url: str, columns: dict[str, list[str]], enough: int) -> tuple[list[dict[str, Any]], int]:
    """The JSON messages of a page, and how many binary ones came, up to the first `enough` kinds of message."""
    facts: list[dict[str, Any]] = []
    n_frames = 0
    with connect(url.replace("http", "ws") + "events", open_timeout=30) as client:
        client.send(json.dumps({"op": "watch", "columns": columns, "span": None}))
        give_up_s = time.monotonic() + 30
        while time.monotonic() < give_up_s and (
            n_frames == 0 or len({fact["kind"] for fact in facts}) < enough
        ):
            message = client.recv(timeout=30)
            if isinstance(message, bytes):
                n_frames += 1
            else:
                facts.append(json.loads(message))
    return facts, n_frames


def test_a_recording_is_shown_with_its_decisions(reader: Path, tmp_path: Path) -> None:
    folder, audit = tmp_path / "run", tmp_path / "audit.jsonl"
    world = ToyWorld(duration_s=1.0)
    recorder = Recorder(folder, world)
    with AuditLog(audit) as log:
        run_embedded(world, [reader], outlets=[recorder], audit=log)
    recorder.close()
    with dashboard("--recording", folder, "--audit", audit) as url:
        facts, n_frames = told(url, {"ue": ["DRB.UEThpDl"]}, enough=7)
    hello = next(fact for fact in facts if fact["kind"] == "hello")
    assert (hello["mode"], hello["title"], hello["orders"]) == ("recording", str(folder), False)
    assert {fact["node"] for fact in facts if fact["kind"] == "catalogue"} == {"toy-1", "toy-2"}
    said = [line for fact in facts if fact["kind"] == "said" for line in fact["lines"]]
    assert {"admitted", "result"} <= {line["event"] for line in said}
    assert [(fact["from"], fact["to"]) for fact in facts if fact["kind"] == "span"] == [(0.1, 1.0)]
    assert n_frames > 0


@pytest.mark.broker
def test_a_bus_is_shown_to_an_observer(reader: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (
        running_broker("mosquitto") as broker,
        dashboard("--bus", broker.url, "--metrics", port) as url,
    ):
        facts = told_of_nobody(url)
        seen = scrape(f"http://127.0.0.1:{port}")
    assert (seen["ranloop_page_up",], seen["ranloop_bus_connected", "all"]) == (1, 1)
    (health,) = [fact for fact in facts if fact["kind"] == "health"][:1]
    assert health["broker"]["connected"]
    assert health["broker"]["address"] == broker.url


@pytest.mark.broker
def test_a_page_on_a_bus_serves_its_own_metrics_and_stays_ready_while_the_broker_is_away(
    tmp_path: Path,
) -> None:
    """Whoever opens it then reads on it that the broker is away."""
    log = tmp_path / "log"
    with (
        running_broker("mosquitto") as broker,
        log.open("w") as said,
        dashboard("--bus", broker.url, "--metrics", "0", stderr=said) as url,
    ):
        found = re.search(r"metrics are on (\S+)/metrics", log.read_text())
        assert found is not None
        told_of_nobody(url)
        seen = scrape(found[1])
        assert seen["ranloop_bus_connected", "all"] == seen["ranloop_ready",] == 1
        assert seen["ranloop_page_reports_total",] == 0
        broker.kill()
        wait_until(lambda: scrape(found[1])["ranloop_bus_connected", "all"] == 0)
        assert get(f"{found[1]}/readyz") == get(f"{found[1]}/healthz") == (200, "ok\n")


class Turns:
    """In place of a signal: one turn of the loop, before which something happens."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self._happens, self._n = happens, 0

    def is_set(self) -> bool:
        self._n += 1
        if self._n == 1:
            self._happens()
        return self._n > 1


def test_a_page_on_a_bus_is_told_what_became_of_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    url, shown = "memory://what-became-of-targets", list[History]()
    answer = result()  # of two targets: one applied, one refused for its range
    with closing(open_bus(url, name="host")) as host:
        turns = Turns(lambda: host.publish(topics.result(answer.xapp, answer.node), encode(answer)))
        monkeypatch.setattr(dashboard_command, "stop_on_signals", lambda: turns)

        @contextmanager
        def serve(history: History, *_: object, **__: object) -> Iterator[object]:
            shown.append(history)
            yield object()

        monkeypatch.setattr(dashboard_command, "serve", serve)
        run = dashboard_command.show_bus(
            url, "", served_as=(), operator_token=None, metrics="", json_output=False
        )
        assert run == 0
    _, text = shown[0].facts["fates/0"]
    assert [tuple(fate[2:4]) for fate in json.loads(text)["fates"]] == [("applied", 1), ("refused/range", 1)]


def told_of_nobody(url: str) -> list[dict[str, Any]]:
    """What a page says of a bus where nobody is."""
    facts: list[dict[str, Any]] = []
    with connect(url.replace("http", "ws") + "events", open_timeout=30) as client:
        while "health" not in {fact["kind"] for fact in facts}:
            facts.append(json.loads(client.recv(timeout=30)))
    return facts


def test_a_damaged_recording_is_told(ranloop: Command, tmp_path: Path) -> None:
    (tmp_path / "recording.json").write_text("{")
    told = ranloop("dashboard", "--recording", tmp_path, *PAGE).complaint
    assert told.startswith(f"{tmp_path}: damaged recording: recording.json: ")


def test_a_bus_without_a_broker_is_told_with_another_way(ranloop: Command) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = ranloop("dashboard", "--bus", f"mqtt://127.0.0.1:{port}", *PAGE).complaint
    assert f"127.0.0.1:{port}" in told


def test_a_port_that_is_taken_is_told(ranloop: Command, reader: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = ranloop("run", reader, "--node", "sim:one-cell", "--dashboard-at", f"127.0.0.1:{port}")
    assert "Address already in use; choose another HOST:PORT" in outcome.complaint


def test_a_server_that_is_not_installed_is_told(
    ranloop: Command, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "ranloop.page.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    told = ranloop("run", reader, "--node", "sim:one-cell", "--dashboard").complaint
    assert told == "the page needs an optional part: pip install 'ranloop[page]'"


@pytest.mark.parametrize("command", [("demo",), ("run", "xapps/kpm_monitor", "--node", "sim:one-cell")])
def test_an_address_that_is_none_is_told_before_anything_runs(
    ranloop: Command, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    for opens in ("ranloop.cli.demo.run_drop", "ranloop.cli.run.open_node"):
        monkeypatch.setattr(opens, lambda *_, **__: pytest.fail("a world was opened"))
    told = ranloop(*command, "--dashboard-at", "nothing").complaint
    assert told == "'nothing' is no address of a page; want HOST:PORT, such as 127.0.0.1:8480"


@pytest.mark.parametrize(
    ("text", "complaint"), [(None, "cannot be read"), ("short\n", "5 characters, want 16 or more")]
)
def test_an_operators_file_that_cannot_be_used_is_told(
    ranloop: Command, tmp_path: Path, text: str | None, complaint: str
) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    told = ranloop("dashboard", "--operator-token", file, *PAGE).complaint
    assert complaint in told


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("dashboard", "--recording", ".", "--operator-token", "x"), "a recording takes no orders"),
        (("dashboard", "--audit", "x"), "--audit belongs to --recording"),
        (("dashboard", "--recording", ".", "--metrics", "0"), "--metrics belongs to a bus"),
        (
            ("run", "xapps/kpm_monitor", "--node", "sim:one-cell", "--beside"),
            "--beside belongs to --dashboard",
        ),
        (
            ("run", "xapps/kpm_monitor", "--dashboard"),
            "--dashboard belongs to --node; on a bus the host says it",
        ),
        (("host", "sim:one-cell", "--operator-token", "x"), "--operator-token belongs to --dashboard"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    ranloop: Command, arguments: tuple[str, ...], complaint: str
) -> None:
    assert complaint in ranloop(*arguments).complaint


@pytest.mark.parametrize("name", ["http://localhost", "localhost:8480", "", "a/b"])
def test_a_name_that_is_no_host_name_is_told(ranloop: Command, name: str) -> None:
    told = ranloop("dashboard", "--served-as", name, *PAGE).complaint
    assert told == f"--served-as {name!r}: want a host name alone, such as localhost or ran.example.net"


def test_a_run_keeps_its_page_until_it_is_told_to_end(reader: Path, tmp_path: Path) -> None:
    folder, world = tmp_path / "run", ToyWorld(duration_s=1.0)
    recorder = Recorder(folder, world)
    run_embedded(world, [reader], outlets=[recorder])
    recorder.close()
    arguments = ["run", str(reader), "--node", f"replay:{folder}", "--dashboard-at", "127.0.0.1:0"]
    command = [sys.executable, "-m", "ranloop_start", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "the run is over" in line)
        url = line.split(" stays at ")[1].split()[0]
        facts, n_frames = told(url, {"ue": ["DRB.UEThpDl"]}, enough=7)
        assert "over" in {fact["kind"] for fact in facts}
        assert n_frames > 0
        process.send_signal(signal.SIGINT)
        assert "trace_hash" in process.communicate(timeout=30)[0]
        assert process.returncode == 0
