"""One accepted batch on its way: it claims its targets, takes effect at its slot, and is settled by what the node made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ranloop.guard import conflicts
from ranloop.guard.grants import Grant
from ranloop.guard.held import Ended, HeldSettings
from ranloop.guard.leases import I64, NO_TICKET, Mask, Rows, SettingTable, rowwise_all
from ranloop.guard.results import Verdicts
from ranloop.vocabulary import ACTIONS, Action, Kind, joins_targets
from ranloop.wire.messages import F32, Catalogue, Cause, Status

# Each action type on no target: most renewals leave the node nothing to do.
_NOTHING = {
    name: action.from_columns(
        np.zeros((0, len(action.spec.targets)), np.int32),
        np.zeros((0, len(action.spec.parameters)), np.float32),
    )
    for name, action in ACTIONS.items()
}


def not_here(node: str) -> str:
    """Why a setting ends, or is refused, whose target is gone."""
    return f"not at {node} (any more)"


class Loss(NamedTuple):
    """Settings that are over."""

    over: Ended
    applied: F32  # values in force now, NaN for none
    reason: tuple[Cause, str] | None = None  # None: what `over` says of each


def unasked(over: Ended, reason: tuple[Cause, str]) -> Loss:
    """Settings that ended by themselves: no value is in force any more."""
    return Loss(over, np.full((len(over), len(over.action.spec.parameters)), np.nan, np.float32), reason)


@dataclass(slots=True, eq=False, kw_only=True)
class Accepted:
    """A batch that waits for its slot, then for what the node made of it."""

    catalogue: Catalogue
    held: HeldSettings
    grant: Grant
    verdicts: Verdicts
    table: SettingTable
    ticket: int
    effect_ns: int
    before: Rows | None  # the rows as they were, where it may still come to nothing at its slot
    handed: Mask | None = None  # targets that the open change hands to the node
    too_late: Mask | None = None  # targets that contradict what is in force by now

    @classmethod
    def claim(
        cls,
        verdicts: Verdicts,
        grant: Grant,
        held: HeldSettings,
        catalogue: Catalogue,
        *,
        effect_ns: int,
        expires_ns: int,
    ) -> Accepted:
        """Reserve the accepted targets from now on: what is judged later sees them."""
        batch, still, keys = verdicts.batch, verdicts.still, verdicts.keys
        table = held.table(type(batch.action))
        mine = keys if isinstance(still, slice) else keys[still]
        before = None
        if batch.atomic or joins_targets(type(batch.action)):
            index, found = table.find(mine)
            before = np.sort(table.rows[index[found]], order="key")
        ticket = held.claim(
            batch, mine, verdicts.parameters[still], owner=grant.number, expires_ns=expires_ns
        )
        return cls(
            catalogue=catalogue,
            held=held,
            grant=grant,
            verdicts=verdicts,
            table=table,
            ticket=ticket,
            effect_ns=effect_ns,
            before=before,
        )

    def take_effect(self, grants: dict[int, Grant]) -> Action:
        """What of it still has to be handed to the node, now that its slot has come; `grants` by number."""
        verdicts, rows, batch = self.verdicts, self.table.rows, self.verdicts.batch
        index, found = self.table.find(verdicts.keys)
        if np.count_nonzero(found) < len(found):
            verdicts.decide(~found, Status.REFUSED, Cause.NO_TARGET, not_here(self.catalogue.node))
        if batch.action.spec.kind is Kind.ONE_SHOT:
            self._yield_one_shots(index, grants)
        # A setting is put in force even where a higher priority has claimed the target meanwhile: the invariants
        # were judged in this order, and the other one's slot comes next.
        changed = verdicts.open
        if batch.action.spec.kind is Kind.SETTING and verdicts.n_open:
            # A renewal asks the node again if it made something else of the values the last time.
            wanted = verdicts.parameters
            same = (rows["held"][index] == wanted) & (rows["applied"][index] == wanted)
            changed &= ~(rowwise_all(same) & (rows["force"][index] != NO_TICKET))
            configured_pct = self.catalogue.slice_min_pct
            self.too_late = conflicts.check_effect(
                verdicts, verdicts.keys, self.table, configured_pct, changed
            )
        verdicts.seal()
        handed = self.handed = changed & verdicts.open
        n_handed = int(np.count_nonzero(handed))
        if n_handed == 0:
            return _NOTHING[batch.action.spec.name]
        if n_handed == len(verdicts):
            return batch.action
        return type(batch.action).from_columns(verdicts.targets[handed], verdicts.parameters[handed])

    def _yield_one_shots(self, index: I64, grants: dict[int, Grant]) -> None:
        """A one-shot makes way for that of a higher priority which came before its slot."""
        owner = self.table.rows["owner"][index[self.verdicts.open]]
        for number in np.unique(owner[owner != self.grant.number]).tolist():
            other = grants[number]
            text = f"taken over by {other.xapp} (priority {other.priority}) before its slot"
            lost = self.table.rows["owner"][index] == number
            self.verdicts.decide(lost, Status.REFUSED, Cause.CONFLICT, text)

    def settle(self, applied: F32, now_ns: int) -> list[Loss]:
        """Decide every target by what the node made of it.

        Args:
            applied: Values in force at the targets handed over, rows of NaN where the target is not at the node.
            now_ns: RAN time.

        Returns:
            Settings that end with it: another's that it displaced, and those of targets that are gone.
        """
        verdicts, batch = self.verdicts, self.verdicts.batch
        gone = rowwise_all(np.isnan(applied))  # of the targets handed over
        if batch.atomic and len(gone) and gone.all():
            text = (
                f"a target of this atomic batch is not at {self.catalogue.node} (any more); none was applied"
            )
            verdicts.decide_all(Status.REFUSED, Cause.ATOMIC, text)
        if batch.atomic and not verdicts.n_open:
            self._give_back(verdicts.keys, now_ns)
            return []
        index, _ = self.table.find(verdicts.keys)
        missing = self._note_applied(applied, gone, index)
        losses: list[Loss] = []
        if batch.action.spec.kind is Kind.ONE_SHOT:
            self.table.take(self.table.rows["claim"] == self.ticket)
        else:
            losses += self._put_in_force(index)
            if missing is not None:
                left = self.held.take_keys(type(batch.action), verdicts.keys[missing])
                losses.append(unasked(left, (Cause.NO_TARGET, not_here(self.catalogue.node))))
        if self.too_late is not None and self.too_late.any():
            self._give_back(verdicts.keys[self.too_late], now_ns)
        verdicts.decide_all(Status.APPLIED)
        return losses

    def _note_applied(self, applied: F32, gone: Mask, index: I64) -> Mask | None:
        """Write down what is in force and refuse the targets that are gone; these, None if all are there."""
        verdicts, handed = self.verdicts, self.handed
        assert handed is not None  # set when it took effect
        if len(applied) == len(verdicts):
            verdicts.applied = np.array(applied, np.float32)  # a copy: the node may reuse its array
        else:
            kept = verdicts.open & ~handed  # in force already with these values
            verdicts.applied[kept] = self.table.rows["applied"][index[kept]]
            verdicts.applied[handed] = applied
        if not np.count_nonzero(gone):
            return None
        missing = handed.copy()
        missing[handed] = gone
        verdicts.decide(missing, Status.REFUSED, Cause.NO_TARGET, not_here(self.catalogue.node))
        return missing

    def _put_in_force(self, index: I64) -> list[Loss]:
        """Note the new state; what others lose because this batch took their place."""
        verdicts, me, table = self.verdicts, self.grant, self.table
        still = verdicts.still
        at, applied = index[still], verdicts.applied[still]
        theirs = (table.rows["force_owner"][at] != me.number) & (table.rows["force"][at] != NO_TICKET)
        displaced = table.rows[at[theirs]] if np.count_nonzero(theirs) else table.rows[:0]
        table.enforce(at, verdicts.parameters[still], applied, owner=me.number, ticket=self.ticket)
        if not len(displaced):
            return []
        over = Ended(type(verdicts.batch.action), verdicts.targets[still][theirs], displaced)
        reason = Cause.SUPERSEDED, f"taken over by {me.xapp} (priority {me.priority})"
        return [Loss(over, applied[theirs], reason)]

    def _give_back(self, keys: I64, now_ns: int) -> None:
        """Leave targets at which it came to nothing as they were before it."""
        assert self.before is not None  # kept for every batch to which this can happen
        self.table.give_back(self.ticket, keys, self.before, now_ns)
