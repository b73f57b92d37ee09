"""`app.latest`: a measurement of another stream beside the rows of a report, of this node and, by name, of others."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from ranloop.errors import ManifestError, VocabularyError
from ranloop.testing import XAppHarness, make_report
from ranloop.wire.messages import Report
from ranloop.xapp import XApp
from ranloop.xapp.latest import Latest
from ranloop.xapp.loader import load_package
from tests.builders import MANIFEST, in_run, write_xapp


def load(values: list[float], seq: int = 0, *, cells: list[int], node: str = "site0") -> Report:
    """The load of cells that are called north0, north1, … at site0, and south0, … at site1."""
    place = "north" if node == "site0" else "south"
    report = make_report({"RRU.PrbTotDl": values}, level="cell", ids={"cell": cells}, seq=seq, node=node)
    return replace(report, labels={"cell": {cell: f"{place}{cell}" for cell in cells}})


def heard(*names: str) -> Report:
    """UE 7 of cell 0 of site0, which hears cells of these names."""
    ids = {"ue": [7] * len(names), "cell": [0] * len(names), "measured_cell": list(range(len(names)))}
    report = make_report({"RSRP": [-90.0] * len(names)}, level="ue_cell", ids=ids)
    return replace(report, labels={"measured_cell": dict(enumerate(names))})


def flows(*cells: int, seq: int = 0) -> Report:
    ids = {"ue": list(range(len(cells))), "cell": list(cells)}
    return make_report({"CQI": [7] * len(cells)}, ids=ids, seq=seq)


def test_values_stand_beside_the_rows_of_a_report_of_another_level() -> None:
    kept = Latest("RRU.PrbTotDl", "cell", -1.0)
    kept(load([20.0, 60.0], cells=[0, 1]))
    assert kept.of(flows(1, 0, 1, 5)).tolist() == [60.0, 20.0, 60.0, -1.0]  # nobody has told of cell 5
    kept(load([np.nan, 70.0], 1, cells=[0, 1]))
    assert isnan(kept.of(flows(0, seq=1))[0])  # no value is not unknown
    assert isnan(Latest("RRU.PrbTotDl", "cell", float("nan")).of(flows(0))[0])


@pytest.mark.parametrize(("periods", "value"), [(3, 20.0), (4, -1.0)])
def test_a_value_that_three_periods_did_not_bring_is_unknown(periods: int, value: float) -> None:
    kept = Latest("RRU.PrbTotDl", "cell", -1.0)
    kept(load([20.0], cells=[0]))
    assert kept.of(flows(0, seq=periods)).tolist() == [value]


def test_a_measured_cell_is_found_by_its_name_at_whatever_node() -> None:
    kept = Latest("RRU.PrbTotDl", "cell", -1.0)
    kept(load([20.0, 60.0], cells=[0, 1]))
    kept(load([90.0], cells=[0], node="site1"))
    assert kept.of(heard("north1", "south0", "west", ""), "measured_cell").tolist() == [
        60.0,
        90.0,
        -1.0,
        -1.0,
    ]
    kept(load([30.0], 1, cells=[1]))  # north0 is switched off
    kept(load([99.0, 99.0], cells=[0, 1]))  # late
    assert kept.of(heard("north0", "north1"), "measured_cell").tolist() == [-1.0, 30.0]
    kept.forget("site1")
    assert kept.of(heard("north1", "south0"), "measured_cell").tolist() == [30.0, -1.0]


APP = """
from ranloop import Report, XApp
app = XApp()
budget = app.latest("X.DRB.RadioBudgetDl", unknown=5.0)
seen = []

@app.on_report("RSRP", level="ue_cell")
def look(report: Report) -> None:
    seen.append(budget.of(report).tolist())
"""
TEXT = MANIFEST.format(name="looker").replace('"CQI"', '"X.DRB.RadioBudgetDl"') + (
    '[[streams]]\nlevel = "ue_cell"\nevery_ms = 100\nmeasurements = ["RSRP"]\n'
)


def test_the_runner_fills_it_and_a_restart_of_the_node_empties_it(tmp_path: Path) -> None:
    xapp = XAppHarness(write_xapp(tmp_path / "looker", app=APP, text=TEXT))
    budgets = make_report({"X.DRB.RadioBudgetDl": [100.0]}, ids={"ue": [7]})
    for report in (in_run("1", budgets), in_run("1", heard("a")), in_run("2", heard("a"))):
        xapp.send(report)
    assert xapp.instance.package.module("app").seen == [[100.0], [5.0]]


def test_its_stream_is_part_of_the_manifest(tmp_path: Path) -> None:
    text = TEXT.replace('"X.DRB.RadioBudgetDl"', '"CQI"')
    with pytest.raises(
        ManifestError, match=r"latest X\.DRB\.RadioBudgetDl reads X\.DRB\.RadioBudgetDl, which"
    ):
        load_package(write_xapp(tmp_path / "looker", app=APP, text=text))


def test_what_it_cannot_keep_is_refused_where_it_is_written() -> None:
    app = XApp()
    with pytest.raises(VocabularyError, match="unknown level of latest 'qos_flow'; did you mean ue or cell"):
        app.latest("X.DRB.RadioBudgetDl", level="qos_flow")
    with pytest.raises(VocabularyError, match=r"RRU\.PrbTotDL"):
        app.latest("RRU.PrbTotDL", level="cell")  # type: ignore[arg-type]  # because it is no name
    with pytest.raises(VocabularyError, match="id column of a cell report"):
        app.latest("CQI").of(load([1.0], cells=[0]))
