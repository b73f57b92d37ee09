"""The node port: what stands behind a guard, one or more RAN nodes on one clock.

A *pull* node (simulator, recording, table) lets the host decide when time moves. A *push* node (a program in another
language, a gNB behind a bridge) reports at its own pace and wakes the host. An action has two phases in both: the host
hands it over, and the node answers with the values in force, in the same moment or later. A node knows nothing of xApps,
rights, leases or transports.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from ranloop.kpi import Kpi
from ranloop.vocabulary import Action
from ranloop.wire.messages import F32, Catalogue, Report

MORTAL = ("ue", "cell")  # id columns that a node can say of whether they live there
Stream = tuple[str, str, int]  # (node, level, granularity period in ms)


class Applied(NamedTuple):
    """A node's answer to one change.

    Attributes:
        node: Name of the RAN node.
        number: Of the change, as it was handed over.
        values: In force afterwards, shape [n, n_parameters]; a row of NaN where the target does not exist at this node
            (any more), or where the node did nothing there.
        reasons: Row -> why the node did nothing there, although the target is at the node.
    """

    node: str
    number: int
    values: F32
    reasons: Mapping[int, str] = MappingProxyType({})


class NodePort(Protocol):
    """One or more RAN nodes on one clock. Times are RAN time in nanoseconds since the run began."""

    @property
    def catalogues(self) -> Sequence[Catalogue]: ...

    @property
    def now_ns(self) -> int: ...

    @property
    def end_ns(self) -> int:
        """When the nodes end: with their data, or as a scenario says."""
        ...

    def last_until(self, end_ns: int) -> int:
        """Last until `end_ns`, if nothing but a scenario's word ends the nodes sooner: a simulation can go on.

        A node that is to last `wire.messages.FOR_EVER_NS` must not gather what grows with the run, such as what only a
        score would read.

        Returns:
            When the nodes end now, or `end_ns` if that is sooner.
        """
        ...

    @property
    def slot_ns(self) -> int:
        """Actions take effect at multiples of this."""
        ...

    def next_report_ns(self) -> int:
        """When the next report leaves a node, later than `now_ns`.

        A push node says `now_ns` or later for a report that has arrived, and `FOR_EVER_NS` as long as none has.
        """
        ...

    def advance(self, until_ns: int) -> None:
        """Move to `until_ns`, at most to the next report."""
        ...

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        """The reports that leave at `now_ns`, in deterministic order, once.

        Args:
            wanted: Stream -> measurement names, merged over the xApps that read it.
        """
        ...

    def hand_over(self, node: str, number: int, action: Action, *, atomic: bool = False) -> None:
        """Ask `node` to put `action` in force from the current slot on; `answers` tells what came of it.

        A NaN parameter means: the value of the node's own configuration. The guard asks so for settings whose
        default the catalogue cannot know (`Parameter.default` is None), such as a cell's power.

        Args:
            number: Counts the changes of this node; the answer repeats it.
            atomic: All targets or none; where one cannot be changed the answer has rows of NaN alone.
        """
        ...

    def answers(self) -> list[Applied]:
        """Answers that have come since the last call."""
        ...

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        """1 where the dense id (`column`: "ue", "cell", ...) lives at `node` now, else 0, shape [n]."""
        ...

    def close(self) -> None: ...


class AnswersAtOnce(ABC):
    """The second phase of a node that knows at once what is in force: it implements `apply` and inherits the rest."""

    _answer: Applied | None = None

    @abstractmethod
    def apply(self, node: str, action: Action) -> F32:
        """Put `action` in force from the current slot on; the values in force afterwards, as in `Applied`."""

    @abstractmethod
    def hosts(self, node: str, column: str, ids: F32) -> F32:
        """As in `NodePort`."""

    def why_not(self, node: str, action: Action) -> Mapping[int, str]:
        """Row -> why `apply`, called now, would do nothing there although the target is at the node."""
        return {}

    def hand_over(self, node: str, number: int, action: Action, *, atomic: bool = False) -> None:
        """As in `NodePort`."""
        reasons = self.why_not(node, action)
        if atomic and (reasons or not self._hosts_all(node, action)):
            values: F32 = np.full((len(action), len(action.spec.parameters)), np.nan, np.float32)
        else:
            values = self.apply(node, action)
        self._answer = Applied(node, number, values, reasons)

    def _hosts_all(self, node: str, action: Action) -> bool:
        columns = zip(action.spec.targets, action.targets().T, strict=True)
        return all(
            self.hosts(node, column, ids.astype(np.float32)).all()
            for column, ids in columns
            if column in MORTAL
        )

    def answers(self) -> list[Applied]:
        """As in `NodePort`."""
        answer, self._answer = self._answer, None
        return [] if answer is None else [answer]


@runtime_checkable
class PushPort(NodePort, Protocol):
    """Nodes that report at their own pace."""

    @property
    def over(self) -> bool:
        """Whether the nodes have ended, and all that they said has been taken.

        Raises:
            NodeError: They have ended by an error.
        """
        ...

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake`, from any thread, whenever a report or an answer has arrived."""
        ...


@runtime_checkable
class ScoredPort(NodePort, Protocol):
    """Nodes that can say what a run was worth, such as a simulator's."""

    def kpis(self) -> Sequence[Kpi]:
        """The meaning of each entry of `score`, in its order.

        Raises:
            NodeError: The nodes will end before anything counts.
        """
        ...

    def provenance(self) -> Mapping[str, str | int]:
        """Everything that the bits of a run depend on beside its xApps, such as versions, the scenario's hash, the seed."""
        ...

    def mark(self) -> object:
        """The present moment, for a later `score`."""
        ...

    def score(self, since: object = None) -> Mapping[str, float]:
        """Key figures of the run so far, warm-up removed, or of the time since a `mark`; NaN where there was nothing to judge."""
        ...


@runtime_checkable
class TruthfulPort(NodePort, Protocol):
    """Nodes that know what is true beside their reports, such as a simulator its faults. No xApp is told."""

    @property
    def truth(self) -> Sequence[Mapping[str, object]]:
        """One entry per event, of plain values: "start_ns" and "end_ns" (RAN time, None if it stays), and what it is."""
        ...


def truth(port: NodePort) -> Sequence[Mapping[str, object]]:
    """What `port` knows to be true beside its reports; empty where it knows nothing."""
    return port.truth if isinstance(port, TruthfulPort) else ()


@runtime_checkable
class PartialPort(NodePort, Protocol):
    """Nodes that may have been opened without some of what lay there, such as a folder of logs of which one is damaged."""

    @property
    def left_out(self) -> Sequence[str]:
        """What, and why: a line each."""
        ...


def left_out(port: NodePort) -> tuple[str, ...]:
    """What `port` was opened without; empty where all is there."""
    return tuple(port.left_out) if isinstance(port, PartialPort) else ()
