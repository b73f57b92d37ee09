"""Connections and handovers: connected, moved and lost UEs (TS 28.552 5.1.1.4, .6, .10, .15, .17, .25)."""

from __future__ import annotations

from ranloop.vocabulary.model import Collection, Measurement
from ranloop.vocabulary.tables.wording import CELL_ASLEEP, NEVER

MOBILITY: tuple[Measurement, ...] = (
    Measurement(
        name="RRC.ConnMean",
        unit="UE",
        levels=("cell",),
        collection=Collection.STATUS,
        integer=True,
        definition=(
            "UEs in RRC connected mode, mean over samples in the period; the specification rounds it to "
            "a whole number"
        ),
        clause="TS 28.552 5.1.1.4.1",
        no_value=CELL_ASLEEP,
        carrier="ONOS ransim: cell level; ocudu CU-CP: node level",
    ),
    Measurement(
        name="RRC.ConnMax",
        unit="UE",
        levels=("cell",),
        collection=Collection.STATUS,
        integer=True,
        definition=(
            "UEs in RRC connected mode, highest sample in the period (ocudu's list gives its unit as %)"
        ),
        clause="TS 28.552 5.1.1.4.2",
        no_value=CELL_ASLEEP,
        carrier="ONOS ransim: cell level; ocudu CU-CP: node level",
    ),
    Measurement(
        name="RRC.ConnEstabAtt",
        unit="attempt",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition="RRC connection establishments attempted, all causes together",
        clause="TS 28.552 5.1.1.15.1",
        no_value=NEVER,
        carrier="ONOS ransim: cell level; ocudu CU-CP: node level",
    ),
    Measurement(
        name="RRC.ConnEstabSucc",
        unit="establishment",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition="RRC connection establishments that succeeded, all causes together",
        clause="TS 28.552 5.1.1.15.2",
        no_value=NEVER,
        carrier="ONOS ransim: cell level; ocudu CU-CP: node level",
    ),
    Measurement(
        name="DRB.EstabAtt",
        unit="DRB",
        levels=("cell", "slice"),
        collection=Collection.COUNTER,
        integer=True,
        definition="data radio bearers attempted to set up",
        clause="TS 28.552 5.1.1.10.1",
        no_value=NEVER,
    ),
    Measurement(
        name="DRB.EstabSucc",
        unit="DRB",
        levels=("cell", "slice"),
        collection=Collection.COUNTER,
        integer=True,
        definition="data radio bearers set up",
        clause="TS 28.552 5.1.1.10.2",
        no_value=NEVER,
    ),
    Measurement(
        name="MM.HoExeInterReq",
        unit="handover",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition="inter-gNB handover executions out of the cell requested, counted at the source",
        clause="TS 28.552 5.1.1.6.1.7",
        no_value=NEVER,
    ),
    Measurement(
        name="MM.HoExeInterSucc",
        unit="handover",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition="inter-gNB handover executions out of the cell that succeeded, counted at the source",
        clause="TS 28.552 5.1.1.6.1.8",
        no_value=NEVER,
    ),
    Measurement(
        name="MM.HoExeIntraReq",
        unit="handover",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition="intra-gNB handover executions out of the cell requested, counted at the source",
        clause="TS 28.552 5.1.1.6.2.1",
        no_value=NEVER,
    ),
    Measurement(
        name="MM.HoExeIntraSucc",
        unit="handover",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition="intra-gNB handover executions out of the cell that succeeded, counted at the source",
        clause="TS 28.552 5.1.1.6.2.2",
        no_value=NEVER,
    ),
    Measurement(
        name="MM.HoExeIntraFreqReq",
        unit="handover",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition="intra-frequency handover executions out of the cell requested, counted at the source",
        clause="TS 28.552 5.1.1.6.5.1",
        no_value=NEVER,
    ),
    Measurement(
        name="MM.HoExeIntraFreqSucc",
        unit="handover",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "intra-frequency handover executions out of the cell that succeeded, counted at the source"
        ),
        clause="TS 28.552 5.1.1.6.5.2",
        no_value=NEVER,
    ),
    Measurement(
        name="HO.IntraSys.TooEarly",
        unit="failure",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "failures soon after a handover out of the cell, or in it, after which the UE re-established in "
            "the cell; TS 38.300 15.5.2"
        ),
        clause="TS 28.552 5.1.1.25.1",
        no_value=NEVER,
    ),
    Measurement(
        name="HO.IntraSys.TooLate",
        unit="failure",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "radio link failures in the cell, no handover shortly before, after which the UE re-established "
            "in another cell; TS 38.300 15.5.2"
        ),
        clause="TS 28.552 5.1.1.25.1",
        no_value=NEVER,
    ),
    Measurement(
        name="HO.IntraSys.ToWrongCell",
        unit="failure",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "failures soon after a handover out of the cell, or in it, after which the UE re-established in "
            "neither its source nor its target; TS 38.300 15.5.2"
        ),
        clause="TS 28.552 5.1.1.25.1",
        no_value=NEVER,
    ),
    Measurement(
        name="RRC.ReEstabAtt",
        unit="attempt",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition="RRC connection re-establishments attempted in the cell, wherever the UE was before",
        clause="TS 28.552 5.1.1.17.1",
        no_value=NEVER,
        carrier="ocudu CU-CP: node level",
    ),
    Measurement(
        name="RRC.ReEstabSuccWithUeContext",
        unit="re-establishment",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "RRC connection re-establishments in the cell that succeeded because the UE's context could be "
            "retrieved"
        ),
        clause="TS 28.552 5.1.1.17.2",
        no_value=NEVER,
        carrier="ocudu CU-CP: node level",
    ),
)
