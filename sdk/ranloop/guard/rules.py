"""Rules: callables that a guard asks, one after the other, before it accepts the targets of a batch.

A rule looks at the targets that are still open. It refuses some of them, with a cause and a text for a person, and leaves all
others alone. It must be a pure function of the question, so that a guard can be replayed exactly.

The order is: the operator's own rules as they were given to the guard (`limits` is one), conflicts with settings of others, the
invariants of the node's state. Invariants come last because a refused target is no part of that state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ranloop.guard.grants import Grant
from ranloop.guard.leases import SettingTable
from ranloop.guard.results import Verdicts
from ranloop.wire.messages import Catalogue

__all__ = ("Question", "Rule")


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One batch, and the facts around it.

    Attributes:
        verdicts: The batch, its targets [n, n_keys] and parameters [n, p]; `verdicts.decide` refuses some of them.
        catalogue: The node's catalogue: its cells, slices and the quotas of its own configuration.
        grant: The xApp that sent the batch.
        grants: All registered xApps, by the numbers in `table`.
        table: Claims and settings of this action type.
    """

    verdicts: Verdicts
    catalogue: Catalogue
    grant: Grant
    grants: Mapping[int, Grant]
    table: SettingTable


class Rule(Protocol):
    """Refuses targets of a batch, or none."""

    def __call__(self, question: Question, /) -> None: ...
