"""Whether a batch may touch what others hold, and whether the node's state still agrees with itself afterwards.

Direct conflicts only: two xApps that want the same parameter of the same target. A higher priority displaces, an
equal or lower one is refused as long as the other's lease lives: the earlier lease wins. State invariants are judged
on what is left after that, because a target that is refused is no part of the state after the change.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ranloop.guard.grants import Grant
from ranloop.guard.leases import I64, SettingTable, unpack
from ranloop.guard.results import Verdicts
from ranloop.vocabulary import state_invariant
from ranloop.wire.messages import Cause, Status


def check_conflicts(
    verdicts: Verdicts, keys: I64, table: SettingTable, grant: Grant, others: Mapping[int, Grant]
) -> None:
    """Refuse targets that another xApp of the same or a higher priority holds."""
    if not len(table):
        return
    index, found = table.find(keys)
    holder = table.rows["owner"][index]
    foreign = found & (holder != grant.number)
    if not np.count_nonzero(foreign):
        return
    for number in np.unique(holder[foreign]).tolist():
        other = others[number]
        if other.priority >= grant.priority:
            mine = foreign & (holder == number)
            until_s = table.rows["expires_ns"][index[mine]].max() / 1e9
            text = (
                f"held by {other.xapp} (priority {other.priority}, yours {grant.priority}) "
                f"until {until_s:g} s if not renewed"
            )
            verdicts.decide(mine, Status.REFUSED, Cause.CONFLICT, text)


def check_state(verdicts: Verdicts, keys: I64, table: SettingTable) -> None:
    """Refuse targets that would break an invariant of the node's state after all that was accepted so far."""
    action = type(verdicts.batch.action)
    if action.spec.targets[0] != "cell":
        return  # no invariant joins the settings of different UEs
    rows = table.rows
    while verdicts.n_open:
        open_ = verdicts.open
        kept = ~np.isin(rows["key"], keys[open_])
        state_keys = np.concatenate([keys[open_], rows["key"][kept]])
        state = np.concatenate([verdicts.parameters[open_], rows["wanted"][kept]])
        ok, text = state_invariant(action, unpack(state_keys, table.n_ids), state)
        broken = np.zeros(len(verdicts), np.bool_)
        broken[np.flatnonzero(open_)] = ~ok[: np.count_nonzero(open_)]
        if not broken.any():
            return
        verdicts.decide(broken, Status.REFUSED, Cause.INVARIANT, text)
