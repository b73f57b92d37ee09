"""`ranloop doctor`: each fault has its line, its remedy and an exit code; a healthy bus has none."""

from __future__ import annotations

import itertools
import json
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from ranloop.bus import Bus, open_bus
from ranloop.guard import Autonomy
from ranloop.guard.remedies import REMEDIES
from ranloop.node import NodeHost, Registration
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Cause, Order, Presence, Result, Status
from ranloop.xapp.manifest import load_manifest
from tests.builders import APP, MANIFEST, write_xapp
from tests.command import Command

Found = dict[str, list[tuple[str, str, str]]]  # check -> (state, text, remedy)
_fresh = itertools.count()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranloop.cli.doctor.LISTEN_S", 0.05)


@pytest.fixture
def xapp(tmp_path: Path) -> Path:
    text, app = MANIFEST.replace('"CQI"', '"DRB.UEThpDl"'), APP.replace('"CQI"', '"DRB.UEThpDl"')
    return write_xapp(tmp_path / "weigher", app=app, text=text.format(name="weigher"))


@pytest.fixture
def url() -> str:
    return f"memory://doctor-{next(_fresh)}"


@contextmanager
def hosting(url: str, *folders: Path) -> Iterator[tuple[NodeHost, Bus]]:
    """A host with toy-1 and toy-2, and the bus of somebody else."""
    with closing(open_bus(url, name="host")) as bus, closing(open_bus(url, name="other")) as other:
        manifests = [load_manifest(folder) for folder in folders]
        xapps = {one.name: Registration(rights=one.rights, autonomy=Autonomy.ACT) for one in manifests}
        host = NodeHost(ToyWorld(), bus, xapps=xapps)
        host.announce(alive=True)
        yield host, other


def examine(ranloop: Command, *arguments: object) -> tuple[int, Found]:
    outcome = ranloop("doctor", *arguments, "--json")
    assert outcome.err == ""
    found: Found = {}
    for line in json.loads(outcome.out):
        found.setdefault(line["check"], []).append((line["state"], line["text"], line["remedy"]))
    return outcome.code, found


def test_what_is_well_is_ok_line_by_line(ranloop: Command, xapp: Path, url: str) -> None:
    with hosting(url, xapp):
        code, found = examine(ranloop, xapp, "--bus", url)
        words = ranloop("doctor", xapp, "--bus", url)
    assert code == words.code == 0
    states = {check: lines[0][0] for check, lines in found.items() if check != "extras"}
    assert states == dict.fromkeys(
        ("python", "simulator", "clock", "xapp", "broker", "host", "name", "reads", "admission"), "ok"
    )
    assert "ok       host       host with toy-1, toy-2\n" in words.out
    assert "ok       admission  weigher is admitted at host\n" in words.out


def test_without_a_bus_the_machine_and_the_folder_are_looked_at(ranloop: Command, xapp: Path) -> None:
    code, found = examine(ranloop, xapp)
    assert (code, found["bus"][0]) == (0, ("note", "not looked at", "give --bus URL, or set RANLOOP_BUS"))


def test_a_broker_that_is_not_there(ranloop: Command) -> None:
    code, found = examine(ranloop, "--bus", "mqtt://localhost:1")
    text = "no broker at mqtt://localhost:1: connection refused"
    assert (code, found["broker"]) == (1, [("problem", text, "start one with: ranloop broker")])


def test_a_bus_without_a_host(ranloop: Command, xapp: Path, url: str) -> None:
    with hosting(url) as (host, _):
        host.announce(alive=False)
        code, found = examine(ranloop, xapp, "--bus", url)
    text = "no host lives on this bus; catalogues of toy-1, toy-2 stand there"
    assert (code, found["host"]) == (1, [("problem", text, "start one with: ranloop host")])


def test_an_xapp_that_no_host_admits(ranloop: Command, xapp: Path, url: str) -> None:
    with hosting(url):
        code, found = examine(ranloop, xapp, "--bus", url)
    text = "no host has admitted weigher; host is here"
    assert (code, found["admission"]) == (1, [("problem", text, f"ranloop admit {xapp} --host host")])


