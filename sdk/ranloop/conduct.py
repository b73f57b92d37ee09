"""What xApps did to the settings of a network, read from the audit records of a run.

A *change* gives a target's setting another value than the one in force. A change is a *reversal* if it turns back what the last
change of that target did, within a given time: a parameter that had risen falls, or the other way. That is our definition. Its
model is the ping-pong of TR 36.839: a handover back within the minimum time of stay. Handovers are no settings, and their
ping-pongs are in the score.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ranloop.guard import AuditRecord
from ranloop.guard.conflicts import because_of
from ranloop.guard.results import fates_of
from ranloop.node.outlets import Event
from ranloop.vocabulary import ACTIONS, Kind
from ranloop.wire.messages import Result, Status

__all__ = ("Conduct", "Observer", "Refusal", "Terms")

_Key = tuple[str, str, tuple[int, ...]]  # node, action, target
_Values = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How conduct is counted.

    Attributes:
        since_s: RAN time from which on it counts.
        reversal_s: A change back that comes later is none.
    """

    since_s: float
    reversal_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Targets of an xApp's actions that were refused for one cause.

    Attributes:
        because_of: The xApp that held them; "" where no other xApp was in the way.
        text: The guard's or the node's words, the first time.
    """

    xapp: str
    action: str
    cause: str
    because_of: str
    text: str
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """What came of it.

    Attributes:
        changes: xApp -> changes.
        reversals: (xApp that changed a setting, xApp that turned it back, number).
        refusals: By xApp, action, cause and the other xApp.
        n_away: Settings that were not at their default when counting began.
        back_s: RAN time from then until all were, for good; infinity if one was not at the end.
        lease_s: The longest lease that was asked for.
    """

    changes: Mapping[str, int] = field(default_factory=dict)
    reversals: tuple[tuple[str, str, int], ...] = ()
    refusals: tuple[Refusal, ...] = ()
    n_away: int = 0
    back_s: float = 0.0
    lease_s: float = 0.0


@dataclass(slots=True)
class _Setting:
    """A target's setting: its values, those before its last change, and who made that change when."""

    values: _Values
    before: _Values
    changed_ns: int
    by: str


class Observer:
    """An outlet that counts conduct."""

    def __init__(self, terms: Terms) -> None:
        self._since_ns, self._reversal_ns = round(terms.since_s * 1e9), round(terms.reversal_s * 1e9)
        self._known: dict[_Key, _Setting] = {}
        self._away: set[_Key] = set()
        self._n_away: int | None = None  # once counting has begun
        self._back_ns = 0
        self._lease_ms = 0
        self._changes: Counter[str] = Counter()
        self._reversals: Counter[tuple[str, str]] = Counter()
        self._refused: dict[tuple[str, str, str, str], tuple[str, int]] = {}  # its first text, and the number

    def take(self, event: Event) -> None:
        """See an event of the run."""
        if not isinstance(event, AuditRecord) or event.result is None or event.result.action not in ACTIONS:
            return
        if event.batch is not None:
            self._lease_ms = max(self._lease_ms, event.batch.lease_ms or 0)
        if event.ran_time_ns >= self._since_ns:
            self._begin()
            self._count_refusals(event.result)
        if ACTIONS[event.result.action].spec.kind is Kind.SETTING:
            self._follow(event.result)

    def conduct(self) -> Conduct:
        """All of it, at the end."""
        self._begin()
        return Conduct(
            changes=dict(sorted(self._changes.items())),
            reversals=tuple((*pair, n) for pair, n in sorted(self._reversals.items())),
            refusals=tuple(
                Refusal(xapp=xapp, action=action, cause=cause, because_of=other, text=text, n=n)
                for (xapp, action, cause, other), (text, n) in sorted(self._refused.items())
            ),
            n_away=self._n_away or 0,
            back_s=math.inf if self._away else max(self._back_ns - self._since_ns, 0) / 1e9,
            lease_s=self._lease_ms / 1e3,
        )

    def _begin(self) -> None:
        if self._n_away is None:
            self._n_away = len(self._away)

    def _count_refusals(self, result: Result) -> None:
        for status, cause, text, n in fates_of(result):
            if status is Status.REFUSED:
                key = result.xapp, result.action, cause, because_of(text)
                first, so_far = self._refused.get(key, (text, 0))
                self._refused[key] = first, so_far + n

    def _follow(self, result: Result) -> None:
        """Take in which values are in force now; a target that is gone has none."""
        parameters = ACTIONS[result.action].spec.parameters
        defaults = tuple(math.nan if each.default is None else float(each.default) for each in parameters)
        rows = zip(result.targets.tolist(), result.status.tolist(), result.applied.tolist(), strict=True)
        for target, status, values in rows:
            if status not in (Status.APPLIED, Status.ENDED):
                continue
            key = result.node, result.action, tuple(target)
            if not any(map(math.isnan, values)):
                self._change(key, tuple(values), defaults, result)
            elif status == Status.ENDED:
                self._known.pop(key, None)
            if status == Status.APPLIED and tuple(values) != defaults:
                self._away.add(key)
            elif key in self._away:
                self._away.remove(key)
                self._back_ns = result.ran_time_ns

    def _change(self, key: _Key, values: _Values, defaults: _Values, result: Result) -> None:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Setting(defaults, defaults, result.ran_time_ns, "")
        if values == known.values:
            return
        if result.ran_time_ns >= self._since_ns:
            self._changes[result.xapp] += 1
            is_soon = result.ran_time_ns - known.changed_ns <= self._reversal_ns
            if known.by and is_soon and _turns_back(known.before, known.values, values):
                self._reversals[known.by, result.xapp] += 1
        self._known[key] = _Setting(values, known.values, result.ran_time_ns, result.xapp)


def _turns_back(before: _Values, then: _Values, now: _Values) -> bool:
    """Whether a parameter that had risen falls, or the other way."""
    return any((c - b) * (b - a) < 0 for a, b, c in zip(before, then, now, strict=True))
