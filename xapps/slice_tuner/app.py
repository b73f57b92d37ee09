"""Shifts guaranteed shares of each cell between its slices, so that fewer of them miss what was promised to them."""

import math
from typing import Any

from ranloop import Report, SetSliceQuota, XApp
from ranloop.wire.messages import Catalogue

from . import policy, promises
from .site import Site

app = XApp()
nodes = app.catalogues()
cell_prbs = app.latest("RRU.PrbAvailDl", level="cell", every_ms=100)
sites: dict[str, Site] = {}  # by node


@app.on_report(
    "DRB.PdcpSduVolumeDL", "DRB.RlcSduTransmittedVolumeDL", "X.DRB.BufferedVolDl", "DRB.MeanActiveUeDl",
    "RRU.PrbUsedDl", "DRB.RlcSduDelayDl", "DRB.AirIfDelayDl", "DRB.UEThpDl",
    "X.Slice.MaxQuota", "X.Slice.DedicatedQuota",
    level="slice", every_ms=100,
)  # fmt: skip
def share_cells(report: Report) -> SetSliceQuota | None:
    """Hold minima for the slices with a promise; what is not held goes back to the node's configuration."""
    site = Site.of(report, sites.get(report.node))
    if site is None:
        return None
    sites[report.node] = site
    seen = site.seen(report, cell_prbs.of(report))
    if site.is_stuck(report, seen):
        app.alarm("reports-not-believed", severity="minor", text="reports repeat each other to the bit")
        return None
    app.clear("reports-not-believed")
    catalogue = nodes.of(report)
    tell_of_unknown(catalogue)
    promised = promises.to(site.names(catalogue), app.settings["promises"])
    period_s = report.period_ms / 1e3
    site.known = site.known.brought_to(seen, math.exp(-period_s / app.settings["window_s"]))
    site.known, wanted_pct, fit = wanted(site.known, seen, promised, period_s)
    own = promised.any
    room_pct = 100.0 - site.configured_pct(catalogue)[~own].sum()
    low, high = seen.dedicated_pct[:, own], seen.max_pct[:, own]
    min_pct = policy.minima(wanted_pct[:, own], low, high, room_pct, **fit)
    rows = site.order[:, own][seen.sound].ravel()  # a cell whose values cannot be true is left alone
    return SetSliceQuota(
        cell=report.cell[rows],
        slice=report.slice[rows],
        min_pct=min_pct[seen.sound].ravel(),
        max_pct=high[seen.sound].ravel(),
        dedicated_pct=low[seen.sound].ravel(),
    )


@app.on_restart
def begin_anew(node: str) -> None:
    sites.pop(node, None)


def wanted(
    known: policy.Known, seen: policy.Seen, promised: policy.Promises, period_s: float
) -> tuple[policy.Known, policy.F32, dict[str, float]]:
    """What is known after the decision, the minima that slices want, in percent, and how they are made to fit."""
    match app.settings["policy"]:
        case "demand":
            return known, policy.by_demand(known, promised, chosen(policy.Demand)), {}
        case "backlog":
            return known, policy.by_backlog(known, promised, chosen(policy.Backlog)), {}
        case "integral":
            known = policy.integrated(known, seen, promised, chosen(policy.Integral), period_s)
            return known, known.share_pct, {}
        case _:
            fit = {name: app.settings[name] for name in ("spare", "triage")}
            return known, policy.by_needs(known, seen, promised, chosen(policy.Needs)), fit


def chosen(kind: Any) -> Any:
    """The operator's settings of the fields of a NamedTuple."""
    return kind(**{name: app.settings[name] for name in kind._fields})


def tell_of_unknown(catalogue: Catalogue) -> None:
    """Say so where something was promised to a slice that the node does not have."""
    unknown = sorted(promises.read(app.settings["promises"]).keys() - set(catalogue.slices.values()))
    if unknown:
        there = ", ".join(sorted(catalogue.slices.values())) or "no slice"
        text = f"something is promised to {', '.join(unknown)}; the node has {there}"
        app.alarm("slice-unknown", severity="minor", text=text)
    else:
        app.clear("slice-unknown")
