"""A stream that repeats itself to the bit is noticed, told by an alarm, and believed again with the next other report."""

from __future__ import annotations

import pytest

from ranloop import XApp
from ranloop.testing import VirtualRan, make_report
from ranloop.wire.messages import Report
from ranloop.xapp.app import registrations
from ranloop.xapp.stuck import ALARM
from tests.builders import write_xapp

APP = """
from ranloop import Report, SetUeWeight, XApp

app = XApp()
stuck = app.stuck(after=2)


@app.on_report("CQI")
def act(report: Report) -> SetUeWeight | None:
    return None if stuck(report) else SetUeWeight(ue=report.ue, weight=2.0)
"""


def told(cqi: float, seq: int, node: str = "site0") -> Report:
    return make_report({"CQI": [cqi]}, seq=seq, node=node)


def test_it_is_so_from_as_many_repetitions_on_until_a_report_differs() -> None:
    stuck = XApp().stuck(after=2)
    courses = [stuck(told(cqi, seq)) for seq, cqi in enumerate([7, 7, 7, 7, 8, 8, 8])]
    assert courses == [False, False, True, True, False, False, True]


def test_streams_and_nodes_are_told_apart_and_a_report_that_comes_twice_is_one() -> None:
    stuck = XApp().stuck(after=1)
    assert not stuck(told(7, 0))
    assert not stuck(told(7, 0))  # the network doubled it
    assert not stuck(told(7, 1, node="site1"))
    assert stuck(told(7, 1))


def test_reports_without_rows_repeat_nothing() -> None:
    stuck = XApp().stuck(after=1)
    assert not any(stuck(make_report({"CQI": []}, seq=seq)) for seq in range(5))


def test_a_restarted_node_begins_anew() -> None:
    app = XApp()
    stuck = app.stuck(after=1)
    stuck(told(7, 0))
    registrations(app).forget("site0")
    assert not stuck(told(7, 1))


@pytest.mark.parametrize("after", [0, 1.5, True])
def test_a_number_of_repetitions_that_is_none_is_refused(after: int) -> None:
    with pytest.raises(ValueError, match="after is a whole number of repetitions from 1"):
        XApp().stuck(after=after)


def test_what_an_xapp_holds_goes_back_and_an_alarm_says_why(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = write_xapp(tmp_path_factory.mktemp("xapp") / "held", app=APP)
    with VirtualRan(folder) as network:
        network.show({"CQI": [7, 12]})
        network.run(250)
        assert len(network.held) == 2
        network.run(500)  # the third report is the second repetition, and leases last for 300 ms
        assert network.held == {}
        (alarm,) = network.alarms
        assert (alarm.name, alarm.target, alarm.node) == (ALARM, "ue/100-ms", "site0")
        network.show({"CQI": [7, 13]})
        network.run(200)
        assert len(network.held) == 2
        assert network.alarms == ()
