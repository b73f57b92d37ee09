"""Service to the users: throughput, delay, loss, volume (TS 28.552 5.1.1.1, .3, 5.1.2.1, 5.1.3; E2SM-KPM 7.10)."""

from __future__ import annotations

from ranloop.vocabulary.model import Collection, Measurement
from ranloop.vocabulary.tables.wording import (
    CELL_ASLEEP,
    NEVER,
    NO_DELIVERY,
    NO_VOLUME,
    OCUDU_ALL,
)

SERVICE: tuple[Measurement, ...] = (
    Measurement(
        name="DRB.UEThpDl",
        unit="kbit/s",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.EVENTS,
        definition=(
            "downlink RLC volume over transfer time of bursts longer than one slot, both without the "
            "piece that empties the buffer; over UEs or periods a ratio of sums, not a mean of ratios"
        ),
        clause="TS 28.552 5.1.1.3.1",
        no_value="no burst longer than one slot was served in the period",
        carrier="ocudu DU: node and UE level; OAI DU: UE level; ns-O-RAN: UE level, as DRB.UEThpDl.UEID",
        aliases=("DRB.UEThpDl.UEID",),
    ),
    Measurement(
        name="DRB.UEThpUl",
        unit="kbit/s",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.EVENTS,
        definition="uplink counterpart of DRB.UEThpDl",
        clause="TS 28.552 5.1.1.3.3",
        no_value="no burst longer than one slot was served in the period",
        carrier="ocudu DU: node and UE level; OAI DU: UE level",
    ),
    Measurement(
        name="DRB.UEUnresVolDl",
        unit="%",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.STATUS,
        high=100,
        definition=(
            "share of the downlink volume that went out in bursts of a single slot, which DRB.UEThpDl "
            "leaves out; the specification rounds it to a whole number"
        ),
        clause="TS 28.552 5.1.1.3.5",
        no_value=NO_VOLUME,
    ),
    Measurement(
        name="DRB.AirIfDelayDl",
        unit="0.1 ms",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.EVENTS,
        definition=(
            "mean time over the air interface: from handing the last part of an RLC SDU to MAC until the UE "
            "has it, by HARQ feedback, retransmissions included; over delivered SDUs only"
        ),
        clause="TS 28.552 5.1.1.1.1",
        no_value=NO_DELIVERY,
    ),
    Measurement(
        name="DRB.AirIfDelayUl",
        unit="0.1 ms",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.EVENTS,
        definition="mean time of an uplink packet over the air interface",
        clause="TS 28.552 5.1.1.1.3",
        no_value="no uplink packet was received in the period",
        carrier=OCUDU_ALL,
    ),
    Measurement(
        name="DRB.RlcDelayUl",
        unit="0.1 ms",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.EVENTS,
        definition="mean RLC delay of an uplink packet",
        clause="TS 28.552 5.1.1.1.4",
        no_value="no uplink packet was received in the period",
        carrier=OCUDU_ALL,
    ),
    Measurement(
        name="DRB.RlcSduDelayDl",
        unit="0.1 ms",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.EVENTS,
        definition=(
            "mean time of an RLC SDU inside the gNB-DU, from its arrival at RLC until its last part goes "
            "to MAC for the first time; over sent SDUs only, so discarding late ones makes it look "
            "better"
        ),
        clause="TS 28.552 5.1.3.3.3",
        no_value="no SDU of the row was sent in the period",
        carrier="ocudu DU: node, UE and QoS-flow level; OAI DU: UE level (FlexRIC's monitor labels it µs)",
    ),
    Measurement(
        name="DRB.RlcSduLatencyDl",
        unit="0.1 ms",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.EVENTS,
        definition=(
            "mean latency of an IP packet inside the gNB-DU when no earlier data of the same UE waits there"
        ),
        clause="TS 28.552 5.1.3.4.2",
        no_value="no SDU arrived at an empty buffer in the period",
    ),
    Measurement(
        name="DRB.RlcPacketDropRateDl",
        unit="1e-6",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.STATUS,
        integer=True,
        high=1000000,
        definition=(
            "10⁶ × RLC SDUs dropped in the gNB-DU before any part went over the air / RLC SDUs that arrived"
        ),
        clause="TS 28.552 5.1.3.2.2",
        no_value="no SDU of the row arrived in the period",
        carrier=OCUDU_ALL,
    ),
    Measurement(
        name="DRB.RlcSduTransmittedVolumeDL",
        unit="kbit",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "RLC SDU volume transmitted in the downlink, 1 kbit = 1000 bit; before E2SM-KPM v3 it was in Mbit"
        ),
        clause="E2SM-KPM v3.00 7.10.1",
        no_value=NEVER,
        carrier=OCUDU_ALL,
    ),
    Measurement(
        name="DRB.RlcSduTransmittedVolumeUL",
        unit="kbit",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "RLC SDU volume transmitted in the uplink, 1 kbit = 1000 bit; before E2SM-KPM v3 it was in Mbit"
        ),
        clause="E2SM-KPM v3.00 7.10.2",
        no_value=NEVER,
        carrier=OCUDU_ALL,
    ),
    Measurement(
        name="DRB.PdcpSduVolumeDL",
        unit="kbit",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "volume of PDCP SDUs delivered to the PDCP layer in the downlink; Mbit in TS 28.552, kbit "
            "since E2SM-KPM v3"
        ),
        clause="TS 28.552 5.1.2.1.1.1",
        no_value=NEVER,
        carrier="OAI CU: UE level",
    ),
    Measurement(
        name="DRB.PdcpSduVolumeUL",
        unit="kbit",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "volume of PDCP SDUs delivered by the PDCP layer to higher layers in the uplink; Mbit in TS "
            "28.552, kbit since E2SM-KPM v3"
        ),
        clause="TS 28.552 5.1.2.1.2.1",
        no_value=NEVER,
        carrier="OAI CU: UE level",
    ),
    Measurement(
        name="DRB.MeanActiveUeDl",
        unit="UE",
        levels=("cell", "slice"),
        collection=Collection.EVENTS,
        integer=True,
        definition=(
            "UEs with downlink data waiting, mean over samples in the period; the specification rounds "
            "it to a whole number"
        ),
        clause="TS 28.552 5.1.1.23.1",
        no_value=CELL_ASLEEP,
    ),
    Measurement(
        name="DRB.MaxActiveUeDl",
        unit="UE",
        levels=("cell", "slice"),
        collection=Collection.EVENTS,
        integer=True,
        definition="UEs with downlink data waiting, highest sample in the period",
        clause="TS 28.552 5.1.1.23.2",
        no_value=CELL_ASLEEP,
    ),
)
