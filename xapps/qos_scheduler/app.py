"""Holds a scheduling weight on every delay-bound UE: high where the flow fits into its cell, low where it cannot."""

from math import nan

from ranloop import Report, SetSchedulerModel, SetUeWeight, XApp

from . import policy

app = XApp()
ues = app.per_ue(demand_kbps=nan, bits_per_prb=nan, miss_rate=nan, given_up_s=0.0)  # a policy.Known each
cells = app.per_cell(prbs=0.0)  # available in a slot
stuck = app.stuck(after=3)  # of flows with traffic no two reports are the same
nodes = app.catalogues()


@app.on_report("RRU.PrbAvailDl", level="cell", every_ms=100)
def rank_by_metric(report: Report) -> SetSchedulerModel | None:
    cells.update(report, prbs=report["RRU.PrbAvailDl"])
    number = policy.metric_number(nodes.of(report).scheduler_models)
    return SetSchedulerModel(cell=report.cell, model=number) if number else None


@app.on_report(
    "CQI", "X.UE.SpectralEffDl", "X.DRB.OfferedVolDl", "X.DRB.RadioBudgetDl", "X.DRB.BudgetMissRateDl",
    level="qos_flow", every_ms=100,
)  # fmt: skip
def share_airtime(report: Report) -> SetUeWeight | None:
    if stuck(report):
        return None  # no weight is renewed
    known = policy.brought_to(policy.Known(**ues.of(report)), report)
    rate = policy.recent_rate(known, report)
    prb_per_s = cells.of(report)["prbs"] * (1e3 / app.settings["slot_ms"])
    on_metric = policy.metric_number(nodes.of(report).scheduler_models) > 0
    tuning = policy.tuning(app.settings, on_metric=on_metric)
    bound, weight, known = policy.decide(known, report, rate, prb_per_s, tuning)
    ues.update(report, **known._asdict())
    ue, weight = policy.highest_per_ue(report.ue[bound], weight[bound])
    return SetUeWeight(ue=ue, weight=weight)
