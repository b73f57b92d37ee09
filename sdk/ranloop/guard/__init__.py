"""The guard: rights, ranges, invariants, conflicts and leases, enforced in the process of the node."""

from ranloop.guard.agenda import Change
from ranloop.guard.audit import AuditLog
from ranloop.guard.audit_record import AuditRecord, AuditSink
from ranloop.guard.autonomy import Autonomy
from ranloop.guard.guard import Guard
from ranloop.guard.limits import Limit, Limits, load_limits
from ranloop.guard.results import verdict_counts
from ranloop.guard.rights import ActionRight, ActionRights, Rights, StreamRight
from ranloop.guard.rules import Question, Rule

__all__ = (
    "ActionRight",
    "ActionRights",
    "AuditLog",
    "AuditRecord",
    "AuditSink",
    "Autonomy",
    "Change",
    "Guard",
    "Limit",
    "Limits",
    "Question",
    "Rights",
    "Rule",
    "StreamRight",
    "load_limits",
    "verdict_counts",
)
