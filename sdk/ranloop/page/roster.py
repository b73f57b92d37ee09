"""Nodes and xApps as events show them: one table for every page and for `ranloop top`.

Names may come from anybody on a bus. Of each kind the last `KEPT` are remembered; a report keeps its node known, and an
action or a result its xApp.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ranloop.foreign import one_line
from ranloop.guard import AuditRecord
from ranloop.guard.fates import Fates, Told
from ranloop.node.outlets import Event
from ranloop.recent import Recent
from ranloop.vocabulary import ACTIONS, Kind
from ranloop.wire.messages import ActionBatch, Cause, Report, Result, Standing, Status

__all__ = ("KEPT", "Rates", "Roster", "told_row")

KEPT = 4096
_MOST_HELD = 1 << 20  # targets that are held, of all xApps
_DELAYS_KEPT = 250

Held = tuple[str, str, str]  # xApp, node, action


class Rates:
    """Events per second between two looks."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._at_s, self._span_s = time.monotonic(), 0.0

    def tick(self) -> None:
        """Begin a look."""
        now_s = time.monotonic()
        self._at_s, self._span_s = now_s, now_s - self._at_s
        self._before, self._counts = self._counts, {}  # what was not asked for any more is forgotten

    def per_s(self, name: str, count: int) -> float:
        """The rate of `name`, which has come to `count`."""
        self._counts[name] = count
        return round((count - self._before.get(name, 0)) / self._span_s, 1) if self._span_s else 0.0


def _delays() -> deque[float]:
    return deque(maxlen=_DELAYS_KEPT)


@dataclass(slots=True)
class _Node:
    n_reports: int = 0
    ran_time_s: float | None = None
    standing: Standing | None = None


@dataclass(slots=True)
class _XApp:
    """One xApp; `decides_s` is from a report to the action that rests on it, `answered_s` from an action to its result."""

    n_batches: int = 0
    decides_s: deque[float] = field(default_factory=_delays)
    answered_s: deque[float] = field(default_factory=_delays)


class Roster:
    """Counts what nodes and xApps do.

    Attributes:
        fates: What became of the targets of actions.
    """

    def __init__(self) -> None:
        self.fates = Fates()
        self._nodes: Recent[str, _Node] = Recent(KEPT)
        self._xapps: Recent[str, _XApp] = Recent(KEPT)
        self._held: Recent[Held, set[tuple[int, ...]]] = Recent(KEPT, self._let_go)
        self._n_held = 0

    @property
    def n_forgotten(self) -> int:
        """Nodes and xApps, and what they hold or met, that went because too many names were heard."""
        return sum(kind.n_forgotten for kind in (self._nodes, self._xapps, self._held, self.fates))

    # What happens

    def take(self, event: Event) -> None:
        """Take in an event of a host; of its batches it shows the records."""
        match event:
            case Report():
                node = self.node(event.node)
                node.n_reports += 1
                node.ran_time_s = event.time_s
            case Standing():
                self.node(event.node).standing = event
            case Result():
                self._answer(event)
            case AuditRecord(event="result", batch=ActionBatch() as batch):
                self.ask(batch)

    def meet(self, node: str) -> None:
        """Note a node that has said nothing yet but that it is there."""
        self.node(node)

    def node(self, name: str) -> _Node:
        """What is known of a node that has just been heard."""
        node = self._nodes[name] = self._nodes.get(name) or _Node()
        return node

    def xapp(self, name: str) -> _XApp:
        """What is known of an xApp that has just been heard."""
        xapp = self._xapps[name] = self._xapps.get(name) or _XApp()
        return xapp

    def ask(self, batch: ActionBatch) -> _XApp:
        """Count a batch; its xApp."""
        xapp = self.xapp(batch.xapp)
        xapp.n_batches += 1
        return xapp

    def _answer(self, result: Result) -> None:
        self.xapp(result.xapp)
        self.fates.take(result)
        if result.action not in ACTIONS or ACTIONS[result.action].spec.kind is not Kind.SETTING:
            return
        key = result.xapp, result.node, result.action
        before = self._held.get(key, set())
        held = (before | _targets(result, Status.APPLIED)) - _targets(result, Status.ENDED)
        self._n_held += len(held) - len(before)
        self._held[key] = held
        while self._n_held > _MOST_HELD:
            self._held.forget_oldest()

    def _let_go(self, _key: Held, targets: set[tuple[int, ...]]) -> None:
        self._n_held -= len(targets)

    # What is told

    def table(
        self,
        rates: Rates,
        *,
        host_of: Callable[[str], str],
        is_alive: Callable[[str], bool],
        admitted: Collection[str] = (),
    ) -> dict[str, list[dict[str, Any]]]:
        """The table as plain data: `nodes` and `xapps`.

        Args:
            rates: Of the reader.
            host_of: The living host of a node; "" if there is none.
            is_alive: Whether an xApp shows a life sign.
            admitted: xApps that should be there; told although they have said nothing.
        """
        rates.tick()
        told: dict[str, list[Told]] = defaultdict(list)
        for one in self.fates.told():
            told[one.xapp].append(one)
        held: dict[str, dict[str, int]] = defaultdict(dict)
        for (xapp, node, action), targets in sorted(self._held.items()):
            if targets:
                held[xapp][f"{action} at {node}"] = len(targets)
        standings = {name: node.standing for name, node in self._nodes.items() if node.standing}
        names = sorted({*admitted, *self._xapps})
        return {
            "nodes": [
                {
                    "node": name,
                    "host": host_of(name) or None,
                    "killed": node.standing.killed if node.standing else None,
                    "ran_time_s": node.ran_time_s,
                    "reports_per_s": rates.per_s(f"node {name}", node.n_reports),
                }
                for name, node in sorted(self._nodes.items())
            ],
            "xapps": [
                {
                    "xapp": name,
                    "admitted": name in admitted,
                    "alive": is_alive(name),
                    "shut_out": any(name in one.shut_out for one in standings.values()),
                    "autonomy": {n: s.autonomy[name] for n, s in standings.items() if name in s.autonomy},
                    "holds": held[name],
                    **self._pace(name, rates),
                    **told_row(told[name]),
                }
                for name in names
            ],
        }

    def _pace(self, name: str, rates: Rates) -> dict[str, Any]:
        xapp = self._xapps.get(name) or _XApp()
        return {
            "actions_per_s": rates.per_s(f"xapp {name}", xapp.n_batches),
            "decides_ms": _median_ms(xapp.decides_s),
            "answered_ms": _median_ms(xapp.answered_s),
        }


def told_row(told: Iterable[Told]) -> dict[str, Any]:
    """What became of the targets of one xApp: numbers by fate, and each refusal with an example."""
    fates = list(told)
    targets: dict[str, int] = {}
    for fate in fates:
        targets[fate.name] = targets.get(fate.name, 0) + fate.n_targets
    return {"targets": targets, "refused": [_refusal(fate) for fate in fates if _is_refusal(fate)]}


def _is_refusal(fate: Told) -> bool:
    return fate.status in (Status.REFUSED, Status.EXPIRED) and fate.cause != Cause.NONE


def _refusal(fate: Told) -> dict[str, Any]:
    return {
        "action": fate.action,
        "fate": fate.name,
        "targets": fate.n_targets,
        "example": one_line(fate.text),
    }


def _median_ms(seconds: Iterable[float]) -> float | None:
    ordered = sorted(seconds)
    return round(ordered[len(ordered) // 2] * 1e3, 2) if ordered else None


def _targets(result: Result, status: Status) -> set[tuple[int, ...]]:
    return set(map(tuple, result.targets[np.flatnonzero(result.status == status)].tolist()))