def test_a_manifest_that_is_not_the_admitted_one(ranloop: Command, xapp: Path, url: str) -> None:
    own = load_manifest(xapp).rights.as_facts()
    own["actions"][0]["rate_per_s"] = 5.0
    sign = Presence(name="weigher", alive=True, facts={"kind": "xapp", "rights": own})
    with hosting(url, xapp) as (host, other):
        other.publish(topics.presence("weigher"), encode(sign), qos=1, retain=True)
        host.bus.poll(0.0)
        code, found = examine(ranloop, xapp, "--bus", url)
    text = "SetUeWeight: rate_per_s is 1000.0 at the host and 5.0 in the xApp's manifest"
    assert (code, found["manifest"]) == (
        1,
        [("problem", f"host admitted another one: {text}", f"ranloop admit {xapp} --host host")],
    )
    assert found["name"][0][:2] == ("note", "weigher runs on this bus")


def test_a_folder_that_is_no_xapp_and_code_that_is_no_python(ranloop: Command, tmp_path: Path) -> None:
    code, found = examine(ranloop, tmp_path)
    assert (code, found["xapp"][0][0]) == (1, "problem")
    assert "it has no manifest.toml" in found["xapp"][0][1]
    broken = write_xapp(tmp_path / "broken", app="def act(:\n")
    assert "app.py:1 is no Python" in examine(ranloop, broken)[1]["xapp"][0][1]


def test_a_stream_that_no_node_offers(ranloop: Command, tmp_path: Path, url: str) -> None:
    reads_cqi = write_xapp(tmp_path / "reader")
    with hosting(url):
        code, found = examine(ranloop, reads_cqi, "--bus", url)
    ((state, text, _),) = found["reads"]
    assert (code, state) == (1, "problem")
    assert text == (
        "reader reads ue reports every 100 ms, but toy-1 does not measure CQI per ue; it has DRB.UEThpDl, X.UE.Weight"
    )


