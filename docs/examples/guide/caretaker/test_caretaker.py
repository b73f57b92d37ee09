"""Tests of caretaker, each of one kind of handler."""

from collections.abc import Callable
from pathlib import Path

from ranloop import Cause, SetUeWeight, Status
from ranloop.testing import VirtualRan, XAppHarness, make_report, make_result

FOLDER = Path(__file__).parent


def test_a_refusal_raises_an_alarm_and_success_clears_it() -> None:
    xapp = XAppHarness(FOLDER)
    action = SetUeWeight(ue=[3], weight=2.0)
    xapp.answer(make_result(action, Status.REFUSED, Cause.LIMIT, "at most 1"))
    assert [(alarm.name, alarm.text) for alarm in xapp.alarms] == [("refused", "at most 1")]
    xapp.answer(make_result(action))
    assert xapp.alarms == ()


def test_a_second_start_goes_on_from_what_the_first_kept() -> None:
    first = XAppHarness(FOLDER)
    first.send(make_report({"CQI": [2, 3, 12]}))
    first.tick("keep_count")
    assert XAppHarness(FOLDER, state=first.state).summary() == {"most_helped": 2}


def test_an_operator_changes_a_setting_while_it_runs(ran: Callable[..., VirtualRan]) -> None:
    network = ran(FOLDER, boost=3.0)
    network.show({"CQI": [4, 12]}, ids={"ue": [3, 4]})
    network.run(300)
    assert network.held == {("SetUeWeight", (3,)): {"weight": 3.0}}
    network.change(boost=1.5)
    network.run(200)
    assert network.held == {("SetUeWeight", (3,)): {"weight": 1.5}}


def test_a_node_that_starts_anew_means_other_ues(ran: Callable[..., VirtualRan]) -> None:
    network = ran(FOLDER)
    network.show({"CQI": [4]}, ids={"ue": [3]})
    network.run(300)
    network.restart()
    network.show({"CQI": [12]}, ids={"ue": [3]})  # another UE with the same id
    network.run(300)
    assert network.held == {}
