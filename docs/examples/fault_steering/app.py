"""Sends UEs away from a cell for as long as it seems to have a fault. It shows placement and claims no gain: let it recommend only."""

import numpy as np

from ranloop import Report, SetCellOffset, XApp

app = XApp()
fault = app.model(
    "fault"
)  # probabilities, of "no fault" first; where they are computed is the manifest's business


@app.on_report(
    "X.DRB.BudgetMissRateDl", "RRU.PrbTotDl", "X.DRB.BufferedVolDl", "DRB.RlcSduDelayDl", "DRB.RlcSduTransmittedVolumeDL",
    "RRC.ConnMean", "X.DRB.OfferedVolDl", "DRB.UEThpDl", "DRB.AirIfDelayDl", "DRB.RlcPacketDropRateDl", "DRB.MeanActiveUeDl",
    "TB.TotNbrDlInitial", "TB.IntialErrNbrDl", "TB.ResidualErrNbrDl", "PEE.AvgPower", level="cell", every_ms=1000,
)  # fmt: skip
def steer(report: Report) -> SetCellOffset:
    ill = fault(report)[:, 0] < app.settings["surely_well"]
    return SetCellOffset(cell=report.cell, cio_db=np.where(ill, -app.settings["away_db"], 0.0))
