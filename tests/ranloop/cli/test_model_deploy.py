"""`ranloop model deploy` and `terminate` reach an xApp that runs live, and say what is in force there."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from ranloop.bus import open_bus
from ranloop.cli.logs import configure_logs
from ranloop.guard import AuditLog
from ranloop.node import LiveHost, NodeHost, Registration
from ranloop.testing.worlds import ToyWorld
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.command import Command
from tests.model_packages import FEATURES, write_model

APP = """
from ranloop import Report, XApp
app = XApp()
rate = app.model("rate")
@app.on_report("DRB.UEThpDl")
def look(report: Report) -> None:
    rate(report)
"""
MANIFEST = """
name = "looker"
version = "1"
summary = "Looks."
[[streams]]
level = "ue"
every_ms = 100
measurements = ["DRB.UEThpDl"]
[models]
rate = "../rate"
[settings.gain]
type = "float"
default = 1.0
description = "of nothing"
"""
_fresh = itertools.count()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[str, Instance, AuditLog]]:
    """A host and its xApp, each on a thread: the bus, the xApp, and the host's audit log."""
    configure_logs()
    write_model(tmp_path / "rate", features=FEATURES[:1])
    shutil.copytree(tmp_path / "rate", tmp_path / "new")
    folder = tmp_path / "looker"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    (folder / "manifest.toml").write_text(MANIFEST)
    url, instance, audit = f"memory://deploy-{next(_fresh)}", Instance(load_package(folder)), AuditLog()
    with ExitStack() as stack:
        host_bus, bus = (
            stack.enter_context(closing(open_bus(url, name=name))) for name in ("host", "looker")
        )
        node = NodeHost(
            ToyWorld(),
            host_bus,
            xapps={"looker": Registration(rights=instance.manifest.rights)},
            audit=audit,
        )
        host, runner, stop = LiveHost(node, speed=0.05), LiveRunner(instance, bus), threading.Event()
        threads = [threading.Thread(target=runner.run, args=(stop,)), threading.Thread(target=host.run)]
        for thread in threads:
            thread.start()
        yield url, instance, audit
        stop.set()
        threads[0].join(10.0)
        host.stop()
        threads[1].join(10.0)


def test_a_model_is_deployed_in_stages_and_terminated_while_its_xapp_runs(
    running: tuple[str, Instance, AuditLog],
    ranloop: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ranloop.cli.settings.QUIET_S", 0.05)
    url, instance, audit = running
    new = tmp_path / "new"

    def model(*words: object) -> str:
        outcome = ranloop("model", *map(str, words), "--bus", url)
        return str(outcome.complaint if outcome.code else outcome.out)

    place = ("host", "looker", "rate")
    assert model("deploy", *place, new) == f'gain = 1.0\nmodel:rate = "shadow {new}"\n'
    assert model("deploy", *place, new, "--canary", "10%") == f'gain = 1.0\nmodel:rate = "canary 10% {new}"\n'
    held = ("--while", "CQI at most 5% less")
    assert model("deploy", *place, new, "--canary", "10%", *held) == (
        f'gain = 1.0\nmodel:rate = "canary 10% while CQI at most 5% less: {new}"\n'
    )
    assert model("deploy", *place, new, *held).startswith("--while 'CQI at most 5% less' compares a canary's")
    assert model("deploy", *place, tmp_path / "gone", "--all") == (
        f"{tmp_path / 'gone'} is no model package: it has no card.toml; nothing has changed"
    )
    assert model("deploy", *place, new, "--all") == f'gain = 1.0\nmodel:rate = "all {new}"\n'
    assert model("terminate", *place) == 'gain = 1.0\nmodel:rate = "off; instead of it: no value"\n'
    assert instance.models["rate"].off
    assert model("deploy", *place, new, "--all", "--shadow").startswith(
        "--shadow, --canary and --all are stages of one candidate"
    )
    assert model("deploy", *place, "elsewhere").startswith("elsewhere is not here; give its absolute path")
    assert model("deploy", "host", "looker", "speed", new).startswith(
        "looker has no model 'speed'; it has: rate"
    )
    ordered = [record.facts for record in audit if record.event == "settings_ordered"]
    assert {"model:rate": f"canary 10% {new}"} in [dict(facts["values"]) for facts in ordered]
    assert all(facts["by"] for facts in ordered)
