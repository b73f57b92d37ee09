"""How lockstep ends over a broker when somebody ends it: life signs are withdrawn, recordings are written."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ranloop.bus import open_bus
from ranloop.errors import LockstepError
from ranloop.node import LockstepHost, NodeHost, Registration
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence
from ranloop.xapp.manifest import load_manifest
from tests.builders import APP, MANIFEST, write_xapp

COMMAND = [sys.executable, "-c", "from ranloop.cli import main; main()"]
pytestmark = pytest.mark.broker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_xapp_that_is_ended_in_lockstep_withdraws_its_life_sign(
    tmp_path: Path, number: signal.Signals
) -> None:
    signs: list[bool] = []
    with running_broker("mosquitto") as broker, closing(open_bus(broker.url, name="watcher")) as bus:
        bus.subscribe(topics.presence("calm"), lambda _, p: signs.append(decode_presence(p).alive), qos=1)
        command = [*COMMAND, "run", str(write_xapp(tmp_path / "calm")), "--bus", broker.url, "--lockstep"]
        xapp = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(300):
            if bus.poll(0.1) and signs:
                break
        xapp.send_signal(number)
        _, err = xapp.communicate(timeout=20)
        while signs[-1] and bus.poll(5.0):
            pass
    assert (xapp.returncode, signs[0], signs[-1]) == (130, True, False), err


def test_sigterm_writes_the_recording_of_a_lockstep_host(tmp_path: Path) -> None:
    signs: list[bool] = []
    xapp, folder = write_xapp(tmp_path / "calm"), tmp_path / "kept"
    with running_broker("mosquitto") as broker, closing(open_bus(broker.url, name="watcher")) as bus:
        bus.subscribe(topics.presence("host"), lambda _, p: signs.append(decode_presence(p).alive), qos=1)
        ends = ["--bus", broker.url, "--lockstep", "--record", str(folder)]
        command = [*COMMAND, "host", "sim:one-cell", "--allow", str(xapp), *ends]
        host = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(1200):  # the first start of the simulator compiles it
            if bus.poll(0.1) and signs:
                break
        host.send_signal(signal.SIGTERM)
        _, err = host.communicate(timeout=20)
        while signs[-1] and bus.poll(5.0):
            pass
    assert (host.returncode, signs[0], signs[-1]) == (130, True, False), err
    assert (folder / "recording.json").is_file()


def test_an_xapp_that_raises_in_lockstep_says_so_where_it_runs_and_to_its_host(tmp_path: Path) -> None:
    text = MANIFEST.format(name="raising").replace('"CQI"', '"DRB.UEThpDl"')
    app = APP.replace('"CQI"', '"DRB.UEThpDl"')
    folder = write_xapp(tmp_path / "raising", app=app, policy="def weight(rate): return 1 / 0", text=text)
    xapps = {"raising": Registration(rights=load_manifest(folder).rights)}
    with running_broker("mosquitto") as broker, closing(open_bus(broker.url, name="host")) as bus:
        command = [*COMMAND, "run", str(folder), "--bus", broker.url, "--lockstep"]
        xapp = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with pytest.raises(LockstepError) as caught:
            LockstepHost(NodeHost(ToyWorld(), bus, xapps=xapps)).run()
        _, err = xapp.communicate(timeout=20)
    assert xapp.returncode == 2
    assert err == f"error: {caught.value}\n"
    assert err.startswith("error: raising failed at 0.1 s:\nTraceback")
    assert err.endswith("ZeroDivisionError: division by zero\n")
