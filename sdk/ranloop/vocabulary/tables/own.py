"""ranloop's own measurements of a RAN node: offered load, backlog, budgets, settings in force."""

from __future__ import annotations

from ranloop.vocabulary.model import Collection, Measurement
from ranloop.vocabulary.tables.wording import NEVER

OWN: tuple[Measurement, ...] = (
    Measurement(
        name="X.DRB.OfferedVolDl",
        unit="kbit",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.COUNTER,
        definition=(
            "volume that arrived for transmission in the downlink, 1 kbit = 1000 bit, whether it was "
            "sent, waits or was dropped"
        ),
        clause="own definition",
        no_value=NEVER,
    ),
    Measurement(
        name="X.DRB.BufferedVolDl",
        unit="kbit",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.GAUGE,
        definition="volume waiting for its first downlink transmission at the end of the period",
        clause="own definition",
        no_value=NEVER,
    ),
    Measurement(
        name="X.DRB.HolDelayDl",
        unit="ms",
        levels=("ue", "qos_flow"),
        collection=Collection.GAUGE,
        definition="age of the oldest packet that still waits at the end of the period (head of line)",
        clause="own definition",
        no_value="nothing waits at the end of the period",
    ),
    Measurement(
        name="X.DRB.BudgetMissRateDl",
        unit="1",
        levels=("cell", "ue", "slice", "qos_flow"),
        collection=Collection.EVENTS,
        high=1,
        definition=(
            "share of the packets ended in the period, delivered or dropped, that were dropped or "
            "delivered outside the radio delay budget"
        ),
        clause="own definition",
        no_value="no packet ended in the period",
    ),
    Measurement(
        name="X.DRB.RadioBudgetDl",
        unit="ms",
        levels=("ue", "qos_flow"),
        collection=Collection.GAUGE,
        definition=(
            "radio share of the packet delay budget: the 5QI's PDB less the core network's part (TS "
            "23.501 Table 5.7.4-1); of a UE the smallest of its flows"
        ),
        clause="own definition",
        no_value="the row has no flow with a delay budget",
    ),
    Measurement(
        name="X.UE.MeanMcsDl",
        unit="1",
        levels=("ue", "qos_flow"),
        collection=Collection.EVENTS,
        high=31,
        definition=(
            "MCS index of the first downlink transmissions in the period, mean over transport blocks; "
            "its meaning depends on the MCS table in force (TS 38.214 5.1.3.1)"
        ),
        clause="own definition",
        no_value="no first transmission in the period",
    ),
    Measurement(
        name="X.UE.SpectralEffDl",
        unit="bit/PRB",
        levels=("ue", "qos_flow"),
        collection=Collection.EVENTS,
        definition=(
            "bits delivered per downlink PRB used, HARQ retransmissions counting as use; a PRB is one "
            "slot long"
        ),
        clause="own definition",
        no_value="no downlink PRB was used in the period",
    ),
    Measurement(
        name="X.UE.Weight",
        unit="1",
        levels=("ue", "qos_flow"),
        collection=Collection.GAUGE,
        high=100,
        definition=(
            "factor on the UE's metric in the downlink scheduler in force at the end of the period; see "
            "SetUeWeight"
        ),
        clause="own definition",
        no_value="never: 1 is the neutral weight",
    ),
    Measurement(
        name="X.UE.StallTime",
        unit="ms",
        levels=("ue", "qos_flow"),
        collection=Collection.COUNTER,
        definition=(
            "time in the period in which the playing of a stream stood still because its buffer had run dry; "
            "the wait before it first plays is not in it"
        ),
        clause="own definition",
        no_value="the row has no stream that is played from a buffer",
    ),
    Measurement(
        name="X.UE.Stalls",
        unit="stall",
        levels=("ue", "qos_flow"),
        collection=Collection.COUNTER,
        integer=True,
        definition="times in the period that the playing of a stream came to a stand because its buffer ran dry",
        clause="own definition",
        no_value="the row has no stream that is played from a buffer",
    ),
    Measurement(
        name="X.UE.PosX",
        unit="m",
        levels=("ue",),
        collection=Collection.GAUGE,
        low=-1e6,
        high=1e6,
        definition=(
            "place of the UE along the X axis at the end of the period, in the frame of the cells' places in the "
            "node's catalogue"
        ),
        clause="own definition",
        no_value="the node does not know where the UE is",
    ),
    Measurement(
        name="X.UE.PosY",
        unit="m",
        levels=("ue",),
        collection=Collection.GAUGE,
        low=-1e6,
        high=1e6,
        definition=(
            "place of the UE along the Y axis at the end of the period, in the frame of the cells' places in the "
            "node's catalogue"
        ),
        clause="own definition",
        no_value="the node does not know where the UE is",
    ),
    Measurement(
        name="X.UE.OllaTarget",
        unit="1",
        levels=("ue",),
        collection=Collection.GAUGE,
        high=1,
        definition=(
            "block error rate that the outer loop steers first downlink transmissions to, at the end of "
            "the period; see SetOllaTarget"
        ),
        clause="own definition",
        no_value="the node has no outer loop",
    ),
    Measurement(
        name="X.Cell.TxPower",
        unit="dBm",
        levels=("cell",),
        collection=Collection.GAUGE,
        low=-30,
        high=60,
        definition=(
            "transmit power of the cell over its whole carrier in force at the end of the period; see "
            "SetTxPower"
        ),
        clause="own definition",
        no_value="the cell is switched off",
    ),
    Measurement(
        name="X.Cell.Offset",
        unit="dB",
        levels=("cell",),
        collection=Collection.GAUGE,
        low=-24,
        high=24,
        definition="cell individual offset in force at the end of the period; see SetCellOffset",
        clause="own definition",
        no_value="never: 0 dB is the neutral offset",
    ),
    Measurement(
        name="X.Cell.State",
        unit="1",
        levels=("cell",),
        collection=Collection.GAUGE,
        integer=True,
        high=4,
        definition=(
            "power state at the end of the period: 0 active, 1 micro sleep, 2 light sleep, 3 deep sleep, "
            "4 off; see SetCellState"
        ),
        clause="own definition",
        no_value="never: 0 is active",
    ),
    Measurement(
        name="X.MM.HoPingPong",
        unit="handover",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "handovers out of the cell back to the one that the UE came from, within the ping-pong time "
            "that the node states"
        ),
        clause="own definition",
        no_value=NEVER,
    ),
    Measurement(
        name="X.MM.HoShortStay",
        unit="handover",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "handovers out of the cell after a stay below the ping-pong time that the node states, ping-"
            "pongs included"
        ),
        clause="own definition",
        no_value=NEVER,
    ),
    Measurement(
        name="X.MM.HoCommandLost",
        unit="handover",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "handovers out of the cell that failed because T310 ran or the radio link had failed when the "
            "command should arrive (TR 36.839, state 2)"
        ),
        clause="own definition",
        no_value=NEVER,
    ),
    Measurement(
        name="X.MM.HoTargetLost",
        unit="handover",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition=(
            "handovers out of the cell that failed because the target lay below Qout at the end of "
            "execution (TR 36.839, state 3)"
        ),
        clause="own definition",
        no_value=NEVER,
    ),
    Measurement(
        name="X.MM.RadioLinkFailures",
        unit="failure",
        levels=("cell",),
        collection=Collection.COUNTER,
        integer=True,
        definition="radio links that failed in the cell: T310 expired (TS 38.331 5.3.10.3)",
        clause="own definition",
        no_value=NEVER,
    ),
    Measurement(
        name="X.Slice.MinQuota",
        unit="%",
        levels=("slice",),
        collection=Collection.GAUGE,
        high=100,
        definition=(
            "minimum share of the cell's downlink PRBs in force at the end of the period; see SetSliceQuota"
        ),
        clause="own definition",
        no_value="never: 0 is the default",
    ),
    Measurement(
        name="X.Slice.MaxQuota",
        unit="%",
        levels=("slice",),
        collection=Collection.GAUGE,
        high=100,
        definition=(
            "maximum share of the cell's downlink PRBs in force at the end of the period; see SetSliceQuota"
        ),
        clause="own definition",
        no_value="never: 100 is the default",
    ),
    Measurement(
        name="X.Slice.DedicatedQuota",
        unit="%",
        levels=("slice",),
        collection=Collection.GAUGE,
        high=100,
        definition=(
            "dedicated share of the cell's downlink PRBs in force at the end of the period; see SetSliceQuota"
        ),
        clause="own definition",
        no_value="never: 0 is the default",
    ),
)
