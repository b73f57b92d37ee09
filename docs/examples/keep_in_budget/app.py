"""More airtime for the users whose packets still arrive in time."""

import numpy as np

from ranloop import Report, SetUeWeight, XApp

app = XApp()


@app.on_report("X.DRB.BudgetMissRateDl", level="qos_flow", every_ms=100)
def keep_in_budget(report: Report) -> SetUeWeight:
    missed = report["X.DRB.BudgetMissRateDl"]
    in_time = missed <= app.settings["miss_rate"]  # best effort has no value, and is not in time
    ue = np.unique(report.ue[in_time])  # each once, however many of its flows are in time
    return SetUeWeight(ue=ue, weight=app.settings["boost"])  # a setting that is not renewed ends
