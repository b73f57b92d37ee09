"""Defaults that a node was asked for and has not confirmed: they are asked for again, later and later."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ranloop.guard.held import Ended, HeldSettings
from ranloop.guard.leases import NO_TICKET, pack
from ranloop.vocabulary import Action
from ranloop.wire.messages import FOR_EVER_NS

__all__ = ("TRIES", "Return", "Unconfirmed")

TRIES = 8  # of one default: at once, and again after 1, 2, 4, ... 64 s
_FIRST_WAIT_NS = 1_000_000_000


class Return(NamedTuple):
    """Settings that go back to their default again, after the node left `tries` askings without an answer."""

    action: Action
    tries: int
    due_ns: int


class Unconfirmed:
    """The defaults of one node that are still to be confirmed; their settings have ended for the xApps."""

    def __init__(self) -> None:
        self._returns: list[Return] = []

    def put(self, action: Action, work: Ended | Return, now_ns: int) -> bool:
        """Ask for the defaults in `action` again, unless that was tried often enough: False then."""
        tries = 1 + (work.tries if isinstance(work, Return) else 0)
        if tries >= TRIES:
            return False
        self._returns.append(Return(action, tries, now_ns + (_FIRST_WAIT_NS << (tries - 1))))
        return True

    def next_ns(self) -> int:
        """When the first of them is to be asked for again; `FOR_EVER_NS` if there is none."""
        return min([back.due_ns for back in self._returns], default=FOR_EVER_NS)

    def take(self, now_ns: int, held: HeldSettings) -> Return | None:
        """The first that is due, without the targets at which a newer setting is in force; None if none is due."""
        for back in [back for back in self._returns if back.due_ns <= now_ns]:
            self._returns.remove(back)
            rows = held.table(type(back.action)).rows
            newer = rows["key"][rows["force"] != NO_TICKET]
            targets, values = back.action.targets(), back.action.parameters()
            still = ~np.isin(pack(targets), newer)
            if still.any():
                return back._replace(action=back.action.from_columns(targets[still], values[still]))
        return None
