"""Hands a best-effort UE of a busy cell over to a neighbour that it hears about as well and that has room."""

from math import nan

import numpy as np

from ranloop import Handover, Report, XApp

from . import policy

app = XApp()
nodes = app.catalogues()
ues = app.per_ue(may_move=False)
load_pct: dict[str, float] = {}  # by name, as a neighbour may be another node's cell


@app.on_report("RRU.PrbTotDl", level="cell", every_ms=1000)
def learn_load(report: Report) -> None:
    load_pct.update(zip(report.names_of("cell"), report["RRU.PrbTotDl"].tolist(), strict=True))


@app.on_report("X.DRB.RadioBudgetDl", level="ue", every_ms=1000)
def learn_who_may_move(report: Report) -> None:
    ues.update(
        report, may_move=np.isnan(report["X.DRB.RadioBudgetDl"])
    )  # a handover interrupts; best effort can wait


@app.on_report("RSRP", level="ue_cell", every_ms=1000)
def steer(report: Report) -> Handover:
    relations = nodes.of(report).neighbours
    allowed = {(cell, to.cell) for cell, table in relations.items() for to in table if to.is_ho_allowed}
    load = [load_pct.get(name, nan) for name in report.names_of("measured_cell")]
    may_move = ues.of(report)["may_move"]
    heard = policy.Heard(report.ue, report.cell, report.measured_cell, report["RSRP"], load, may_move)
    ue, target_cell = policy.moves(heard, allowed, app.settings["within_db"], app.settings["relief_pct"])
    return Handover(ue=ue, target_cell=target_cell)
