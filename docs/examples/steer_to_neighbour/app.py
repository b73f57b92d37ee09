"""Hands a UE of a busy cell over to the least loaded of the neighbours that it hears about as well as its own cell."""

from math import nan

from ranloop import Handover, Report, XApp

app = XApp()
load_pct: dict[str, float] = {}  # by name, as a neighbour may be another node's cell


@app.on_report("RRU.PrbTotDl", level="cell", every_ms=1000)
def learn(report: Report) -> None:
    load_pct.update(zip(report.names_of("cell"), report["RRU.PrbTotDl"].tolist(), strict=True))


@app.on_report("RSRP", level="ue_cell", every_ms=1000)
def steer(report: Report) -> Handover:
    rsrp_dbm, cell = report["RSRP"], report.measured_cell
    load = [load_pct.get(name, nan) for name in report.names_of("measured_cell")]
    moves: dict[int, tuple[int, int]] = {}  # by cell one UE and its target, until reports show the load
    for ue, (serving, *neighbours) in report.by_ue():
        near_dbm = rsrp_dbm[serving] - app.settings["within_db"]
        low_pct = load[serving] - app.settings["relief_pct"]
        better = [row for row in neighbours if rsrp_dbm[row] >= near_dbm and load[row] < low_pct]
        if better:
            moves[cell[serving]] = ue, cell[min(better, key=load.__getitem__)]
    return Handover(ue=[ue for ue, _ in moves.values()], target_cell=[target for _, target in moves.values()])
