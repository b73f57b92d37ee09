"""The action catalogue: every change that an xApp can ask of a RAN node.

Carriers: "E2SM-RC s/a" is control style s, action a. Ranges and defaults are ranloop's own unless a clause
is named; a node may advertise narrower ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import ClassVar

from ranloop.errors import VocabularyError
from ranloop.vocabulary.columns import Action, Ids, Values, action
from ranloop.vocabulary.model import ActionSpec, Kind, Parameter
from ranloop.vocabulary.near import near_matches

EXTENSION = "ranloop extension"

# Ids are below 2**24, because parameters travel as float32, which holds such numbers exactly.
_HIGHEST_ID_IN_A_PARAMETER = 2**24 - 1


class CellState(IntEnum):
    """Depth of a cell's sleep: the base station power states of TR 38.864, and switched off."""

    ACTIVE = 0
    MICRO_SLEEP = 1
    LIGHT_SLEEP = 2
    DEEP_SLEEP = 3
    OFF = 4


@action
class SetSliceQuota(Action):
    """Share a cell's downlink PRBs between slices: RRMPolicyRatio, TS 28.541 4.3.36, percent of the cell's PRBs.

    The dedicated share is never lent to other slices. The minimum is guaranteed when needed and lent when idle. The maximum
    is a cap. Invariants: dedicated <= min <= max, and the sum of min over the slices of a cell <= 100. A slice without a
    setting counts with the minimum of the node's configuration, to which its quota reverts.
    """

    spec: ClassVar[ActionSpec] = ActionSpec(
        name="SetSliceQuota",
        targets=("cell", "slice"),
        parameters=(
            Parameter(name="min_pct", unit="%", low=0, high=100, default=None),
            Parameter(name="max_pct", unit="%", low=0, high=100, default=None),
            Parameter(name="dedicated_pct", unit="%", low=0, high=100, default=None),
        ),
        kind=Kind.SETTING,
        definition="minimum, maximum and dedicated share of the cell's downlink PRBs for one slice",
        carrier="E2SM-RC 2/6 (slice-level PRB quota); E2SM-CCC O-RRMPolicyRatio (PRB_DL)",
    )
    cell: Ids
    slice: Ids
    min_pct: Values
    max_pct: Values
    dedicated_pct: Values


@action
class SetUeWeight(Action):
    """Weigh one UE in the downlink scheduler: a factor on its scheduling metric, 1 is neutral.

    Under proportional fair, equal static channels and full buffers the airtime ratio is the weight ratio.
    The weight goes with the UE at a handover inside the node and ends when it leaves the node.
    """

    spec: ClassVar[ActionSpec] = ActionSpec(
        name="SetUeWeight",
        targets=("ue",),
        parameters=(Parameter(name="weight", unit="1", low=0.01, high=100, default=1),),
        kind=Kind.SETTING,
        definition="factor on the UE's metric in the downlink scheduler",
        carrier=EXTENSION,
    )
    ue: Ids
    weight: Values


@action
class SetClassWeight(Action):
    """Weigh all QoS flows of one 5QI in one cell: the class's factor on the scheduling metric.

    The factor replaces the weight of the class in the node's configuration, and reverts to it.
    """

    spec: ClassVar[ActionSpec] = ActionSpec(
        name="SetClassWeight",
        targets=("cell", "five_qi"),
        parameters=(Parameter(name="weight", unit="1", low=0.01, high=100, default=None),),
        kind=Kind.SETTING,
        definition="factor on the metric of every QoS flow of the 5QI in the cell's downlink scheduler",
        carrier=EXTENSION,
    )
    cell: Ids
    five_qi: Ids
    weight: Values


@action
class Handover(Action):
    """Hand a UE over to another cell, once; `valid_until` bounds the time in which this makes sense."""

    spec: ClassVar[ActionSpec] = ActionSpec(
        name="Handover",
        targets=("ue",),
        parameters=(
            Parameter(
                name="target_cell",
                unit="id",
                low=0,
                high=_HIGHEST_ID_IN_A_PARAMETER,
                default=None,
                integer=True,
            ),
        ),
        kind=Kind.ONE_SHOT,
        definition="start a handover of the UE to the target cell",
        carrier="E2SM-RC 3/1 (handover control)",
    )
    ue: Ids
    target_cell: Values


