"""Gives flows with a delay budget the airtime that they need, as long as they fit into their cell."""

from math import nan

import numpy as np

from ranloop import Report, SetUeWeight, XApp

from . import policy

app = XApp()
prbs = app.latest("RRU.PrbAvailDl", level="cell", every_ms=100, unknown=0.0)  # in a slot
ues = app.per_ue(offered_kbps=nan, bits_per_prb=nan, missed=0.0)  # a policy.Known of each


@app.on_report(
    "X.DRB.RadioBudgetDl", "X.DRB.OfferedVolDl", "X.UE.SpectralEffDl", "X.DRB.BudgetMissRateDl",
    level="qos_flow", every_ms=100,
)  # fmt: skip
def share_airtime(report: Report) -> SetUeWeight:
    offered_kbps = report["X.DRB.OfferedVolDl"] * np.float32(1e3 / report.period_ms)
    seen = policy.Known(offered_kbps, report["X.UE.SpectralEffDl"], report["X.DRB.BudgetMissRateDl"])
    known = policy.smoothed(policy.Known(**ues.of(report)), seen)
    ues.update(report, **known._asdict())
    prb_per_s = prbs.of(report) * (1e3 / app.settings["slot_ms"])
    need = policy.needed_share(known.offered_kbps, known.bits_per_prb, prb_per_s)
    bound = report["X.DRB.RadioBudgetDl"] > 0  # best effort has no budget, so no value
    can_be_served = bound & (known.missed <= app.settings["give_up"])
    fits = policy.fitting(report.cell, need, can_be_served, app.settings["cap"])
    ue, fits = policy.per_ue(report.ue[bound], fits[bound])
    return SetUeWeight(ue=ue, weight=policy.weights(fits, app.settings["boost"], app.settings["rest_weight"]))
