"""An xApp is spoken to as its manifest says; it may itself speak either way, and what comes of it is the same."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from ranloop.bus import Bus
from ranloop.embedded import run_embedded
from ranloop.errors import ManifestError
from ranloop.guard import ActionRight, Rights, StreamRight
from ranloop.node import LiveHost, LockstepHost, NodeHost, Registration
from ranloop.node.clock import VirtualClock
from ranloop.node.port import Stream
from ranloop.node.summary import RunSummary
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import Action, SetUeWeight
from ranloop.wire import ActionBatch, Encoding, Report, topics
from ranloop.wire.codec import decode_report, decode_result, encode, encode_json
from ranloop.wire.messages import F32, Cause, Status
from ranloop.wire.plain import is_json
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from ranloop.xapp.manifest import load_manifest

Connect = Callable[[str], Bus]
MS = 1_000_000
UE = StreamRight(level="ue", every_ms=100, measurements=("DRB.UEThpDl",))
BOTH = StreamRight(level="ue", every_ms=100, measurements=("DRB.UEThpDl", "X.UE.Weight"))
WEIGHT = ActionRight(name="SetUeWeight")
MANIFEST = """\
name = "lifter"
version = "0.1.0"
summary = "Doubles the weight of the UEs below the median throughput."
encoding = "{encoding}"

[[streams]]
level = "ue"
every_ms = 100
measurements = ["DRB.UEThpDl"]

[[actions]]
name = "SetUeWeight"
ranges = {{ weight = [0.5, 1.7] }}
"""
APP = """\
import numpy as np
from ranloop import Report, SetUeWeight, XApp

app = XApp()


@app.on_report("DRB.UEThpDl")
def lift_the_slow(report: Report) -> SetUeWeight:
    rate = np.nan_to_num(report["DRB.UEThpDl"])
    return SetUeWeight(ue=report.ue, weight=np.where(rate <= np.median(rate), 1 + 1e5 / (rate + 1e5), 1.7))
"""


def registered(encoding: Encoding, stream: StreamRight = UE) -> Registration:
    return Registration(rights=Rights(streams=(stream,), actions=(WEIGHT,)), encoding=encoding)


def lifter(folder: Path, encoding: str) -> Path:
    folder.mkdir()
    (folder / "manifest.toml").write_text(MANIFEST.format(encoding=encoding))
    (folder / "app.py").write_text(APP)
    return folder


def heard_live(
    connect: Connect, kind: type[ToyWorld] = ToyWorld, **xapps: Registration
) -> dict[str, list[bytes]]:
    """Topic -> payloads of reports and results of 250 ms of two nodes, where each xApp acted once in JSON."""
    heard: dict[str, list[bytes]] = {}
    bus = connect("listener")
    for topic_filter in ("ranloop/1/report/#", "ranloop/1/result/#"):
        bus.subscribe(topic_filter, lambda topic, payload: heard.setdefault(topic, []).append(payload))
    host = LiveHost(NodeHost(kind(), connect("host"), xapps=xapps), clock=VirtualClock())
    for name in xapps:
        batch = ActionBatch(
            id=name,
            xapp=name,
            node="toy-1",
            seq=1,
            action=SetUeWeight(ue=0, weight=3),
            valid_until_ns=10**9,
            lease_ms=60_000,
        )
        bus.publish(topics.act(name, "toy-1"), encode_json(batch), qos=1)
    host.run(0.25)
    bus.poll()
    return heard


def test_the_same_run_has_the_same_hash_in_both_forms(tmp_path: Path, connect: Connect) -> None:
    def run(encoding: Encoding) -> RunSummary:
        bus, is_spoken_to_in_json = connect(encoding), set[bool]()
        bus.subscribe("ranloop/1/step/#", lambda _, step: is_spoken_to_in_json.add(is_json(step)))
        instance = Instance(load_package(lifter(tmp_path / encoding, encoding)))
        runner = LockstepRunner(instance, bus)
        registration = Registration(rights=instance.manifest.rights, encoding=instance.manifest.encoding)
        summary = LockstepHost(NodeHost(ToyWorld(), bus, xapps={"lifter": registration})).run()
        runner.close()
        assert is_spoken_to_in_json == {encoding == "json"}
        return summary

    binary, plain = run("binary"), run("json")
    assert {"applied", "refused/range"} <= binary.outcomes.keys()  # NaN and texts travelled as well
    assert (plain.outcomes, plain.trace_hash) == (binary.outcomes, binary.trace_hash)


class JsonAlone:
    """The lifter of `APP` in lockstep, with a JSON parser and a bus and nothing of ranloop."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.seq = bus, 0
        bus.subscribe("ranloop/1/step/host/lifter", self.on_step, qos=1)
        sign = {"v": 1, "name": "lifter", "alive": True, "facts": {}}
        bus.publish("ranloop/1/presence/lifter", json.dumps(sign).encode(), qos=1, retain=True)

    def on_step(self, _topic: str, payload: bytes) -> None:
        step = json.loads(payload)
        batches = [] if step["last"] else [self.batch(report) for report in step["reports"]]
        answer = {"v": 1, "xapp": "lifter", "step": step["step"], "batches": batches}
        self.bus.publish("ranloop/1/answer/lifter/host", json.dumps(answer).encode(), qos=1)

    def batch(self, report: Any) -> dict[str, object]:
        rates = [rate or 0.0 for rate in report["values"]["DRB.UEThpDl"]]
        median = statistics.median(rates)
        self.seq += 1
        return {
            "v": 1,
            "id": f"lifter-{self.seq}",
            "xapp": "lifter",
            "node": report["node"],
            "seq": self.seq,
            "action": "SetUeWeight",
            "targets": {"ue": report["ids"]["ue"]},
            "parameters": {"weight": [1 + 1e5 / (rate + 1e5) if rate <= median else 1.7 for rate in rates]},
            "valid_until_ns": report["ran_time_ns"] + 200 * MS,
            "lease_ms": 300,
            "report_seq": report["seq"],
        }


