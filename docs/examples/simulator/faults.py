"""What each kind of fault does to the reports of one cell and its UEs: the same network, with and without it."""

import numpy as np

from ran_sim.bridge import open_world

CELL, START_S = 0, 1
FAULTS = {
    "none": {},
    "sleeping cell": {"kind": "sleeping-cell", "cells": [CELL]},
    "power loss, 6 dB": {"kind": "power-loss", "cells": [CELL], "loss_db": 6},
    "tilt shift, 8 degrees up": {"kind": "tilt-shift", "cells": [CELL], "shift_deg": -8},
    "interference, 10 dBm": {"kind": "interference", "position_m": [120, 40], "eirp_dbm": 10},
    "backhaul delay, 25 ms": {"kind": "backhaul-delay", "cells": [CELL], "delay_ms": 25},
    "PRB counter stuck": {
        "kind": "faulty-counters", "cells": [CELL], "measurements": ["RRU.PrbTotDl"], "effect": "stuck",
    },
}  # fmt: skip
OF_CELL = (
    "RRC.ConnMean",
    "RRU.PrbTotDl",
    "DRB.RlcSduTransmittedVolumeDL",
    "DRB.RlcSduDelayDl",
    "X.DRB.BudgetMissRateDl",
)
OF_UE = ("L1M.DL-SS-RSRP", "L1M.DL-SS-SINR", "CQI", "TB.TotNbrDlInitial", "TB.IntialErrNbrDl")


def means(fault: dict[str, object], duration_s: int) -> dict[str, float]:
    """Means over the periods of 1 s in the fault: of the cell, and of the UEs in it."""
    faults = [{"start_s": START_S, **fault}] if fault else []
    world = open_world("one-cell", overrides={"faults": faults, "load": 0.5, "reports.periods_ms": [1000]})
    wanted = {("site0", "cell", 1000): frozenset(OF_CELL), ("site0", "ue", 1000): frozenset(OF_UE)}
    values: dict[str, list[float]] = {name: [] for name in (*OF_CELL, *OF_UE)}
    for second in range(1, START_S + duration_s + 1):
        world.advance(second * 10**9)
        for report in world.reports(wanted) if second > START_S else ():
            for name in report.names:
                values[name] += report[name][report.cell == CELL].tolist()
    found = {name: float(np.nanmean(v)) if np.isfinite(v).any() else np.nan for name, v in values.items()}
    found["BLER, %"] = 100 * found.pop("TB.IntialErrNbrDl") / max(found.pop("TB.TotNbrDlInitial"), 1e-9)
    return found


def main(duration_s: int = 5) -> dict[str, dict[str, float]]:
    return {name: means(fault, duration_s) for name, fault in FAULTS.items()}


if __name__ == "__main__":
    table = main()
    for name in table["none"]:
        print(f"{name:30}", *(f"{of_fault[name]:9.2f}" for of_fault in table.values()))
