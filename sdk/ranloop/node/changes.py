"""Changes on their way: a guard has something for its node, the node is handed it, and answers now, later or never."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import structlog

from ranloop.guard import Change, Guard
from ranloop.node.port import MORTAL, NodePort
from ranloop.wire.messages import FOR_EVER_NS, Result

__all__ = ("ANSWER_WITHIN_NS", "Changes")

log = structlog.get_logger(__name__)

ANSWER_WITHIN_NS = 1_000_000_000  # RAN time a node may take to say what is in force


class _Open(NamedTuple):
    """A change that a node was handed and has not answered."""

    change: Change
    answer_by_ns: int


class Changes:
    """Carries changes from the guards to the nodes of one port, and the nodes' answers back.

    Args:
        port: The RAN nodes.
        guards: By node.
        drop: Told of each answer that cannot be used: the node, and why.
    """

    def __init__(self, port: NodePort, guards: Mapping[str, Guard], drop: Callable[[str, str], None]) -> None:
        self._port, self._guards, self._drop = port, guards, drop
        self._open: dict[str, _Open] = {}  # node -> change under way
        self._soonest_ns: int | None = (
            None  # at or before `next_ns`, as long as `note` hears of each guard that changes
        )

    def __len__(self) -> int:
        """Count the nodes that have not answered yet."""
        return len(self._open)

    def next_ns(self) -> int:
        """When a guard next has something for its node, or an answer is overdue; `FOR_EVER_NS` if nothing is to come."""
        times = [guard.next_event_ns() for guard in self._guards.values()]
        times += [open_.answer_by_ns for open_ in self._open.values()]
        self._soonest_ns = min(times, default=FOR_EVER_NS)
        return self._soonest_ns

    def soonest_ns(self) -> int:
        """As `next_ns`, or earlier where what was due has gone; a host of many nodes asks with every message."""
        return self.next_ns() if self._soonest_ns is None else self._soonest_ns

    def note(self, node: str | None = None) -> None:
        """The guard of `node` has taken something in; None: any of them may have."""
        if node is None or self._soonest_ns is None:
            self._soonest_ns = None
        else:
            self._soonest_ns = min(self._soonest_ns, self._guards[node].next_event_ns())

    def carry_out(self, now_ns: int) -> list[Result]:
        """Forget targets that left, hand over what the guards say is due, and take the nodes' answers."""
        self.note()
        results = self._take_answers(now_ns)
        for node, guard in self._guards.items():
            for column in MORTAL:
                ids = guard.held_targets(column)
                if len(ids):
                    gone = ids[self._port.hosts(node, column, ids.astype(np.float32)) == 0]
                    results += guard.forget_targets(column, gone, now_ns) if len(gone) else []
            for change in guard.due(now_ns):
                action = change.action
                if not len(action):  # all of it is in force already
                    results += guard.settle(change, action.parameters(), now_ns)
                    continue
                self._open[node] = _Open(change, now_ns + ANSWER_WITHIN_NS)
                self._port.hand_over(node, change.number, action, atomic=change.atomic)
                results += self._take_answers(now_ns)
        return results

    def _take_answers(self, now_ns: int) -> list[Result]:
        """Settle the changes that the nodes have answered, and give up those that are overdue."""
        results: list[Result] = []
        for node, number, values, reasons in self._port.answers():
            open_ = self._open.get(node)
            if open_ is None or open_.change.number != number:
                asked = "nothing" if open_ is None else f"change {open_.change.number}"
                self._drop(
                    node,
                    f"an answer to change {number} of {node}, which is asked {asked}: late, twice or another's",
                )
                continue
            del self._open[node]
            wanted = len(open_.change.action), len(open_.change.action.spec.parameters)
            if values.shape == wanted and not np.isinf(values).any():
                results += self._guards[node].settle(open_.change, values, now_ns, reasons)
            else:
                self._drop(
                    node,
                    f"an answer of shape {list(values.shape)} to change {number}; want {list(wanted)}, finite",
                )
                results += self._guards[node].lose(open_.change, now_ns)
        overdue = [node for node, open_ in self._open.items() if open_.answer_by_ns <= now_ns]
        return results + self._lose(overdue, now_ns)

    def give_up(self, now_ns: int) -> list[Result]:
        """Wait for no node any more: what none of them has answered ends unknown."""
        return self._lose(tuple(self._open), now_ns)

    def _lose(self, nodes: Sequence[str], now_ns: int) -> list[Result]:
        results: list[Result] = []
        self.note()
        for node in nodes:
            change = self._open.pop(node).change
            log.warning("node_did_not_answer", node=node, change=change.number)
            results += self._guards[node].lose(change, now_ns)
        return results