def test_targets_that_are_all_refused_with_their_cause(
    ranloop: Command, xapp: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.cli.doctor.LISTEN_S", 0.5)
    refused = Result(
        id="weigher-1",
        xapp="weigher",
        node="toy-1",
        action="SetUeWeight",
        targets=np.array([[0], [1]], np.int32),
        status=np.full(2, Status.REFUSED, np.uint8),
        cause=np.ones(2, np.uint8),
        causes=((Cause.NONE, ""), (Cause.RATE, "more than 5 SetUeWeight batches a second")),
        applied=np.full((2, 1), np.nan, np.float32),
        ran_time_ns=0,
    )
    topic = topics.result("weigher", "toy-1")
    with hosting(url, xapp) as (_, other):
        # Results are not retained: say it as soon as the doctor listens.
        watched = open_bus

        def open_and_say(url: str, *, name: str) -> Bus:
            bus = watched(url, name=name)
            poll, said = bus.poll, list[bool]()

            def poll_once_said(timeout_s: float = 0.0) -> int:
                if not said:
                    said.append(True)
                    other.publish(topic, encode(refused), qos=1)
                return poll(timeout_s)

            bus.poll = poll_once_said  # type: ignore[method-assign]  # as if the host said it at this moment
            return bus

        monkeypatch.setattr("ranloop.cli.doctor.open_bus", open_and_say)
        code, found = examine(ranloop, "--bus", url)
    text = "weigher: none of its 2 targets was applied: refused/rate (SetUeWeight: more than 5 SetUeWeight batches a second)"
    assert (code, found["results"]) == (1, [("problem", text, REMEDIES[Cause.RATE])])


def test_a_kill_switch_and_an_autonomy_that_somebody_ordered(ranloop: Command, xapp: Path, url: str) -> None:
    with hosting(url, xapp) as (host, other):
        for order in (Order(id="1", kill=True), Order(id="2", xapp="weigher", autonomy="observe")):
            other.publish(topics.order("toy-1", order.xapp), encode(order), qos=1, retain=True)
        host.bus.poll(0.0)
        code, found = examine(ranloop, "--bus", url)
    assert (code, found["orders"]) == (
        1,
        [
            ("problem", "the kill switch is on at toy-1", REMEDIES[Cause.KILLED]),
            ("note", "at toy-1: weigher observes", REMEDIES[Cause.AUTONOMY]),
        ],
    )


def test_a_host_that_has_the_name_of_the_xapp(ranloop: Command, tmp_path: Path, url: str) -> None:
    namesake = write_xapp(tmp_path / "host")
    with hosting(url):
        code, found = examine(ranloop, namesake, "--bus", url)
    assert (code, found["name"][0][:2]) == (1, ("problem", "a host is called host"))


def test_a_clock_that_is_far_behind_another_one(ranloop: Command, url: str) -> None:
    sign = Presence(name="ahead", alive=True, facts={"time_s": round(time.time()) + 4000})
    with hosting(url) as (_, other):
        other.publish(topics.presence("ahead"), encode(sign), qos=1, retain=True)
        code, found = examine(ranloop, "--bus", url)
    (_, (state, text, remedy)) = found["clock"]
    assert (code, state) == (1, "problem")
    assert remedy == "set both clocks (NTP): certificates and the audit log need them"
    assert text.startswith("the clock of ahead is ")


@pytest.mark.parametrize(("ahead_s", "word"), [(4000, "behind"), (-4000, "ahead of")])
def test_a_clock_that_differs_from_a_hosts(
    ranloop: Command, url: str, monkeypatch: pytest.MonkeyPatch, ahead_s: float, word: str
) -> None:
    right, opened = time.time, open_bus
    with hosting(url) as (host, _):

        def open_beside_the_host(url: str, *, name: str) -> Bus:
            """The host polls whenever the doctor does, by its own clock."""
            bus = opened(url, name=name)
            poll = bus.poll

            def poll_both(timeout_s: float = 0.0) -> int:
                with monkeypatch.context() as there:
                    there.setattr("time.time", lambda: right() + ahead_s)
                    host.bus.poll()
                return poll(min(timeout_s, 0.01))

            bus.poll = poll_both  # type: ignore[method-assign]  # as if the host ran on another machine
            return bus

        monkeypatch.setattr("ranloop.cli.doctor.open_bus", open_beside_the_host)
        code, found = examine(ranloop, "--bus", url)
    ((state, text, remedy),) = found["clock"][1:]
    assert (code, state) == (1, "problem")
    assert re.fullmatch(rf"the clock here is (3999|4000|4001) s {word} that of host", text)
    assert remedy == "set both clocks (NTP): certificates and the audit log need them"


def test_a_clock_before_the_installation(ranloop: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranloop.cli.doctor.time.time", lambda: 1e9)  # 2001
    code, found = examine(ranloop)
    assert (code, found["clock"][0][0]) == (1, "problem")


def test_a_python_that_is_too_old(ranloop: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranloop.cli.doctor._LEAST_PYTHON", (4, 0))
    code, found = examine(ranloop)
    assert (code, found["python"][0][0], found["python"][0][2]) == (
        1,
        "problem",
        "ranloop needs 4.0 or later",
    )


def test_extras_and_a_simulator_that_are_not_there(ranloop: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranloop.cli.doctor._EXTRAS", {"no_such_module": "sim"})
    monkeypatch.setattr("ranloop.cli.doctor.entry_points", lambda group: [])
    code, found = examine(ranloop)
    assert code == 0  # an xApp's container needs neither
    assert found["extras"] == [("note", "not installed: sim", "where needed: pip install 'ranloop[sim]'")]
    assert found["simulator"][0][:2] == ("note", "not installed")


def test_a_cache_of_compiled_kernels_that_cannot_be_written(
    ranloop: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator says so when it is loaded; `tests/ran_sim/core/test_jit.py` has when."""

    class Unwritable(EntryPoint):
        def load(self) -> object:
            warnings.warn(
                "ran_sim: no folder can be written: slow; point XDG_CACHE_HOME at one.", stacklevel=1
            )
            return None

    point = Unwritable("sim", "x", "y")
    monkeypatch.setattr("ranloop.cli.doctor.entry_points", lambda group: [point])
    code, found = examine(ranloop)
    assert (code, found["simulator"]) == (
        1,
        [("problem", "no folder can be written: slow", "point XDG_CACHE_HOME at one.")],
    )


def test_the_page_lists_every_check() -> None:
    root = Path(__file__).parents[3]
    source = (root / "sdk" / "ranloop" / "cli" / "doctor.py").read_text()
    _, page = (root / "docs" / "operations.md").read_text().split("| check | problem |")
    rows = [line.split("|")[1] for line in page.split("\n\n")[0].splitlines() if line.startswith("| `")]
    checks = set(re.findall(r'Finding\(\s*"(\w+)"', source)) - {"bus"}  # which is not looked at
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == checks
