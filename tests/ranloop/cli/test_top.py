"""`ranloop top`: who runs, who holds what, how quickly, what is refused; from the bus alone, and without a word."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from ranloop.bus import Bus, open_bus
from ranloop.cli.bus_view import BusView
from ranloop.cli.top import look
from ranloop.guard import Autonomy
from ranloop.node import NodeHost, Registration
from ranloop.testing import make_report
from ranloop.testing.messages import make_result
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import Handover, SetUeWeight
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import ActionBatch, Cause, Order, Presence, Result, Standing, Status
from tests.command import Command
from tests.ranloop.node.scripted import rights

Connect = Callable[[str], Bus]
_fresh = itertools.count()


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Rates:
    """Looks are two seconds apart."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def tick(self) -> None:
        pass

    def per_s(self, name: str, count: int) -> float:
        before, self.counts[name] = self.counts.get(name, 0), count
        return (count - before) / 2


class Scene:
    """A bus with a watcher, and what others say on it."""

    def __init__(self, connect: Connect) -> None:
        self.watcher, self.others = connect("observer"), connect("others")
        self.clock, self.rates = Clock(), Rates()
        self.view = BusView(self.watcher, traffic=True, clock=self.clock)

    def say(self, topic: str, payload: bytes) -> None:
        self.others.publish(topic, payload, qos=1)
        self.watcher.poll(0.0)

    def ask(self, number: int, ue: list[int], *, report_seq: int = -1) -> None:
        batch = ActionBatch(
            id=f"x-{number}", xapp="x", node="toy-1", seq=number, action=SetUeWeight(ue=ue, weight=2.0),
            valid_until_ns=0, report_seq=report_seq,
        )  # fmt: skip
        self.say(topics.act("x", "toy-1"), encode(batch))

    def answer(
        self, number: int, ue: list[int], status: Status, *, cause: tuple[Cause, str] | None = None, action: str = "SetUeWeight"
    ) -> None:  # fmt: skip
        n = len(ue)
        result = Result(
            id=f"x-{number}", xapp="x", node="toy-1", action=action, targets=np.array(ue, np.int32)[:, None],
            status=np.full(n, status, np.uint8), cause=np.full(n, 1 if cause else 0, np.uint8),
            causes=((Cause.NONE, ""), *([cause] if cause else [])),
            applied=np.zeros((n, 1), np.float32), ran_time_ns=0,
        )  # fmt: skip
        self.say(topics.result("x", "toy-1"), encode(result))

    def xapp(self) -> dict[str, object]:
        (found,) = look(self.view, self.rates)["xapps"]  # type: ignore[arg-type]  # the test's own rates
        return dict(found)


@pytest.fixture
def scene(connect: Connect) -> Scene:
    return Scene(connect)


def test_what_is_held_is_what_was_applied_and_has_not_ended(scene: Scene) -> None:
    scene.answer(1, [4, 5, 6], Status.APPLIED)
    scene.answer(2, [5, 7], Status.APPLIED)
    scene.answer(1, [4], Status.ENDED, cause=(Cause.UE_LEFT, "not at toy-1 (any more)"))
    scene.answer(3, [8], Status.APPLIED, action=Handover.spec.name)  # done once, not held
    assert scene.xapp()["holds"] == {"SetUeWeight at toy-1": 3}


def test_delays_are_from_report_to_action_and_from_action_to_result(scene: Scene) -> None:
    for number, (decides_s, answered_s) in enumerate([(0.002, 0.01), (0.004, 0.03), (0.003, 0.02)]):
        report = make_report({"DRB.UEThpDl": [1.0]}, node="toy-1", seq=number)
        scene.say(topics.report("toy-1", "ue", 100), encode(report))
        scene.clock.now_s += decides_s
        scene.ask(number, [4], report_seq=number)
        scene.clock.now_s += answered_s
        scene.answer(number, [4], Status.APPLIED)
    found = scene.xapp()
    assert (found["decides_ms"], found["answered_ms"]) == (3.0, 20.0)


def test_rates_are_of_the_time_between_two_looks(scene: Scene) -> None:
    for number in range(4):
        report = make_report({"DRB.UEThpDl": [1.0]}, node="toy-1", seq=number)
        scene.say(topics.report("toy-1", "ue", 100), encode(report))
    scene.ask(1, [4])
    scene.ask(2, [4])
    facts = look(scene.view, scene.rates)  # type: ignore[arg-type]  # the test's own rates
    assert facts["nodes"][0]["reports_per_s"] == 2.0  # 4 in 2 s
    assert facts["xapps"][0]["actions_per_s"] == 1.0
    assert scene.xapp()["actions_per_s"] == 0.0


def test_refusals_have_their_cause_and_a_text(scene: Scene) -> None:
    scene.answer(1, [4, 5], Status.REFUSED, cause=(Cause.CONFLICT, "held by y\x1b[2J"))
    scene.answer(2, [6], Status.APPLIED)
    found = scene.xapp()
    assert found["refused"] == [
        {"action": "SetUeWeight", "fate": "refused/conflict", "targets": 2, "example": "held by y\ufffd[2J"}
    ]
    assert found["targets"] == {"refused/conflict": 2, "applied": 1}


