"""Data above a tier's clearance does not leave: a distinctive raw value is searched in all that goes out."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
import pytest

from ranloop.bus import Bus, open_bus
from ranloop.bus.memory import MemoryBroker
from ranloop.embedded import Choices, run_embedded
from ranloop.guard import AuditLog
from ranloop.inference import Card, Feature, Output, load_model
from ranloop.metrics import HostSource, Process, XAppSource
from ranloop.metrics.exposition import exposition
from ranloop.node import LiveHost, NodeHost, Registration
from ranloop.node.recording import Recorder
from ranloop.placement import BusTiers, InferenceHost, Question, Tiers, VirtualTiers
from ranloop.placement.privacy import of_cut, of_inputs
from ranloop.placement.split import open_cut_model
from ranloop.testing import make_report
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import Level
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.inference import Sensitivity
from ranloop.wire.messages import Answer, Presence, Step
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from tests.ranloop.placement.graphs import MEASURED, card_of, sensed, write_graph
from tests.ranloop.placement.places import MS, tiers, write_placed
from tests.tap import Tap

CANARY = np.float32(-23456.789)
IQ = Feature(name="iq", unit="1", sensitivity="raw")
APP = f"""
import numpy as np
from ranloop import SetUeWeight, XApp
app = XApp()
load = app.model("load")
IQ = np.float32({float(CANARY)!r})

@app.on_report("DRB.UEThpDl")
def act(report):
    n_values = len(report) if report.node != "broken" else 7
    more = np.round(load(report, {{"iq": np.full(n_values, IQ)}}) - report["DRB.UEThpDl"])
    return SetUeWeight(ue=report.ue, weight=1.0 + more)
"""
_AS_BYTES = tuple(np.array(CANARY, kind).tobytes() for kind in ("<f4", ">f4", "<f8", ">f8"))
_AS_TEXT = b"23456.7"  # how the decimals of float32 and of float64 begin


def shows(content: bytes) -> bool:
    """Whether the canary stands in these bytes, as a number or in decimals."""
    return any(form in content for form in (*_AS_BYTES, _AS_TEXT))


def test_the_search_finds_the_canary_in_each_form() -> None:
    for said in (json.dumps(float(CANARY)), repr(CANARY), f"{CANARY:.3f}"):
        assert shows(said.encode())
    block = np.full((3, 2), CANARY)
    assert shows(b"x" + block.tobytes())
    assert shows(block.astype(">f8").tobytes())
    assert not shows(block.astype(np.int32).tobytes())


@pytest.fixture
def xapp(tmp_path: Path) -> Path:
    """Its model here and the better one have the same graph; their second input is raw."""
    fields: dict[str, Any] = {"features": (MEASURED, IQ), "sensitivity_inside": "per-ue"}
    for name in ("small", "large"):
        write_graph(tmp_path / "models" / name, "sensed", outputs=(Output(name="sum", unit="1"),), **fields)
    xapp = write_placed(tmp_path / "placed", tmp_path / "models")
    (xapp / "app.py").write_text(APP)
    text = (xapp / "manifest.toml").read_text().replace("wait_ms = 50", "wait_ms = 5000")
    (xapp / "manifest.toml").write_text(text)
    return xapp


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All payloads that any client of a bus publishes."""
    seen: list[bytes] = []
    plain = MemoryBroker.publish

    def publish(self: MemoryBroker, topic: str, payload: bytes, *, retain: bool) -> None:
        seen.append(payload)
        plain(self, topic, payload, retain=retain)

    monkeypatch.setattr(MemoryBroker, "publish", publish)
    return seen


def answers(
    xapp: Path, connect: Callable[[str], Bus], of: Tiers, nodes: Sequence[str], **served: Any
) -> list[Answer]:
    """The answers to a report of each node, with a host of `regional` on the bus."""
    host = InferenceHost(
        connect("east"), "east", "regional", served.get("models", ()), splits=served.get("splits", ())
    )
    stop = threading.Event()
    thread = threading.Thread(target=host.run, args=(stop,))
    with BusTiers(of, "placed", lambda _: connect("placed")) as way:
        instance = Instance(load_package(xapp), reach=way)
        way.turn()
        thread.start()
        try:
            return [
                instance.handle(Step(host="host", step=0, ran_time_ns=100 * MS, reports=(report_of(node),)))
                for node in nodes
            ]
        finally:
            stop.set()
            thread.join(10.0)


def report_of(node: str) -> Any:
    return make_report({"DRB.UEThpDl": [3.0, 5.0]}, node=node, ids={"ue": (4, 5), "cell": (0, 0)})


def reasons(all_answers: Iterable[Answer]) -> list[str]:
    return [how.reason for answer in all_answers for batch in answer.batches for how in batch.inferences]


