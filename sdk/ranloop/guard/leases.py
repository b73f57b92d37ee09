"""The settings of one action type at one node: the claim on each target, the values in force, and their leases.

A row is one target. Its *claim* is the batch that was accepted last, its *force* the batch whose values the node
holds now; between acceptance and effect the two differ. A row lives as long as either does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranloop.wire.messages import F32, FOR_EVER_NS, I32

I64 = NDArray[np.int64]
Rows = NDArray[np.void]
Mask = NDArray[np.bool_]

NO_TICKET = -1
_ID_BITS = 24  # dense ids are below 2**24, so two of them fit one int64
# The fields of a claim on a target, and the same fields of the batch in force.
_CLAIMED_IN_FORCE = (
    ("owner", "force_owner"),
    ("claim", "force"),
    ("expires_ns", "held_until_ns"),
    ("wanted", "held"),
)
_ID_MASK = (1 << _ID_BITS) - 1


def pack(targets: I32) -> I64:
    """One integer per target, shape [n], ordered as the targets are. At most two id columns."""
    if targets.shape[1] > 2:
        raise ValueError(f"a target of {targets.shape[1]} ids does not fit one key; at most 2")
    key: I64 = targets[:, 0].astype(np.int64)
    return key if targets.shape[1] == 1 else (key << _ID_BITS) | targets[:, 1]


def unpack(keys: I64, n_ids: int) -> I32:
    """The targets of `keys`, shape [n, n_ids]."""
    if n_ids == 1:
        return keys.astype(np.int32)[:, None]
    return np.column_stack([keys >> _ID_BITS, keys & _ID_MASK]).astype(np.int32)


def rowwise_all(mask: Mask) -> Mask:
    """Which rows of `mask` [n, p] are true throughout, shape [n]; one column is mostly all there is."""
    return mask[:, 0] if mask.shape[1] == 1 else np.logical_and.reduce(mask, axis=1)


class SettingTable:
    """Rows sorted by key; one structured array, so that a row moves as a whole.

    Fields of `rows`:
        key: Packed target.
        owner: Number of the xApp that claims it.
        claim: Ticket of the batch accepted last.
        force: Ticket of the batch in force, or NO_TICKET.
        force_owner: Number of the xApp whose batch is in force.
        expires_ns: RAN time at which the lease of the claim lapses.
        held_until_ns: The same of the batch in force.
        ending: Index of the reason with which it will end then.
        wanted: Claimed values, shape [p].
        held: Values that the node was last asked for.
        applied: Values that the node then had in force.
    """

    __slots__ = ("_asked", "_found", "_next_lapse_ns", "n_changes", "n_ids", "rows")

    def __init__(self, n_ids: int, n_parameters: int) -> None:
        values = (np.float32, (n_parameters,))
        fields: list[Any] = [
            ("key", np.int64),
            ("owner", np.int32),
            ("claim", np.int64),
            ("force", np.int64),
            ("force_owner", np.int32),
            ("expires_ns", np.int64),
            ("held_until_ns", np.int64),
            ("ending", np.int8),
            ("wanted", *values),
            ("held", *values),
            ("applied", *values),
        ]
        self.n_ids = n_ids
        self.n_changes = 0  # how often rows came or went
        self.rows: Rows = np.zeros(
            0, np.dtype(fields, align=True)
        )  # NumPy is slow with numbers off their grid
        # A batch asks for the same keys three times on its way; usually no row came or went in between.
        self._asked: I64 | None = None
        self._next_lapse_ns: int | None = None  # None: not known
        self._found: tuple[I64, Mask] = (np.zeros(0, np.int64), np.zeros(0, np.bool_))

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, keys: I64) -> tuple[I64, Mask]:
        """Where each key stands, and whether it does: (index [n], found [n]); an index not found is 0."""
        if keys is not self._asked:
            known = self.rows["key"]
            if len(known) == len(keys) and known.tobytes() == keys.tobytes():
                self._found = np.arange(len(keys)), np.ones(len(keys), np.bool_)
            elif len(known):
                index = np.searchsorted(known, keys)
                index[index == len(known)] = 0
                self._found = index, known[index] == keys
            else:
                self._found = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.bool_)
            self._asked = keys
        return self._found

    def _replace(self, rows: Rows) -> None:
        """Have other rows; every index that was found before is void."""
        self.rows = rows[np.argsort(rows["key"])]
        self.n_changes += 1
        self._asked = self._next_lapse_ns = None

    def claim(self, keys: I64, wanted: F32, *, owner: int, ticket: int, expires_ns: int) -> None:
        """Give the targets to `owner`; the values in force stay until `enforce`. Keys are distinct."""
        index, found = self.find(keys)
        if np.count_nonzero(found) < len(found):
            fresh = np.zeros(len(keys) - np.count_nonzero(found), self.rows.dtype)
            fresh["key"] = keys[~found]
            fresh["force"] = NO_TICKET
            self._replace(np.concatenate([self.rows, fresh]))
            index, _ = self.find(keys)
        rows = self.rows
        rows["owner"][index] = owner
        rows["claim"][index] = ticket
        rows["expires_ns"][index] = expires_ns
        rows["ending"][index] = 0
        rows["wanted"][index] = wanted
        # A renewal of all that is held, the common case, knows the earliest lapse without a look at the rows.
        self._next_lapse_ns = expires_ns if len(keys) == len(rows) else None

    def enforce(
        self, index: I64, wanted: F32, applied: F32, *, owner: int, ticket: int, until_ns: int
    ) -> None:
        """Note the values that the node has in force now at rows `index`."""
        rows = self.rows
        rows["force"][index] = ticket
        rows["force_owner"][index] = owner
        rows["held_until_ns"][index] = until_ns
        rows["held"][index] = wanted
        rows["applied"][index] = applied

    def take(self, mask: Mask) -> Rows:
        """Remove the masked rows and return them."""
        taken = self.rows[mask]
        self._replace(self.rows[~mask])
        return taken

    def give_back(self, ticket: int, keys: I64, now_ns: int) -> None:
        """Undo the claims of a batch on targets where it came to nothing.

        Batches take effect in the order of their acceptance, so all that claimed before this one has taken effect or come
        to nothing, too. The claim goes back to the batch in force, under its own lease; where none is, it ends now.
        """
        rows = self.rows
        index = np.flatnonzero((rows["claim"] == ticket) & np.isin(rows["key"], keys))
        rows["expires_ns"][index] = now_ns
        held = index[rows["force"][index] != NO_TICKET]
        for claimed, in_force in _CLAIMED_IN_FORCE:
            rows[claimed][held] = rows[in_force][held]
        self._next_lapse_ns = None

    def end(self, mask: Mask, ending: int, now_ns: int) -> None:
        """Let the leases of the masked rows be over now, for the reason `ending`."""
        self.rows["expires_ns"][mask] = self.rows["held_until_ns"][mask] = now_ns
        self.rows["ending"][mask] = ending
        self._next_lapse_ns = None

    def next_lapse_ns(self) -> int:
        """When the first lease is over; `FOR_EVER_NS` if there is none."""
        if self._next_lapse_ns is None:
            self._next_lapse_ns = int(self.rows["expires_ns"].min(initial=FOR_EVER_NS))
        return self._next_lapse_ns
