"""`ranloop host` as a process on a real broker: how it ends, what it says then, and what a second start is deaf to."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from ranloop.bus import Broker, open_bus
from ranloop.cli.last_resort import END_S
from ranloop.testing.brokers import running_broker
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Result, Status
from tests.builders import MANIFEST, write_xapp
from tests.ranloop.hostile import NODE, Honest, a_batch, hosting, manifest, wait_until

pytestmark = pytest.mark.broker
EXAMPLE_NODE = Path(__file__).parents[2] / "docs" / "examples" / "foreign_node" / "node.py"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running_broker("mosquitto") as broker:
        yield broker


@pytest.fixture
def honest(broker: Broker) -> Iterator[Honest]:
    with closing(open_bus(broker.url, name="honest")) as bus:
        yield Honest(bus)


# How it ends

MUTE_NODE = """
import json, time
say = lambda **said: print(json.dumps({"v": 1, **said}), flush=True)
say(kind="catalogue", node="toy-1", measurements={"ue": ["DRB.UEThpDl"]}, actions=["SetUeWeight"], periods_ms=[100],
    cells={"0": "c"}, control_delay_ms=10)
for seq in range(30):
    say(kind="report", node="toy-1", level="ue", period_ms=100, seq=seq, ran_time_ns=(seq + 1) * 100_000_000,
        ids={"ue": [0], "cell": [0]}, labels={}, values={"DRB.UEThpDl": [1.0]})
    time.sleep(0.1)
