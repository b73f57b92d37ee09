"""The measurement catalogue: the specification's names and units, and looking them up."""

from __future__ import annotations

from math import isnan
from typing import get_args

import pytest

from ranloop.errors import VocabularyError
from ranloop.vocabulary import LEVELS, MEASUREMENTS, Level, Measurement, MeasurementName, measurement
from ranloop.vocabulary.tables import MOBILITY, OWN, PHONE, RADIO, RESOURCES, SERVICE

ALL: tuple[Level, ...] = ("cell", "ue", "slice", "qos_flow")
PER_UE: tuple[Level, ...] = ("ue", "qos_flow")
PHONE_ONLY: tuple[Level, ...] = ("ue",)


def test_the_names_an_editor_completes_are_those_of_the_tables() -> None:
    assert get_args(MeasurementName) == tuple(MEASUREMENTS)


def test_no_name_and_no_spelling_is_used_twice() -> None:
    entries = [entry for table in (SERVICE, RESOURCES, RADIO, MOBILITY, OWN, PHONE) for entry in table]
    spellings = [s for entry in entries for s in (entry.name, *entry.aliases)]
    assert len(spellings) == len(set(spellings))
    assert len(entries) == len(MEASUREMENTS) >= 30


@pytest.mark.parametrize("entry", MEASUREMENTS.values(), ids=MEASUREMENTS)
def test_an_entry_says_everything_that_a_reader_needs(entry: Measurement) -> None:
    assert entry.low < entry.high
    assert not isnan(entry.low)
    assert entry.levels == tuple(level for level in LEVELS if level in entry.levels) != ()
    assert entry.unit
    assert len(entry.definition) > 20
    assert entry.no_value
    assert entry.carrier
    assert not entry.definition.endswith(".")  # the page adds it


@pytest.mark.parametrize("entry", MEASUREMENTS.values(), ids=MEASUREMENTS)
def test_own_measurements_begin_with_x_and_all_others_name_their_clause(entry: Measurement) -> None:
    if entry.name.startswith("X."):
        assert entry.clause == "own definition"
    else:
        assert entry.clause.startswith(("TS 28.552 5.1.", "E2SM-KPM v3.00 7.10.", "TS 38.21"))


@pytest.mark.parametrize("entry", [m for m in MEASUREMENTS.values() if m.unit == "%"], ids=lambda m: m.name)
def test_a_percentage_runs_from_0_to_100(entry: Measurement) -> None:
    assert (entry.low, entry.high) == (0, 100)


# Units that stacks and xApps are seen to get wrong.
@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("DRB.UEThpDl", "kbit/s"),  # TS 28.552 5.1.1.3.1 d): kbit/s, not Mbit/s
        ("RRU.PrbTotDl", "%"),  # 5.1.1.2.1: a percentage, not PRBs
        ("RRU.PrbUsedDl", "PRB"),
        ("DRB.RlcSduDelayDl", "0.1 ms"),  # 5.1.3.3.3 d): tenths of a millisecond
        ("DRB.AirIfDelayDl", "0.1 ms"),
        ("DRB.RlcPacketDropRateDl", "1e-6"),  # 5.1.3.2.2: parts per million
        ("DRB.RlcSduTransmittedVolumeDL", "kbit"),  # E2SM-KPM v3: kbit, Mbit before
        ("DRB.UEUnresVolDl", "%"),
        ("RRC.ConnMax", "UE"),
        ("PEE.Energy", "kWh"),
    ],
)
def test_units_are_the_specifications(name: str, unit: str) -> None:
    assert MEASUREMENTS[name].unit == unit


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("DRB.UEThpDl", ALL),
        ("RRU.PrbUsedDl", ALL),
        ("RRU.PrbTotDl", ("cell",)),
        ("RRU.PrbAvailDl", ("cell",)),
        ("RRC.ConnMean", ("cell",)),
        ("RRC.ConnMax", ("cell",)),
        ("DRB.MeanActiveUeDl", ("cell",)),
        ("TB.TotNbrDl", ("cell",)),
        ("TB.TotNbrDlInitial", ("cell",)),
        ("TB.ErrTotNbrDl", ("cell",)),
        ("TB.IntialErrNbrDl", ("cell",)),
        ("MM.HoExeIntraReq", ("cell",)),
        ("MM.HoExeIntraSucc", ("cell",)),
        ("MM.HoExeInterReq", ("cell",)),
        ("MM.HoExeInterSucc", ("cell",)),
        ("X.Cell.TxPower", ("cell",)),
        ("DRB.RlcSduTransmittedVolumeDL", ALL),
        ("DRB.AirIfDelayDl", ALL),
        ("DRB.RlcSduDelayDl", ALL),
        ("DRB.RlcPacketDropRateDl", ALL),
        ("DRB.UEUnresVolDl", ALL),
        ("CQI", PER_UE),
        ("RSRP", PER_UE),
        ("RSRQ", PER_UE),
        ("L1M.DL-SS-RSRP", PER_UE),
        ("L1M.DL-SS-SINR", PER_UE),
        ("X.DRB.OfferedVolDl", PER_UE),
        ("X.DRB.BufferedVolDl", PER_UE),
        ("X.DRB.HolDelayDl", PER_UE),
        ("X.DRB.BudgetMissRateDl", PER_UE),
        ("X.DRB.RadioBudgetDl", PER_UE),
        ("X.UE.MeanMcsDl", PER_UE),
        ("X.UE.SpectralEffDl", PER_UE),
        ("X.UE.Weight", PER_UE),
        ("X.UE.AppThpDl", PHONE_ONLY),
        ("X.UE.AppThpUl", PHONE_ONLY),
        ("X.UE.Speed", PHONE_ONLY),
        ("X.UE.Snr", PHONE_ONLY),
        ("X.UE.Rssi", PHONE_ONLY),
        ("X.UE.NrMode", PHONE_ONLY),
        ("X.UE.Downloading", PHONE_ONLY),
        ("X.UE.NeighbourRsrp", PHONE_ONLY),
        ("X.UE.NeighbourRsrq", PHONE_ONLY),
    ],
)
def test_what_simulator_and_drive_tests_send_is_in_the_catalogue(
    name: str, levels: tuple[Level, ...]
) -> None:
    assert set(levels) <= set(MEASUREMENTS[name].levels)


def test_a_name_is_found_exactly() -> None:
    assert measurement("DRB.UEThpDl") is MEASUREMENTS["DRB.UEThpDl"]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("TB.ErrTotalNbrDl", "TB.ErrTotNbrDl"),
        ("TB.InitialErrNbrDl", "TB.IntialErrNbrDl"),  # the specification's own name lacks the letter
        ("DRB.UEThpDl.UEID", "DRB.UEThpDl"),
        ("DL_bitrate", "X.UE.AppThpDl"),
    ],
)
def test_another_stacks_spelling_leads_to_the_entry(spelling: str, name: str) -> None:
    assert measurement(spelling).name == name


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("DRB.UeThpDl", "DRB.UEThpDl"),
        ("drb.rlcsdudelaydl", "DRB.RlcSduDelayDl"),
        ("RRU.PrbTotalDl", "RRU.PrbTotDl"),
        ("DRB.RlcSduTransmittedVolumeDl", "DRB.RlcSduTransmittedVolumeDL"),
    ],
)
def test_names_are_case_sensitive_and_a_slip_is_answered_with_the_name_meant(slip: str, meant: str) -> None:
    with pytest.raises(VocabularyError, match="unknown measurement") as caught:
        measurement(slip)
    assert caught.value.near[0] == meant
    assert meant in str(caught.value)