def test_an_xapp_of_json_alone_has_the_same_hash_as_one_of_ours(tmp_path: Path, connect: Connect) -> None:
    with closing(ToyWorld()) as world:
        ours = run_embedded(world, [lifter(tmp_path / "binary", "binary")]).summary
    registration = Registration(rights=load_manifest(tmp_path / "binary").rights, encoding="json")
    host_bus = connect("host")
    JsonAlone(host_bus)
    foreign = LockstepHost(NodeHost(ToyWorld(), host_bus, xapps={"lifter": registration})).run()
    assert (foreign.outcomes, foreign.n_dropped) == (ours.outcomes, 0)
    assert foreign.trace_hash == ours.trace_hash


def test_reports_in_json_are_published_only_for_an_xapp_that_reads_them(connect: Connect) -> None:
    heard = heard_live(connect, binary=registered("binary", BOTH))
    assert sorted(heard) == [
        topics.report("toy-1", "ue", 100),
        topics.report("toy-2", "ue", 100),
        topics.result("binary", "toy-1"),
    ]
    assert not any(is_json(payload) for payloads in heard.values() for payload in payloads)


def test_an_xapp_that_is_spoken_to_in_json_gets_its_own_columns_and_its_results(connect: Connect) -> None:
    heard = heard_live(connect, binary=registered("binary", BOTH), plain=registered("json"))
    [first, second] = map(json.loads, heard[topics.report_json("toy-1", "ue", 100)])
    assert (first["seq"], first["ran_time_ns"], second["ran_time_ns"]) == (0, 100 * MS, 200 * MS)
    # UEs 0 and 1 came at 0 and 100 ms, one in each of the two cells of 60 Mbit/s.
    assert first["ids"] == {"ue": [0, 1], "cell": [0, 1]}
    assert first["values"] == {"DRB.UEThpDl": [60_000.0, 60_000.0]}
    answers = [json.loads(payload) for payload in heard[topics.result("plain", "toy-1")]]
    assert {(answer["xapp"], answer["action"]) for answer in answers} == {("plain", "SetUeWeight")}
    assert not any(map(is_json, heard[topics.result("binary", "toy-1")]))
    assert not any(map(is_json, heard[topics.report("toy-1", "ue", 100)]))


def test_an_action_counts_the_same_in_both_forms(connect: Connect) -> None:
    def fate(to_bytes: Callable[[ActionBatch], bytes]) -> Mapping[str, int]:
        host = LiveHost(
            NodeHost(ToyWorld(), connect("h"), xapps={"a": registered("json")}), clock=VirtualClock()
        )
        batch = ActionBatch(
            id="x",
            xapp="a",
            node="toy-1",
            seq=1,
            action=SetUeWeight(ue=[0, 77], weight=3),
            valid_until_ns=10**9,
        )
        host.host.bus.publish(topics.act("a", "toy-1"), to_bytes(batch), qos=1)
        return host.run(0.2).outcomes

    assert fate(encode) == fate(encode_json)
    assert fate(encode)["applied"] == 1


def _infinite(report: Report) -> F32:
    block = report.block.copy()
    block[:, len(report.ids) :] = np.inf
    return block


class Infinite(ToyWorld):
    """The first node measures infinity, and says that it applied it."""

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        return [
            report if report.node != "toy-1" else replace(report, block=_infinite(report))
            for report in super().reports(wanted)
        ]

    def apply(self, node: str, action: Action) -> F32:
        return np.full_like(super().apply(node, action), np.inf)


def test_what_a_node_cannot_mean_is_no_value_in_either_form_and_no_answer(connect: Connect) -> None:
    heard = heard_live(connect, Infinite, plain=registered("json"), binary=registered("binary", BOTH))
    for topic in (topics.report("toy-1", "ue", 100), topics.report_json("toy-1", "ue", 100)):
        for report in map(decode_report, heard[topic]):
            assert np.isnan(report["DRB.UEThpDl"]).all()
    first = decode_result(heard[topics.result("plain", "toy-1")][0])
    assert (first.count(Status.UNKNOWN), first.causes[1][0]) == (len(first), Cause.LOST)


class Named(ToyWorld):
    """Its reports carry names so long that they take more than the 4 MiB of JSON that are read."""

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        names = {"ue": dict.fromkeys(range(20_000), "x" * 250)}
        return [replace(report, labels=names) for report in super().reports(wanted)]


def test_a_report_too_large_for_json_is_left_out_for_its_readers_in_json_and_counted(
    connect: Connect,
) -> None:
    with closing(Named()) as world, capture_logs() as logs:
        host = NodeHost(world, connect("h"), xapps={"a": registered("json")})
        world.advance(100 * MS)
        reports = world.reports(host.runtime.wanted)
        for _ in range(33):
            host.publish_reports(reports[:1])
    assert host.n_unsent == 33
    told = [line for line in logs if line["event"] == "message_not_sent"]
    assert [line["not_sent_so_far"] for line in told] == [*range(1, 17), 32]
    assert "bytes of JSON; at most" in told[0]["reason"]


def test_an_encoding_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="encoding: Input should be 'binary' or 'json'"):
        load_manifest(lifter(tmp_path / "odd", "xml"))
