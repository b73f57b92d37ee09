"""Holds a scheduling weight on every delay-bound UE: high where the flow fits into its cell, low where it cannot."""

import numpy as np

from ranloop import Report, SetUeWeight, XApp

from . import policy

app = XApp()
flow_rate = app.model("flow_rate")
memory: dict[str, policy.Memory] = {}  # per node
prbs: dict[tuple[str, int], float] = {}  # per node and cell, available in a slot


@app.on_report("RRU.PrbAvailDl", level="cell", every_ms=100)
def learn_capacity(report: Report) -> None:
    available = zip(report.cell.tolist(), report["RRU.PrbAvailDl"].tolist(), strict=True)
    prbs.update({(report.node, cell): prb for cell, prb in available})


@app.on_report(
    "CQI", "RSRP", "X.UE.SpectralEffDl", "X.UE.MeanMcsDl", "X.DRB.OfferedVolDl", "X.DRB.RadioBudgetDl",
    "X.DRB.BudgetMissRateDl", level="qos_flow", every_ms=100,
)  # fmt: skip
def share_airtime(report: Report) -> SetUeWeight:
    flows = policy.Flows.of(report)
    known = policy.update(memory.get(report.node, policy.EMPTY), flows, report.period_ms / 1e3)
    rate = flow_rate(report) if app.settings["predictor"] == "model" else policy.recent_rate(flows, known)
    slots_per_s = 1e3 / app.settings["slot_ms"]
    prb_per_s = np.array(
        [prbs.get((report.node, cell), 0.0) * slots_per_s for cell in flows.cell.tolist()], np.float32
    )
    tuning = policy.Tuning(**{name: app.settings[name] for name in policy.Tuning._fields})
    ue, weight, memory[report.node] = policy.decide(flows, known, rate, prb_per_s, tuning)
    return SetUeWeight(ue=ue, weight=weight)
