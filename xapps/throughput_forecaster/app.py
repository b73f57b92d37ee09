"""Forecasts each phone's application throughput 1 s and 5 s ahead; observes only."""

from collections import defaultdict
from typing import Any

from ranloop import Report, XApp

from . import policy

app = XApp()
phones = app.per_ue(policy.Phone, keep_periods=300)  # longer away, and what a phone has learned says little
scores: defaultdict[str, policy.Scores] = defaultdict(policy.new_scores)  # per node


@app.on_report("X.UE.AppThpDl", "X.UE.NrMode", "X.UE.Downloading", level="ue", every_ms=1000)
def forecast(report: Report) -> None:
    for phone, second in zip(phones.of(report), policy.Second.rows_of(report), strict=True):
        phone.observe(second, scores[report.node])


@app.summary
def errors() -> dict[str, Any]:
    return policy.summary(scores)
