"""The guard: rights, ranges, invariants, conflicts and leases, enforced in the process of the node."""

from ranloop.guard.audit import AuditLog, AuditRecord, verdict_counts
from ranloop.guard.autonomy import Autonomy
from ranloop.guard.guard import Change, Guard
from ranloop.guard.rights import ActionRight, Rights, StreamRight

__all__ = (
    "ActionRight",
    "AuditLog",
    "AuditRecord",
    "Autonomy",
    "Change",
    "Guard",
    "Rights",
    "StreamRight",
    "verdict_counts",
)
