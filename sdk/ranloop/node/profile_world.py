"""A world seen through a profile: its nodes offer no more than the stack has, and round as the stack does.

A profile narrows and never adds. Guards read the narrowed catalogue, so they refuse an action that the stack does not
take as not supported. Actions, leases and returns to the default are the world's and go through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ranloop.errors import NodeError
from ranloop.kpi import Kpi
from ranloop.node.port import Applied, NodePort, ScoredPort, left_out, truth
from ranloop.node.profile import Profile
from ranloop.vocabulary import Action
from ranloop.wire.messages import F32, Catalogue, Report

__all__ = ("under_profile",)


def under_profile(world: NodePort, profile: Profile) -> NodePort:
    """`world` with the stack's catalogue and rounding; it keeps score if `world` does, and closes it when it is closed.

    Raises:
        NodeError: Every period of the nodes is shorter than the stack's; `world` is closed then.
    """
    try:
        return _ScoredView(world, profile) if isinstance(world, ScoredPort) else _View(world, profile)
    except NodeError:
        world.close()
        raise


class _View:
    """Implements `NodePort` over another one."""

    def __init__(self, world: NodePort, profile: Profile) -> None:
        self._world = world
        self._whole = profile.whole
        self._catalogues = tuple(_narrowed(catalogue, profile) for catalogue in world.catalogues)
        periods_ms = {period for catalogue in world.catalogues for period in catalogue.periods_ms}
        if periods_ms and profile.period and max(periods_ms) < profile.period.shortest_ms:
            raise NodeError(
                f"the node reports every {', '.join(map(str, sorted(periods_ms)))} ms, but the profile {profile.name} has new "
                f"values every {profile.period.shortest_ms} ms only: no period is left"
            )

    @property
    def catalogues(self) -> Sequence[Catalogue]:
        return self._catalogues

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

    def reports(self, wanted: Mapping[tuple[str, str, int], frozenset[str]]) -> list[Report]:
        return [_rounded(report, self._whole) for report in self._world.reports(wanted)]

    def hand_over(self, node: str, number: int, action: Action, *, atomic: bool = False) -> None:
        self._world.hand_over(node, number, action, atomic=atomic)

    def answers(self) -> list[Applied]:
        return self._world.answers()

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        return self._world.hosts(node, column, ids)

    def close(self) -> None:
        self._world.close()


class _ScoredView(_View):
    """Implements `ScoredPort` over another one."""

    def __init__(self, world: ScoredPort, profile: Profile) -> None:
        super().__init__(world, profile)
        self._scored, self._profile_name = world, profile.name

    def kpis(self) -> Sequence[Kpi]:
        return self._scored.kpis()

    def provenance(self) -> Mapping[str, str | int]:
        return {**self._scored.provenance(), "profile": self._profile_name}

    def mark(self) -> object:
        return self._scored.mark()

    def score(self, since: object = None) -> Mapping[str, float]:
        return self._scored.score(since)


def _narrowed(catalogue: Catalogue, profile: Profile) -> Catalogue:
    """A catalogue with the entries that both the node and the stack have, in the node's order."""
    shortest_ms = 0 if profile.period is None else profile.period.shortest_ms
    return replace(
        catalogue,
        measurements={
            level: tuple(name for name in names if profile.measures(name, level))
            for level, names in catalogue.measurements.items()
        },
        actions=tuple(name for name in catalogue.actions if profile.takes(name)),
        scheduler_models=catalogue.scheduler_models if profile.takes("SetSchedulerModel") else {},
        periods_ms=tuple(period for period in catalogue.periods_ms if period >= shortest_ms),
    )


def _rounded(report: Report, whole: frozenset[str]) -> Report:
    """The same report with these measurements as whole numbers; "no value" stays NaN."""
    n_ids = len(report.ids)
    columns = [n_ids + i for i, name in enumerate(report.names) if name in whole]
    if not columns:
        return report
    block = report.block.copy()
    block[:, columns] = np.rint(block[:, columns])
    return replace(report, block=block)
