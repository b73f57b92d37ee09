"""A world seen through something that changes a part of what it says; all else goes through untouched.

A subclass of `View` overrides what it changes. A view of a world that keeps score is a `Scored` one as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ranloop.kpi import Kpi
from ranloop.node.port import Applied, NodePort, ScoredPort, Stream, left_out, truth
from ranloop.vocabulary import Action
from ranloop.wire.messages import F32, Catalogue, Report

__all__ = ("Scored", "View")


class View:
    """Implements `NodePort` over another one, and closes it when it is closed."""

    def __init__(self, world: NodePort) -> None:
        self._world = world

    @property
    def catalogues(self) -> Sequence[Catalogue]:
        return self._world.catalogues

    @property
    def now_ns(self) -> int:
        return self._world.now_ns

    @property
    def end_ns(self) -> int:
        return self._world.end_ns

    def last_until(self, end_ns: int) -> int:
        return self._world.last_until(end_ns)

    @property
    def slot_ns(self) -> int:
        return self._world.slot_ns

    @property
    def left_out(self) -> Sequence[str]:
        return left_out(self._world)

    @property
    def truth(self) -> Sequence[Mapping[str, object]]:
        return truth(self._world)

    def next_report_ns(self) -> int:
        return self._world.next_report_ns()

    def advance(self, until_ns: int) -> None:
        self._world.advance(until_ns)

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        return self._world.reports(wanted)

    def hand_over(self, node: str, number: int, action: Action, *, atomic: bool = False) -> None:
        self._world.hand_over(node, number, action, atomic=atomic)

    def answers(self) -> list[Applied]:
        return self._world.answers()

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        return self._world.hosts(node, column, ids)

    def close(self) -> None:
        self._world.close()


class Scored:
    """The part of `ScoredPort` that `NodePort` does not have, over another one.

    Attributes:
        through: What the world is seen through, for its provenance: such as {"profile": "oai"}.
    """

    _scored: ScoredPort
    through: Mapping[str, str | int]

    def kpis(self) -> Sequence[Kpi]:
        return self._scored.kpis()

    def provenance(self) -> Mapping[str, str | int]:
        return {**self._scored.provenance(), **self.through}

    def mark(self) -> object:
        return self._scored.mark()

    def score(self, since: object = None) -> Mapping[str, float]:
        return self._scored.score(since)
