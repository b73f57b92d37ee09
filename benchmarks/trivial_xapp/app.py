"""No policy at all: what came is sent back. The loop benchmark times the transport with it."""

from ranloop import Report, SetUeWeight, XApp

app = XApp()


@app.on_report("X.UE.Weight", level="ue", every_ms=100)
def hold_what_is(report: Report) -> SetUeWeight:
    return SetUeWeight(ue=report.ue, weight=report["X.UE.Weight"])
