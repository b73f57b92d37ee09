"""Puts cells to sleep whose UEs other cells cover and carry, and wakes them when those cells have too much to do."""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranloop import CellState, Report, SetCellState, XApp

from . import area, policy
from .trust import Trust, all_stuck

PATIENCE_S = 1.0  # what UEs hear must be this new

app = XApp()
network = area.Area()
of_cells: dict[str, Report] = {}  # node -> newest report
of_ues: dict[str, area.Heard] = {}
trust: dict[str, Trust] = defaultdict(Trust)  # by node
cells = app.per_cell(asleep=False, told_to_sleep=False, since_s=-policy.LONGEST_SLEEP_S)


@app.on_report("RRU.PrbTotDl", "RRC.ConnMean", "X.Cell.State", level="cell", every_ms=1000)
def save_energy(report: Report) -> SetCellState | None:
    """Decide anew which cells of a site sleep."""
    asleep, before = report["X.Cell.State"] > CellState.ACTIVE, cells.of(report)
    told = before["told_to_sleep"]
    by_others = (asleep != before["asleep"]) & (asleep != told)
    since_s = np.where(by_others, np.float32(report.time_s), before["since_s"])
    cells.update(report, asleep=asleep, since_s=since_s)
    network.tell(report.names_of("cell").tolist(), report["RRU.PrbTotDl"] / 100, asleep)
    of_cells[report.node] = report
    heard = of_ues.get(report.node)
    if heard is None or abs(report.time_s - heard.time_s) > PATIENCE_S:
        return None  # without both nothing is known, and what sleeps wakes when its lease lapses
    believes = trust[report.node].believes(heard.as_it_came, told, asleep, report.time_s)
    if believes and not all_stuck(trust.values()):
        app.clear("reports-not-believed")
        sleeps = wanted(report, heard, asleep | told)
    else:
        app.alarm("reports-not-believed", severity="minor", text="reports are stuck, or sleep is not obeyed")
        sleeps = np.zeros(len(report), np.bool_)
    return told_to(report, sleeps, sleeps | asleep | told, report.time_s)


@app.on_report("RSRP", level="ue_cell", every_ms=100)
def look_at_ues(report: Report) -> SetCellState | None:
    """Wake at once what has become a burden: a session can wait for a tenth of a second, and not for a whole one."""
    names = report.names_of("cell"), report.names_of("measured_cell")
    heard = of_ues[report.node] = area.Heard.of(report.time_s, report.ue, *names, report["RSRP"])
    newest = of_cells.get(report.node)
    if newest is None:
        return None
    network.hear(newest.names_of("cell").tolist(), heard, app.settings["weak_dbm"], report.period_ms / 1e3)
    told = cells.of(newest)["told_to_sleep"]
    if not told.any():
        return None
    woken = told & ~wanted(newest, heard, told)
    return told_to(newest, told & ~woken, woken, report.time_s) if woken.any() else None


@app.on_restart
def begin_anew(node: str) -> None:
    for known in (of_cells, of_ues, trust):
        known.pop(node, None)


def told_to(
    report: Report, sleeps: NDArray[np.bool_], acted_on: NDArray[np.bool_], now_s: float
) -> SetCellState:
    """Tell cells to sleep, and the others of those that are acted on to wake: a lease would let them sleep for seconds more."""
    before = cells.of(report)
    since_s = np.where(acted_on & (sleeps != before["told_to_sleep"]), np.float32(now_s), before["since_s"])
    cells.update(report, told_to_sleep=sleeps, since_s=since_s)
    state = np.where(sleeps, CellState.DEEP_SLEEP, CellState.ACTIVE)
    return SetCellState(cell=report.cell[acted_on], state=state[acted_on])


def wanted(report: Report, heard: area.Heard, asleep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which cells of `report` are to sleep, of which these do."""
    names = report.names_of("cell").tolist()
    takers = np.array([network.takers(name, names) for name in names], np.float32).reshape(-1, 3)
    site = policy.Site(
        load=report["RRU.PrbTotDl"] / np.float32(100),
        ues=report["RRC.ConnMean"],
        asleep=asleep,
        held_s=np.float32(heard.time_s) - cells.of(report)["since_s"],
        uncovered=heard.uncovered(names, app.settings["floor_dbm"]),
        weak=np.array([network.weak(name) for name in names], np.float32),
        takers_load=takers[:, 0],
        takers_weak=takers[:, 1],
        takers_asleep=takers[:, 2],
    )
    if app.settings["policy"] == "burden":
        wishes = policy.by_burden(site, chosen(policy.Prices))
    else:
        wishes = policy.by_threshold(site, chosen(policy.Threshold))
    return policy.sleepers(site, wishes, chosen(policy.Limits))


def chosen(kind: Any) -> Any:
    """The operator's settings of the fields of a NamedTuple."""
    return kind(**{name: app.settings[name] for name in kind._fields})
