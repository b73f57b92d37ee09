"""The template that steers UEs: loads by name, and its loop on the simulator, in lockstep, live and on a replay.

Its own test has its decisions.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ranloop.cli.new
from ranloop.bus import open_bus
from ranloop.embedded import Choices, run_embedded
from ranloop.errors import NodeError
from ranloop.node import (
    LiveHost,
    NodeHost,
    Recorder,
    Registration,
    RunSummary,
    load_profile,
    open_world,
    under_profile,
)
from ranloop.testing import XAppHarness, make_report
from ranloop.vocabulary import Handover
from ranloop.wire.messages import Catalogue, CellRelation, Labels, Report, Result, Status
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package

TEMPLATE = Path(ranloop.cli.new.__file__).parent / "templates" / "steering"
NAMES = {0: "site0/0", 1: "site0/1", 5: "site1/2"}
S = 1_000_000_000
BUSY = {"relief_pct": 0.0}  # on seven busy sites few neighbours have much more room


def loads(**by_cell: float) -> list[Report]:
    """Cell reports of both nodes; site1 numbers its cells in its own way, so that only the name tells that 0 is our 5."""
    own = make_report({"RRU.PrbTotDl": [by_cell["own"], by_cell["sister"]]}, level="cell", ids={"cell": [0, 1]}, period_ms=1000)  # fmt: skip
    far = make_report({"RRU.PrbTotDl": [by_cell["far"]]}, level="cell", ids={"cell": [0]}, node="site1", period_ms=1000)  # fmt: skip
    return [
        replace(own, labels=Labels({"cell": {0: NAMES[0], 1: NAMES[1]}})),
        replace(far, labels=Labels({"cell": {0: NAMES[5]}})),
    ]


def heard(rsrp_dbm: Sequence[float], ue: int = 7) -> Report:
    """One UE of cell 0 and its RSRP of cells 0, 1 and 5."""
    ids = {"ue": [ue] * 3, "cell": [0] * 3, "measured_cell": [0, 1, 5]}
    report = make_report({"RSRP": rsrp_dbm}, level="ue_cell", ids=ids, period_ms=1000)
    return replace(report, labels=Labels({"measured_cell": NAMES}))


def test_a_neighbour_of_another_node_is_known_by_its_name() -> None:
    xapp = XAppHarness(TEMPLATE, within_db=2.0)
    tables = {0: (CellRelation(cell=1, name=NAMES[1]), CellRelation(cell=5, name=NAMES[5]))}
    cells = {0: NAMES[0], 1: NAMES[1]}
    own = Catalogue(node="site0", measurements={}, actions=(), periods_ms=(), cells=cells, neighbours=tables)
    xapp.know(own)
    for report in loads(own=90.0, sister=45.0, far=20.0):
        xapp.send(report)
    xapp.send(make_report({"X.DRB.RadioBudgetDl": [np.nan]}, ids={"ue": [7]}, period_ms=1000))
    assert xapp.send(heard([-90, -91, -92])) == [Handover(ue=7, target_cell=5)]


class Seen:
    """An outlet that keeps results and reports."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.reports: list[Report] = []

    def take(self, event: object) -> None:
        if isinstance(event, Result):
            self.results.append(event)
        elif isinstance(event, Report):
            self.reports.append(event)

    def close(self) -> None:
        """Nothing to release."""


def test_on_the_simulator_ues_go_where_it_says_and_a_replay_shows_it_the_same_reports(tmp_path: Path) -> None:
    seen, again = Seen(), Seen()
    with closing(open_world("sim:seven-sites")) as world, Recorder(tmp_path / "run", world) as recorder:
        outcomes = run_embedded(
            world, [TEMPLATE], Choices(settings={"my_xapp": BUSY}), until_ns=7 * S, outlets=[recorder, seen]
        ).summary.outcomes
    assert outcomes["applied"] >= 4
    moved = [
        (result.targets[i, 0], int(result.applied[i, 0]), result.ran_time_ns)
        for result in seen.results
        for i in np.flatnonzero(result.status == Status.APPLIED)
    ]
    there = []
    for ue, target, at_ns in moved:
        later = [r for r in seen.reports if r.level == "ue_cell" and r.ran_time_ns > at_ns and ue in r.ue]
        if later:  # its session may have ended
            there.append(later[0].cell[later[0].ue == ue][0] == target)
    assert np.mean(there) >= 0.75  # a second later the network's own event A3 may have led it on
    with closing(open_world(f"replay:{tmp_path / 'run'}")) as replay:
        refused = run_embedded(
            replay, [TEMPLATE], Choices(settings={"my_xapp": BUSY}), outlets=[again]
        ).summary.outcomes
    assert set(refused) == {"refused/not-supported"}
    # A replay gives the streams of one moment in another order.
    assert sorted(map(contents, again.reports)) == sorted(map(contents, seen.reports))


def contents(report: Report) -> tuple[str, str, int, tuple[str, ...], list[list[str]], bytes]:
    """All that an xApp reads of a report."""
    names = [report.names_of(column).tolist() for column in report.ids]
    return report.node, report.level, report.seq, report.names, names, report.block.tobytes()


def test_live_it_steers_too() -> None:
    instance, stop, ended = (
        Instance(load_package(TEMPLATE), settings=BUSY, incarnation="live"),
        threading.Event(),
        list[RunSummary](),
    )
    with (
        closing(open_world("sim:seven-sites")) as world,
        closing(open_bus("memory://steer", name="host")) as host_bus,
        closing(open_bus("memory://steer", name=instance.name)) as bus,
    ):
        registered = {instance.name: Registration(rights=instance.manifest.rights)}
        live = LiveHost(NodeHost(world, host_bus, xapps=registered), speed=2.0)

        def host() -> None:
            ended.append(live.run(4.0))
            stop.set()

        thread = threading.Thread(target=host, name="host")
        thread.start()
        stats = LiveRunner(instance, bus, patience_s=0.3).run(stop, duration_s=30.0)
        thread.join(30.0)
    assert stats.results[Status.APPLIED] > 0
    assert (stats.failures, stats.malformed, stats.outside, ended[0].n_dropped) == (0, 0, 0, 0)


def test_a_stack_without_these_reports_is_told_of_as_any_other() -> None:
    with (
        closing(under_profile(open_world("sim:one-cell"), load_profile("oai"))) as world,
        pytest.raises(NodeError) as told,
    ):
        run_embedded(world, [TEMPLATE])
    assert str(told.value).startswith("my_xapp reads ")
    assert "\n" not in str(told.value)