@action
class SetCellOffset(Action):
    """Draw UEs to a cell or push them away: its cell individual offset in event A3, for every UE.

    Positive values make the cell look better. Range: Q-OffsetRange, TS 38.331 6.3.2. RRC itself only signals
    whole dB up to 6 and even ones beyond; a node that signals it may round towards 0.
    """

    spec: ClassVar[ActionSpec] = ActionSpec(
        name="SetCellOffset",
        targets=("cell",),
        parameters=(Parameter(name="cio_db", unit="dB", low=-24, high=24, default=0),),
        kind=Kind.SETTING,
        definition="cell individual offset added to the cell's measured RSRP in event A3 (TS 38.331 5.5.4.4)",
        carrier=EXTENSION,
    )
    cell: Ids
    cio_db: Values


@action
class SetTxPower(Action):
    """Set a cell's transmit power, all downlink channels together; reverts to the configured power."""

    spec: ClassVar[ActionSpec] = ActionSpec(
        name="SetTxPower",
        targets=("cell",),
        parameters=(Parameter(name="tx_power_dbm", unit="dBm", low=0, high=60, default=None),),
        kind=Kind.SETTING,
        definition="transmit power of the cell over its whole carrier at the antenna connector",
        carrier=EXTENSION,
    )
    cell: Ids
    tx_power_dbm: Values


@action
class SetCellState(Action):
    """Put a cell to sleep or wake it; `state` holds `CellState` values.

    A lease that lapses wakes the cell: forgotten cells come back on.
    """

    spec: ClassVar[ActionSpec] = ActionSpec(
        name="SetCellState",
        targets=("cell",),
        parameters=(
            Parameter(
                name="state",
                unit="CellState",
                low=CellState.ACTIVE,
                high=CellState.OFF,
                default=CellState.ACTIVE,
                integer=True,
            ),
        ),
        kind=Kind.SETTING,
        definition="power state: 0 active, 1 micro sleep, 2 light sleep, 3 deep sleep, 4 off",
        carrier=EXTENSION,
    )
    cell: Ids
    state: Values


@action
class SetOllaTarget(Action):
    """Set the block error rate that a UE's outer-loop link adaptation steers first transmissions to.

    The default is the 10 % that a CQI is defined at (TS 38.214 5.2.2.1).
    """

    spec: ClassVar[ActionSpec] = ActionSpec(
        name="SetOllaTarget",
        targets=("ue",),
        parameters=(Parameter(name="bler_target", unit="1", low=0.001, high=0.5, default=0.1),),
        kind=Kind.SETTING,
        definition="share of first downlink transmissions that the outer loop lets fail",
        carrier=EXTENSION,
    )
    ue: Ids
    bler_target: Values


@action
class SetSchedulerModel(Action):
    """Let a learned metric that the node has loaded rank a cell's UEs in its downlink scheduler.

    The number is that of a model in the order of the node's configuration, from 1 on; 0 ranks them by the node's rule without
    a model. A setting that ends goes back to the scheduler of the node's configuration. A node without learned metrics does
    not take this action.
    """

    spec: ClassVar[ActionSpec] = ActionSpec(
        name="SetSchedulerModel",
        targets=("cell",),
        parameters=(Parameter(name="model", unit="1", low=0, high=8, default=None, integer=True),),
        kind=Kind.SETTING,
        definition="number of the learned metric that ranks the cell's UEs in each slot, 0 for none",
        carrier=EXTENSION,
    )
    cell: Ids
    model: Values


_TYPES: tuple[type[Action], ...] = (
    Handover,
    SetCellOffset,
    SetCellState,
    SetClassWeight,
    SetOllaTarget,
    SetSchedulerModel,
    SetSliceQuota,
    SetTxPower,
    SetUeWeight,
)
ACTIONS: Mapping[str, type[Action]] = MappingProxyType({kind.spec.name: kind for kind in _TYPES})


def action_type(name: str) -> type[Action]:
    """Look an action up by its exact name.

    Raises:
        VocabularyError: The catalogue has no such action; the error names near matches.
    """
    try:
        return ACTIONS[name]
    except KeyError:
        raise VocabularyError("action", name, near_matches(name, ACTIONS)) from None
