"""Everything that is held at one node: one `SettingTable` per action type, and the batches their rows name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ranloop.guard.leases import I64, NO_TICKET, Mask, Rows, SettingTable, unpack
from ranloop.guard.results import HOST_STOPPED, Origin
from ranloop.vocabulary import ACTIONS, Action
from ranloop.wire.messages import F32, FOR_EVER_NS, I32, ActionBatch, Cause

# Why settings end, by `SettingTable.rows["ending"]`.
LAPSED, KILLED, DEMOTED, STOPPED, ORPHANED, DISMISSED = range(6)
ENDINGS = (
    (Cause.LEASE_LAPSED, "not renewed before its lease lapsed"),
    (Cause.KILLED, "the operator's kill switch is on"),
    (Cause.AUTONOMY, "the operator took the right to act away"),
    HOST_STOPPED,
    (Cause.SUPERSEDED, "taken over by an xApp that has lost its right to act since"),
    (Cause.NOT_PERMITTED, "the operator dismissed the xApp"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """Settings of one action type that are over: their rows, out of the table, and the targets [n, n_keys]."""

    action: type[Action]
    targets: I32
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def defaults(self) -> Action:
        """The action that undoes them; NaN stands for the value of the node's own configuration."""
        parameters = self.action.spec.parameters
        values = np.array([np.nan if p.default is None else p.default for p in parameters], np.float32)
        return self.action.from_columns(self.targets, np.broadcast_to(values, (len(self), len(values))))

    def by_batch(self) -> Iterator[tuple[int, int, Mask]]:
        """(ticket in force, ending, rows) for each of the batches that lose something, oldest first."""
        force, ending = self.rows["force"], self.rows["ending"]
        for ticket, reason in sorted({*zip(force.tolist(), ending.tolist(), strict=True)}):
            yield ticket, reason, (force == ticket) & (ending == reason)


class HeldSettings:
    """Claims and settings of all action types at one node."""

    def __init__(self) -> None:
        self._tables: dict[str, SettingTable] = {}  # action name -> its rows
        self._origins: dict[int, Origin] = {}  # ticket -> batch, as long as a row may name it
        # Column -> (which rows there were, the ids they name): the host asks for it whenever it acts.
        self._named: dict[str, tuple[list[tuple[str, int]], I32]] = {}
        self._next_ticket = 0
        self._sweep_at = 256

    def table(self, action: type[Action]) -> SettingTable:
        spec = action.spec
        if spec.name not in self._tables:
            self._tables[spec.name] = SettingTable(len(spec.targets), len(spec.parameters))
        return self._tables[spec.name]

    def origin(self, ticket: int) -> Origin:
        """The batch that settings came from."""
        return self._origins[ticket]

    def claim(self, batch: ActionBatch, keys: I64, wanted: F32, *, owner: int, expires_ns: int) -> int:
        """Reserve the targets for `batch`; returns its ticket."""
        ticket = self._next_ticket
        self._next_ticket += 1
        self._origins[ticket] = Origin(batch.id, batch.xapp)
        table = self.table(type(batch.action))
        table.claim(keys, wanted, owner=owner, ticket=ticket, expires_ns=expires_ns)
        return ticket

    def next_lapse_ns(self) -> int:
        """When the first lease of all is over; `FOR_EVER_NS` if nothing is held."""
        return min([table.next_lapse_ns() for table in self._tables.values()], default=FOR_EVER_NS)

    def lapse(self, until_ns: int) -> Ended | None:
        """Take out settings that are over, of the first action type (by name) that has some."""
        for name, table in sorted(self._tables.items()):
            over = table.rows["expires_ns"] <= until_ns
            ended = self._take(name, over) if over.any() else None
            if ended:
                return ended
        return None

    def targets(self, column: str) -> I32:
        """Ids of this column that any row names, sorted, each once; found anew only when rows came or went."""
        state = [(name, table.n_changes) for name, table in self._tables.items()]
        known = self._named.get(column)
        if known is None or known[0] != state:
            ids = [ids for _, ids in self._ids(column)]
            known = state, np.unique(np.concatenate(ids)) if ids else np.zeros(0, np.int32)
            self._named[column] = known
        return known[1]

    def forget(self, column: str, ids: I32) -> list[Ended]:
        """Take out all rows that name one of `ids` in `column`."""
        return [self._take(name, np.isin(known, ids)) for name, known in self._ids(column)]

    def take_keys(self, action: type[Action], keys: I64) -> Ended:
        """Take out the rows of `keys`."""
        return self._take(action.spec.name, np.isin(self.table(action).rows["key"], keys))

    def end(self, ending: int, now_ns: int, *, owner: int | None = None) -> None:
        """Make the settings (of one xApp, or of all) lapse now, for the reason `ending`."""
        for table in self._tables.values():
            rows = table.rows
            hit = np.ones(len(rows), np.bool_) if owner is None else rows["owner"] == owner
            table.end(hit, ending, now_ns)
            if owner is not None:
                # Should a claim of another on it come to nothing, it is over, too.
                rows["held_until_ns"][rows["force_owner"] == owner] = now_ns
                # It had claimed what another xApp still has in force: that one's claim is gone.
                table.end(hit & (rows["force_owner"] != owner), ORPHANED, now_ns)

    def sweep(self, waiting: Iterable[int]) -> None:
        """Now and then, let go of batches that neither a row nor a `waiting` ticket names any more."""
        if len(self._origins) < self._sweep_at:
            return
        named = set(waiting)
        for table in self._tables.values():
            named.update(table.rows["force"].tolist(), table.rows["claim"].tolist())
        self._origins = {ticket: origin for ticket, origin in self._origins.items() if ticket in named}
        self._sweep_at = 256 + 2 * len(self._origins)

    def _ids(self, column: str) -> list[tuple[str, I32]]:
        """(action name, that id column of its rows) for each type that has such a column and some rows."""
        found = []
        for name, table in sorted(self._tables.items()):
            keys = ACTIONS[name].spec.targets
            if len(table) and column in keys:
                found.append((name, unpack(table.rows["key"], table.n_ids)[:, keys.index(column)]))
        return found

    def _take(self, name: str, mask: Mask) -> Ended:
        """Remove the masked rows; those of which nothing was in force yet end without a word."""
        table = self._tables[name]
        rows = table.take(mask)
        rows = rows[rows["force"] != NO_TICKET]
        return Ended(ACTIONS[name], unpack(rows["key"], table.n_ids), rows)
