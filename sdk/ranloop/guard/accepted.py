"""One accepted batch on its way: it claims its targets, takes effect at its slot, and is settled by the node's answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ranloop.guard import conflicts
from ranloop.guard.grants import Grant
from ranloop.guard.held import Ended, HeldSettings
from ranloop.guard.leases import I64, NO_TICKET, Mask, SettingTable, rowwise_all
from ranloop.guard.results import Verdicts
from ranloop.vocabulary import ACTIONS, Action, Kind
from ranloop.wire.messages import F32, Catalogue, Cause, Status

# Each action type on no target: most renewals leave the node nothing to do.
_NOTHING = {
    name: action.from_columns(
        np.zeros((0, len(action.spec.targets)), np.int32),
        np.zeros((0, len(action.spec.parameters)), np.float32),
    )
    for name, action in ACTIONS.items()
}


_MOST_REASONS = 64  # of a node, in one result,
_REASON_CHARACTERS = 200  # and each of them


def not_here(node: str) -> str:
    """Why a setting ends, or is refused, whose target is gone."""
    return f"not at {node} (any more)"


class Loss(NamedTuple):
    """Settings that are over."""

    over: Ended
    applied: F32  # values in force now, NaN for none
    reason: tuple[Cause, str] | None = None  # None: what `over` says of each


def unasked(over: Ended, reason: tuple[Cause, str] | None) -> Loss:
    """Settings that ended without an answer of the node: no value is known to be in force any more."""
    return Loss(over, np.full((len(over), len(over.action.spec.parameters)), np.nan, np.float32), reason)


@dataclass(slots=True, eq=False, kw_only=True)
class Accepted:
    """A batch that waits for its slot, and then for the node's answer."""

    catalogue: Catalogue
    held: HeldSettings
    grant: Grant
    verdicts: Verdicts
    table: SettingTable
    ticket: int
    effect_ns: int
    expires_ns: int
    handed: Mask  # targets that the open change hands to the node
    undone: Mask  # targets that came to nothing at their slot

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
        """Reserve the accepted targets from now on; later batches are judged with these claims."""
        batch, still, keys = verdicts.batch, verdicts.still, verdicts.keys
        table = held.table(type(batch.action))
        mine = keys if isinstance(still, slice) else keys[still]
        none = np.zeros(len(verdicts), np.bool_)
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
            expires_ns=expires_ns,
            handed=none,
            undone=none,
        )

    def take_effect(self, grants: dict[int, Grant], now_ns: int) -> Action:
        """The part that has to be handed to the node, now that the slot has come; `grants` by number."""
        verdicts, rows, batch = self.verdicts, self.table.rows, self.verdicts.batch
        accepted, n_accepted = verdicts.open, verdicts.n_open
        if now_ns > batch.valid_until_ns:
            text = f"valid until {batch.valid_until_ns / 1e9:g} s; its turn came at {now_ns / 1e9:g} s"
            verdicts.decide_all(Status.EXPIRED, Cause.STALE, text)
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
            conflicts.check_effect(verdicts, self.table, self.catalogue.slice_min_pct, changed)
        verdicts.seal()
        if verdicts.n_open < n_accepted:
            self.undone = accepted & ~verdicts.open
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

    def settle(self, applied: F32, reasons: Mapping[int, str], now_ns: int) -> list[Loss]:
        """Decide every target by the node's answer.

        Args:
            applied: Values in force at the targets handed over, rows of NaN where the target is not at the node.
            reasons: Row of `applied` -> why the node did nothing there although the target is there.
            now_ns: RAN time.

        Returns:
            Settings that end with it: displaced settings of other xApps, and settings of targets that are gone.
        """
        gone = rowwise_all(np.isnan(applied))  # of the targets handed over
        missing = self._refuse(gone, reasons) if np.count_nonzero(gone) else None
        losses = self._note(applied, missing, now_ns)
        self.verdicts.decide_all(Status.APPLIED)
        return losses

    def _refuse(self, gone: Mask, reasons: Mapping[int, str]) -> Mask:
        """Refuse targets by the node's own reasons, or all where one of an atomic batch failed.

        Args:
            gone: Of the targets handed over, those where the node did nothing.
            reasons: As `settle`.

        Returns:
            Targets of the batch that are still open, and not at the node any more.
        """
        verdicts, node, accepted = self.verdicts, self.catalogue.node, self.verdicts.open
        missing = self.handed.copy()
        missing[self.handed] = gone
        handed = np.flatnonzero(self.handed)
        rows_of: dict[str, list[int]] = {}
        for row in np.flatnonzero(gone).tolist() if reasons else ():
            if row in reasons:
                text = reasons[row][:_REASON_CHARACTERS]
                if len(rows_of) >= _MOST_REASONS and text not in rows_of:
                    text = "the node refused it, for one more reason than a result can tell"
                rows_of.setdefault(text, []).append(handed[row])
        for text, rows in rows_of.items():
            mask = np.zeros(len(verdicts), np.bool_)
            mask[rows] = True
            verdicts.decide(mask, Status.REFUSED, Cause.NODE, text)
        if verdicts.batch.atomic and gone.all():
            what = "was refused" if reasons else "is not there (any more)"
            text = f"another target of this atomic batch {what} at {node}; none was applied"
            verdicts.decide_all(Status.REFUSED, Cause.ATOMIC, text)
        self.undone |= accepted & ~verdicts.open
        return missing & verdicts.open

    def lose(self, now_ns: int) -> list[Loss]:
        """Decide every target without an answer of the node: the values may be in force or not.

        Such a target counts as held from now on, with unknown values. A renewal therefore asks the node again, and the end of
        the lease hands it the default.
        """
        verdicts, handed = self.verdicts, self.handed
        unknown = verdicts.open if verdicts.batch.atomic and handed.any() else handed
        n_handed = np.count_nonzero(handed)
        losses = self._note(
            np.full((n_handed, verdicts.parameters.shape[1]), np.nan, np.float32),
            None,
            now_ns,
        )
        text = (
            f"{self.catalogue.node} did not answer; the values in force are unknown until it is asked again"
        )
        verdicts.decide(unknown, Status.UNKNOWN, Cause.LOST, text)
        verdicts.decide_all(Status.APPLIED)
        return losses

    def _note(self, applied: F32, missing: Mask | None, now_ns: int) -> list[Loss]:
        """Note the values in force, refuse the `missing` targets, give back claims that came to nothing."""
        verdicts, action, gone = (
            self.verdicts,
            type(self.verdicts.batch.action),
            not_here(self.catalogue.node),
        )
        losses: list[Loss] = []
        if verdicts.n_open:
            index, found = self.table.find(verdicts.keys)
            if len(applied) == len(verdicts):
                verdicts.applied = np.array(applied, np.float32)  # a copy: the node may reuse its array
            else:
                kept = verdicts.open & ~self.handed & found  # in force already with these values
                verdicts.applied[kept] = self.table.rows["applied"][index[kept]]
                verdicts.applied[self.handed] = applied
            if np.count_nonzero(found) < len(found):  # UEs may leave while the node is at work
                missing = ~found if missing is None else missing | ~found
            if missing is not None:
                verdicts.applied[missing] = np.nan
                verdicts.decide(missing, Status.REFUSED, Cause.NO_TARGET, gone)
            if action.spec.kind is Kind.SETTING:
                losses += self._put_in_force(index)
                if missing is not None:
                    left = self.held.take_keys(action, verdicts.keys[missing])
                    losses.append(unasked(left, (Cause.NO_TARGET, gone)))
        if action.spec.kind is Kind.ONE_SHOT:
            self.table.take(self.table.rows["claim"] == self.ticket)
        if np.count_nonzero(self.undone):
            self.table.give_back(self.ticket, verdicts.keys[self.undone], now_ns)
        return losses

    def _put_in_force(self, index: I64) -> list[Loss]:
        """Note the new state; the settings that other xApps lose to this batch."""
        verdicts, me, table = self.verdicts, self.grant, self.table
        still = verdicts.still
        at, applied = index[still], verdicts.applied[still]
        theirs = (table.rows["force_owner"][at] != me.number) & (table.rows["force"][at] != NO_TICKET)
        displaced = table.rows[at[theirs]] if np.count_nonzero(theirs) else table.rows[:0]
        table.enforce(
            at,
            verdicts.parameters[still],
            applied,
            owner=me.number,
            ticket=self.ticket,
            until_ns=self.expires_ns,
        )
        if not len(displaced):
            return []
        over = Ended(type(verdicts.batch.action), verdicts.targets[still][theirs], displaced)
        reason = Cause.SUPERSEDED, f"taken over by {me.xapp} (priority {me.priority})"
        return [Loss(over, applied[theirs], reason)]
