"""Prints each cell's load once a second."""

from ranloop import Report, XApp

app = XApp()


@app.on_report("RRU.PrbTotDl", "DRB.UEThpDl", "RRC.ConnMean", level="cell", every_ms=1000)
def show(report: Report) -> None:
    columns = (report.cell, report["RRU.PrbTotDl"], report["DRB.UEThpDl"], report["RRC.ConnMean"])
    for cell, prb_pct, thp_kbps, ues in zip(*columns, strict=True):
        print(
            f"{report.time_s:6.1f} s  cell {cell:2d}  PRB {prb_pct:3.0f} %  {thp_kbps:7.0f} kbit/s  {ues:4.1f} UEs"
        )
