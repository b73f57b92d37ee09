"""Features and what came of them, as one table: a run in one call."""

from ranloop import simulate

run = simulate("one-cell", seed=7, duration_s=2.5, watch=["ue"], every_ms=100, load=1.6)
ues = run.reports("ue")[["time_s", "ue", "CQI", "RSRP", "DRB.UEThpDl"]]
ues["later_kbps"] = ues.groupby("ue")["DRB.UEThpDl"].shift(-5)  # the label: half a second later
rows = ues.dropna()
