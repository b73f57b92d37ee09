"""Puts cells to sleep whose UEs other cells cover and carry, and wakes them when those cells have too much to do."""

from collections import defaultdict
from typing import Any

import numpy as np

from ranloop import CellState, Report, SetCellState, XApp

from . import area, policy
from .trust import Trust

app = XApp()
network = area.Area()
newest: dict[str, Report] = {}  # node -> of its cells
trust: dict[str, Trust] = defaultdict(Trust)  # by node
cells = app.per_cell(asleep=False, told_to_sleep=False, since_s=-policy.LONGEST_SLEEP_S)


@app.on_report("RRU.PrbTotDl", "RRC.ConnMean", "X.Cell.State", level="cell", every_ms=1000)
def look_at_cells(report: Report) -> None:
    asleep, before = report["X.Cell.State"] > CellState.ACTIVE, cells.of(report)
    since_s = np.where(asleep == before["asleep"], before["since_s"], np.float32(report.time_s))
    cells.update(report, asleep=asleep, since_s=since_s)
    network.tell(report.names_of("cell").tolist(), report["RRU.PrbTotDl"] / 100, asleep)
    newest[report.node] = report


@app.on_report("RSRP", level="ue_cell", every_ms=1000)
def save_energy(report: Report) -> SetCellState | None:
    of_cells = newest.get(report.node)
    if of_cells is None or abs(of_cells.time_s - report.time_s) > report.period_ms / 1e3:
        return None  # without both nothing is known, and what sleeps wakes when its lease lapses
    site = site_of(of_cells, report)
    told = cells.of(of_cells)["told_to_sleep"]
    if trust[report.node].believes(report["RSRP"].tobytes(), told, site.asleep, report.time_s):
        app.clear("reports-not-believed")
        wishes = (
            policy.by_burden(site, chosen(policy.Prices))
            if app.settings["policy"] == "burden"
            else policy.by_threshold(site, chosen(policy.Threshold))
        )
        rows = policy.sleepers(site, wishes, chosen(policy.Limits))
    else:
        app.alarm("reports-not-believed", severity="minor", text="reports are stuck, or sleep is not obeyed")
        rows = np.empty(0, np.intp)
    sleeps = np.isin(np.arange(len(of_cells)), rows)
    cells.update(of_cells, told_to_sleep=sleeps)
    acted_on = (
        sleeps | site.asleep
    )  # a cell that is to wake is told so: its lease would let it sleep for seconds more
    state = np.where(sleeps, CellState.DEEP_SLEEP, CellState.ACTIVE)
    return SetCellState(cell=of_cells.cell[acted_on], state=state[acted_on])


@app.on_restart
def begin_anew(node: str) -> None:
    newest.pop(node, None)
    trust.pop(node, None)


def site_of(report: Report, of_ues: Report) -> policy.Site:
    """What is known of the cells of `report`, after what their UEs hear."""
    names, known = report.names_of("cell").tolist(), cells.of(report)
    heard = area.Heard.of(
        of_ues.ue, of_ues.names_of("cell"), of_ues.names_of("measured_cell"), of_ues["RSRP"]
    )
    uncovered = network.hear(names, heard, app.settings["floor_dbm"], of_ues.period_ms / 1e3)
    takers = np.array([network.takers(name, names) for name in names], np.float32).reshape(-1, 3)
    return policy.Site(
        load=report["RRU.PrbTotDl"] / np.float32(100),
        ues=report["RRC.ConnMean"],
        asleep=known["asleep"],
        held_s=np.float32(report.time_s) - known["since_s"],
        uncovered=np.array([uncovered.get(name, 0) for name in names], np.float32),
        takers_load=takers[:, 0],
        takers_weak=takers[:, 1],
        takers_asleep=takers[:, 2],
    )


def chosen(kind: Any) -> Any:
    """The operator's settings of the fields of a NamedTuple."""
    return kind(**{name: app.settings[name] for name in kind._fields})
