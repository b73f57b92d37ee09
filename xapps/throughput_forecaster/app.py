"""Forecasts each phone's application throughput 1 s and 5 s ahead; observes only."""

from collections import defaultdict
from typing import Any

from ranloop import Report, XApp

from . import policy

app = XApp()
models = {horizon: app.model(f"app_throughput_{horizon}s") for horizon in policy.HORIZONS_S}
# After 300 s without the phone its moving averages have forgotten the time before: their constants are seconds.
phones = app.per_ue(
    lambda: policy.Phone({horizon: policy.ewma_s(model.model.card) for horizon, model in models.items()}),
    keep_periods=300,
)
scores: defaultdict[str, policy.Scores] = defaultdict(policy.new_scores)  # per node


@app.on_report(
    "X.UE.AppThpDl", "RSRP", "CQI", "X.UE.Snr", "X.UE.Speed", "X.UE.NrMode", "X.UE.Downloading", level="ue", every_ms=1000
)  # fmt: skip
def forecast(report: Report) -> None:
    seconds = policy.Second.rows_of(report)
    changes = zip(*(model(report).tolist() for model in models.values()), strict=True)
    for phone, second, change_kbps in zip(phones.of(report), seconds, changes, strict=True):
        phone.observe(second, dict(zip(models, change_kbps, strict=True)), scores[report.node])


@app.summary
def errors() -> dict[str, Any]:
    return policy.summary(scores)
