"""Holds a block error rate target on the outer loop of each UE's link adaptation."""

from math import nan

import numpy as np

from ranloop import Report, SetOllaTarget, XApp

from . import policy

app = XApp()
ues = app.per_ue(cqi=nan, cqi_spread=nan, backoff=nan)  # a policy.Known each
load_pct = app.latest("RRU.PrbTotDl", level="cell", every_ms=100)


@app.on_report("CQI", "X.UE.MeanMcsDl", "X.DRB.RadioBudgetDl", level="ue", every_ms=100)
def set_targets(report: Report) -> SetOllaTarget:
    known = policy.brought_to(policy.Known(**ues.of(report)), report["CQI"], report["X.UE.MeanMcsDl"])
    ues.update(report, **known._asdict())
    delay_bound = report["X.DRB.RadioBudgetDl"] > 0  # best effort has no value
    tuning = policy.Tuning(**{name: app.settings[name] for name in policy.Tuning._fields})
    bler_target = policy.targets(known, delay_bound, load_pct.of(report) / np.float32(100), tuning)
    return SetOllaTarget(ue=report.ue, bler_target=bler_target)
