"""The measurement catalogue: every name that a report may carry, and how to look one up."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from ranloop.errors import VocabularyError
from ranloop.vocabulary.model import Measurement
from ranloop.vocabulary.near import near_matches
from ranloop.vocabulary.tables import MOBILITY, OWN, PHONE, RADIO, RESOURCES, SERVICE

# The same names as the tables', so that an editor completes them and a type checker knows them.
MeasurementName = Literal[
    "DRB.UEThpDl",
    "DRB.UEThpUl",
    "DRB.UEUnresVolDl",
    "DRB.AirIfDelayDl",
    "DRB.AirIfDelayUl",
    "DRB.RlcDelayUl",
    "DRB.RlcSduDelayDl",
    "DRB.RlcSduLatencyDl",
    "DRB.RlcPacketDropRateDl",
    "DRB.RlcSduTransmittedVolumeDL",
    "DRB.RlcSduTransmittedVolumeUL",
    "DRB.PdcpSduVolumeDL",
    "DRB.PdcpSduVolumeUL",
    "DRB.MeanActiveUeDl",
    "DRB.MaxActiveUeDl",
    "RRU.PrbTotDl",
    "RRU.PrbTotUl",
    "RRU.PrbUsedDl",
    "RRU.PrbAvailDl",
    "RRU.PrbUsedUl",
    "RRU.PrbAvailUl",
    "RRU.MaxPrbUsedDl",
    "TB.TotNbrDlInitial",
    "TB.IntialErrNbrDl",
    "TB.TotNbrDl",
    "TB.ErrTotNbrDl",
    "TB.ResidualErrNbrDl",
    "RACH.PreambleDedCell",
    "CARR.MaxTxPwr",
    "PEE.AvgPower",
    "PEE.Energy",
    "CQI",
    "RSRP",
    "RSRQ",
    "SINR",
    "L1M.DL-SS-RSRP",
    "L1M.DL-SS-SINR",
    "RRC.ConnMean",
    "RRC.ConnMax",
    "RRC.ConnEstabAtt",
    "RRC.ConnEstabSucc",
    "DRB.EstabAtt",
    "DRB.EstabSucc",
    "MM.HoExeInterReq",
    "MM.HoExeInterSucc",
    "MM.HoExeIntraReq",
    "MM.HoExeIntraSucc",
    "MM.HoExeIntraFreqReq",
    "MM.HoExeIntraFreqSucc",
    "HO.IntraSys.TooEarly",
    "HO.IntraSys.TooLate",
    "HO.IntraSys.ToWrongCell",
    "RRC.ReEstabAtt",
    "RRC.ReEstabSuccWithUeContext",
    "X.DRB.OfferedVolDl",
    "X.DRB.BufferedVolDl",
    "X.DRB.HolDelayDl",
    "X.DRB.BudgetMissRateDl",
    "X.DRB.RadioBudgetDl",
    "X.UE.MeanMcsDl",
    "X.UE.SpectralEffDl",
    "X.UE.Weight",
    "X.UE.StallTime",
    "X.UE.Stalls",
    "X.UE.PosX",
    "X.UE.PosY",
    "X.UE.OllaTarget",
    "X.Cell.TxPower",
    "X.Cell.Offset",
    "X.Cell.State",
    "X.MM.HoPingPong",
    "X.MM.HoShortStay",
    "X.MM.HoCommandLost",
    "X.MM.HoTargetLost",
    "X.MM.RadioLinkFailures",
    "X.Slice.MinQuota",
    "X.Slice.MaxQuota",
    "X.Slice.DedicatedQuota",
    "X.UE.AppThpDl",
    "X.UE.AppThpUl",
    "X.UE.Speed",
    "X.UE.Snr",
    "X.UE.Rssi",
    "X.UE.NrMode",
    "X.UE.Downloading",
    "X.UE.NeighbourRsrp",
    "X.UE.NeighbourRsrq",
]

MEASUREMENTS: Mapping[str, Measurement] = MappingProxyType(
    {entry.name: entry for table in (SERVICE, RESOURCES, RADIO, MOBILITY, OWN, PHONE) for entry in table}
)
_BY_SPELLING = {alias: entry for entry in MEASUREMENTS.values() for alias in entry.aliases} | dict(
    MEASUREMENTS
)


def measurement(name: str) -> Measurement:
    """Look a measurement up by its exact name, or by a spelling that some stack uses (an alias).

    An alias says that the quantity is the same; a stack's unit may still differ, which is for its adapter.

    Raises:
        VocabularyError: the catalogue has no such name; the error names near matches.
    """
    try:
        return _BY_SPELLING[name]
    except KeyError:
        raise VocabularyError("measurement", name, near_matches(name, MEASUREMENTS)) from None
