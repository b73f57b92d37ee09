"""Says once a second which cells are busy; changes nothing."""

from ranloop import Report, XApp

from . import policy

app = XApp()


@app.on_report("RRU.PrbTotDl", level="cell", every_ms=1000)
def show(report: Report) -> None:
    for row in policy.busy(report["RRU.PrbTotDl"], app.settings["busy_pct"]).tolist():
        print(
            f"{report.time_s:g} s  {report.names_of('cell')[row]}  {report['RRU.PrbTotDl'][row]:.0f} % of its PRBs"
        )
