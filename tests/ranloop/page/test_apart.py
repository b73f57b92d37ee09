"""A page in a process of its own: what it is told and tells, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.sync.client import ClientConnection, connect

from ranloop.bus import open_bus
from ranloop.embedded import run_embedded
from ranloop.errors import RanloopError
from ranloop.metrics import PageSource, Process
from ranloop.metrics.exposition import exposition
from ranloop.node import NodeHost, Registration
from ranloop.page import Watcher
from ranloop.page.apart import PageApart, PageFacts
from ranloop.testing.worlds import ToyWorld
from ranloop.wire.codec import decode_action_batch, decode_catalogue, encode
from ranloop.wire.messages import Labels
from tests.ranloop.metrics.scraped import read
from tests.ranloop.node.scripted import rights
from tests.ranloop.page.scenes import catalogue, cells, decision, ues

MODULE = "ranloop.cli.page_process"
WATCH = json.dumps({"op": "watch", "columns": {"ue": ["CQI"]}, "span": None})
Facts = list[dict[str, Any]]


def until(what: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    give_up_s = time.monotonic() + timeout_s
    while not what() and time.monotonic() < give_up_s:
        time.sleep(0.02)
    return what()


def heard(client: ClientConnection, kinds: set[str]) -> tuple[Facts, int]:
    """The facts up to those of all `kinds`, and how many binary messages came up to then."""
    facts: Facts = []
    n_frames = 0
    while not n_frames or not kinds <= {fact["kind"] for fact in facts}:
        message = client.recv(timeout=30)
        if isinstance(message, bytes):
            n_frames += 1
        else:
            facts.append(json.loads(message))
    return facts, n_frames


@pytest.fixture
def page() -> Iterator[PageApart]:
    facts = PageFacts(address="127.0.0.1:0", place="mqtt://broker", background={"cell": ("RRU.PrbTotDl",)})
    with PageApart(facts, MODULE) as page:
        yield page


@contextmanager
def watching(page: PageApart) -> Iterator[ClientConnection]:
    """A page that is open in a browser."""
    with connect(page.url.replace("http", "ws") + "events", open_timeout=30) as client:
        client.send(WATCH)
        yield client


def test_what_happens_is_shown_and_what_is_looked_at_comes_back(page: PageApart) -> None:
    assert until(lambda: page.looks_at == {"cell": {"RRU.PrbTotDl"}})
    page.meet([catalogue()])
    with Watcher(page) as watcher, watching(page) as client:
        for seq in range(3):
            watcher.take(ues(seq))
            watcher.take(cells(seq))
        watcher.take(decision(0.25, ue=2))
        facts, _ = heard(client, {"catalogue", "said", "filled"})
        assert until(lambda: page.looks_at == {"cell": {"RRU.PrbTotDl"}, "ue": {"CQI"}})
        assert until(lambda: page.counts["open"] == 1)
    (line,) = next(fact["lines"] for fact in facts if fact["kind"] == "said")
    assert (line["xapp"], line["targets"]) == ("qos", [[2]])
    assert until(lambda: page.looks_at == {"cell": {"RRU.PrbTotDl"}})  # nobody looks any more


def test_messages_that_came_over_a_bus_are_shown(page: PageApart) -> None:
    record = decision(0.25, ue=2)
    assert record.batch is not None
    batch = decode_action_batch(encode(record.batch))
    report = replace(ues(0), labels=Labels({"ue": {0: "somebody"}}))
    toy = decode_catalogue(encode(catalogue()))
    with watching(page) as client:
        page.meet([toy])
        page.take(report)
        page.take(replace(record, batch=batch))
        page.flush()
        facts, _ = heard(client, {"catalogue", "said"})
    assert [fact["node"] for fact in facts if fact["kind"] == "catalogue"] == ["site0"]


def test_a_host_tells_of_its_broker_its_nodes_and_its_xapps(page: PageApart) -> None:
    with open_bus("memory://apart", name="host") as bus, Watcher(page) as watcher, watching(page) as client:
        xapps = {"away": Registration(rights=rights("SetUeWeight"))}
        host = NodeHost(ToyWorld(), bus, name="north", xapps=xapps, onlooker=watcher)
        host.announce(alive=True)
        host.runtime.flush()
        health = health_of(client)
    assert health["broker"] == {
        "address": "mqtt://broker",
        "connected": True,
        "reconnects": 0,
        "dropped": 0,
        "conflated": 0,
        "unsent": 0,
    }
    assert [(one["node"], one["host"], one["killed"]) for one in health["nodes"]] == [
        ("toy-1", "north", False),
        ("toy-2", "north", False),
    ]
    assert [(one["xapp"], one["alive"], one["autonomy"]["toy-1"]) for one in health["xapps"]] == [
        ("away", False, "act")
    ]


def health_of(client: ClientConnection) -> dict[str, Any]:
    while True:
        message = client.recv(timeout=30)
        if isinstance(message, str) and (fact := json.loads(message))["kind"] == "health":
            return dict(fact)


def test_a_page_that_dies_costs_the_loop_nothing_but_the_page(page: PageApart) -> None:
    process = Process()
    with capture_logs() as logged, Watcher(page) as watcher:
        process.show("run", "x", {}, PageSource(page=page, watchers=[watcher]))
        os.kill(page._process.pid, signal.SIGKILL)
        assert until(lambda: not page.is_up)
        assert page.looks_at == {}  # the nodes collect nothing for it any more
        run = run_embedded(ToyWorld(duration_s=0.5), [], onlooker=watcher)
        assert run.summary.ran_time_ns == 500_000_000
        assert until(lambda: watcher.n_dropped > 0)
        seen = read(exposition(process)("")[0].decode())
    assert seen["ranloop_page_up",] == 0
    assert seen["ranloop_page_events_dropped_total",] == watcher.n_dropped
    assert {"page_ended", "outlet_failed"} <= {one["event"] for one in logged}


def test_two_watchers_may_share_a_page(page: PageApart) -> None:
    with Watcher(page) as first, Watcher(page, 1) as second:
        for seq in range(200):
            first.take(ues(seq, n=1000))
            second.take(ues(seq, n=1000))
    assert page.is_up
    with watching(page) as client:
        facts, _ = heard(client, {"filled"})
    (filled,) = (fact["frames"] for fact in facts if fact["kind"] == "filled")
    assert filled == 400  # nothing was lost or mixed up
    assert (first.n_dropped, second.n_dropped) == (0, 0)


def test_a_page_that_stands_still_holds_nobody_up(page: PageApart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranloop.node.outlets.CLOSE_S", 0.3)
    monkeypatch.setattr("ranloop.page.apart._CLOSE_S", 0.3)
    os.kill(page._process.pid, signal.SIGSTOP)
    with capture_logs() as logged:
        with Watcher(page) as watcher:
            for seq in range(100):
                watcher.take(ues(seq, n=5000))  # 100 times 120 kB: more than a socket keeps
        page.close()
    assert watcher.n_dropped > 0
    assert "outlet_did_not_end" in {one["event"] for one in logged}
    assert page._process.returncode == -signal.SIGKILL


def test_a_page_ends_with_its_host_and_not_before(page: PageApart) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(page._process.pid, number)  # Ctrl-C reaches all of a terminal's processes
    with watching(page) as client:
        assert json.loads(client.recv(timeout=30))["kind"] == "hello"
    page._socket.shutdown(2)  # as if this process were gone
    assert page._process.wait(10) == 0


@pytest.mark.parametrize(
    ("address", "token", "complaint"),
    [
        ("192.0.2.1:0", None, "no page at 192.0.2.1:0: .*; choose another HOST:PORT"),
        ("127.0.0.1:0", "none", "--operator-token .*none: cannot be read"),
    ],
)
def test_a_page_that_cannot_be_served_is_told_in_one_line(
    address: str, token: str | None, complaint: str, tmp_path: Path
) -> None:
    file = None if token is None else tmp_path / token
    with pytest.raises(RanloopError, match=complaint) as error:
        PageApart(PageFacts(address=address, background={}, operator_token=file), MODULE)
    assert "\n" not in str(error.value)
