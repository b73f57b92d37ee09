"""What a guard asks about the targets of a batch before it accepts them: rules, one after the other.

A rule is a callable. It looks at the targets that are still open, refuses those that it objects to with a cause and a
text for a person, and leaves all others alone. It must be a pure function of the question: a guard replays exactly.

The order is: the operator's own rules as they were given to the guard (`limits` is one), then conflicts with what others
hold, then the invariants of the node's state. Invariants come last because a refused target is no part of that state.
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
    """One batch, and what is known around it.

    Attributes:
        verdicts: The batch, its targets [n, n_keys] and parameters [n, p]; `verdicts.decide` refuses some of them.
        catalogue: Of the node: its cells, slices and the quotas of its own configuration.
        grant: The xApp that wants it.
        grants: All registered xApps by their number, which `table` names them by.
        table: What is claimed and held of this action type.
    """

    verdicts: Verdicts
    catalogue: Catalogue
    grant: Grant
    grants: Mapping[int, Grant]
    table: SettingTable


class Rule(Protocol):
    """Refuses targets of a batch, or none."""

    def __call__(self, question: Question, /) -> None: ...
