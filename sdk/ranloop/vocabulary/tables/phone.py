"""A phone on a drive test, one row a second: its own measurements, in its own terms."""

from __future__ import annotations

from ranloop.vocabulary.model import Collection, Measurement
from ranloop.vocabulary.tables.wording import NOT_LOGGED

PHONE: tuple[Measurement, ...] = (
    Measurement(
        name="X.UE.AppThpDl",
        unit="kbit/s",
        levels=("ue",),
        collection=Collection.GAUGE,
        definition=(
            "downlink rate that the phone counts over all its applications; unlike DRB.UEThpDl idle time "
            "is part of it"
        ),
        clause="own definition",
        no_value=NOT_LOGGED,
        carrier="drive-test logs of G-NetTrack Pro, column DL_bitrate",
        aliases=("DL_bitrate",),
    ),
    Measurement(
        name="X.UE.AppThpUl",
        unit="kbit/s",
        levels=("ue",),
        collection=Collection.GAUGE,
        definition="uplink rate that the phone counts over all its applications, idle time included",
        clause="own definition",
        no_value=NOT_LOGGED,
        carrier="drive-test logs of G-NetTrack Pro, column UL_bitrate",
        aliases=("UL_bitrate",),
    ),
    Measurement(
        name="X.UE.Speed",
        unit="km/h",
        levels=("ue",),
        collection=Collection.GAUGE,
        high=500,
        definition="speed over ground by the phone's satellite receiver",
        clause="own definition",
        no_value=NOT_LOGGED,
        carrier="drive-test logs of G-NetTrack Pro, column Speed",
    ),
    Measurement(
        name="X.UE.Snr",
        unit="dB",
        levels=("ue",),
        collection=Collection.GAUGE,
        low=-30,
        high=60,
        definition=(
            "signal-to-noise ratio as G-NetTrack reports it; the chipset defines it, so two phones may "
            "disagree"
        ),
        clause="own definition",
        no_value=NOT_LOGGED,
        carrier="drive-test logs of G-NetTrack Pro, column SNR",
    ),
    Measurement(
        name="X.UE.Rssi",
        unit="dBm",
        levels=("ue",),
        collection=Collection.GAUGE,
        low=-140,
        high=0,
        definition="received signal strength over the carrier as the phone reports it",
        clause="own definition",
        no_value=NOT_LOGGED,
        carrier="drive-test logs of G-NetTrack Pro, column RSSI",
    ),
    Measurement(
        name="X.UE.NrMode",
        unit="1",
        levels=("ue",),
        collection=Collection.GAUGE,
        integer=True,
        high=1,
        definition="1 while the phone says it is on 5G, else 0",
        clause="own definition",
        no_value=NOT_LOGGED,
        carrier="drive-test logs of G-NetTrack Pro, column NetworkMode",
    ),
    Measurement(
        name="X.UE.Downloading",
        unit="1",
        levels=("ue",),
        collection=Collection.GAUGE,
        integer=True,
        high=1,
        definition="1 while a download test runs (State is D), 0 while the phone is idle (I)",
        clause="own definition",
        no_value=NOT_LOGGED,
        carrier="drive-test logs of G-NetTrack Pro, column State",
    ),
    Measurement(
        name="X.UE.NeighbourRsrp",
        unit="dBm",
        levels=("ue",),
        collection=Collection.GAUGE,
        low=-156,
        high=-31,
        definition="RSRP of the strongest neighbour cell that the phone lists",
        clause="own definition",
        no_value="the phone lists no neighbour",
        carrier="drive-test logs of G-NetTrack Pro, column NRxRSRP",
    ),
    Measurement(
        name="X.UE.NeighbourRsrq",
        unit="dB",
        levels=("ue",),
        collection=Collection.GAUGE,
        low=-43,
        high=20,
        definition="RSRQ of the strongest neighbour cell that the phone lists",
        clause="own definition",
        no_value="the phone lists no neighbour",
        carrier="drive-test logs of G-NetTrack Pro, column NRxRSRQ",
    ),
)