def test_raw_values_stay_here_while_the_whole_model_is_wanted_above(
    xapp: Path, connect: Callable[[str], Bus], published: list[bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    """`regional` may see per-ue. The xApp crashes with the second node's report: its model gets another number of values."""
    large = load_model(xapp / "../models/large")
    said = answers(xapp, connect, tiers(), ["toy-1", "broken"], models=[large])
    assert reasons(said) == ["private"]
    assert "Traceback" in said[1].error
    assert not any(map(shows, [*published, *map(encode, said)]))
    shown = capfd.readouterr()
    assert "data_stays_here" in shown.out + shown.err
    assert not shows((shown.out + shown.err).encode())


def test_a_tier_that_may_see_raw_values_gets_them_and_the_node_s_audit_does_not(
    xapp: Path, connect: Callable[[str], Bus], published: list[bytes]
) -> None:
    """So that the search above is known to look in the right place."""
    large = load_model(xapp / "../models/large")
    said = answers(xapp, connect, tiers(regional={"zone": "site"}), ["toy-1"], models=[large])
    assert reasons(said) == ["better"]
    assert any(map(shows, published))
    assert not any(shows(encode(answer)) for answer in said)
    (evidence,) = said[0].batches[0].asked
    assert [row[0] for row in evidence.inputs] == [3.0, 5.0]
    assert [row[1] for row in evidence.inputs] == [None, None]


def test_a_split_sends_what_is_inside_and_no_raw_value(
    xapp: Path, connect: Callable[[str], Bus], published: list[bytes]
) -> None:
    text = (xapp / "manifest.toml").read_text().replace('"edge-first"', '"split"')
    (xapp / "manifest.toml").write_text(text)
    model = open_cut_model(xapp / "../models/large")
    # The first layer is 6 of 9 multiply-accumulates; at 10^-8 GMAC/s here a split takes 620 ms, the whole model 900.
    slow = tiers(edge={"gmac_per_s": 1e-8})
    said = answers(xapp, connect, slow, ["toy-1"], splits=[model.split(model.cut("m"))])
    assert reasons(said) == ["better"]
    assert said[0].batches[0].inferences[0].sent_bytes == {"per-ue": 256 + 2 * 3 * 4}
    assert not any(map(shows, [*published, *map(encode, said)]))


def test_a_whole_run_leaves_no_raw_value_in_audit_recording_metrics_logs_or_on_the_bus(
    xapp: Path, tmp_path: Path, published: list[bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    process, world = Process(), ToyWorld()
    page = exposition(process)
    pages: list[bytes] = []

    def show(pace: Any, runners: Any) -> None:
        process.show(
            "run", "placed", {"all": pace.host.bus}, HostSource(pace=pace), *map(XAppSource, runners)
        )

    with AuditLog(tmp_path / "audit.jsonl") as audit, Recorder(tmp_path / "kept", world) as recorder:
        run_embedded(
            world,
            [xapp],
            Choices(tiers=tiers()),
            until_ns=400 * MS,
            audit=audit,
            outlets=[recorder],
            on_start=show,
            on_progress=lambda *_: pages.append(page("")[0]),
        )
    kept = [repr(pq.read_table(path).to_pydict()).encode() for path in (tmp_path / "kept").rglob("*.parquet")]
    told = (tmp_path / "audit.jsonl").read_bytes()
    shown = capfd.readouterr()
    assert b'"private"' in told  # the model was asked, and its inputs are told but for the raw one
    assert b"iq" in told
    assert kept
    assert b"ranloop_model" in pages[-1]
    places: Mapping[str, Iterable[bytes]] = {
        "audit": [told],
        "recording": kept,
        "metrics": pages,
        "bus": published,
        "logs": [(shown.out + shown.err).encode()],
    }
    assert [name for name, contents in places.items() if any(map(shows, contents))] == []


@pytest.mark.broker
@pytest.mark.parametrize(
    ("zone", "pattern", "is_heard"), [("operator", "split", False), ("site", "edge-first", True)]
)
def test_on_the_sockets_of_a_live_xapp_raw_values_are_heard_only_where_the_zone_may_see_them(
    xapp: Path, tmp_path: Path, zone: str, pattern: str, *, is_heard: bool
) -> None:
    """`ranloop run` as a process. All its connections go through a proxy that keeps what it sends, and its output is kept."""
    text = (xapp / "manifest.toml").read_text().replace('"edge-first"', f'"{pattern}"').replace("5000", "90")
    (xapp / "manifest.toml").write_text(text)
    (tmp_path / "tiers.toml").write_text(_TIERS.format(zone=zone))
    model = open_cut_model(xapp / "../models/large")
    registered = {"placed": Registration(rights=load_package(xapp).manifest.rights)}
    with (
        running_broker("mosquitto") as broker,
        Tap(broker.port) as tap,
        open_bus(broker.url, name="host") as bus,
        open_bus(broker.url, name="east") as far,
    ):
        whole, split = load_model(xapp / "../models/large"), model.split(model.cut("m"))
        host = LiveHost(NodeHost(ToyWorld(duration_s=60), bus, xapps=registered))
        served, stop = InferenceHost(far, "east", "regional", [whole], splits=[split]), threading.Event()
        threads = [threading.Thread(target=host.run), threading.Thread(target=served.run, args=(stop,))]
        for thread in threads:
            thread.start()
        command = [sys.executable, "-m", "ranloop_start", "run", str(xapp), "--duration-s", "1"]
        at = ["--bus", f"mqtt://127.0.0.1:{tap.port}", "--tiers", str(tmp_path / "tiers.toml")]
        done = subprocess.run([*command, *at], capture_output=True, check=False, timeout=60)
        host.stop()
        stop.set()
        for thread in threads:
            thread.join(20.0)
        heard = tap.heard()
    assert done.returncode == 0, done.stderr
    assert served.counts["ok"] > 0  # questions did leave
    assert any(map(shows, heard)) == is_heard
    assert not any(map(shows, (done.stdout, done.stderr)))


# At 1e-7 GMAC/s the head of a row takes 60 ms and the whole model 90 ms, as it is planned; live it takes what it takes.
_TIERS = """\
here = "edge"
[zones]
site = "raw"
operator = "per-ue"
[tiers.edge]
zone = "site"
above = "regional"
gmac_per_s = 1e-7
[tiers.regional]
zone = "{zone}"
round_trip_ms = 1
above = "central"
gmac_per_s = 3000
[tiers.central]
zone = "operator"
gmac_per_s = 3000
"""


# The rules


@pytest.mark.parametrize(
    ("level", "said", "expected"),
    [
        ("cell", (None, None), "per-cell"),
        ("slice", (None, None), "per-cell"),
        ("ue", (None, None), "per-ue"),
        ("ue", ("public", None), "per-ue"),  # a card cannot make a measurement less than its level
        ("cell", ("per-ue", None), "per-ue"),
        ("cell", (None, "raw"), "raw"),
        ("ue", (None, "public"), "per-ue"),  # the measurement is still there
    ],
)
def test_a_question_is_as_sensitive_as_its_most_sensitive_input(
    level: Level, said: tuple[Sensitivity | None, Sensitivity | None], expected: Sensitivity
) -> None:
    measured, named = said
    card = with_features(
        MEASURED.model_copy(update={"sensitivity": measured}),
        Feature(name="iq", unit="1", sensitivity=named),
    )
    assert of_inputs(card, level) == expected


def test_inputs_that_the_xapp_computes_may_be_public() -> None:
    hour, day = (Feature(name=name, unit="1", sensitivity="public") for name in ("hour", "day"))
    assert of_inputs(with_features(hour, day), "ue") == "public"


def test_only_what_went_through_a_layer_has_the_sensitivity_of_the_inside() -> None:
    card = with_features(MEASURED, IQ).model_copy(update={"sensitivity_inside": "per-cell"})
    assert of_cut(card, "ue", sends_input=False) == "per-cell"
    assert of_cut(card, "ue", sends_input=True) == "raw"


def with_features(*features: Feature) -> Card:
    return card_of("sensed", sensed(), features=features)


@pytest.mark.parametrize("kind", get_args(Sensitivity))
def test_the_transport_itself_keeps_what_may_not_leave_whatever_a_policy_chose(
    connect: Callable[[str], Bus], published: list[bytes], kind: Sensitivity
) -> None:
    """`central` is in a zone that may see per-cell: of the four sensitivities that and public go there, on a bus and virtually."""
    of = tiers(central={"zone": "cloud"})
    may_leave = kind in ("per-cell", "public")
    question = Question(
        model="sensed@0",
        matrix=np.full((1, 1), CANARY),
        n_outputs=1,
        node="toy-1",
        level="ue",
        asked_ns=0,
        sensitivity=kind,
    )
    virtual = VirtualTiers(of)
    virtual.offer("sensed@0", _Echo())
    assert (virtual.wait(virtual.send("central", question, 90 * MS), 90 * MS) is not None) == may_leave
    sign = {"kind": "inference", "tier": "central", "models": ["sensed@0"]}
    connect("far").publish(
        topics.presence("far"), encode(Presence(name="far", alive=True, facts=sign)), retain=True
    )
    way = BusTiers(of, "a", lambda _: connect("a"))
    way.turn()
    way.send("central", question, 90 * MS)
    assert any(map(shows, published)) == may_leave


class _Echo:
    def predict(self, matrix: Any, asked_ns: int, deadline_ns: int) -> Any:
        return matrix
