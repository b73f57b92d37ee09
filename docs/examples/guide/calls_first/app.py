"""Gives more airtime to UEs whose packets have a delay budget that can still be met."""

from ranloop import Report, SetUeWeight, XApp

from . import policy

app = XApp()


@app.on_report("X.DRB.RadioBudgetDl", "X.DRB.BudgetMissRateDl", level="qos_flow", every_ms=100)
def calls_first(report: Report) -> SetUeWeight:
    ue = policy.in_a_hurry(
        report.ue, report["X.DRB.RadioBudgetDl"], report["X.DRB.BudgetMissRateDl"], app.settings["give_up"]
    )
    return SetUeWeight(ue=ue, weight=app.settings["boost"])
