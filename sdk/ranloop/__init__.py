"""Close loops in a radio access network: KPM reports in, a small decision, a guarded action out.

An xApp's author finds everything for the xApp here. The rooms behind it are `ranloop.vocabulary` (names and units),
`ranloop.wire` and `ranloop.bus` (messages and transport), `ranloop.guard` and `ranloop.node` (the side of the network),
`ranloop.inference` (models) and `ranloop.testing` (for your own tests).
"""

import os
from typing import TYPE_CHECKING, Any

from ranloop.errors import RanloopError
from ranloop.vocabulary import (
    Action,
    CellState,
    Handover,
    Level,
    MeasurementName,
    SetCellOffset,
    SetCellState,
    SetClassWeight,
    SetOllaTarget,
    SetSchedulerModel,
    SetSliceQuota,
    SetTxPower,
    SetUeWeight,
)
from ranloop.wire.messages import Cause, Fate, Report, Result, Severity, Status
from ranloop.xapp import Request, Wanted, XApp

if TYPE_CHECKING:
    from ranloop.notebook import simulate

__version__ = "0.1.0"

# The wheels of onnxruntime send telemetry unless this stands before their import, which may also be the xApp's own.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = (
    "Action",
    "Cause",
    "CellState",
    "Fate",
    "Handover",
    "Level",
    "MeasurementName",
    "RanloopError",
    "Report",
    "Request",
    "Result",
    "SetCellOffset",
    "SetCellState",
    "SetClassWeight",
    "SetOllaTarget",
    "SetSchedulerModel",
    "SetSliceQuota",
    "SetTxPower",
    "SetUeWeight",
    "Severity",
    "Status",
    "Wanted",
    "XApp",
    "simulate",
)


def __getattr__(name: str) -> Any:
    """`simulate` is imported when it is first used: an xApp's container needs neither nodes nor guards."""
    if name != "simulate":
        raise AttributeError(f"module 'ranloop' has no attribute {name!r}")
    from ranloop.notebook import simulate

    return simulate
