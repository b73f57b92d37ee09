"""Puts empty cells to sleep, never the last one of a site, and wakes them when the others fill up."""

from ranloop import CellState, Report, SetCellState, XApp

from . import policy

app = XApp()


@app.on_report("RRU.PrbTotDl", "RRC.ConnMean", "X.Cell.State", level="cell", every_ms=1000)
def save_energy(report: Report) -> SetCellState:
    asleep = report["X.Cell.State"] > CellState.ACTIVE
    limits = policy.Limits(**{name: app.settings[name] for name in policy.Limits._fields})
    sleepers = policy.sleepers(report["RRU.PrbTotDl"], report["RRC.ConnMean"], asleep, limits)
    # Only sleep is asked for: a cell that is not asked for any more wakes when its lease lapses.
    return SetCellState(cell=report.cell[sleepers], state=CellState.DEEP_SLEEP)
