"""A node that restarts: its memory is dropped, then the xApp is told, then the first report of the new run is handled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ranloop.testing import make_report
from ranloop.wire.messages import ActionBatch, Report
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from tests.builders import write_xapp

APP = """
import numpy as np
from ranloop import SetUeWeight, XApp
app = XApp()
ues, phones, cells = app.per_ue(cqi=0.0), app.per_ue(dict), app.per_cell(cqi=0.0)
told = []

@app.on_report("CQI")
def learn(report):
    told.append(report.seq)
    phones.of(report)
    for memory in (ues, cells):
        memory.update(report, cqi=report["CQI"])

@app.on_restart
def anew(node):
    told.append((node, len(ues), len(phones), len(cells)))
    return SetUeWeight(ue=[0], weight=2.0)
"""


class Learner:
    def __init__(self, folder: Path) -> None:
        self.instance = Instance(load_package(write_xapp(folder / "learner", app=APP)))

    @property
    def told(self) -> list[Any]:
        told: list[Any] = self.instance.package.module("app").told
        return told

    def hear(self, seq: int, run: str = "", node: str = "site0") -> list[ActionBatch]:
        report: Report = make_report({"CQI": [5, 6]}, ids={"cell": [0, 1]}, seq=seq, node=node)
        return self.instance.on_report(replace(report, run=run))


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    return Learner(tmp_path)


def test_another_run_drops_the_memory_of_that_node_alone_and_is_told_before_its_first_report(
    learner: Learner,
) -> None:
    learner.hear(1, run="1")
    learner.hear(1, run="1", node="site1")
    batches = learner.hear(0, run="2")
    # Two UEs and two cells of site1 are left: two targets in each of the three memories.
    assert learner.told == [1, 1, ("site0", 2, 2, 2), 0]
    assert [(batch.node, batch.run, batch.valid_until_ns) for batch in batches] == [
        ("site0", "2", 300_000_000)  # the report of period 0 ends at 100 ms; two periods more
    ]


def test_a_first_report_is_no_restart(learner: Learner) -> None:
    learner.hear(7, run="1")
    assert learner.told == [7]


def test_ran_time_that_begins_again_is_a_restart_of_a_node_that_names_no_run(learner: Learner) -> None:
    learner.hear(7)
    learner.hear(0)
    assert learner.told == [7, ("site0", 0, 0, 0), 0]


def test_reports_out_of_order_are_no_restart(learner: Learner) -> None:
    for seq in (7, 4, 8):  # three periods back: as many as a memory keeps a target
        learner.hear(seq)
    assert learner.told == [7, 4, 8]


def test_an_app_that_is_run_again_begins_without_memory_alarms_and_state(learner: Learner) -> None:
    learner.hear(7, run="1")
    package = learner.instance.package
    package.app.alarm("a", severity="minor")
    package.app.state["n"] = 1
    again = Instance(package)
    module = package.module("app")
    assert (len(module.ues), len(module.phones), len(module.cells)) == (0, 0, 0)
    assert (again.registered.alarms.active, dict(package.app.state)) == ((), {})
