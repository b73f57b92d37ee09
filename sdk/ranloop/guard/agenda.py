"""A guard's work for its node: batches that wait for their slot, settings that are over, and the one open change.

At one instant settings that end come first, then batches in the order in which they were accepted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from ranloop.guard.accepted import Accepted
from ranloop.guard.grants import Grant
from ranloop.guard.held import Ended, HeldSettings
from ranloop.guard.unconfirmed import Return, Unconfirmed
from ranloop.vocabulary import Action
from ranloop.wire.messages import FOR_EVER_NS

__all__ = ("Agenda", "Change", "Work")

Work = Accepted | Ended | Return  # what a change comes from


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """A change that the node has to make now. It is open until `Guard.settle` or `Guard.lose` ends it.

    Attributes:
        number: Counts the changes of this guard from 0, so that a host can match answers.
        action: The targets to change. Zero rows when all of it is in force already. A NaN parameter, only in a
            change that goes back to the default, means: the value of the node's own configuration.
        xapp: Whose change it is; "" when a setting goes back to its default.
        atomic: All targets or none: apply only if the node hosts every target, else settle with rows of NaN.
    """

    number: int
    action: Action
    xapp: str = ""
    atomic: bool = False


class Agenda:
    """The work of one node, in the order of RAN time.

    Args:
        held: What is claimed and in force at the node.
        grants: All xApps that were ever admitted, by number.
    """

    def __init__(self, held: HeldSettings, grants: dict[int, Grant]) -> None:
        self._held, self._grants = held, grants
        self._pending: deque[Accepted] = deque()  # by effect time, which follows the order of acceptance
        self._unconfirmed = Unconfirmed()  # defaults that the node has not answered for
        self._open: tuple[Change, Work] | None = None  # with the node
        self._n_changes = 0

    def add(self, work: Accepted) -> None:
        """Wait for the slot of `work`; slots never come before those of earlier work."""
        self._pending.append(work)

    def withdraw(self, grant: Grant | None) -> list[Accepted]:
        """Take out batches that wait for their slot, of one xApp or of all; an open change stays."""
        taken = [work for work in self._pending if grant is None or work.grant is grant]
        self._pending = deque(work for work in self._pending if grant is not None and work.grant is not grant)
        return taken

    def tickets(self) -> Iterator[int]:
        """Of what waits for its slot."""
        return (work.ticket for work in self._pending)

    def next_event_ns(self) -> int:
        """See `Guard.next_event_ns`."""
        if self._open is not None:
            return FOR_EVER_NS
        return min(self._next_effect_ns(), self._held.next_lapse_ns(), self._unconfirmed.next_ns())

    def _next_effect_ns(self) -> int:
        return self._pending[0].effect_ns if self._pending else FOR_EVER_NS

    def due(self, now_ns: int) -> Iterator[Change]:
        """See `Guard.due`."""
        while self._open is None and (found := self._next_work(now_ns)) is not None:
            action, work = found
            accepted = work if isinstance(work, Accepted) else None
            change = Change(
                number=self._n_changes,
                action=action,
                xapp="" if accepted is None else accepted.grant.xapp,
                atomic=accepted is not None and accepted.verdicts.batch.atomic,
            )
            self._n_changes += 1
            self._open = change, work
            yield change

    def _next_work(self, now_ns: int) -> tuple[Action, Work] | None:
        """The earliest due work, and the action that it hands to the node; None if nothing is due."""
        back = self._unconfirmed.take(now_ns, self._held)
        if back is not None:
            return back.action, back
        while True:
            lapse_ns, effect_ns = self._held.next_lapse_ns(), self._next_effect_ns()
            if lapse_ns <= min(now_ns, effect_ns):
                over = self._held.lapse(lapse_ns)
                if over:
                    return over.defaults(), over
                continue  # claims that never took effect
            if effect_ns > now_ns:
                return None
            work = self._pending.popleft()
            return work.take_effect(self._grants, now_ns), work

    def close(self, change: Change) -> Work:
        """End the open change.

        Raises:
            ValueError: `change` is not open.
        """
        if self._open is None or self._open[0] is not change:
            raise ValueError(f"change {change.number} is not open: it was answered or given up before")
        work, self._open = self._open[1], None
        return work

    def again(self, change: Change, work: Ended | Return, now_ns: int) -> bool:
        """Hand the defaults of a lost `change` to the node again later; False once that was tried often enough."""
        return self._unconfirmed.put(change.action, work, now_ns)
