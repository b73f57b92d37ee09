"""The network in virtual time: each thing that goes wrong reaches the xApp as it would live, at the instant that the test says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranloop import Cause, Status
from ranloop.errors import ModelError
from ranloop.testing import VirtualRan
from ranloop.testing.plugin import ran
from ranloop.testing.worlds import ToyWorld
from tests.builders import MANIFEST, write_xapp

__all__ = ("ran",)

APP = """
import numpy as np
from ranloop import SetUeWeight, XApp
app = XApp()
seen, ends = [], []

@app.on_report("CQI")
def act(report):
    seen.append((report.seq, report["CQI"].tolist()))
    app.state["n"] = app.state.get("n", 0) + 1
    if app.settings["gain"] == 9.0:
        raise KeyError("nine")
    if len(report) > 3:
        app.alarm("crowd", severity="minor")
    low = report["CQI"] < 8
    return SetUeWeight(ue=report.ue[low], weight=app.settings["gain"] * 2)

@app.on_restart
def anew(node):
    seen.append(node)

@app.on_settings
def changed(values):
    seen.append(values)

@app.on_result
def learn(result):
    ends.extend(result.fates)
"""
Open = Callable[..., VirtualRan]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_xapp(tmp_path / "mine", app=APP, text=MANIFEST.format(name="mine"))


@pytest.fixture
def net(ran: Open, folder: Path) -> VirtualRan:
    network = ran(folder)
    network.show({"CQI": [5, 12]}, ids={"ue": [3, 4]}, labels={"ue": ["anna", "ben"]})
    return network


def seen(net: VirtualRan) -> list[Any]:
    found: list[Any] = net.instance.package.module("app").seen
    return found


def seqs(net: VirtualRan) -> list[int]:
    return [entry[0] for entry in seen(net) if isinstance(entry, tuple)]


def test_time_passes_at_once_and_the_guard_applies_what_the_xapp_wants(net: VirtualRan) -> None:
    actions = net.run(1000)
    assert (seqs(net), len(actions), net.now_ms) == (list(range(10)), 10, 1000.0)
    assert net.held == {("SetUeWeight", (3,)): {"weight": 2.0}}
    assert {fate.status for fate in net.fates} == {Status.APPLIED}
    assert net.node.in_force == {("SetUeWeight", (3,)): (2.0,)}


def test_a_setting_that_is_not_renewed_ends_with_its_lease(net: VirtualRan) -> None:
    net.run(100)
    net.show({"CQI": [12]}, ids={"ue": [3]})
    net.run(1000)
    assert (net.held, net.fates[-1].cause) == ({}, Cause.LEASE_LAPSED)


def test_lost_reports_are_missed(net: VirtualRan) -> None:
    net.run(100)
    net.lose(2)
    net.run(400)
    assert (seqs(net), net.stats.missed) == ([0, 3, 4], 2)


def test_a_late_report_comes_after_its_successors_and_is_not_handed_over(net: VirtualRan) -> None:
    net.delay(250)
    net.run(500)
    assert (seqs(net), net.stats.late) == ([1, 2, 3, 4], 1)


def test_a_report_that_is_late_by_less_than_a_period_comes_then(net: VirtualRan) -> None:
    net.delay(50)
    net.run(140)
    assert seqs(net) == []
    net.run(20)
    assert seqs(net) == [0]


def test_a_repeated_report_is_handled_once(net: VirtualRan) -> None:
    net.repeat(3)
    net.run(300)
    assert (seqs(net), net.stats.late) == ([0, 1, 2], 3)


def test_reports_in_the_wrong_order(net: VirtualRan) -> None:
    net.swap()
    net.run(300)
    assert (seqs(net), net.stats.late) == ([1, 2], 1)


def test_a_value_outside_its_range_is_no_value(net: VirtualRan) -> None:
    net.show({"CQI": [99, 12]})
    assert net.run(100) == []
    assert np.array_equal(seen(net)[0][1], [np.nan, 12], equal_nan=True)


def test_a_restart_begins_ran_time_anew_and_ends_what_was_open(net: VirtualRan) -> None:
    net.run(300)
    net.delay(1000, kind="result")
    net.run(100)
    net.restart()
    assert (net.held, net.now_ms) == ({}, 0.0)
    net.run(300)
    assert seen(net)[4] == "site0"
    assert seqs(net) == [0, 1, 2, 3, 0, 1, 2]
    assert [fate.status for fate in net.instance.package.module("app").ends][3] == Status.UNKNOWN
    assert net.held == {("SetUeWeight", (3,)): {"weight": 2.0}}


def test_a_ue_that_leaves_ends_its_setting_and_stands_in_no_report(net: VirtualRan) -> None:
    net.run(200)
    net.leave(3)
    net.run(200)
    assert [values for _, values in seen(net)] == [[5, 12], [5, 12], [12], [12]]
    # The renewal of 200 ms is under way when it leaves.
    assert [fate.cause for fate in net.fates[-2:]] == [Cause.UE_LEFT, Cause.NO_TARGET]
    assert net.held == {}


def test_a_change_that_the_node_refuses(net: VirtualRan) -> None:
    net.refuse("it is being handed over")
    net.run(150)
    assert [(fate.status, fate.cause, fate.text) for fate in net.fates] == [
        (Status.REFUSED, Cause.NODE, "it is being handed over")
    ]


def test_an_action_that_comes_too_late_expires(net: VirtualRan) -> None:
    net.delay(500, kind="act")
    net.run(110)
    net.show({"CQI": [12]})
    net.run(1000)
    # Valid for two periods, to 300 ms. The runner asks again then, and the answer to that counts.
    assert [(fate.status, fate.cause) for fate in net.fates] == [(Status.EXPIRED, Cause.STALE)]
    assert (net.stats.retried, net.stats.results[Status.EXPIRED]) == (1, 1)


def test_settings_are_changed_while_it_runs(net: VirtualRan) -> None:
    net.run(100)
    net.change(gain=2.0)
    net.run(100)
    assert seen(net) == [(0, [5, 12]), {"gain": 2.0}, (1, [5, 12])]
    assert net.actions[-1].action.parameters().tolist() == [[4.0]]


def test_what_a_guard_refuses_is_in_the_fates(ran: Open, folder: Path) -> None:
    net = ran(folder, gain=3.0)
    net.show({"CQI": [5]})
    net.run(100)
    net.run(20)
    assert [(fate.cause, fate.text) for fate in net.fates] == [
        (Cause.RANGE, "weight 6; the manifest of mine allows 0.5 to 4")
    ]


def test_an_error_of_a_handler_reaches_the_test_unless_it_is_to_be_contained(ran: Open, folder: Path) -> None:
    net = ran(folder, gain=9.0)
    with pytest.raises(KeyError, match="nine"):
        net.run(100)
    net.run(100, raises=False)
    assert net.stats.failures == 2


def test_state_alarms_and_a_second_start(ran: Open, folder: Path) -> None:
    first = ran(folder)  # made-up rows: six UEs
    first.run(300)
    assert [(alarm.name, alarm.node) for alarm in first.alarms] == [("crowd", "site0")]
    assert [record.event for record in first.audit if record.event.startswith("alarm")] == ["alarm_raised"]
    second = ran(folder, state=first.state)
    second.run(100)
    assert (dict(first.state), dict(second.state)) == ({"n": 3}, {"n": 4})


def test_any_world_can_be_behind_it(ran: Open, tmp_path: Path) -> None:
    app = APP.replace('"CQI"', '"DRB.UEThpDl"')
    text = MANIFEST.format(name="mine").replace("CQI", "DRB.UEThpDl")
    net = ran(write_xapp(tmp_path / "mine", app=app, text=text), world=ToyWorld)
    net.run(200)
    net.restart()
    net.run(100)
    assert seqs(net) == [0, 0, 1, 1, 0, 0]  # two nodes
    with pytest.raises(TypeError, match="ToyWorld has no script"):
        net.leave(1)


MODELLED = """
from ranloop import Report, SetUeWeight, XApp
app = XApp()
flow_rate = app.model("flow_rate")

