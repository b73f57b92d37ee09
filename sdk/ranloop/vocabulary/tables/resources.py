"""Radio resources, transport blocks, power: the resources that a cell spends (TS 28.552 5.1.1.2, .7, .19, .20, .29)."""

from __future__ import annotations

from ranloop.vocabulary.model import Collection, Measurement
from ranloop.vocabulary.tables.wording import CELL_ASLEEP, NEVER, OCUDU_NODE_UE

RESOURCES: tuple[Measurement, ...] = (
    Measurement(
        name="RRU.PrbTotDl",
        unit="%",
        levels=("cell", "ue"),
        collection=Collection.STATUS,
        integer=True,
        high=100,
        definition=(
            "share of the downlink PRBs used for any purpose: floor(100 × PRBs used / PRBs available); "
            "for a UE the share it used of its cell"
        ),
        clause="TS 28.552 5.1.1.2.1",
        no_value=CELL_ASLEEP,
        carrier="ocudu DU: node and UE level; OAI DU: UE level (FlexRIC's monitor labels it PRBs)",
    ),
    Measurement(
        name="RRU.PrbTotUl",
        unit="%",
        levels=("cell", "ue"),
        collection=Collection.STATUS,
        integer=True,
        high=100,
        definition="share of the uplink PRBs used for any purpose: floor(100 × PRBs used / PRBs available)",
        clause="TS 28.552 5.1.1.2.2",
        no_value=CELL_ASLEEP,
        carrier="ocudu DU: node and UE level; OAI DU: UE level (FlexRIC's monitor labels it PRBs)",
    ),
    Measurement(
        name="RRU.PrbUsedDl",
        unit="PRB",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.STATUS,
        integer=True,
        definition=(
            "downlink PRBs used for data traffic in a slot, mean over the period; the specification "
            "rounds it to a whole number, which blurs single UEs"
        ),
        clause="TS 28.552 5.1.1.2.5",
        no_value=CELL_ASLEEP,
        carrier="ocudu DU: node and UE level; ns-O-RAN: UE level, as RRU.PrbUsedDl.UEID",
        aliases=("RRU.PrbUsedDl.UEID",),
    ),
    Measurement(
        name="RRU.PrbAvailDl",
        unit="PRB",
        levels=("cell",),
        collection=Collection.STATUS,
        integer=True,
        definition="downlink PRBs available in a slot, mean over the period",
        clause="TS 28.552 5.1.1.2.6",
        no_value=CELL_ASLEEP,
        carrier=OCUDU_NODE_UE,
    ),
    Measurement(
        name="RRU.PrbUsedUl",
        unit="PRB",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.STATUS,
        integer=True,
        definition="uplink PRBs used for data traffic in a slot, mean over the period",
        clause="TS 28.552 5.1.1.2.7",
        no_value=CELL_ASLEEP,
        carrier=OCUDU_NODE_UE,
    ),
    Measurement(
        name="RRU.PrbAvailUl",
        unit="PRB",
        levels=("cell",),
        collection=Collection.STATUS,
        integer=True,
        definition="uplink PRBs available in a slot, mean over the period",
        clause="TS 28.552 5.1.1.2.8",
        no_value=CELL_ASLEEP,
        carrier=OCUDU_NODE_UE,
    ),
    Measurement(
        name="RRU.MaxPrbUsedDl",
        unit="PRB",
        levels=("cell", "slice"),
        collection=Collection.STATUS,
        integer=True,
        definition="most downlink PRBs used for data traffic in a slot of the period",
        clause="TS 28.552 5.1.1.2.9",
        no_value=CELL_ASLEEP,
    ),
    Measurement(
        name="TB.TotNbrDlInitial",
        unit="TB",
        levels=("cell", "ue"),
        collection=Collection.COUNTER,
        integer=True,
        definition="first transmissions of downlink transport blocks; HARQ retransmissions are left out",
        clause="TS 28.552 5.1.1.7.1",
        no_value=NEVER,
        carrier="ns-O-RAN: per modulation, e.g. TB.TotNbrDlInitial.Qpsk",
    ),
    Measurement(
        name="TB.IntialErrNbrDl",
        unit="TB",
        levels=("cell", "ue"),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "first transmissions of downlink transport blocks that failed; the initial BLER is this over "
            "TB.TotNbrDlInitial (the missing letter is the specification's)"
        ),
        clause="TS 28.552 5.1.1.7.2",
        no_value=NEVER,
        aliases=("TB.InitialErrNbrDl",),
    ),
    Measurement(
        name="TB.TotNbrDl",
        unit="TB",
        levels=("cell", "ue"),
        collection=Collection.COUNTER,
        integer=True,
        definition="downlink transport blocks sent, first transmissions and HARQ retransmissions together",
        clause="TS 28.552 5.1.1.7.3",
        no_value=NEVER,
        carrier="ns-O-RAN: level not verified",
    ),
    Measurement(
        name="TB.ErrTotNbrDl",
        unit="TB",
        levels=("cell", "ue"),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "downlink transport blocks that failed, first transmissions and HARQ retransmissions together"
        ),
        clause="TS 28.552 5.1.1.7.4",
        no_value=NEVER,
        aliases=("TB.ErrTotalNbrDl",),
    ),
    Measurement(
        name="TB.ResidualErrNbrDl",
        unit="TB",
        levels=("cell", "ue"),
        collection=Collection.COUNTER,
        integer=True,
        definition="downlink transport blocks still in error after their last HARQ retransmission",
        clause="TS 28.552 5.1.1.7.5",
        no_value=NEVER,
    ),
    Measurement(
        name="RACH.PreambleDedCell",
        unit="preamble",
        levels=("cell",),
        collection=Collection.EVENTS,
        integer=True,
        definition=(
            "dedicated random-access preambles received in the cell, mean per the specification's "
            "counting interval"
        ),
        clause="TS 28.552 5.1.1.20.1",
        no_value=CELL_ASLEEP,
        carrier="ocudu DU: node level",
    ),
    Measurement(
        name="CARR.MaxTxPwr",
        unit="dBm",
        levels=("cell",),
        collection=Collection.STATUS,
        low=-45,
        high=60,
        definition="highest transmit power of the carrier in the period",
        clause="TS 28.552 5.1.1.29.1",
        no_value="the cell sent nothing in the period",
    ),
    Measurement(
        name="PEE.AvgPower",
        unit="W",
        levels=("cell",),
        collection=Collection.STATUS,
        definition=(
            "mean electrical power drawn; the specification counts a whole network function, ranloop one "
            "cell's equipment"
        ),
        clause="TS 28.552 5.1.1.19.2.1",
        no_value="the node has no power model or meter",
    ),
    Measurement(
        name="PEE.Energy",
        unit="kWh",
        levels=("cell",),
        collection=Collection.STATUS,
        definition=(
            "electrical energy drawn in the period; the specification counts a whole network function, "
            "ranloop one cell's equipment"
        ),
        clause="TS 28.552 5.1.1.19.3",
        no_value="the node has no power model or meter",
    ),
)
