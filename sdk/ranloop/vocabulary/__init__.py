"""The vocabulary: the actions a RAN node takes and the measurements it reports, with units and clauses."""

from ranloop.vocabulary.actions import (
    ACTIONS,
    EXTENSION,
    CellState,
    Handover,
    SetCellOffset,
    SetCellState,
    SetClassWeight,
    SetOllaTarget,
    SetSchedulerModel,
    SetSliceQuota,
    SetTxPower,
    SetUeWeight,
    action_type,
)
from ranloop.vocabulary.columns import Action
from ranloop.vocabulary.invariants import Verdict, in_range, joins_targets, row_invariant, state_invariant
from ranloop.vocabulary.measurements import MEASUREMENTS, MeasurementName, measurement
from ranloop.vocabulary.model import (
    ID_COLUMNS,
    LEVELS,
    ActionSpec,
    Collection,
    Kind,
    Level,
    Measurement,
    Parameter,
)

__all__ = (
    "ACTIONS",
    "EXTENSION",
    "ID_COLUMNS",
    "LEVELS",
    "MEASUREMENTS",
    "Action",
    "ActionSpec",
    "CellState",
    "Collection",
    "Handover",
    "Kind",
    "Level",
    "Measurement",
    "MeasurementName",
    "Parameter",
    "SetCellOffset",
    "SetCellState",
    "SetClassWeight",
    "SetOllaTarget",
    "SetSchedulerModel",
    "SetSliceQuota",
    "SetTxPower",
    "SetUeWeight",
    "Verdict",
    "action_type",
    "in_range",
    "joins_targets",
    "measurement",
    "row_invariant",
    "state_invariant",
)