time.sleep(3600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_host_whose_node_never_answers(
    broker: Broker, honest: Honest, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "mute.py").write_text(MUTE_NODE)
    node = f"pipe:{shlex.join([sys.executable, str(tmp_path / 'mute.py')])}"
    with hosting(broker.url, tmp_path, [manifest(tmp_path, "honest")], node=node) as host:
        honest.loop_until(lambda: honest.n_reports >= 3)
        asked = set(honest.sent[:-1])  # the last may be on its way to a host that is gone
        code, took_s = host.end(number)
        honest.loop_until(lambda: asked <= set(honest.results))
    assert code == 0
    assert took_s < 5.0  # a second for its last answers, two for the program to leave
    assert Status.APPLIED not in {fate for id in asked for fate in fates(honest.results[id])}


def fates(results: Sequence[Result]) -> list[Status]:
    return [Status(status) for result in results for status in result.status.tolist()]


@pytest.mark.slow
def test_a_host_whose_node_hangs_in_a_call_leaves_without_closing_anything(
    broker: Broker, tmp_path: Path
) -> None:
    with hosting(broker.url, tmp_path, [manifest(tmp_path, "honest")], node="toy:hangs") as host:
        wait_until(lambda: "hangs now" in host.log)
        code, took_s = host.end()
    assert code == 1
    assert END_S - 1 < took_s < END_S + 2
    assert host.log.splitlines()[-1].startswith("error: this process did not end within 10 s")


# What it says at its end


def test_a_host_that_ends_prints_a_summary_of_its_run(broker: Broker, honest: Honest, tmp_path: Path) -> None:
    """Two reports each 100 ms of UEs and of cells, from two nodes; the world ends after 2 s."""
    record, audit = tmp_path / "recording", tmp_path / "audit.jsonl"
    arguments = ("--record", str(record), "--audit", str(audit))
    with hosting(broker.url, tmp_path, [manifest(tmp_path, "honest")], *arguments, node="toy:2") as host:
        wait_until(lambda: host.process.poll() is not None, lambda: honest.bus.poll(0.01))
    assert host.process.returncode == 0
    summary = dict(host.summary)
    assert float(str(summary.pop("worst_lag_ms"))) >= 0
    targets = summary.pop("targets")
    assert isinstance(targets, dict)
    assert targets["applied"] > 0
    ends = summary.pop("not_applied", {})  # there if something was held or under way when the world ended
    assert isinstance(ends, dict)
    causes = {fate.split("/")[1] for of in ends.values() for fates in of.values() for fate in fates}
    assert causes <= {"at-end", "ue-left"}
    assert summary == {
        "ran_time_s": 2.0,
        "reports": 40,
        "messages_dropped": 0,
        "values_outside_range": 0,
        "events_not_shown": 0,
        "xapps_shut_out": [],
        "reports_not_recorded": 0,
        "audit_records_not_written": 0,
    }


def test_a_full_disk_ends_a_recording_and_an_audit_in_a_line_each_and_the_host_goes_on(
    broker: Broker, honest: Honest, tmp_path: Path
) -> None:
    """No file may be larger than 8 kB here; a part of a minute of RAN time, 1,200 rows and more, is."""
    record, audit = tmp_path / "recording", tmp_path / "audit.jsonl"
    arguments = ("--record", str(record), "--audit", str(audit), "--speed", "100")
    quota = ("bash", "-c", 'ulimit -f 8; exec "$@"', "bash")
    with hosting(broker.url, tmp_path, [manifest(tmp_path, "honest")], *arguments, before=quota) as host:
        honest.loop_until(
            lambda: bool(host.events("part_lost")) and bool(host.events("audit_file_not_writable"))
        )
        honest.forget_times()
        honest.loop_until(lambda: honest.n_reports >= 10)
        code, took_s = host.end()
    assert (code, took_s < 5.0) == (0, True)
    # One line for each gap, not for each record; a gap ends at a line that is short enough for what is left.
    n_gaps, n_ends = (len(host.events(f"audit_file_{event}")) for event in ("not_writable", "writable_again"))
    assert n_gaps in (n_ends, n_ends + 1)
    for line in audit.read_bytes().splitlines():
        json.loads(line)  # none is torn
    assert int(str(host.summary["reports_not_recorded"])) >= 600
    assert int(str(host.summary["audit_records_not_written"])) > 0
    assert host.summary["events_not_shown"] == 0


# What a second start is deaf to


def test_a_batch_of_a_former_run_is_refused_when_it_is_replayed_and_when_it_was_retained(
    broker: Broker, honest: Honest, tmp_path: Path
) -> None:
    allowed = [manifest(tmp_path, "honest")]
    with hosting(broker.url, tmp_path / "1", allowed):
        honest.loop_until(lambda: honest.n_reports >= 3)
        run = honest.runs[-1]
    topic = topics.act("honest", NODE)
    for_long = {"run": run, "valid_ms": 3_600_000}
    honest.bus.publish(topic, encode(a_batch("honest", "retained", 0, **for_long)), qos=1, retain=True)  # type: ignore[arg-type]
    with hosting(broker.url, tmp_path / "2", allowed):
        honest.loop_until(lambda: len(set(honest.runs)) == 2)
        honest.bus.publish(topic, encode(a_batch("honest", "replayed", 0, **for_long)), qos=1)  # type: ignore[arg-type]
        honest.bus.publish(topic, encode(a_batch("honest", "of-no-run", 0, valid_ms=3_600_000)), qos=1)
        for id in ("retained", "replayed", "of-no-run"):
            honest.loop_until(lambda: id in honest.results)  # noqa: B023 called in this turn only
            (result,) = honest.results[id]
            assert fates([result]) == [Status.EXPIRED]
            assert "RAN time has begun again since" in result.causes[result.cause[0]][1]


# An end for each target when an xApp stops

STOPPED = """
import json
from pathlib import Path
from ranloop import SetUeWeight, Status, XApp

app = XApp()
ends = Path(__file__).with_name("ends.jsonl").open("w")


@app.on_report("DRB.UEThpDl")
def act(report):
    return SetUeWeight(ue=report.ue, weight=1.0 + report.seq % 16 / 8)  # the audit counts what stays the same


@app.on_result
def learn(result):
    for target, status in zip(result.targets[:, 0].tolist(), result.status.tolist()):
        if status != Status.ENDED:
            print(json.dumps([result.node, result.id, target, Status(status).name.lower()]), file=ends, flush=True)
"""
RATHER_MANY = pytest.param(26, marks=pytest.mark.slow)


@pytest.mark.parametrize("n_xapps", [2, RATHER_MANY])
def test_each_target_has_one_end_at_an_xapp_that_stops_the_same_as_in_the_audit_of_the_host(
    broker: Broker, tmp_path: Path, n_xapps: int
) -> None:
    names = [f"stopped-{k}" for k in range(n_xapps)]
    text = MANIFEST.replace('"CQI"', '"DRB.UEThpDl"')
    folders = [write_xapp(tmp_path / name, app=STOPPED, text=text.format(name=name)) for name in names]
    audit, rng = tmp_path / "audit.jsonl", np.random.default_rng(1)
    with hosting(broker.url, tmp_path, folders, "--audit", str(audit)) as host:
        for some in (folders[k : k + 4] for k in range(0, n_xapps, 4)):
            with ExitStack() as stack:
                xapps = [stack.enter_context(running(broker.url, folder)) for folder in some]
                wait_until(lambda: all((folder / "ends.jsonl").exists() for folder in some))  # noqa: B023
                wait_until(lambda: all((folder / "ends.jsonl").stat().st_size for folder in some))  # noqa: B023
                for xapp in xapps:
                    time.sleep(rng.uniform(0.0, 0.1))  # into a report period
                    xapp.send_signal(signal.SIGTERM)
                # 1: others held all of its targets
                assert {xapp.wait(20) for xapp in xapps} <= {0, 1}
        assert host.end()[0] == 0
    at_host = ends_in(audit)
    for folder in folders:
        ends = [tuple(json.loads(line)) for line in (folder / "ends.jsonl").read_text().splitlines()]
        assert set(Counter(end[:3] for end in ends).values()) == {1}
        assert sorted(ends) == sorted(at_host[folder.name])


def ends_in(audit: Path) -> dict[str, list[tuple[str, str, int, str]]]:
    """xApp -> node, batch, target and fate of all that was decided."""
    found: dict[str, list[tuple[str, str, int, str]]] = {}
    for line in map(json.loads, audit.read_text().splitlines()):
        if line["event"] == "result":
            fates = [fate.partition("/")[0] for n, fate in line["status"] for _ in range(n)]
            for (target,), fate in zip(line["targets"], fates, strict=True):
                found.setdefault(line["xapp"], []).append((line["node"], line["id"], target, fate))
    return found


def running(url: str, folder: Path) -> subprocess.Popen[bytes]:
    command: list[str | Path] = [Path(sys.executable).with_name("ranloop"), "run", folder, "--bus", url]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
