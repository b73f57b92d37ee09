"""Close loops in a radio access network: KPM reports in, a small decision, a guarded action out.

The front door: what an xApp's author needs. Rooms behind it: `ranloop.vocabulary` (names and units), `ranloop.wire`
and `ranloop.bus` (what travels), `ranloop.guard` and `ranloop.node` (the side of the network), `ranloop.inference`
(models), `ranloop.testing` (for your own tests).
"""

from ranloop.errors import RanloopError
from ranloop.vocabulary import (
    Action,
    CellState,
    Handover,
    SetCellOffset,
    SetCellState,
    SetClassWeight,
    SetOllaTarget,
    SetSliceQuota,
    SetTxPower,
    SetUeWeight,
)
from ranloop.wire.messages import Report, Result, Status
from ranloop.xapp import Request, Wanted, XApp

__version__ = "0.1.0"

__all__ = (
    "Action",
    "CellState",
    "Handover",
    "RanloopError",
    "Report",
    "Request",
    "Result",
    "SetCellOffset",
    "SetCellState",
    "SetClassWeight",
    "SetOllaTarget",
    "SetSliceQuota",
    "SetTxPower",
    "SetUeWeight",
    "Status",
    "Wanted",
    "XApp",
)
