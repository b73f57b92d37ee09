"""The wire: what travels between nodes, xApps and operators (here), where (`topics`), and as which bytes (`codec`)."""

from ranloop.wire.messages import (
    MAX_ID,
    WIRE_VERSION,
    ActionBatch,
    Answer,
    Catalogue,
    Cause,
    Encoding,
    Labels,
    Message,
    Order,
    Presence,
    Report,
    Result,
    Standing,
    Status,
    Step,
)

__all__ = (
    "MAX_ID",
    "WIRE_VERSION",
    "ActionBatch",
    "Answer",
    "Catalogue",
    "Cause",
    "Encoding",
    "Labels",
    "Message",
    "Order",
    "Presence",
    "Report",
    "Result",
    "Standing",
    "Status",
    "Step",
)
