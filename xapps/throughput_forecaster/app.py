"""Forecasts each phone's application throughput 1 s and 5 s ahead; observes only."""

from collections import defaultdict
from typing import Any

from ranloop import Report, XApp

from . import policy

app = XApp()
models = {horizon: app.model(f"app_throughput_{horizon}s") for horizon in policy.HORIZONS_S}
phones: defaultdict[str, dict[int, policy.Phone]] = defaultdict(dict)  # node -> UE -> phone


@app.on_report(
    "X.UE.AppThpDl", "RSRP", "CQI", "X.UE.Snr", "X.UE.Speed", "X.UE.NrMode", "X.UE.Downloading", level="ue", every_ms=1000
)  # fmt: skip
def forecast(report: Report) -> None:
    changes = {horizon: model(report) for horizon, model in models.items()}
    columns = (report["X.UE.AppThpDl"], report["X.UE.NrMode"] == 1, report["X.UE.Downloading"] == 1)
    for row, (ue, thp_kbps, on_5g, downloading) in enumerate(zip(report.ue.tolist(), *columns, strict=True)):
        if ue not in phones[report.node]:
            ewma_s = {horizon: policy.ewma_s(model.model.card) for horizon, model in models.items()}
            phones[report.node][ue] = policy.Phone(ewma_s)
        second = policy.Second(report.seq, float(thp_kbps), bool(on_5g), bool(downloading))
        phones[report.node][ue].observe(
            second, {horizon: float(change[row]) for horizon, change in changes.items()}
        )


@app.summary
def errors() -> dict[str, Any]:
    return policy.summary({node: list(ues.values()) for node, ues in phones.items()})
