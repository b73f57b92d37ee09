"""What a node host hosts: one or more RAN nodes on one clock.

The simulator, a recording and a drive-test table implement this protocol; an E2 bridge will. A world knows nothing of
xApps, rights, leases or transports: it moves time, hands out reports and applies what the guard let through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from ranloop.vocabulary import Action
from ranloop.wire.messages import F32, Catalogue, Report


class World(Protocol):
    """One or more RAN nodes on one clock. Times are RAN time in nanoseconds since the run began."""

    @property
    def catalogues(self) -> Sequence[Catalogue]: ...

    @property
    def now_ns(self) -> int: ...

    @property
    def end_ns(self) -> int:
        """When the world ends: with its data, or as its scenario says."""
        ...

    def last_until(self, end_ns: int) -> int:
        """Last until `end_ns`, if nothing but a scenario's word ends the world sooner: one that is computed can go on.

        One that is to last `wire.messages.FOR_EVER_NS` must not gather what grows with the run, such as what only a score would read.

        Returns:
            When the world ends now, or `end_ns` if that is sooner.
        """
        ...

    @property
    def slot_ns(self) -> int:
        """Actions take effect at multiples of this."""
        ...

    def next_report_ns(self) -> int:
        """When the next report leaves a node (later than `now_ns`)."""
        ...

    def advance(self, until_ns: int) -> None:
        """Move to `until_ns`, at most to the next report."""
        ...

    def reports(self, wanted: Mapping[tuple[str, str, int], frozenset[str]]) -> list[Report]:
        """The reports that leave at `now_ns`, in deterministic order, once.

        Args:
            wanted: (node, level, period in ms) -> measurement names, merged over the subscribers of that stream.
        """
        ...

    def apply(self, node: str, action: Action) -> F32:
        """Put `action` in force from the current slot on.

        A NaN parameter means: the value of the node's own configuration. The guard asks so for settings whose
        default the catalogue cannot know (`Parameter.default` is None), such as a cell's power.

        Returns:
            The values in force afterwards, shape [n, n_parameters]; a row of NaN where the target does not exist
            at this node (any more).
        """
        ...

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        """1 where the dense id (`column`: "ue", "cell", ...) lives at `node` now, else 0, shape [n]."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class ScoredWorld(World, Protocol):
    """A world that can say what a run was worth, such as a simulator."""

    def score(self) -> Mapping[str, float]:
        """Key figures of the run so far, warm-up removed; NaN where there was nothing to judge."""
        ...


@runtime_checkable
class PartialWorld(World, Protocol):
    """A world that may have been opened without some of what lay there, such as a folder of logs of which one is damaged."""

    @property
    def left_out(self) -> Sequence[str]:
        """What, and why: a line each."""
        ...


def left_out(world: World) -> tuple[str, ...]:
    """What `world` was opened without; empty where all is there."""
    return tuple(world.left_out) if isinstance(world, PartialWorld) else ()
