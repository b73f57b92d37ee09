"""Small G-NetTrack logs with the quirks of real ones."""

from __future__ import annotations

COLUMNS = (
    "Timestamp,Longitude,Latitude,Speed,Operatorname,CellID,NetworkMode,RSRP,RSRQ,SNR,CQI,RSSI,DL_bitrate,UL_bitrate,"
    "State,PINGAVG,PINGMIN,PINGMAX,PINGSTDEV,PINGLOSS,CELLHEX,NODEHEX,LACHEX,RAWCELLID,NRxRSRP,NRxRSRQ"
)
_USUAL = {
    "Longitude": "-8.4",
    "Latitude": "51.9",
    "Speed": "30",
    "Operatorname": "B",
    "CellID": "12",
    "NetworkMode": "5G",
    "RSRP": "-100",
    "RSRQ": "-11",
    "SNR": "8.0",
    "CQI": "12",
    "RSSI": "-",
    "DL_bitrate": "20000",
    "UL_bitrate": "300",
    "State": "D",
    "RAWCELLID": "11016972",
    "NRxRSRP": "-105.0",
    "NRxRSRQ": "-13.0",
}


def row(second: int, **fields: str) -> str:
    """One row at 07:00:`second` of 28 November 2019."""
    values = _USUAL | {"Timestamp": f"2019.11.28_07.{second // 60:02d}.{second % 60:02d}"} | fields
    return ",".join(values.get(column, "-") for column in COLUMNS.split(","))


def log(*rows: str) -> str:
    return "\n".join([COLUMNS, *rows]) + "\n"
