"""Helps UEs with a weak channel, and shows one handler of each kind."""

from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np

from ranloop import Cause, Report, Request, Result, SetUeWeight, Status, XApp

app = XApp()
ues = app.per_ue(cqi=nan)  # remembered of each UE
helped: dict[str, int] = {}  # UEs by node, as of its last report


@app.on_report("CQI", level="ue", every_ms=100)
def help_the_weak(report: Report) -> Request:
    now, before = report["CQI"], ues.of(report)["cqi"]
    cqi = np.where(np.isnan(before), now, np.where(np.isnan(now), before, 0.8 * before + 0.2 * now))
    ues.update(report, cqi=cqi)
    weak = cqi < app.settings["weak_cqi"]
    helped[report.node] = int(weak.sum())
    action = SetUeWeight(ue=report.ue[weak], weight=app.settings["boost"])
    return Request(action=action, lease_ms=500, valid_ms=150)


@app.on_result
def look_at_what_came_of_it(result: Result) -> None:
    refused = [fate for fate in result.fates if fate.status is Status.REFUSED]
    serious = [fate for fate in refused if fate.cause is not Cause.NO_TARGET]  # a UE that has just left
    if serious:
        app.alarm("refused", severity="minor", text=serious[0].text)
    elif not refused:
        app.clear("refused")


@app.every("1s")
def keep_count() -> None:
    app.state["most_helped"] = max(app.state.get("most_helped", 0), sum(helped.values()))


@app.on_restart
def begin_anew(node: str) -> None:
    helped.pop(node, None)


@app.on_settings
def say_what_changed(changed: Mapping[str, Any]) -> None:
    print("from now on", dict(changed))


@app.summary
def findings() -> dict[str, Any]:
    return {"most_helped": app.state.get("most_helped", 0)}
