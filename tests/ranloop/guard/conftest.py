"""Guards of one site, and batches for them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from ranloop.guard import AuditLog, Guard
from ranloop.vocabulary import Action
from ranloop.wire.messages import ActionBatch
from tests.ranloop.guard.one_site import DELAY_NS, EVERYTHING, MS, NODE, SLOT_NS


@pytest.fixture
def guard() -> Guard:
    """Two equal xApps "a" and "b", and "boss" of priority 5."""
    guard = Guard(NODE, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=AuditLog())
    guard.register("a", EVERYTHING)
    guard.register("b", EVERYTHING)
    guard.register("boss", EVERYTHING, priority=5)
    return guard


@pytest.fixture
def batch() -> Callable[..., ActionBatch]:
    counter = itertools.count()

    def make(
        action: Action,
        *,
        xapp: str = "a",
        id: str = "",
        node: str = "site-1",
        valid_until_ns: int = 1_000 * MS,
        lease_ms: int | None = None,
        atomic: bool = False,
        run: str = "",
    ) -> ActionBatch:
        seq = next(counter)
        return ActionBatch(
            id=id or f"{xapp}-{seq}",
            xapp=xapp,
            node=node,
            seq=seq,
            action=action,
            valid_until_ns=valid_until_ns,
            lease_ms=lease_ms,
            atomic=atomic,
            run=run,
        )

    return make
