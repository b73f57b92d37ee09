"""Holds a scheduling weight on every delay-bound UE: high where the flow fits into its cell, low where it cannot."""

import numpy as np

from ranloop import Report, SetUeWeight, XApp

from . import policy

app = XApp()
flow_rate = app.model("flow_rate")
memory: dict[str, policy.Memory] = {}  # per node
prb_per_slot: dict[int, float] = {}  # per cell


@app.on_report("RRU.PrbAvailDl", level="cell", every_ms=100)
def learn_capacity(report: Report) -> None:
    prb_per_slot.update(zip(report.cell.tolist(), report["RRU.PrbAvailDl"].tolist(), strict=True))


@app.on_report(
    "CQI", "RSRP", "X.UE.SpectralEffDl", "X.UE.MeanMcsDl", "X.DRB.OfferedVolDl", "X.DRB.RadioBudgetDl",
    "X.DRB.BudgetMissRateDl", level="qos_flow", every_ms=100,
)  # fmt: skip
def share_airtime(report: Report) -> SetUeWeight:
    flows = policy.Flows(
        ue=report.ue,
        cell=report.cell,
        offered_kbps=report["X.DRB.OfferedVolDl"] * (1e3 / report.period_ms),
        bits_per_prb=report["X.UE.SpectralEffDl"],
        cqi=report["CQI"],
        budget_ms=report["X.DRB.RadioBudgetDl"],
        miss_rate=report["X.DRB.BudgetMissRateDl"],
    )
    known = policy.update(memory.get(report.node, policy.EMPTY), flows, report.period_ms / 1e3)
    rate = flow_rate(report) if app.settings["predictor"] == "model" else policy.recent_rate(flows, known)
    slots_per_s = 1e3 / app.settings["slot_ms"]
    prb_per_s = np.array([prb_per_slot.get(cell, 0.0) for cell in flows.cell.tolist()], np.float32) * slots_per_s
    tuning = policy.Tuning(**{name: app.settings[name] for name in policy.Tuning._fields})
    ue, weight, memory[report.node] = policy.decide(flows, known, rate, prb_per_s, tuning)
    return SetUeWeight(ue=ue, weight=weight)
