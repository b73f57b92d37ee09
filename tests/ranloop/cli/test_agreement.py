"""One run, told by the audit log, by `ranloop top` and by the page of the host, of the bus and of the recording."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ranloop.bus import open_bus
from ranloop.cli import dashboard_command
from ranloop.cli.bus_view import BusView
from ranloop.cli.top import look
from ranloop.guard import AuditLog
from ranloop.node import LiveHost, NodeHost, Recorder, Registration, VirtualClock
from ranloop.page import History, Watcher
from ranloop.page.roster import Rates
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Order
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import MANIFEST, write_xapp
from tests.command import Command

MS = 1_000_000
URL = "memory://agreement"
APP = """
from ranloop import SetUeWeight, XApp
app = XApp()

@app.on_report("DRB.UEThpDl")
def act(report):
    if report.node == "toy-1":
        return SetUeWeight(ue=[0, 1], weight=[2.0, 9.0])  # 9 is beyond what the manifest allows
"""
# Reports of 100 to 500 ms lead to five batches, each with one target that is applied 10 ms later and one that is refused.
# The kill at 550 ms ends the one setting. Of the batches of 600 to 900 ms, both targets are refused, the second one still
# for its range, which is checked first. The batch of 1,000 ms comes when the run is over.
COUNTS = {"applied": 5, "refused/range": 5, "refused/killed": 8, "ended/killed": 1}


def fates(history: History) -> Counter[str]:
    """Targets by fate, as a page is told them."""
    _, text = history.facts["fates/0"]
    found: Counter[str] = Counter()
    for _, _, name, n_targets, _ in json.loads(text)["fates"]:
        found[name] += n_targets
    return found


def row(history: History) -> dict[str, Any]:
    """The one xApp in the table of health, as a page is told it."""
    _, text = history.facts["health"]
    (found,) = json.loads(text)["xapps"]
    return dict(found)


def test_the_audit_log_top_and_the_pages_agree_on_one_run(
    tmp_path: Path, ranloop: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = MANIFEST.format(name="weigher").replace("CQI", "DRB.UEThpDl")
    package = load_package(write_xapp(tmp_path / "weigher", app=APP, text=manifest))
    folder, audit, of_host, of_bus = tmp_path / "run", tmp_path / "audit.jsonl", History(), History()
    world = ToyWorld()
    with ExitStack() as stack:
        host_bus, xapp_bus, observer = (
            stack.enter_context(closing(open_bus(URL, name=name))) for name in ("host", "weigher", "observer")
        )
        view = BusView(observer, traffic=True, on_seen=lambda seen: of_bus.take(seen))  # type: ignore[arg-type]
        host = NodeHost(
            world,
            host_bus,
            xapps={"weigher": Registration(rights=package.manifest.rights)},
            audit=stack.enter_context(AuditLog(audit)),
            outlets=[stack.enter_context(closing(Recorder(folder, world)))],
            onlooker=stack.enter_context(Watcher(of_host)),
        )
        live, runner = LiveHost(host, clock=VirtualClock()), LiveRunner(Instance(package), xapp_bus)
        live.begin()
        runner.turn()

        def until(ran_time_ms: int) -> None:
            while world.now_ns < ran_time_ms * MS:
                live.turn(ran_time_ms * MS)
                live.settle()
                runner.turn()
                observer.poll(0.0)

        until(550)
        xapp_bus.publish(topics.order("toy-1"), encode(Order(id="1", kill=True)), qos=1, retain=True)
        until(950)
        summary = host.runtime.summary()
        seen = look(view, Rates())
        of_bus.tell_so_far()
    assert dict(summary.outcomes) == COUNTS
    assert seen["xapps"][0]["targets"] == COUNTS
    assert fates(of_host) == fates(of_bus) == COUNTS
    assert row(of_host)["targets"] == COUNTS
    told = Counter[str]()
    for line in ranloop("audit", audit, "--xapp", "weigher", "--json").out.splitlines():
        one = json.loads(line)
        if "verdict" in one:
            told["/".join(filter(None, (one["verdict"], one["cause"])))] += max(one["repeats"], 1)
    assert told == COUNTS
    of_recording = shown(folder, audit, monkeypatch)
    assert fates(of_recording) == COUNTS
    assert row(of_recording)["targets"] == COUNTS
    assert row(of_recording)["refused"] == row(of_host)["refused"] == seen["xapps"][0]["refused"]


def shown(folder: Path, audit: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """What the page of a recording shows."""
    histories: list[History] = []

    @contextmanager
    def serve(history: History, *_: object, **__: object) -> Iterator[str]:
        histories.append(history)
        yield ""

    monkeypatch.setattr(dashboard_command, "serve", serve)
    monkeypatch.setattr(dashboard_command, "stop_on_signals", lambda: None)
    monkeypatch.setattr(dashboard_command, "wait", lambda stop: None)
    dashboard_command.show_recording(folder, "", served_as=(), audit=audit, json_output=False)
    return histories[0]
