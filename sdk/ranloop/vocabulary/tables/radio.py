"""Radio quality as the UE reports it; a QoS flow carries the values of its UE (E2SM-KPM 7.10, TS 38.215).

At level `ue_cell` RSRP, RSRQ and SINR are the `MeasQuantityResults` of a periodical measurement report (TS 38.331 5.5.5).
"""

from __future__ import annotations

from ranloop.vocabulary.model import Collection, Measurement
from ranloop.vocabulary.tables.wording import NO_REPORT

RADIO: tuple[Measurement, ...] = (
    Measurement(
        name="CQI",
        unit="1",
        levels=("ue", "qos_flow"),
        collection=Collection.GAUGE,
        integer=True,
        high=15,
        definition=(
            "latest wideband channel quality indicator; its meaning depends on the CQI table in force "
            "(TS 38.214 Tables 5.2.2.1-2 to -4). A bare name, not one of TS 28.552"
        ),
        clause="TS 38.214 5.2.2.1",
        no_value=NO_REPORT,
        carrier="ocudu DU: registered without a level, the same UE's value for all",
    ),
    Measurement(
        name="RSRP",
        unit="dBm",
        levels=("ue", "qos_flow", "ue_cell"),
        collection=Collection.GAUGE,
        low=-156,
        high=-31,
        definition=(
            "latest SS-RSRP after layer-3 filtering, of the serving cell, per ue_cell of the measured cell as the UE reports it, "
            "rounded down to steps of 1 dB; reporting range of TS 38.133 10.1.6. A bare name, not one of TS 28.552"
        ),
        clause="TS 38.215 5.1.1",
        no_value=NO_REPORT,
        carrier="ocudu DU: registered without a level, its value is PUSCH SNR",
    ),
    Measurement(
        name="RSRQ",
        unit="dB",
        levels=("ue", "qos_flow", "ue_cell"),
        collection=Collection.GAUGE,
        low=-43,
        high=20,
        definition=(
            "latest SS-RSRQ of the serving cell, per ue_cell of the measured cell after layer-3 filtering as the UE reports "
            "it, rounded down to steps of 0.5 dB; reporting range of TS 38.133 10.1.11. A bare name, not one of TS 28.552"
        ),
        clause="TS 38.215 5.1.3",
        no_value=NO_REPORT,
        carrier="ocudu DU: registered without a level, its value is PUSCH SNR",
    ),
    Measurement(
        name="SINR",
        unit="dB",
        levels=("ue_cell",),
        collection=Collection.GAUGE,
        low=-23,
        high=40,
        definition=(
            "latest SS-SINR of the measured cell after layer-3 filtering as the UE reports it, rounded down to steps of 0.5 dB; "
            "reporting range of TS 38.133 10.1.16. A bare name, not one of TS 28.552"
        ),
        clause="TS 38.215 5.1.5",
        no_value=NO_REPORT,
    ),
    Measurement(
        name="L1M.DL-SS-RSRP",
        unit="dBm",
        levels=("ue", "qos_flow"),
        collection=Collection.EVENTS,
        low=-156,
        high=-31,
        definition="mean of the layer-1 SS-RSRP values that the UE reported in the period",
        clause="E2SM-KPM v3.00 7.10.7",
        no_value="no layer-1 report in the period",
    ),
    Measurement(
        name="L1M.DL-SS-SINR",
        unit="dB",
        levels=("ue", "qos_flow"),
        collection=Collection.EVENTS,
        low=-23,
        high=40,
        definition=(
            "mean of the layer-1 SS-SINR values that the UE reported in the period; reporting range of "
            "TS 38.133 10.1.16"
        ),
        clause="E2SM-KPM v3.00 7.10.8",
        no_value="no layer-1 report in the period",
    ),
)
