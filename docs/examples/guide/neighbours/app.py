"""Counts the neighbours of busy cells to which handovers are allowed, and names the cells with room that UEs hear."""

from typing import Any

from ranloop import Report, XApp

app = XApp()
nodes = app.catalogues()
load_pct = app.latest("RRU.PrbTotDl", level="cell", every_ms=100)
found: dict[str, int] = {}
quiet: set[str] = set()


@app.on_report("RRU.PrbTotDl", level="cell", every_ms=100)
def look_around(report: Report) -> None:
    relations = nodes.of(report).neighbours
    cells = zip(report.names_of("cell"), report.cell.tolist(), report["RRU.PrbTotDl"].tolist(), strict=True)
    for name, cell, used_pct in cells:
        if used_pct > 90:
            found[name] = sum(to.is_ho_allowed for to in relations.get(cell, ()))


@app.on_report("RSRP", level="ue_cell", every_ms=100)
def look_for_room(report: Report) -> None:
    load = load_pct.of(report, "measured_cell")  # NaN where no cell has told
    quiet.update(report.names_of("measured_cell")[load < 50])


@app.summary
def findings() -> dict[str, Any]:
    return {"busy": found, "quiet": sorted(quiet)}
