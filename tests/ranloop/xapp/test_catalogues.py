"""What a node says of itself reaches the handlers: before its first report, on every pace, and in a test by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ranloop.bus import Bus, open_bus
from ranloop.embedded import run_embedded
from ranloop.node import LiveHost, NodeHost, Registration
from ranloop.testing import XAppHarness, check_xapp, make_report
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import decode_answer, encode
from ranloop.wire.messages import Answer, Catalogue, CellRelation, Step
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from tests.builders import MANIFEST, in_run, write_xapp

APP = """
from ranloop import Report, XApp
app = XApp()
nodes = app.catalogues()
seen = []

@app.on_report("DRB.UEThpDl")
def act(report: Report) -> None:
    seen.append(dict(nodes.of(report).cells))

@app.summary
def what():
    return {"seen": [list(cells.values()) for cells in seen]}
"""
REPORT = make_report({"DRB.UEThpDl": [1.0]})


def catalogue(run: str = "", name: str = "north") -> Catalogue:
    return Catalogue(
        node="site0",
        measurements={"ue": ("DRB.UEThpDl",)},
        actions=(),
        periods_ms=(100,),
        cells={0: name},
        neighbours={0: (CellRelation(cell=1, name="south"),)},
        run=run,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = MANIFEST.replace('"CQI"', '"DRB.UEThpDl"').format(name="curious")
    return write_xapp(tmp_path / "curious", app=APP, text=text)


def test_in_a_test_the_author_hands_it_over(folder: Path) -> None:
    xapp = XAppHarness(folder)
    xapp.know(catalogue())
    xapp.send(REPORT)
    assert xapp.summary() == {"seen": [["north"]]}


def test_a_test_that_forgot_it_is_told(folder: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^no catalogue of 'site0' has come; a test .* XAppHarness.know"):
        XAppHarness(folder).send(REPORT)


def test_the_check_of_xapps_has_catalogues(folder: Path) -> None:
    check_xapp(folder)


def test_in_one_process_it_is_there_before_the_first_report(folder: Path) -> None:
    with closing(ToyWorld()) as world:
        cells = [list(node.cells.values()) for node in world.catalogues]
        seen = run_embedded(world, [folder]).xapps["curious"]["seen"]
    assert seen[: len(cells)] == cells


def test_live_it_is_there_before_the_first_report(folder: Path) -> None:
    instance, stop = Instance(load_package(folder), incarnation="live"), threading.Event()
    with (
        closing(ToyWorld()) as world,
        closing(open_bus("memory://curious", name="host")) as host_bus,
        closing(open_bus("memory://curious", name=instance.name)) as bus,
    ):
        live = LiveHost(
            NodeHost(world, host_bus, xapps={instance.name: Registration(rights=instance.manifest.rights)}),
            speed=10.0,
        )

        def host() -> None:
            live.run(2.0)
            stop.set()

        thread = threading.Thread(target=host, name="host")
        thread.start()
        stats = LiveRunner(instance, bus, patience_s=0.3).run(stop, duration_s=20.0)
        thread.join(20.0)
    assert (stats.failures, bool(instance.summary()["seen"])) == (0, True)


def test_a_step_waits_for_the_catalogue_of_its_own_run(folder: Path, connect: Callable[[str], Bus]) -> None:
    """An earlier host's catalogue may still be retained, and a broker may deliver topics in any order."""
    host, answers = connect("host"), list[Answer]()
    host.subscribe(topics.answer("curious", "host"), lambda _, said: answers.append(decode_answer(said)))
    instance, bus = Instance(load_package(folder)), connect("curious")
    runner = LockstepRunner(instance, bus)

    def say(topic: str, message: Step | Catalogue) -> int:
        host.publish(topic, encode(message), qos=1)
        bus.poll()
        host.poll()
        return len(answers)

    step = Step(host="host", step=0, ran_time_ns=0, reports=(in_run("2", REPORT),))
    assert say(topics.catalogue("site0"), catalogue(run="1", name="old")) == 0
    assert say(topics.step("host", "curious"), step) == 0
    assert say(topics.catalogue("site0"), catalogue(run="2")) == 1
    assert instance.summary() == {"seen": [["north"]]}
    next_report = replace(REPORT, seq=1, run="2")
    assert (
        say(topics.step("host", "curious"), Step(host="host", step=1, ran_time_ns=1, reports=(next_report,)))
        == 2
    )
    runner.close()


def test_a_catalogue_in_the_name_of_another_node_is_not_taken(
    folder: Path, connect: Callable[[str], Bus]
) -> None:
    host, bus = connect("host"), connect("curious")
    runner = LockstepRunner(Instance(load_package(folder)), bus)
    host.publish(topics.catalogue("site1"), encode(catalogue()), qos=1)
    bus.poll()
    assert runner.malformed == 1
    runner.close()
