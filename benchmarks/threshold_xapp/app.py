"""A policy of one comparison: what the loop benchmark closes its loop with."""

import numpy as np

from ranloop import Report, SetUeWeight, XApp

app = XApp()


@app.on_report("CQI", level="ue", every_ms=100)
def favour_the_weak(report: Report) -> SetUeWeight:
    return SetUeWeight(ue=report.ue, weight=np.where(report["CQI"] < 8, 4.0, 1.0))