@app.on_report("CQI", "X.UE.SpectralEffDl", "X.UE.MeanMcsDl", "RSRP", level="qos_flow", every_ms=100)
def act(report: Report) -> SetUeWeight:
    known = flow_rate(report) > 0  # NaN is not
    return SetUeWeight(ue=report.ue, weight=1.0 + known)
"""


def test_a_model_that_is_slow_or_fails(ran: Open, tmp_path: Path) -> None:
    text = MANIFEST.format(name="modelled").replace('level = "ue"', 'level = "qos_flow"')
    text = text.replace('["CQI"]', '["CQI", "X.UE.SpectralEffDl", "X.UE.MeanMcsDl", "RSRP"]')
    text += f'[models]\nflow_rate = "{Path(__file__).parents[3] / "models" / "flow_rate"}"\n'
    net = ran(write_xapp(tmp_path / "modelled", app=MODELLED, text=text))
    net.run(300)
    asked = len(net.actions)
    assert any(batch.models for batch in net.actions)
    net.slow_model("flow_rate", 1000)
    net.run(300)
    assert not any(batch.models for batch in net.actions[asked:])  # its outputs are no value
    net.failing_model("flow_rate")
    with pytest.raises(ModelError, match="the model fails, as the test wants it"):
        net.run(100)
    net.run(100, raises=False)
    assert net.stats.failures == 2


def test_two_runs_are_the_same(ran: Open, folder: Path) -> None:
    def course() -> list[Any]:
        net = ran(folder)
        net.lose()
        net.swap()
        net.run(500)
        net.restart()
        net.run(300)
        return [*seen(net), [(f.target, f.status, f.text) for f in net.fates]]

    assert repr(course()) == repr(course())