def test_garbage_is_counted_and_a_result_on_a_foreign_topic_is_none(scene: Scene) -> None:
    for topic in (topics.act("x", "toy-1"), topics.presence("x"), topics.result("x", "toy-1")):
        scene.say(topic, b"garbage")
    assert (scene.view.n_unreadable, look(scene.view, scene.rates)["xapps"]) == (3, [])  # type: ignore[arg-type]


def test_made_up_names_push_out_nobody_who_speaks(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("ranloop.page.roster", "ranloop.cli.bus_view"):
        monkeypatch.setattr(f"{room}.KEPT", 20)
    scene = Scene(connect)
    toy = ToyWorld().catalogues[0]
    host = Presence(name="host", alive=True, facts={"kind": "node-host", "nodes": ["toy-1"], "xapps": ["x"]})
    scene.say(topics.presence("host"), encode(host))
    scene.say(topics.presence("x"), encode(Presence(name="x", alive=True, facts={"kind": "xapp"})))
    scene.say(topics.catalogue("toy-1"), encode(toy))
    for number in range(100):
        name = f"evil-{number}"
        evil = Presence(name=name, alive=True, facts={"kind": "node-host", "nodes": [name, "toy-1"]})
        scene.say(topics.presence(name), encode(evil))
        scene.say(topics.catalogue(name), encode(replace(toy, node=name)))
        scene.say(topics.standing(name), encode(Standing(node=name, order="", killed=True, autonomy={})))
        for node in (name, "toy-1"):
            report = make_report({"DRB.UEThpDl": [1.0]}, node=node, seq=number)
            scene.say(topics.report(node, "ue", 100), encode(report))
        result = make_result(SetUeWeight(ue=[1], weight=2.0), id=name, xapp=name, node=name)
        scene.say(topics.result(name, name), encode(result))
        scene.answer(number, [4], Status.APPLIED)
    facts = look(scene.view, scene.rates)  # type: ignore[arg-type]  # the test's own rates
    rows = {one["node"]: one for one in facts["nodes"]}
    xapps = {one["xapp"]: one for one in facts["xapps"]}
    assert max(len(rows), len(xapps), len(scene.view.signs), len(scene.view.catalogues)) <= 20
    assert (rows["toy-1"]["host"], rows["toy-1"]["reports_per_s"]) == ("host", 50.0)  # 100 in 2 s
    assert (xapps["x"]["alive"], xapps["x"]["holds"]) == (True, {"SetUeWeight at toy-1": 1})
    # 102 life signs, 101 catalogues, 100 standings, 101 nodes, 101 xApps and what each holds: 20 of each stay.
    assert facts["forgotten_names"] == 102 + 101 + 100 + 101 + 101 + 101 - 6 * 20


def test_who_runs_is_told_from_the_life_signs_and_standings(ranloop: Command) -> None:
    url = f"memory://top-{next(_fresh)}"
    words: list[str] = []
    with closing(open_bus(url, name="host")) as bus, closing(open_bus(url, name="x")) as other:
        xapps = {
            "x": Registration(rights=rights("SetUeWeight"), autonomy=Autonomy.ACT),
            "away": Registration(rights=rights()),
        }
        NodeHost(ToyWorld(), bus, xapps=xapps).announce(alive=True)
        sign = Presence(name="x", alive=True, facts={"kind": "xapp"})
        other.publish(topics.presence("x"), encode(sign), qos=1, retain=True)
        order = Order(id="1", xapp="x", autonomy="recommend")
        other.publish(topics.order("toy-1", "x"), encode(order), qos=1, retain=True)
        bus.poll(0.0)
        other.subscribe("#", lambda topic, _: words.append(topic))
        other.poll(0.0)
        words.clear()
        once = ("top", "--bus", url, "--once", "--every-s", "0.05")
        outcome, shown = ranloop(*once, "--json"), ranloop(*once)
        other.poll(0.0)
    facts = json.loads(outcome.out)
    assert (outcome.code, shown.code, words) == (0, 0, [])  # it says nothing on the bus
    assert [(node["node"], node["host"], node["killed"]) for node in facts["nodes"]] == [
        ("toy-1", "host", False),
        ("toy-2", "host", None),
    ]
    assert [(one["xapp"], one["alive"]) for one in facts["xapps"]] == [("away", False), ("x", True)]
    assert facts["xapps"][1]["autonomy"] == {"toy-1": "recommend"}
    assert "toy-1: recommend" in " ".join(shown.out.split())


@pytest.mark.parametrize("every_s", ["0", "-1", "nan"])
def test_a_look_takes_some_time(ranloop: Command, every_s: str) -> None:
    complaint = ranloop("top", "--bus", "memory://top", "--every-s", every_s).complaint
    assert complaint.startswith(f"--every-s {every_s}: want a number above 0")
