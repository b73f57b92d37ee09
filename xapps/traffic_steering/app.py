"""Moves UEs from crowded cells to neighbours that have room, by cell offsets in event A3 and by single handovers."""

from collections import defaultdict
from math import nan
from typing import Any

import numpy as np

from ranloop import Handover, Report, SetCellOffset, XApp

from . import policy
from .crowds import Cell, Crowds, Stuck

app = XApp()
nodes = app.catalogues()
network = Crowds()
stuck: dict[tuple[str, str], Stuck] = defaultdict(Stuck)  # by node and level
cells = app.per_cell(crowding_db=nan, offset_db=0.0)
ues = app.per_ue(cell=-1, since_s=0.0)
rate_kbps = app.latest("DRB.UEThpDl", level="ue", every_ms=1000)
# Best effort has no budget: NaN. What is not known of a UE is no reason to move it.
budget_ms = app.latest("X.DRB.RadioBudgetDl", level="ue", every_ms=1000, unknown=0.0)


@app.on_report(
    "RRU.PrbTotDl", "DRB.MeanActiveUeDl", "DRB.RlcSduTransmittedVolumeDL", "X.Cell.Offset",
    level="cell", every_ms=1000,
)  # fmt: skip
def set_offsets(report: Report) -> SetCellOffset | None:
    """Make crowded cells look worse in event A3, and empty ones better."""
    active_ues, before = report["DRB.MeanActiveUeDl"], cells.of(report)
    if not believes(report, "RRU.PrbTotDl", "DRB.MeanActiveUeDl", "DRB.RlcSduTransmittedVolumeDL"):
        network.forget(report.node)
        cells.update(report, offset_db=np.zeros_like(active_ues))
        return None  # its offsets end with their lease
    now = policy.crowding_db(app.settings["measure"], active_ues, report["RRU.PrbTotDl"])
    crowding = policy.smoothed(before["crowding_db"], now, report.period_ms / 1e3, app.settings["memory_s"])
    columns = (column.tolist() for column in (crowding, active_ues, report["X.Cell.Offset"]))
    network.tell(report.node, dict(zip(report.names_of("cell"), map(Cell, *columns), strict=True)))
    offset = policy.offsets_db(crowding, network.median_db(), before["offset_db"], chosen(policy.Offsets))
    known = ~np.isnan(offset)
    cells.update(report, crowding_db=crowding, offset_db=np.where(known, offset, np.float32(0)))
    return SetCellOffset(cell=report.cell[known], cio_db=offset[known])


@app.on_report("RSRP", "SINR", level="ue_cell", every_ms=1000)
def move_ues(report: Report) -> Handover | None:
    """Hand over UEs that win by it, before event A3 comes to it, or where it would not."""
    before = ues.of(report)
    since_s = np.where(before["cell"] == report.cell, before["since_s"], np.float32(report.time_s))
    ues.update(report, cell=report.cell, since_s=since_s)
    if not believes(report, "RSRP", "SINR") or app.settings["policy"] != "moves":
        return None
    has_stayed = report.time_s - since_s >= app.settings["stay_s"]
    is_slow = rate_kbps.of(report) < 1e3 * app.settings["slow_mbps"]
    active_ues, offset_db = network.of(report.names_of("measured_cell").tolist())
    heard = policy.Heard(
        ue=report.ue,
        cell=report.cell,
        measured_cell=report.measured_cell,
        rsrp_dbm=report["RSRP"],
        sinr_db=report["SINR"],
        offset_db=offset_db,
        active_ues=active_ues,
        may_move=has_stayed & is_slow & np.isnan(budget_ms.of(report)),
    )
    ue, target_cell = policy.moves(heard, nodes.of(report).handovers, chosen(policy.Moves))
    return Handover(ue=ue, target_cell=target_cell)


@app.on_restart
def begin_anew(node: str) -> None:
    network.forget(node)
    for level in ("cell", "ue_cell"):
        stuck.pop((node, level), None)


def believes(report: Report, *names: str) -> bool:
    """Whether the reports of this node and level go on; an alarm says so where they do not."""
    alarm = f"stuck-{report.level}-reports"
    if stuck[report.node, report.level].look(np.column_stack([report[name] for name in names])):
        app.alarm(
            alarm, severity="minor", text="the same to the bit again and again; nothing is steered by them"
        )
        return False
    app.clear(alarm)
    return True


def chosen(kind: Any) -> Any:
    """The operator's settings of the fields of a NamedTuple."""
    return kind(**{name: app.settings[name] for name in kind._fields})
