"""Features and what came of them, as one table: a run in one call."""

from ranloop import simulate

run = simulate("one-cell", seed=7, duration_s=2.5, watch=["ue"], every_ms=100, load=1.6)
ues = run.reports("ue")[["ran_time_ns", "ue", "CQI", "RSRP", "DRB.UEThpDl"]]
later = ues[["ran_time_ns", "ue", "DRB.UEThpDl"]].assign(ran_time_ns=ues["ran_time_ns"] - 500_000_000)
rows = ues.merge(later, on=["ran_time_ns", "ue"], suffixes=("", ".later")).dropna()  # of half a second later
