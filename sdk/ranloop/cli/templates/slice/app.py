"""Lends what a slice does not need of its dedicated share to the other slices; its minimum and maximum stay."""

from ranloop import Report, SetSliceQuota, XApp

from . import policy

app = XApp()
cells = app.per_cell(prbs=0.0)  # available in a slot


@app.on_report("RRU.PrbAvailDl", level="cell", every_ms=1000)
def learn(report: Report) -> None:
    cells.update(report, prbs=report["RRU.PrbAvailDl"])


@app.on_report(
    "RRU.PrbUsedDl", "X.Slice.MinQuota", "X.Slice.MaxQuota", "X.Slice.DedicatedQuota", level="slice", every_ms=1000
)  # fmt: skip
def lend(report: Report) -> SetSliceQuota:
    used_pct = policy.used_pct(report["RRU.PrbUsedDl"], cells.of(report)["prbs"])
    low_pct, high_pct = report["X.Slice.MinQuota"], report["X.Slice.MaxQuota"]
    rows, dedicated_pct = policy.lent(
        used_pct, report["X.Slice.DedicatedQuota"], app.settings["headroom"], app.settings["least_pct"]
    )
    # A quota that is not asked for any more goes back to the node's configuration when its lease lapses.
    return SetSliceQuota(
        cell=report.cell[rows],
        slice=report.slice[rows],
        min_pct=low_pct[rows],
        max_pct=high_pct[rows],
        dedicated_pct=dedicated_pct,
    )
