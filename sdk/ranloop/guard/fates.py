"""What became of the targets of each xApp: counts per action, status and cause, each with one text of the guard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ranloop.guard.remedies import remedy
from ranloop.guard.results import AT_END, fate_name, fates_of
from ranloop.recent import Recent
from ranloop.wire.messages import Cause, Result, Status

__all__ = ("Fates", "Told", "fruitless")

_MOST = 4096  # fates; a hundred xApps have fewer, and what an observer of a bus hears may be made up
_FAILED = (Status.REFUSED, Status.EXPIRED)
_OPERATORS_WORD = (Cause.AUTONOMY, Cause.KILLED)


class Told(NamedTuple):
    """One fate.

    Attributes:
        status: Of `n_targets` targets of the xApp's actions.
        cause: A `Cause`, "none" for what was applied, or `AT_END`.
        text: What the guard said the first time; "" where there is no cause.
    """

    xapp: str
    action: str
    status: Status
    cause: str
    n_targets: int
    text: str

    @property
    def name(self) -> str:
        """Such as "applied" or "refused/range"."""
        return fate_name(self.status, self.cause)


class Fates:
    """Counts results as they come. Statuses, causes and actions are few, so it stays small however long a run is.

    Names on a bus that nobody guards could be anything: beyond `_MOST` fates the one goes that was met longest ago.
    """

    def __init__(self) -> None:
        self._met: Recent[tuple[str, str, Status, str], tuple[int, str]] = Recent(_MOST)  # number, first text

    @property
    def n_forgotten(self) -> int:
        """Fates that went for want of room, with their counts."""
        return self._met.n_forgotten

    def take(self, result: Result) -> None:
        """Count a result."""
        for status, cause, text, n_targets in fates_of(result):
            self.count(Told(result.xapp, result.action, status, cause, n_targets, text))

    def count(self, told: Told) -> None:
        """Count targets that met one fate."""
        key = told.xapp, told.action, told.status, told.cause
        n_targets, text = self._met.get(key, (0, ""))
        self._met[key] = n_targets + told.n_targets, text or told.text

    def told(self) -> tuple[Told, ...]:
        """All fates: by xApp and action, the most frequent first."""
        rows = [Told(*key, *counted) for key, counted in self._met.items()]
        return tuple(sorted(rows, key=lambda told: (told.xapp, told.action, -told.n_targets, told.name)))

    def outcomes(self) -> Counter[str]:
        """Targets of all xApps by fate, e.g. {"applied": 700, "refused/conflict": 3}."""
        counts: Counter[str] = Counter()
        for told in self.told():
            counts[told.name] += told.n_targets
        return counts


def fruitless(told: Iterable[Told]) -> dict[str, str]:
    """xApp -> a warning with cause and remedy, for each of which every target was refused or expired.

    What was under way at the end of the run does not count, and an answer that was lost is no success.
    """
    of: dict[str, list[Told]] = {}
    for one in told:
        if one.status is not Status.ENDED and one.cause != AT_END:
            of.setdefault(one.xapp, []).append(one)
    return {
        xapp: _warning(xapp, fates)
        for xapp, fates in of.items()
        if any(fate.status in _FAILED for fate in fates)
        and all(fate.status in (*_FAILED, Status.UNKNOWN) for fate in fates)
    }


def is_meant(told: Sequence[Told], xapp: str) -> bool:
    """Whether nothing but the operator's word stood against the actions of `xapp`: its autonomy, or the kill switch."""
    return all(one.cause in _OPERATORS_WORD for one in told if one.xapp == xapp and one.status in _FAILED)


def _warning(xapp: str, fates: Sequence[Told]) -> str:
    worst = max(fates, key=lambda told: told.n_targets)
    n_targets = sum(told.n_targets for told in fates)
    most = "" if worst.n_targets == n_targets else f"{worst.n_targets} "
    return (
        f"{xapp}: none of its {n_targets} targets was applied: {most}{worst.name} ({worst.action}: {worst.text}); "
        f"remedy: {remedy(worst.cause)}"
    )
