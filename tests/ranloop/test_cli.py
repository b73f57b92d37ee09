"""The command line as a user types it: what it prints, what it exits with, how far each autonomy level goes."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ranloop.bus import open_bus
from ranloop.node import LiveHost, NodeHost, Registration
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.messages import Status
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import APP, MANIFEST, write_xapp
from tests.command import Command
from tests.model_packages import write_model
from tests.ranloop.node import phone_logs

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from ranloop.cli import main; main()"]


@pytest.fixture
def xapp(tmp_path: Path) -> Path:
    return write_xapp(tmp_path / "weigher")


def run_json(ranloop: Command, *arguments: object, code: int = 0) -> dict[str, Any]:
    outcome = ranloop("run", *arguments, "--node", "sim:one-cell", "--duration-s", "0.5", "--json")
    assert outcome.code == code, outcome.err
    facts: dict[str, Any] = json.loads(outcome.out)
    return facts


def test_act_applies_recommend_counts_observe_does_neither(ranloop: Command, xapp: Path) -> None:
    targets = {
        level: run_json(ranloop, xapp, "--autonomy", level)["targets"]
        for level in ("observe", "recommend", "act")
    }
    assert set(targets["observe"]) == {"refused/autonomy"}
    assert set(targets["recommend"]) == {"recommended/autonomy"}
    assert targets["act"]["applied"] > 0
    # The same reports go in: what would be applied at the first report is what is recommended there.
    assert targets["observe"]["refused/autonomy"] == targets["recommend"]["recommended/autonomy"]


def test_the_same_command_gives_the_same_hash_and_another_seed_another(ranloop: Command, xapp: Path) -> None:
    hashes = [run_json(ranloop, xapp, "--seed", seed)["trace_hash"] for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_setting_goes_to_the_xapp_that_has_it(ranloop: Command, xapp: Path) -> None:
    facts = run_json(ranloop, xapp, ROOT / "xapps" / "kpm_monitor", "--set", "gain=0.1", code=1)
    # 0.1 * 2.0 is below the 0.5 that the manifest may set
    assert set(facts["targets"]) == {"refused/range"}


def test_a_setting_counts_whatever_the_folder_is_called(ranloop: Command, tmp_path: Path) -> None:
    folder = write_xapp(tmp_path / "Some Folder", text=MANIFEST.format(name="weigher"))
    assert set(run_json(ranloop, folder, "--set", "gain=0.1", code=1)["targets"]) == {"refused/range"}


def test_what_an_xapp_prints_stays_out_of_the_json(ranloop: Command) -> None:
    monitor = ROOT / "xapps" / "kpm_monitor"
    outcome = ranloop("run", monitor, "--node", "sim:one-cell", "--duration-s", "1", "--json")
    assert json.loads(outcome.out)["steps"] == 1
    assert re.search(r"1\.0 s  cell  0  PRB", outcome.err)


def test_a_check_that_runs_nothing_reads_manifest_cards_and_syntax(ranloop: Command, tmp_path: Path) -> None:
    folder = write_xapp(tmp_path / "armed", app="raise SystemExit(3)\n")
    outcome = ranloop("check", "--no-run", folder)
    assert "code      was read, not run" in outcome.out
    assert outcome.code == 0
    assert ranloop("check", folder).code == 3
    (folder / "policy.py").write_text("def weight(cqi):\n    return cqi +\n")
    complaint = ranloop("check", "--no-run", folder).complaint
    assert f"{folder / 'policy.py'}:2 is no Python: invalid syntax" in complaint
    (folder / "policy.py").write_bytes(b"x = '\xff'")
    assert "policy.py" in ranloop("check", "--no-run", folder).complaint
    (folder / "app.py").unlink()
    assert "is no xApp: it has no app.py" in ranloop("check", "--no-run", folder).complaint


def test_a_check_that_runs_nothing_names_the_models_by_their_cards(ranloop: Command, tmp_path: Path) -> None:
    write_model(tmp_path / "even")
    folder = write_xapp(
        tmp_path / "armed", text=f'models = {{ even = "../even" }}\n{MANIFEST.format(name="armed")}'
    )
    read, run = (json.loads(ranloop("check", folder, "--json", *more).out)[0] for more in (["--no-run"], []))
    assert read["models"] == run["models"] != []
    assert {key for key in run if read[key] != run[key]} == {"code"}


def test_a_check_that_runs_nothing_does_not_run_a_model_either(ranloop: Command, tmp_path: Path) -> None:
    """The file is the one of its card and nothing that could run."""
    model, content = write_model(tmp_path / "odd"), b"no ONNX file"
    card = (model / "card.toml").read_text()
    (model / "model.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (model / "card.toml").write_text(re.sub(r'(?m)^sha256 = ".*"$', f'sha256 = "{digest}"', card))
    text = f'models = {{ odd = "../odd" }}\n{MANIFEST.format(name="armed")}'
    folder = write_xapp(tmp_path / "armed", text=text)
    assert json.loads(ranloop("check", "--no-run", folder, "--json").out)[0]["models"] == [
        f"odd@{digest[:12]}"
    ]
    assert "is not a runnable ONNX model" in ranloop("check", folder).complaint


def test_help_says_that_a_check_runs_the_code(ranloop: Command) -> None:
    assert "Loading runs the xApp's code" in ranloop("check", "--help").out


def test_check_says_what_an_xapp_reads_and_writes(ranloop: Command, xapp: Path) -> None:
    (facts,) = json.loads(ranloop("check", xapp, "--json").out)
    assert facts["reads"] == ["ue/100 ms: CQI"]
    assert facts["writes"] == ["SetUeWeight weight 0.5 to 4"]
    words = ranloop("check", xapp).out
    assert "models    none\nsettings  gain = " in words
    assert ranloop("check", xapp).out.endswith("ok\n")


def test_a_recorded_run_is_replayed(ranloop: Command, xapp: Path, tmp_path: Path) -> None:
    folder = tmp_path / "monday"
    bus = "memory://record"
    recorded = ranloop("host", "sim:one-cell", "--allow", xapp, "--bus", bus, "--duration-s", "0.3", "--speed", "1000",
                       "--record", folder, "--json")  # fmt: skip
    assert recorded.code == 0, recorded.err
    outcome = ranloop("run", xapp, "--node", f"replay:{folder}", "--json")
    facts = json.loads(outcome.out)
    assert (facts["reports"], set(facts["targets"])) == (3, {"refused/not-supported"})


def test_a_folder_of_logs_is_played_without_the_bad_one_which_is_named(
    ranloop: Command, tmp_path: Path
) -> None:
    phone = MANIFEST.format(name="phone").replace("every_ms = 100", "every_ms = 1000")
    app = APP.replace('@app.on_report("CQI")', '@app.on_report("CQI", every_ms=1000)')
    xapp, drive = write_xapp(tmp_path / "phone", app=app, text=phone), tmp_path / "drive"
    drive.mkdir()
    (drive / "good.csv").write_text(phone_logs.log(phone_logs.row(0), phone_logs.row(1)))
    node = f"replay:{drive}"
    assert len(json.loads(ranloop("run", xapp, "--node", node, "--json").out)["left_out"]) == 1  # columns
    (drive / "bad.csv").write_text("time,value\n1,2\n")
    outcome = ranloop("run", xapp, "--node", node, "--json")
    facts = json.loads(outcome.out)
    assert (outcome.code, facts["reports"]) == (0, 2)
    bad, columns = facts["left_out"]
    assert "bad.csv: no table that is known: its columns are time, value; start a mapping of your own" in bad
    assert columns.startswith("mapping gnettrack: 12 columns not read: Longitude")
    assert f"left_out:\n  {bad}\n  {columns}\n" in ranloop("run", xapp, "--node", node).out
    hosted = ranloop("host", node, "--allow", xapp, "--bus", "memory://drive", "--speed", "1000", "--json")
    assert json.loads(hosted.out)["left_out"] == [bad, columns]


def test_a_table_of_one_s_own_is_a_node_and_an_xapp_is_told_what_it_lacks(
    ranloop: Command, tmp_path: Path
) -> None:
    monitor = Path(__file__).parents[2] / "xapps" / "kpm_monitor"
    table = tmp_path / "kpm.csv"
    table.write_text(
        "time,cell,RRU.PrbTotDl,DRB.UEThpDl [Mbps],RRC.ConnMean,x\n2025-03-01 10:00:00,north,40,2.5,3,1\n"
        "2025-03-01 10:00:01,north,50,3,4,1\n"
    )
    outcome = ranloop("run", monitor, "--node", f"table:{table}")
    assert "   1.0 s  cell  0  PRB  40 %     2500 kbit/s   3.0 UEs" in outcome.out
    assert "left_out:\n  mapping by-names: 1 column not read: x" in outcome.out
    told = ranloop("table", table, "--json")
    assert json.loads(told.out)["nodes"][0]["streams"][0]["ids"] == {"cell": 1}
    table.write_text(table.read_text().replace("RRC.ConnMean", "ues"))
    lacking = ranloop("run", monitor, "--node", f"table:{table}")
    assert lacking.code == 2
    assert (
        "kpm_monitor reads cell reports every 1000 ms, but kpm does not measure RRC.ConnMean per cell; it has "
        "RRU.PrbTotDl, DRB.UEThpDl\n"
    ) in lacking.err
    assert "--seed belongs to sim:" in ranloop("run", monitor, "--node", f"table:{table}", "--seed", "3").err


class Live:
    """A live loop on a bus: ToyWorld, one xApp that weighs every UE."""

    def __init__(self, url: str, folder: Path) -> None:
        text = MANIFEST.format(name="weigher").replace('"CQI"', '"DRB.UEThpDl"')
        app = """
        from ranloop import SetUeWeight, XApp
        app = XApp()

        @app.on_report("DRB.UEThpDl")
        def act(report):
            return SetUeWeight(ue=report.ue, weight=3.0)
        """
        self.instance = Instance(
            load_package(write_xapp(folder / "weigher", app=app, text=text)), incarnation="live"
        )
        self.world = ToyWorld(duration_s=600.0)
        self.buses = open_bus(url, name="host"), open_bus(url, name="weigher")
        registered = {"weigher": Registration(rights=self.instance.manifest.rights)}
        self.host = LiveHost(NodeHost(self.world, self.buses[0], xapps=registered), speed=5.0)
        self.runner = LiveRunner(self.instance, self.buses[1], patience_s=0.3)
        self.stopped = threading.Event()
        self.threads = [
            threading.Thread(target=self.host.run),
            threading.Thread(target=self.runner.run, args=(self.stopped,)),
        ]
        for thread in self.threads:
            thread.start()

    def wait_for(self, status: Status, more: int = 10) -> None:
        goal, pause = self.runner.stats.results[status] + more, threading.Event()
        for _ in range(1500):
            if self.runner.stats.results[status] >= goal:
                return
            pause.wait(0.01)
        raise AssertionError(f"no {status.name} in 15 s: {self.runner.stats}")

    def stop(self) -> None:
        self.stopped.set()
        self.host.stop()
        for thread in self.threads:
            thread.join(15.0)
        for bus in self.buses:
            bus.close()


@pytest.mark.broker
def test_the_kill_switch_over_a_bus(ranloop: Command, tmp_path: Path) -> None:
    with running_broker("mosquitto") as broker:
        live = Live(broker.url, tmp_path)
        try:
            live.wait_for(Status.APPLIED)
            with closing(open_bus(broker.url, name="vandal")) as vandal:
                vandal.publish(topics.catalogue("a-broken-one"), b"garbage", qos=1, retain=True)
                vandal.poll(0.1)
            killed = ranloop("order", "all", "--kill", "--bus", broker.url)
            # A node that nobody hosts cannot confirm: that is an error, and the others obey all the same.
            assert (killed.code, killed.out) == (
                2,
                "a-broken-one does not answer\ntoy-1 obeys\ntoy-2 obeys\n",
            )
            assert "catalogue_ignored" in killed.err
            live.wait_for(Status.REFUSED)
            assert all(guard.killed for guard in live.host.host.runtime.guards.values())
            applied = live.runner.stats.results[Status.APPLIED]
            live.wait_for(Status.REFUSED)
            assert live.runner.stats.results[Status.APPLIED] == applied
            assert all(live.world.weight(node, ue) == 1.0 for node in ("toy-1", "toy-2") for ue in range(300))
            with closing(open_bus(broker.url, name="vandal")) as vandal:
                vandal.publish(topics.catalogue("a-broken-one"), b"", qos=1, retain=True)
                vandal.poll(0.1)
            assert ranloop("order", "all", "--revive", "--bus", broker.url).code == 0
            live.wait_for(Status.APPLIED)
            ordered = ranloop(
                "order", "toy-1", "--xapp", "weigher", "--autonomy", "recommend", "--bus", broker.url
            )
            assert (ordered.code, ordered.out) == (0, "toy-1 obeys\n")
            live.wait_for(Status.RECOMMENDED)
            typo = ranloop("order", "toy-3", "--kill", "--bus", broker.url)
            assert typo.code == 2
            assert "'toy-3' has no catalogue" in typo.err
            assert "there is toy-" in typo.err
        finally:
            live.stop()


@pytest.mark.broker
def test_host_and_xapp_as_processes_in_lockstep_give_the_hash_of_one_process(
    ranloop: Command, xapp: Path
) -> None:
    alone = run_json(ranloop, xapp, "--seed", 3)
    with running_broker("mosquitto") as broker:
        ends = ("--bus", broker.url, "--lockstep", "--json")
        joining = subprocess.Popen(
            [*COMMAND, "run", str(xapp), *ends], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        hosted = ranloop("host", "sim:one-cell", "--allow", xapp, "--seed", 3, "--duration-s", 0.5, *ends)
        out, err = joining.communicate(timeout=20)
    assert (hosted.code, joining.returncode) == (0, 0), (hosted.err, err)
    facts = json.loads(hosted.out)
    assert (facts["trace_hash"], facts["steps"]) == (alone["trace_hash"], alone["steps"])
    joined = json.loads(out)
    assert joined["xapps"] == {"weigher": {}}
    assert [time["handler"] for time in joined["handlers"]["weigher"]] == ["act"]
    assert joined["not_applied"] == alone["not_applied"]


@pytest.mark.broker
def test_sigterm_drains_a_live_host(xapp: Path, tmp_path: Path) -> None:
    with running_broker("mosquitto") as broker, closing(open_bus(broker.url, name="watcher")) as bus:
        catalogues: list[str] = []
        bus.subscribe(topics.catalogue("+"), lambda topic, _: catalogues.append(topic), qos=1)
        host = subprocess.Popen(
            [*COMMAND, "host", "sim:one-cell", "--allow", str(xapp), "--bus", broker.url, "--json",
             "--record", str(tmp_path / "kept"), "--duration-s", "3600"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for _ in range(300):
            if bus.poll(0.1) and catalogues:
                break
        host.send_signal(signal.SIGTERM)
        out, err = host.communicate(timeout=20)
    assert (host.returncode, err) == (0, f"hosting site0 on {broker.url} for weigher\n")
    assert json.loads(out)["messages_dropped"] == 0
    assert (tmp_path / "kept" / "recording.json").is_file()
