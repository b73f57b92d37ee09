"""Hands a best-effort UE of a busy cell over to a neighbour that it hears about as well and that has room."""

from ranloop import Handover, Report, XApp

from . import policy

app = XApp()
nodes = app.catalogues()
load_pct = app.latest("RRU.PrbTotDl", level="cell", every_ms=1000)
# Best effort has no budget: NaN. What is not known of a UE is no reason to move it.
budget_ms = app.latest("X.DRB.RadioBudgetDl", level="ue", every_ms=1000, unknown=0.0)


@app.on_report("RSRP", level="ue_cell", every_ms=1000)
def steer(report: Report) -> Handover:
    load, budget = load_pct.of(report, "measured_cell"), budget_ms.of(report)
    heard = policy.Heard(report.ue, report.cell, report.measured_cell, report["RSRP"], load, budget)
    ue, target_cell = policy.moves(heard, nodes.of(report).handovers, **app.settings)
    return Handover(ue=ue, target_cell=target_cell)
