"""Counts the neighbours of busy cells to which handovers are allowed."""

from ranloop import Report, XApp

app = XApp()
nodes = app.catalogues()
found: dict[str, int] = {}


@app.on_report("RRU.PrbTotDl", level="cell", every_ms=100)
def look_around(report: Report) -> None:
    relations = nodes.of(report).neighbours
    cells = zip(report.names_of("cell"), report.cell.tolist(), report["RRU.PrbTotDl"].tolist(), strict=True)
    for name, cell, used_pct in cells:
        if used_pct > 90:
            found[name] = sum(to.is_ho_allowed for to in relations.get(cell, ()))


@app.summary
def findings() -> dict[str, int]:
    return found
