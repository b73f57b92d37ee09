"""A world seen through a profile: its nodes offer no more than the stack has, and round as the stack does.

A profile narrows and never adds. Guards read the narrowed catalogue, so they refuse an action that the stack does not
take as not supported. Actions, leases and returns to the default are the world's and go through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ranloop.errors import NodeError
from ranloop.node.port import NodePort, ScoredPort, Stream
from ranloop.node.profile import Profile
from ranloop.node.view import Scored, View
from ranloop.wire.messages import Catalogue, Report

__all__ = ("under_profile",)


def under_profile(world: NodePort, profile: Profile) -> NodePort:
    """`world` with the stack's catalogue and rounding; it keeps score if `world` does, and closes it when it is closed.

    Raises:
        NodeError: Every period of the nodes is shorter than the stack's; `world` is closed then.
    """
    try:
        return _ScoredStack(world, profile) if isinstance(world, ScoredPort) else _Stack(world, profile)
    except NodeError:
        world.close()
        raise


class _Stack(View):
    """A world with the stack's catalogue and rounding."""

    def __init__(self, world: NodePort, profile: Profile) -> None:
        super().__init__(world)
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

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        return [_rounded(report, self._whole) for report in super().reports(wanted)]


class _ScoredStack(Scored, _Stack):
    """The same of a world that keeps score."""

    def __init__(self, world: ScoredPort, profile: Profile) -> None:
        super().__init__(world, profile)
        self._scored, self.through = world, {"profile": profile.name}


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
