"""One event of the audit log, as data: cheap to make, turned into text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ranloop.wire.messages import ActionBatch, Result

__all__ = ("AuditRecord", "AuditSink")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditRecord:
    """One event.

    Attributes:
        event: "result" (of a batch), "ended" (settings of one), "order", "lost" and "given_up" (defaults that a node did
            not confirm), "dropped", "shut_out", ….
        run: Run of the host.
        wall_ns: Wall clock when the record was made, ns since 1970 UTC; for people alone, no decision uses it.
        batch: The judged batch.
        result: The result of the batch.
        facts: Further facts, as plain JSON.
    """

    event: str
    ran_time_ns: int
    node: str
    xapp: str
    run: str = ""
    wall_ns: int = field(default_factory=time.time_ns)
    batch: ActionBatch | None = None
    result: Result | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class AuditSink(Protocol):
    """Takes records."""

    def add(self, record: AuditRecord, /) -> None: ...
