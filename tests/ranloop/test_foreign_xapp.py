"""An xApp that never imports ranloop closes the loop with JSON, on a broker that lets it do no more than its part."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ranloop.bus import Broker, open_bus
from ranloop.testing.brokers import running_broker
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence
from tests.command import Command
from tests.ranloop.wire.page import access_list

FOLDER = Path(__file__).parents[2] / "docs" / "examples" / "foreign_xapp"
HOST_ACCESS = ["user host", "topic readwrite ranloop/1/#"]


def guarded_broker(tmp_path: Path) -> Broker:
    """mosquitto with passwords, and the access list that docs/wire.md shows, for this xApp's name and stream."""
    with running_broker("mosquitto"):  # skips or fails where there is none
        pass
    passwords, acl = tmp_path / "passwords", tmp_path / "acl"
    passwords.touch(mode=0o600)
    for user in ("host", "foreign"):
        subprocess.run(["mosquitto_passwd", "-b", passwords, user, "secret"], check=True)
    foreign = [
        line.replace("my_xapp", "foreign").replace("/ue/", "/qos_flow/")  # it reads flows
        for line in access_list()
    ]
    acl.write_text("\n".join([*HOST_ACCESS, "", *foreign, ""]))
    return Broker.start("mosquitto", acl_file=acl, password_file=passwords)


def test_the_example_knows_json_and_mqtt_only() -> None:
    tree = ast.parse((FOLDER / "xapp.py").read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert imported - sys.stdlib_module_names == {"paho"}


def test_its_folder_is_checked_by_its_manifest_and_not_run(ranloop: Command) -> None:
    checked = ranloop("check", FOLDER, "--json")
    assert checked.code == 0
    assert json.loads(checked.out)[0]["reads"] == ["qos_flow/100 ms: X.DRB.BudgetMissRateDl"]
    complaint = ranloop("run", FOLDER).complaint
    assert complaint.endswith("yourself, and admit it with `ranloop host NODE --allow`")


@pytest.mark.broker
def test_a_foreign_xapp_closes_the_loop_and_hears_every_fate(ranloop: Command, tmp_path: Path) -> None:
    if not shutil.which("mosquitto_passwd"):
        pytest.skip("mosquitto_passwd is not on PATH: apt-get install mosquitto")
    with guarded_broker(tmp_path) as broker:
        url = broker.url.replace("//", "//host:secret@")
        here = threading.Event()
        with closing(open_bus(url, name="test")) as bus:

            def on_life_sign(_topic: str, payload: bytes) -> None:
                if decode_presence(payload).alive:
                    here.set()

            bus.subscribe(topics.presence("foreign"), on_life_sign, qos=1)
            command = [
                sys.executable,
                str(FOLDER / "xapp.py"),
                "127.0.0.1",
                str(broker.port),
                "foreign",
                "secret",
            ]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as xapp:
                try:
                    while not here.is_set():
                        assert bus.poll(20.0), "no life sign of the xApp within 20 s"
                    hosted = ranloop(
                        "host", "sim:one-cell", "--allow", FOLDER, "--bus", url, "--duration-s", "2", "--json"
                    )
                    printed, _ = xapp.communicate(timeout=20)
                finally:
                    xapp.kill()
    assert (hosted.code, xapp.returncode) == (0, 0)
    fates, outcomes = json.loads(printed), json.loads(hosted.out)["targets"]
    assert fates["applied"] == outcomes["applied"] > 0
    assert fates["ended"] == sum(count for fate, count in outcomes.items() if fate.startswith("ended"))
