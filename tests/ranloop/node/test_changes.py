"""Changes on their way to a node that answers now, later, twice, wrongly or never."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ranloop.guard import Autonomy, Guard
from ranloop.node import NodeRuntime, Registration
from ranloop.node.changes import ANSWER_WITHIN_NS
from ranloop.node.port import Applied
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import Action, SetUeWeight
from ranloop.wire.messages import F32, ActionBatch, Order, Result, Status
from tests.ranloop.node.scripted import MS, rights


class Mailbox(ToyWorld):
    """A node whose answers come when a test puts them into `mail`, and whose UEs never leave."""

    def __init__(self) -> None:
        super().__init__(duration_s=5.0)
        self.asked: list[int] = []
        self.mail: list[Applied] = []

    def hand_over(self, node: str, number: int, action: Action, *, atomic: bool = False) -> None:
        self.asked.append(number)

    def answers(self) -> list[Applied]:
        mail, self.mail = self.mail, []
        return mail

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        return np.ones(len(ids), np.float32)


@pytest.fixture
def node() -> Mailbox:
    return Mailbox()


@pytest.fixture
def runtime(node: Mailbox) -> NodeRuntime:
    """A runtime with one change under way: weight 3 for UE 0, handed over at 10 ms."""
    runtime = NodeRuntime(node)
    runtime.admit("x", Registration(rights=rights("SetUeWeight")))
    batch = ActionBatch(
        id="b",
        xapp="x",
        node="toy-1",
        seq=1,
        action=SetUeWeight(ue=[0], weight=3),
        valid_until_ns=200 * MS,
        lease_ms=10_000,
    )
    assert runtime.submit(batch, sender="x", node="toy-1", now_ns=0) == []
    assert until(runtime, 50 * MS) == []
    assert node.asked == [0]
    return runtime


def until(runtime: NodeRuntime, end_ns: int) -> list[Result]:
    """Let time pass, event by event; the results."""
    results: list[Result] = []
    while runtime.port.now_ns < end_ns:
        results += runtime.advance(min(runtime.next_event_ns(), end_ns)).results
    return results


def weights(*values: float) -> F32:
    return np.array(values, np.float32).reshape(-1, 1)


def dropped(runtime: NodeRuntime) -> list[str]:
    runtime.flush()
    return [str(record.facts["reason"]) for record in runtime.audit if record.event == "dropped"]


def test_a_result_waits_for_the_nodes_answer_and_has_its_values(node: Mailbox, runtime: NodeRuntime) -> None:
    assert runtime.waits_for_nodes
    node.mail = [Applied("toy-1", 0, weights(2.5))]  # the node rounds
    (result,) = until(runtime, 100 * MS)
    assert (result.id, Status(result.status[0])) == ("b", Status.APPLIED)
    assert (result.applied.tolist(), result.ran_time_ns) == ([[2.5]], 100 * MS)
    assert not runtime.waits_for_nodes
    assert dropped(runtime) == []


def test_a_change_without_an_answer_ends_unknown_after_a_second(node: Mailbox, runtime: NodeRuntime) -> None:
    assert until(runtime, 10 * MS + ANSWER_WITHIN_NS - 1) == []
    (result,) = until(runtime, 10 * MS + ANSWER_WITHIN_NS)
    assert (result.id, Status(result.status[0])) == ("b", Status.UNKNOWN)
    assert not runtime.waits_for_nodes


def test_an_answer_that_comes_too_late_changes_nothing_and_is_counted(
    node: Mailbox, runtime: NodeRuntime
) -> None:
    until(runtime, 10 * MS + ANSWER_WITHIN_NS)
    node.mail = [Applied("toy-1", 0, weights(3))]
    assert until(runtime, 1_100 * MS) == []
    assert dropped(runtime) == [
        "an answer to change 0 of toy-1, which is asked nothing: late, twice or another's"
    ]


def test_a_second_answer_changes_nothing_and_is_counted(node: Mailbox, runtime: NodeRuntime) -> None:
    node.mail = [Applied("toy-1", 0, weights(3)), Applied("toy-1", 0, weights(1))]
    (result,) = until(runtime, 100 * MS)
    assert result.applied.tolist() == [[3.0]]
    assert len(dropped(runtime)) == 1


def test_an_answer_to_another_change_leaves_the_open_one_waiting(node: Mailbox, runtime: NodeRuntime) -> None:
    node.mail = [Applied("toy-1", 7, weights(3)), Applied("toy-2", 0, weights(3))]
    assert until(runtime, 100 * MS) == []
    assert runtime.waits_for_nodes
    assert dropped(runtime) == [
        "an answer to change 7 of toy-1, which is asked change 0: late, twice or another's",
        "an answer to change 0 of toy-2, which is asked nothing: late, twice or another's",
    ]


@pytest.mark.parametrize("values", [weights(3, 3), weights(np.inf), weights()])
def test_an_impossible_answer_ends_the_change_unknown(
    node: Mailbox, runtime: NodeRuntime, values: F32
) -> None:
    node.mail = [Applied("toy-1", 0, values)]
    (result,) = until(runtime, 100 * MS)
    assert Status(result.status[0]) is Status.UNKNOWN
    (reason,) = dropped(runtime)
    assert reason.endswith("to change 0; want [1, 1], finite")


# When something is due next, on a host of many nodes


def test_with_each_message_one_guard_is_asked_for_its_next_event(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = NodeRuntime(ToyWorld(nodes=[f"gnb-{number}" for number in range(50)]))
    runtime.admit("x", Registration(rights=rights("SetUeWeight")))
    runtime.next_event_ns()
    asked: list[str] = []
    exact = Guard.next_event_ns

    def counted(guard: Guard) -> int:
        asked.append(guard.catalogue.node)
        return exact(guard)

    monkeypatch.setattr(Guard, "next_event_ns", counted)
    for number in (7, 3):
        assert runtime.submit(weight_of(f"gnb-{number}"), sender="x", node=f"gnb-{number}", now_ns=0) == []
        assert runtime.next_change_ns() == 10 * MS  # the control delay
    assert asked == ["gnb-7", "gnb-3"]


@pytest.mark.parametrize(
    "happens",
    [
        lambda runtime: runtime.obey("toy-2", Order(id="k", kill=True), 60 * MS, kill=True),
        lambda runtime: runtime.obey(
            "toy-2", Order(id="o", xapp="x", autonomy="observe"), 60 * MS, kill=None
        ),
        lambda runtime: runtime.shut("x", 60 * MS),
        lambda runtime: runtime.dismiss("x"),
        lambda runtime: runtime.stop(),
        lambda runtime: runtime.admit(
            "x", Registration(rights=rights("SetUeWeight"), autonomy=Autonomy.OBSERVE)
        ),
    ],
    ids=["kill", "observe", "shut", "dismiss", "stop", "admit"],
)
def test_what_becomes_due_by_the_operators_word_is_next(happens: Callable[[NodeRuntime], object]) -> None:
    runtime = NodeRuntime(ToyWorld())
    runtime.admit("x", Registration(rights=rights("SetUeWeight")))
    assert runtime.submit(weight_of("toy-2"), sender="x", node="toy-2", now_ns=0) == []
    until(runtime, 60 * MS)
    assert runtime.next_change_ns() > 1000 * MS  # the end of the lease
    happens(runtime)
    assert runtime.next_change_ns() <= 61 * MS  # the setting goes back to its default at the next slot


def weight_of(node: str) -> ActionBatch:
    return ActionBatch(
        id=node,
        xapp="x",
        node=node,
        seq=0,
        action=SetUeWeight(ue=[0], weight=3),
        valid_until_ns=200 * MS,
        lease_ms=10_000,
    )
