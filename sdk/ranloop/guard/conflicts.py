"""Conflicts of a batch with settings of other xApps, and the invariants of the node's state after the change.

Only direct conflicts are treated: two xApps want the same parameter of the same target. An xApp with a higher priority
displaces the other's setting. With an equal or lower priority it is refused as long as the other's lease lives. State
invariants are judged on the remaining targets, because a refused target is no part of the state after the change. They are
judged again when the slot comes, because a lease that the state counted on may have ended by then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from ranloop.guard.leases import I64, NO_TICKET, Mask, SettingTable, pack, unpack
from ranloop.guard.results import Verdicts
from ranloop.guard.rules import Question
from ranloop.vocabulary import joins_targets, state_invariant
from ranloop.wire.messages import F32, Cause, Status

_WHOSE: Final = re.compile(r"(?:held|taken over) by (\S+) \(priority ")  # of the texts here and of `accepted`


def because_of(text: str) -> str:
    """The other xApp that a guard named when it refused a target or ended a setting; "" where it named none."""
    found = _WHOSE.match(text)
    return found[1] if found else ""


def check_conflicts(question: Question) -> None:
    """Refuse targets that another xApp of the same or a higher priority holds."""
    verdicts, table, grant = question.verdicts, question.table, question.grant
    if not len(table):
        return
    index, found = table.find(verdicts.keys)
    holder = table.rows["owner"][index]
    foreign = found & (holder != grant.number)
    if not np.count_nonzero(foreign):
        return
    for number in np.unique(holder[foreign]).tolist():
        other = question.grants[number]
        if other.priority >= grant.priority:
            mine = foreign & (holder == number)
            until_s = table.rows["expires_ns"][index[mine]].max() / 1e9
            text = (
                f"held by {other.xapp} (priority {other.priority}, yours {grant.priority}) "
                f"until {until_s:g} s if not renewed"
            )
            verdicts.decide(mine, Status.REFUSED, Cause.CONFLICT, text)


def check_state(question: Question) -> None:
    """Refuse targets that would break an invariant of the node's state after all accepted batches so far.

    Slices that no xApp holds count with the minimum of the node's own configuration.
    """
    verdicts, table, configured_pct = question.verdicts, question.table, question.catalogue.slice_min_pct
    if not joins_targets(type(verdicts.batch.action)):
        return
    while verdicts.n_open:
        rows = table.rows
        broken, text = _breaking(verdicts, table.n_ids, rows["key"], rows["wanted"], configured_pct)
        if not broken.any():
            return
        verdicts.decide(broken, Status.REFUSED, Cause.INVARIANT, text)


def check_effect(
    verdicts: Verdicts, table: SettingTable, configured_pct: Mapping[int, float], changed: Mask
) -> None:
    """Judge the state again now that the slot has come: a lease that it counted on may have ended meanwhile.

    Refuses targets among `changed`, those that are not in force already with these values.
    """
    if not joins_targets(type(verdicts.batch.action)):
        return
    rows = table.rows[table.rows["force"] != NO_TICKET]
    while True:
        broken, text = _breaking(verdicts, table.n_ids, rows["key"], rows["held"], configured_pct)
        broken &= changed
        if not broken.any():
            return
        verdicts.decide(broken, Status.REFUSED, Cause.INVARIANT, text)


def _breaking(
    verdicts: Verdicts, n_ids: int, others: I64, values: F32, configured_pct: Mapping[int, float]
) -> tuple[Mask, str]:
    """Which open targets break an invariant together with the `values` of `others` and the node's configuration."""
    open_ = verdicts.open
    mine = verdicts.keys[open_]
    kept = ~np.isin(others, mine)
    state_keys = np.concatenate([mine, others[kept]])
    state = np.concatenate([verdicts.parameters[open_], values[kept]])
    cells = np.unique(unpack(mine, n_ids)[:, 0])
    slices = np.fromiter(configured_pct, np.int32, len(configured_pct))
    own = pack(np.column_stack([np.repeat(cells, len(slices)), np.tile(slices, len(cells))]))
    own_state = np.zeros((len(own), state.shape[1]), np.float32)
    own_state[:, 0] = np.tile(np.fromiter(configured_pct.values(), np.float32, len(slices)), len(cells))
    free = ~np.isin(own, state_keys)
    state_keys = np.concatenate([state_keys, own[free]])
    state = np.concatenate([state, own_state[free]])
    ok, text = state_invariant(type(verdicts.batch.action), unpack(state_keys, n_ids), state)
    broken = np.zeros(len(verdicts), np.bool_)
    broken[np.flatnonzero(open_)] = ~ok[: len(mine)]
    if configured_pct:
        text += "; slices without a setting count with the node's configuration"
    return broken, text
