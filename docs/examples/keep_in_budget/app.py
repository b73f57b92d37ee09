"""More airtime for the flows whose packets come too late."""

import numpy as np

from ranloop import Report, SetUeWeight, XApp

app = XApp()


@app.on_report("X.DRB.BudgetMissRateDl", level="qos_flow", every_ms=100)
def keep_in_budget(report: Report) -> SetUeWeight:
    late = report["X.DRB.BudgetMissRateDl"] > app.settings["miss_rate"]  # no value (best effort) is not late
    ue = np.unique(report.ue[late])  # each once, however many of its flows are late
    return SetUeWeight(ue=ue, weight=app.settings["boost"])  # a setting that is not renewed ends
