"""Hands a UE of a busy cell over to a neighbour that it hears about as well and that has room."""

from math import nan

from ranloop import Handover, Report, XApp

from . import policy

app = XApp()
nodes = app.catalogues()
load_pct: dict[str, float] = {}  # by name, as a neighbour may be another node's cell


@app.on_report("RRU.PrbTotDl", level="cell", every_ms=1000)
def learn(report: Report) -> None:
    load_pct.update(zip(report.names_of("cell"), report["RRU.PrbTotDl"].tolist(), strict=True))


@app.on_report("RSRP", level="ue_cell", every_ms=1000)
def steer(report: Report) -> Handover:
    relations = nodes.of(report).neighbours
    allowed = {(cell, to.cell) for cell, table in relations.items() for to in table if to.is_ho_allowed}
    load = [load_pct.get(name, nan) for name in report.names_of("measured_cell")]
    heard = policy.Heard(report.ue, report.cell, report.measured_cell, report["RSRP"], load)
    ue, target_cell = policy.moves(heard, allowed, app.settings["within_db"], app.settings["relief_pct"])
    return Handover(ue=ue, target_cell=target_cell)
