"""From verdicts to results: the fate of each target of a batch, with a cause that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranloop.guard.leases import I64, Mask, pack
from ranloop.vocabulary import Action
from ranloop.wire.messages import F32, I32, ActionBatch, Cause, Result, Status

# A result of this kind is no loss: the run ended in order while the action was under way, or its setting held.
HOST_STOPPED = (Cause.LOST, "the node host stopped")
AT_END = "at-end"  # the name of that cause in counts and in the audit log; on the wire it is `lost`
_MOST_TEXTS = 200  # of one result; beyond them a target gets its cause alone, and an index stays below 255
_UNDECIDED = 255  # not a `Status`: the target has passed every check so far


class KnownTargets:
    """Facts about the targets that an xApp named last; usually it names the same targets again.

    A decoder returns repeated targets as the same arrays, which cannot change, so the arrays' identity is enough to know them.
    """

    __slots__ = ("_columns", "_distinct", "_keys")

    def __init__(self) -> None:
        self._columns: list[I32] = []
        self._keys: I64 = np.zeros(0, np.int64)
        self._distinct = True

    def look_up(self, columns: list[I32], targets: I32) -> tuple[I64, bool]:
        """Their keys, and whether no target stands there twice."""
        known = self._columns
        if len(columns) != len(known) or any(a is not b for a, b in zip(columns, known, strict=True)):
            self._columns, self._keys = columns, pack(targets)
            in_order = np.sort(self._keys)
            self._distinct = not np.count_nonzero(in_order[1:] == in_order[:-1])
        return self._keys, self._distinct


class Verdicts:
    """The fate of each target of one batch while the checks go by: the first check that objects decides."""

    __slots__ = (
        "applied",
        "batch",
        "cause",
        "causes",
        "distinct",
        "keys",
        "n_open",
        "parameters",
        "status",
        "targets",
    )

    def __init__(self, batch: ActionBatch, renewed: KnownTargets | None = None) -> None:
        """Open verdicts on `batch`; `renewed` remembers the targets that its xApp named last."""
        self.batch = batch
        action = batch.action
        # A single column is a view; stacking columns costs as much as a check.
        ids, names = action.spec.targets, action.spec.parameter_names
        self.targets: I32 = getattr(action, ids[0])[:, None] if len(ids) == 1 else action.targets()
        self.parameters: F32 = getattr(action, names[0])[:, None] if len(names) == 1 else action.parameters()
        found = KnownTargets() if renewed is None else renewed
        self.keys, self.distinct = found.look_up([getattr(action, name) for name in ids], self.targets)
        n = len(self.targets)
        self.status: NDArray[np.uint8] = np.full(n, _UNDECIDED, np.uint8)
        self.cause: NDArray[np.uint8] = np.zeros(n, np.uint8)
        self.causes: list[tuple[Cause, str]] = [(Cause.NONE, "")]
        self.applied: F32 = np.full(self.parameters.shape, np.nan, np.float32)
        self.n_open = n  # targets not decided yet

    def __len__(self) -> int:
        return len(self.status)

    @property
    def open(self) -> Mask:
        """Targets that no check has decided yet, shape [n]."""
        mask: Mask = self.status == _UNDECIDED
        return mask

    @property
    def still(self) -> Mask | slice:
        """Index of the open targets; a slice when that is all of them, so that indexing copies nothing."""
        return slice(None) if self.n_open == len(self) else self.open

    def decide(self, mask: Mask, status: Status, cause: Cause = Cause.NONE, text: str = "") -> None:
        """Give the still open targets among `mask` their status."""
        hit = mask & self.open
        n_hit = int(np.count_nonzero(hit))
        if not n_hit:
            return
        self.status[hit] = status
        if cause is not Cause.NONE:
            self.cause[hit] = self._index((cause, text))
        self.n_open -= n_hit

    def decide_all(self, status: Status, cause: Cause = Cause.NONE, text: str = "") -> None:
        """Give every still open target this status."""
        if self.n_open == len(self):
            self.status[:] = status
            self.cause[:] = self._index((cause, text)) if cause is not Cause.NONE else 0
            self.n_open = 0
        else:
            self.decide(self.open, status, cause, text)

    def seal(self) -> None:
        """All targets or none, where the xApp asked for that."""
        if self.batch.atomic and self.n_open < len(self):
            self.decide_all(Status.REFUSED, Cause.ATOMIC, "another target of this atomic batch was refused")

    def _index(self, reason: tuple[Cause, str]) -> int:
        if reason not in self.causes and len(self.causes) >= _MOST_TEXTS:
            reason = reason[0], "for one more reason than a result can tell"
        if reason not in self.causes:
            self.causes.append(reason)
        return self.causes.index(reason)

    def result(self, *, xapp: str, node: str, ran_time_ns: int) -> Result:
        """The terminal result; every target must have been decided."""
        if self.n_open:
            raise RuntimeError(
                f"{self.n_open} targets of {self.batch.id} have no verdict: a fault in the guard"
            )
        return Result(
            id=self.batch.id,
            xapp=xapp,
            node=node,
            action=self.batch.action.spec.name,
            targets=self.targets,
            status=self.status,
            cause=self.cause,
            causes=tuple(self.causes),
            applied=self.applied,
            ran_time_ns=ran_time_ns,
            stamps=self.batch.stamps,
        )


class Origin(NamedTuple):
    """The batch that settings came from: all that is kept of it while they are held."""

    id: str
    xapp: str


def ended(
    origin: Origin,
    *,
    node: str,
    action: type[Action],
    targets: I32,
    applied: F32,
    cause: Cause,
    text: str,
    ran_time_ns: int,
) -> Result:
    """The later news on a batch that had been applied: these settings of it are over."""
    n = len(targets)
    return Result(
        id=origin.id,
        xapp=origin.xapp,
        node=node,
        action=action.spec.name,
        targets=targets,
        status=np.full(n, Status.ENDED, np.uint8),
        cause=np.ones(n, np.uint8),
        causes=((Cause.NONE, ""), (cause, text)),
        applied=applied,
        ran_time_ns=ran_time_ns,
    )


def fates_of(result: Result) -> Iterator[tuple[Status, str, str, int]]:
    """Each fate of a result: (status, name of the cause, the guard's text, number of targets)."""
    n = np.bincount(_fates(result))
    for fate in np.flatnonzero(n).tolist():
        status, cause = divmod(fate, 256)
        yield Status(status), cause_name(*result.causes[cause]), result.causes[cause][1], int(n[fate])


def verdict_counts(result: Result) -> dict[str, int]:
    """How many targets met which fate: {"applied": 7, "refused/conflict": 1}."""
    counts: dict[str, int] = {}
    for status, cause, _, n_targets in fates_of(result):
        name = fate_name(status, cause)
        counts[name] = counts.get(name, 0) + n_targets
    return counts


def fate_runs(result: Result, rows: I64) -> list[tuple[int, str]]:
    """Fates of the targets in `rows` in their order: (number in a row, fate by the labels of its causes)."""
    fates, labels = _fates(result)[rows], cause_labels(result)
    starts = np.flatnonzero(np.diff(fates, prepend=-1))
    lengths = np.diff(starts, append=len(fates))
    return [
        (length, fate_name(Status(fate // 256), labels[fate % 256]))
        for fate, length in zip(fates[starts].tolist(), lengths.tolist(), strict=True)
    ]


def _fates(result: Result) -> I64:
    """Status and cause of each target in one number."""
    return result.status.astype(np.int64) * 256 + result.cause


def cause_name(cause: Cause, text: str) -> str:
    """The name of a cause in counts and in the audit log."""
    return AT_END if (cause, text) == HOST_STOPPED else str(cause)


def cause_labels(result: Result) -> list[str]:
    """A label for each of `result.causes`: its name; the second text of one cause is "conflict#2", and so on."""
    names = [cause_name(*reason) for reason in result.causes]
    nth = [names[:index].count(name) + 1 for index, name in enumerate(names)]
    return [name if n == 1 else f"{name}#{n}" for name, n in zip(names, nth, strict=True)]


def fate_name(status: Status, cause: str) -> str:
    """Such as "applied" or "refused/range"."""
    return status.name.lower() + (f"/{cause}" if cause != Cause.NONE else "")
