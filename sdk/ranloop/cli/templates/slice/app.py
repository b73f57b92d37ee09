"""Raises the guaranteed share of slices whose packets come too late, as far as the cell's other guarantees leave room."""

from ranloop import Report, SetSliceQuota, XApp

from . import policy

app = XApp()
nodes = app.catalogues()


@app.on_report(
    "X.DRB.BudgetMissRateDl", "X.Slice.MaxQuota", "X.Slice.DedicatedQuota", level="slice", every_ms=1000
)  # fmt: skip
def guarantee(report: Report) -> SetSliceQuota:
    configured = nodes.of(report).slice_min_pct
    shares = policy.Shares(
        cell=report.cell,
        min_pct=policy.looked_up(configured, report.slice),
        max_pct=report["X.Slice.MaxQuota"],
        dedicated_pct=report["X.Slice.DedicatedQuota"],
    )
    late = report["X.DRB.BudgetMissRateDl"] > app.settings["miss_rate"]  # no value (no budget) is not late
    rows, min_pct = policy.raised(shares, late, app.settings["extra_pct"])
    # A quota that is not asked for any more goes back to the node's configuration when its lease lapses.
    return SetSliceQuota(
        cell=report.cell[rows],
        slice=report.slice[rows],
        min_pct=min_pct,
        max_pct=shares.max_pct[rows],
        dedicated_pct=shares.dedicated_pct[rows],
    )
